"""The outermost ring: which face a path belongs to, and a documented answer whatever happens."""

import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocketClose

from outlay_rest import native
from outlay_rest.answers import problem_response
from outlay_rest.calls import Call, CallFailed, Stream
from outlay_rest.faces import failures, spending_caps, usage_budget
from outlay_rest.metadata import correlation_id_of
from outlay_rest.path_template import normalize
from outlay_rest.problems import Problem, Refused, from_status, internal, unknown_path

logger = logging.getLogger("outlay_rest")

Failure = Callable[[Problem, str], Response]
Face = Callable[[Request, Call, str], Awaitable[Response]]

_FACES: Final[Mapping[str, tuple[Face, Failure]]] = {
    spending_caps.PATH: (spending_caps.answer_spending_caps, failures.billing_failure),
    usage_budget.PATH: (usage_budget.answer_usage_budget, failures.usage_failure),
}
"""Paths of the two published faces, which go before the templates."""


class Edge:
    """An ASGI application for everything under `/v1/`, and the 404 for everything that nobody else knows."""

    def __init__(self, call: Call, stream: Stream) -> None:
        self._call = call
        self._stream = stream

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await WebSocketClose()(scope, receive, send)
            return
        request = Request(scope, receive)
        try:
            response = await self._answer(request)
        except ClientDisconnect:
            return
        if request.method == "HEAD":
            # The headers are those of the GET, its length included; the body stays away (RFC 9110, 9.3.2).
            response.body = b""
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        correlation_id = correlation_id_of(request)
        path = normalize(request.scope.get("raw_path") or request.scope["path"].encode())
        face, failure = _FACES.get(path or "", (None, problem_response))
        try:
            if path is None:
                raise unknown_path()
            if face is not None:
                return await face(request, self._call, correlation_id)
            return await native.answer_native(request, path, self._call, self._stream, correlation_id)
        except Refused as refused:
            return failure(refused.problem, correlation_id)
        except CallFailed as failed:
            return failure(from_status(failed.status), failed.correlation_id or correlation_id)
        except ClientDisconnect:
            raise
        except Exception:
            logger.exception("request failed", extra={"correlation_id": correlation_id})
            return failure(internal(correlation_id), correlation_id)
