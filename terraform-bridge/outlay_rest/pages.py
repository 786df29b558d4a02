"""What is served without a key: health, the OpenAPI document, and Swagger UI, all from this package.

Swagger UI is vendored in `static/` and allowed to talk to this server only; nothing is loaded from anywhere else.
"""

import functools
import importlib.resources
import json
from collections.abc import Callable, Mapping
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from outlay_rest.answers import SECURITY_HEADERS, json_response
from outlay_rest.metadata import correlation_id_of
from outlay_rest.openapi.document import openapi_document

_ASSETS: Final[Mapping[str, str]] = {
    "favicon-32x32.png": "image/png",
    "start.js": "text/javascript; charset=utf-8",
    "swagger-ui-bundle.js": "text/javascript; charset=utf-8",
    "swagger-ui.css": "text/css; charset=utf-8",
}

_PAGE_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self';"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""No inline script, nothing from elsewhere: a page on which people paste keys."""


def page_routes(ready: Callable[[], bool], version: str) -> list[BaseRoute]:
    """The routes of these pages; `ready` is asked at each `/readyz`."""

    @functools.cache
    def document() -> bytes:
        return json.dumps(openapi_document(version), ensure_ascii=False, separators=(",", ":")).encode()

    async def healthz(request: Request) -> Response:
        return json_response({"status": "ok"}, correlation_id=correlation_id_of(request))

    async def readyz(request: Request) -> Response:
        if ready():
            return json_response({"status": "ready"}, correlation_id=correlation_id_of(request))
        return json_response(
            {"status": "not ready"}, status=503, correlation_id=correlation_id_of(request), headers={"retry-after": "1"}
        )

    async def openapi(request: Request) -> Response:
        return Response(document(), headers={**SECURITY_HEADERS, "content-type": "application/json"})

    return [
        Route("/healthz", healthz),
        Route("/readyz", readyz),
        Route("/openapi.json", openapi),
        Route("/docs", _docs),
        Route("/docs/{asset}", _asset),
    ]


def document_route(path: str, content: bytes) -> BaseRoute:
    """The route of a JSON document that somebody else wrote."""

    async def answer(request: Request) -> Response:
        headers = {**SECURITY_HEADERS, "cache-control": "max-age=3600", "content-type": "application/json"}
        return Response(content, headers=headers)

    return Route(path, answer)


def missing_console_route(module: str) -> BaseRoute:
    """What stands in the place of the console where a module that it needs is not installed."""

    async def missing(request: Request) -> Response:
        text = f"The console needs the module {module}. Install it with: pip install 'outlay[console]'\n"
        return Response(text, status_code=501, media_type="text/plain", headers=dict(SECURITY_HEADERS))

    return Route("/console{rest:path}", missing)


async def _docs(request: Request) -> Response:
    headers = {
        **SECURITY_HEADERS,
        "content-security-policy": _PAGE_POLICY,
        "content-type": "text/html; charset=utf-8",
    }
    return Response(_file("docs.html"), headers=headers)


async def _asset(request: Request) -> Response:
    name = request.path_params["asset"]
    if name not in _ASSETS:
        return Response(status_code=404, headers=dict(SECURITY_HEADERS))
    headers = {**SECURITY_HEADERS, "cache-control": "max-age=3600", "content-type": _ASSETS[name]}
    return Response(_file(name), headers=headers)


@functools.cache
def _file(name: str) -> bytes:
    return (importlib.resources.files("outlay_rest") / "static" / name).read_bytes()
