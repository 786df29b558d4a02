"""Health, the OpenAPI document and Swagger UI, without a key and without another host."""

import httpx2
import pytest

from outlay_rest import create_app
from rest.script import Script


async def test_health_and_readiness() -> None:
    ready = True
    app = create_app(Script(), Script().stream, ready=lambda: ready, version="1")
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://outlay") as client:
        assert (await client.get("/readyz")).status_code == 200
        ready = False
        not_ready = await client.get("/readyz")
        assert (not_ready.status_code, not_ready.headers["retry-after"]) == (503, "1")
        assert (await client.get("/healthz")).json() == {"status": "ok"}


async def test_the_document_is_served_as_its_version(client: httpx2.AsyncClient) -> None:
    answer = await client.get("/openapi.json")
    assert answer.headers["content-type"] == "application/json"
    assert answer.json()["info"]["version"] == "1.2.3"


async def test_the_page_loads_nothing_from_elsewhere(client: httpx2.AsyncClient) -> None:
    page = await client.get("/docs")
    assert page.status_code == 200
    assert "://" not in page.text
    policy = page.headers["content-security-policy"]
    assert "script-src 'self'" in policy
    assert "unsafe" not in policy
    for asset in ("swagger-ui-bundle.js", "swagger-ui.css", "start.js", "favicon-32x32.png"):
        assert f"/docs/{asset}" in page.text
        assert (await client.get(f"/docs/{asset}")).status_code == 200


@pytest.mark.parametrize("name", ["LICENSE", "..%2f..%2fapp.py", "app.py", "docs.html"])
async def test_only_the_assets_are_served(client: httpx2.AsyncClient, name: str) -> None:
    assert (await client.get(f"/docs/{name}")).status_code == 404
