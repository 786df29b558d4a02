"""An ASGI middleware that checks requests before the application sees them."""

import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final

from outlay_client.aio import AsyncClient
from outlay_client.errors import Denied, Unavailable
from outlay_client.gates.faces import UNAVAILABLE_STATUS, Face, denial_body, unavailable_body
from outlay_client.gates.price import Price
from outlay_client.requests import new_request_id
from outlay_client.spending import current_spend

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_MAX_REQUEST_ID: Final = 128
_FIRST_FAILURE: Final = 400


class SpendMiddleware:
    """Checks what `price` says a request can cost, and answers 402, 403 or 503 itself where it may not be served.

    `price` gets the ASGI scope; None lets the request through unmetered. The application says by
    `current_spend().record(…)` what it cost. Without that an answer below 400 cost what was granted, and any other, or
    an exception, nothing.
    """

    def __init__(
        self, app: App, *, client: AsyncClient, price: Callable[[Scope], Price | None], face: Face = "usage"
    ) -> None:
        self._app = app
        self._client = client
        self._price = price
        self._face: Face = face

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        price = self._price(scope) if scope["type"] == "http" else None
        if price is None:
            await self._app(scope, receive, send)
            return
        request_id = _request_id(scope)
        entered = False
        try:
            async with self._client.spend(**price.arguments()):
                entered = True
                await self._serve(scope, receive, send)
        except Denied as denied:
            if entered:
                raise
            body = denial_body(denied.result, request_id, self._face)
            await _answer(send, denied.result.http_status, body, request_id)
        except Unavailable:
            if entered:
                # The answer is out; that its settlement failed is for the server's log.
                raise
            await _answer(send, UNAVAILABLE_STATUS, unavailable_body(request_id, self._face), request_id)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        spend = current_spend()
        assert spend is not None

        async def watched(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] >= _FIRST_FAILURE:
                spend.cost_nothing_unless_recorded()
            await send(message)

        await self._app(scope, receive, watched)


async def _answer(send: Send, status: int, body: dict[str, Any], request_id: str) -> None:
    encoded = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(encoded)).encode()),
        (b"cache-control", b"no-store"),
        (b"x-request-id", request_id.encode()),
    ]
    if status == UNAVAILABLE_STATUS:
        headers.append((b"retry-after", b"1"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": encoded})


def _request_id(scope: Scope) -> str:
    for name, value in scope.get("headers", ()):
        if name == b"x-request-id":
            text: str = value.decode("latin-1")
            if 0 < len(text) <= _MAX_REQUEST_ID and text.isascii() and text.isprintable():
                return text
    return new_request_id()
