"""Which path is which page, and what every page does first: who asks, and may this form be sent from there."""

import functools
import gzip
import importlib.resources
import logging
import uuid
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route

from outlay_rest.answers import SECURITY_HEADERS
from outlay_rest.calls import Call, CallFailed, Stream
from outlay_rest.console import access, admin, budget, budgets, live, session
from outlay_rest.console.visit import Visit, accepts_gzip, see_other
from outlay_rest.problems import Problem, Refused, from_status, internal

logger = logging.getLogger("outlay_rest")

Page = Callable[[Visit], Awaitable[Response]]

_ASSETS: Final[Mapping[str, str]] = {
    "console.css": "text/css; charset=utf-8",
    "console.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}
_ONE: Final = "/organizations/{organization}"


def console_routes(call: Call, stream: Stream) -> list[BaseRoute]:
    """The routes under `/console`."""

    def page(path: str, show: Page, *, signed_in: bool = True) -> Route:
        return Route(path, _answer(call, show, signed_in=signed_in), methods=["GET"])

    def form(path: str, act: Page, *, signed_in: bool = True) -> Route:
        return Route(path, _answer(call, act, signed_in=signed_in), methods=["POST"])

    return [
        Route(session.PATH, _to_the_start),
        Mount(
            session.PATH,
            routes=[
                Route("/static/{asset}", _asset),
                page("/sign-in", access.show_sign_in, signed_in=False),
                form("/sign-in", access.sign_in, signed_in=False),
                form("/sign-out", access.sign_out, signed_in=False),
                page("/", access.start),
                page("/organizations", budgets.show_organizations),
                page(_ONE, budgets.show_budgets),
                Route(f"{_ONE}/changes", live.changes(call, stream), methods=["GET"]),
                page(f"{_ONE}/budgets/{{budget}}", budget.show),
                form(f"{_ONE}/budgets/{{budget}}", budget.save),
                page(f"{_ONE}/alerts", budgets.show_alerts),
                page(f"{_ONE}/audit", admin.show_audit),
                page(f"{_ONE}/keys", admin.show_keys),
                form(f"{_ONE}/keys", admin.create_key),
                form(f"{_ONE}/keys/{{key}}/revoke", admin.revoke_key),
                page(f"{_ONE}/webhooks", admin.show_webhooks),
                page(f"{_ONE}/webhooks/{{webhook}}", admin.show_deliveries),
                form(f"{_ONE}/webhooks/{{webhook}}", admin.test_webhook),
                form(f"{_ONE}/webhooks/{{webhook}}/deliveries/{{delivery}}/replay", admin.replay),
                Route("/{rest:path}", _answer(call, _nothing_here, signed_in=False)),
            ],
        ),
    ]


def _answer(call: Call, show: Page, *, signed_in: bool) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        visit = Visit(request, call, session.key_of(request), uuid.uuid4().hex)
        if request.method == "POST" and not session.is_own_form(request):
            problem = Problem(403, "PERMISSION_DENIED", "", "This form was not sent from the console.")
            return await visit.page("problem.html", status=403, problem=problem)
        if signed_in and not visit.key:
            return access.ask_to_sign_in(visit)
        try:
            return await show(visit)
        except Refused as refused:
            problem = refused.problem
        except CallFailed as failed:
            problem = from_status(failed.status)
            if problem.http_status == 401 and visit.key:
                return await access.signed_out(visit)
        except Exception:
            logger.exception("page failed", extra={"correlation_id": visit.correlation_id})
            problem = internal(visit.correlation_id)
        return await visit.page("problem.html", status=problem.http_status, problem=problem)

    return answer


async def _nothing_here(visit: Visit) -> Response:
    if not visit.request.path_params["rest"]:
        return see_other(f"{session.PATH}/")
    problem = Problem(404, "NOT_FOUND", "NOT_FOUND", "There is no such page.")
    return await visit.page("problem.html", status=404, problem=problem)


async def _to_the_start(request: Request) -> Response:
    return see_other(f"{session.PATH}/")


async def _asset(request: Request) -> Response:
    name = request.path_params["asset"]
    if name not in _ASSETS:
        return Response(status_code=404, headers=dict(SECURITY_HEADERS))
    headers = {**SECURITY_HEADERS, "cache-control": "max-age=3600", "content-type": _ASSETS[name]}
    headers["vary"] = "accept-encoding"
    if not accepts_gzip(request):
        return Response(_file(name), headers=headers)
    return Response(_compressed(name), headers=headers | {"content-encoding": "gzip"})


@functools.cache
def _file(name: str) -> bytes:
    return (importlib.resources.files("outlay_rest.console") / "static" / name).read_bytes()


@functools.cache
def _compressed(name: str) -> bytes:
    return gzip.compress(_file(name), mtime=0)
