"""gRPC server interceptors that check calls before their handlers see them.

A denied call is FAILED_PRECONDITION, and PERMISSION_DENIED where a gate is off: never RESOURCE_EXHAUSTED or
UNAVAILABLE, which clients and proxies repeat, and a spent budget does not come back. `ErrorInfo.reason` is the code of
the REST faces. Where spend cannot be checked the call is UNAVAILABLE, and nothing was done.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NoReturn

import grpc
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]

from outlay_client.aio import AsyncClient
from outlay_client.client import Client
from outlay_client.errors import Denied, Unavailable
from outlay_client.gates.price import Price
from outlay_client.results import CheckResult

PriceOf = Callable[[Any], Price | None]
"""The price of a call by its request; None lets it through unmetered."""

_DOMAIN = "outlay.dev"
_AWAY = "Spend cannot be checked at the moment."
_STREAM = "A streaming call cannot be metered here."


class SpendInterceptor(grpc.ServerInterceptor):
    """For servers of threads. `prices` has the methods to meter by their full names: `/package.Service/Method`.

    Methods that are not in it pass. A streaming one that is in it is refused, rather than served unmetered.
    """

    def __init__(self, client: Client, prices: Mapping[str, PriceOf]) -> None:
        self._client = client
        self._prices = dict(prices)

    def intercept_service(self, continuation: Any, handler_call_details: Any) -> Any:
        handler = continuation(handler_call_details)
        price = self._prices.get(handler_call_details.method)
        if handler is None or price is None:
            return handler
        if handler.request_streaming or handler.response_streaming:
            return _refusing(handler)

        def metered(request: Any, context: grpc.ServicerContext) -> Any:
            cost = price(request)
            if cost is None:
                return handler.unary_unary(request, context)
            entered = False
            try:
                with self._client.spend(**cost.arguments()):
                    entered = True
                    return handler.unary_unary(request, context)
            except Denied as denied:
                if entered:
                    raise
                _abort_denied(context, denied.result)
            except Unavailable:
                if entered:
                    raise
                context.abort(grpc.StatusCode.UNAVAILABLE, _AWAY)

        return _unary(handler, metered)


class AsyncSpendInterceptor(grpc.aio.ServerInterceptor):
    """The same for servers of `grpc.aio`."""

    def __init__(self, client: AsyncClient, prices: Mapping[str, PriceOf]) -> None:
        self._client = client
        self._prices = dict(prices)

    async def intercept_service(self, continuation: Callable[[Any], Awaitable[Any]], handler_call_details: Any) -> Any:
        handler = await continuation(handler_call_details)
        price = self._prices.get(handler_call_details.method)
        if handler is None or price is None:
            return handler
        if handler.request_streaming or handler.response_streaming:
            return _refusing(handler)

        async def metered(request: Any, context: Any) -> Any:
            cost = price(request)
            if cost is None:
                return await handler.unary_unary(request, context)
            entered = False
            try:
                async with self._client.spend(**cost.arguments()):
                    entered = True
                    return await handler.unary_unary(request, context)
            except Denied as denied:
                if entered:
                    raise
                code, message, trailers = _denial(denied.result)
                await context.abort(code, message, trailers)
            except Unavailable:
                if entered:
                    raise
                await context.abort(grpc.StatusCode.UNAVAILABLE, _AWAY)

        return _unary(handler, metered)


def _denial(result: CheckResult) -> tuple[grpc.StatusCode, str, tuple[tuple[str, bytes], ...]]:
    """The code, the text and the trailers of a denied call."""
    gate_off = result.reason == "GATE_DISABLED"
    code = grpc.StatusCode.PERMISSION_DENIED if gate_off else grpc.StatusCode.FAILED_PRECONDITION
    facts = {"denial_reason": result.reason, "retryable": str(result.retryable).lower()}
    if result.binding_budget:
        facts["budget"] = result.binding_budget
    if result.retry_time is not None:
        facts["retry_time"] = result.retry_time.isoformat().replace("+00:00", "Z")
    detail = any_pb2.Any()
    detail.Pack(error_details_pb2.ErrorInfo(reason=result.code, domain=_DOMAIN, metadata=facts))
    number: int = code.value[0]
    status = status_pb2.Status(code=number, message=result.message, details=[detail])
    return code, result.message, (("grpc-status-details-bin", status.SerializeToString()),)


def _abort_denied(context: grpc.ServicerContext, result: CheckResult) -> NoReturn:
    code, message, trailers = _denial(result)
    context.set_trailing_metadata(trailers)
    context.abort(code, message)


def _unary(handler: Any, behavior: Any) -> Any:
    return grpc.unary_unary_rpc_method_handler(
        behavior, request_deserializer=handler.request_deserializer, response_serializer=handler.response_serializer
    )


def _refusing(handler: Any) -> Any:
    """A handler of the same kind that serves nothing."""

    def refuse(request: Any, context: Any) -> Any:
        return context.abort(grpc.StatusCode.UNIMPLEMENTED, _STREAM)

    return _unary(handler, refuse)
