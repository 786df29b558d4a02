"""How the console is served: over TLS, and where its extra is not installed."""

import asyncio
import ssl
import sys
from pathlib import Path

import httpx2
import pytest

from conftest import StartServer
from console.test_pages import SAME_ORIGIN
from outlay_rest.app import create_app
from support.certificates import make_certificate


def test_over_tls_the_cookie_goes_no_other_way(start_server: StartServer, tmp_path: Path) -> None:
    certificate, key = make_certificate(tmp_path, "server")
    server = start_server(environment={"OUTLAY_TLS_CERT_FILE": certificate, "OUTLAY_TLS_KEY_FILE": key})
    port = server.http_url.rpartition(":")[2]
    trusting = ssl.create_default_context(cafile=certificate)
    with httpx2.Client(base_url=f"https://localhost:{port}/console", verify=trusting) as visitor:
        answer = visitor.post("/sign-in", data={"api_key": server.admin_key}, headers=SAME_ORIGIN)
        assert (answer.status_code, "secure" in answer.headers["set-cookie"].lower()) == (303, True)
        assert visitor.get("/organizations").status_code == 200


@pytest.mark.parametrize("path", ["/console", "/console/", "/console/organizations/acme"])
def test_without_its_extra_the_console_says_what_to_install(monkeypatch: pytest.MonkeyPatch, path: str) -> None:
    """And the rest is served."""
    for name in [name for name in sys.modules if name.startswith("outlay_rest.console")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "jinja2", None)
    app = create_app(None, None, ready=lambda: True, version="0")  # type: ignore[arg-type]

    async def get(path: str) -> httpx2.Response:
        async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://outlay") as client:
            return await client.get(path)

    answer = asyncio.run(get(path))
    assert (answer.status_code, "pip install 'outlay[console]'" in answer.text) == (501, True)
    assert asyncio.run(get("/healthz")).status_code == 200
