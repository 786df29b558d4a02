"""gRPC in front of the dispatcher: bytes in, bytes out, and errors in trailers.

Methods are registered with raw bytes, because grpc.aio would answer a malformed message with UNKNOWN before any code of
ours runs. Errors are set, not raised: `abort` costs an exception more, and an exception's text would reach the caller.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import aclosing
from typing import Any, Final

import grpc
import grpc.aio

from outlay_server.api.authentication import AUTHORIZATION
from outlay_server.api.dispatcher import CORRELATION_ID, SOURCE, Dispatcher, Method, correlation_id_of
from outlay_server.api.errors import code_of, status_of, trailers_of
from outlay_server.domain.audit import AuditSource
from outlay_server.domain.errors import OutlayError

PACKAGE_PREFIX: Final = "/outlay.v1."

_WANTED: Final = frozenset({AUTHORIZATION, CORRELATION_ID, SOURCE})

Context = grpc.aio.ServicerContext[bytes, bytes]
Behavior = Callable[[bytes, Context], Awaitable[bytes]]
StreamBehavior = Callable[[bytes, Context], AsyncIterator[bytes]]


def add_services(server: grpc.aio.Server, dispatcher: Dispatcher) -> None:
    """Serve every RPC. The server must let in messages of a batch's size; those of other methods are bounded here."""
    server.add_generic_rpc_handlers((_Methods(dispatcher),))


class _Methods(grpc.GenericRpcHandler):
    """Finds the handler of a method; one of the package that is unknown is answered like any error."""

    def __init__(self, dispatcher: Dispatcher) -> None:
        self._handlers = {path: _handler(dispatcher, method) for path, method in dispatcher.methods.items()}
        self._dispatcher = dispatcher

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> "grpc.RpcMethodHandler[Any, Any] | None":
        path = handler_call_details.method
        handler = self._handlers.get(path)
        if handler is None and path.startswith(PACKAGE_PREFIX):
            return grpc.unary_unary_rpc_method_handler(_behavior(self._dispatcher, path))
        return handler


def _handler(dispatcher: Dispatcher, method: Method) -> "grpc.RpcMethodHandler[Any, Any]":
    if method.is_stream:
        return grpc.unary_stream_rpc_method_handler(_stream_behavior(dispatcher, method.path))
    return grpc.unary_unary_rpc_method_handler(_behavior(dispatcher, method.path))


def _behavior(dispatcher: Dispatcher, path: str) -> Behavior:
    async def answer(request: bytes, context: Context) -> bytes:
        metadata = _metadata(context.invocation_metadata() or ())
        correlation_id = correlation_id_of(metadata)
        try:
            message = await dispatcher.call(
                path,
                request,
                metadata,
                source=AuditSource.GRPC.value,
                deadline_seconds=context.time_remaining(),
                correlation_id=correlation_id,
            )
        except OutlayError as error:
            code = code_of(error)
            if code is grpc.StatusCode.UNAVAILABLE:
                # Whoever sets a code answers a message all the same, an empty one, and after any message no client
                # repeats a call by itself.
                await context.abort(code, error.message, _trailers(error, correlation_id))
            _fail(context, error, correlation_id)
            return b""
        if CORRELATION_ID in metadata:
            # Only to who names its calls: trailers that nobody asked for are not free.
            context.set_trailing_metadata(((CORRELATION_ID, correlation_id),))
        return message.SerializeToString()

    return answer


def _stream_behavior(dispatcher: Dispatcher, path: str) -> StreamBehavior:
    async def answer(request: bytes, context: Context) -> AsyncIterator[bytes]:
        metadata = _metadata(context.invocation_metadata() or ())
        correlation_id = correlation_id_of(metadata)
        stream = dispatcher.stream(
            path, request, metadata, source=AuditSource.GRPC.value, correlation_id=correlation_id
        )
        is_open = False
        try:
            async with aclosing(stream) as messages:
                async for message in messages:
                    if not is_open:
                        is_open = True
                        # So that a caller knows that it is watching before anything happens.
                        await context.send_initial_metadata(((CORRELATION_ID, correlation_id),))
                    if message is not None:
                        yield message.SerializeToString()
        except OutlayError as error:
            _fail(context, error, correlation_id)

    return answer


def _fail(context: Context, error: OutlayError, correlation_id: str) -> None:
    context.set_code(code_of(error))
    context.set_details(error.message)
    context.set_trailing_metadata(_trailers(error, correlation_id))


def _trailers(error: OutlayError, correlation_id: str) -> tuple[tuple[str, str | bytes], ...]:
    return ((CORRELATION_ID, correlation_id), *trailers_of(error, status_of(error)))


def _metadata(pairs: Iterable[tuple[str, str | bytes]]) -> dict[str, str]:
    """What the dispatcher reads; values that were sent twice are joined, as HTTP does (RFC 9110)."""
    metadata: dict[str, str] = {}
    for key, value in pairs:
        if key in _WANTED and isinstance(value, str):
            metadata[key] = f"{metadata[key]}, {value}" if key in metadata else value
    return metadata
