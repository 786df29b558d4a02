"""The ASGI application: the API, its description, and what says whether the process is well."""

from collections.abc import Callable, Mapping

from starlette.applications import Starlette
from starlette.routing import BaseRoute

from outlay_rest.calls import Call, Stream
from outlay_rest.edge import Edge
from outlay_rest.pages import document_route, missing_console_route, page_routes


def create_app(
    call: Call, stream: Stream, *, ready: Callable[[], bool], version: str, documents: Mapping[str, bytes] | None = None
) -> Starlette:
    """Return the application; `call` and `stream` answer RPCs, `ready` says whether they can be answered now.

    `/healthz` and `/readyz`, `/openapi.json` and `/docs` need no key, and neither do the JSON `documents`, by path. The
    console is under `/console`, where its extra is installed; else that path says what is missing. Further routes may
    be added to the application: everything that none of them knows goes to the API, which answers what it does not
    know with 404.
    """
    further = [document_route(path, content) for path, content in (documents or {}).items()]
    app = Starlette(routes=[*page_routes(ready, version), *further, *_console(call, stream)])
    # Neither a decoded path nor a redirect may lead to another resource than the one that was asked for.
    app.router.redirect_slashes = False
    app.router.default = Edge(call, stream)
    return app


def _console(call: Call, stream: Stream) -> list[BaseRoute]:
    try:
        from outlay_rest.console import console_routes
    except ModuleNotFoundError as error:
        return [missing_console_route(error.name or "")]
    return console_routes(call, stream)
