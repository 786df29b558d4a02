"""What stands in front of work: the decorator, the ASGI middleware and the gRPC interceptors."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import httpx2 as httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from client.books import USD, spent_and_held
from outlay_client import (
    AsyncClient,
    AsyncSpendInterceptor,
    Client,
    Denied,
    Price,
    SpendInterceptor,
    SpendMiddleware,
    current_spend,
    metered,
)
from support.tenants import Tenant
from support.wire import failure_of

METHOD = "/tests.Echo/Say"


def record(amount_micros: int) -> None:
    spend = current_spend()
    assert spend is not None
    spend.record(amount_micros)


# --- decorator --------------------------------------------------------------------------------------------------------


def test_a_function_is_metered_by_its_arguments(client: Client, tenant: Tenant) -> None:
    @metered(client, lambda words: Price(words * 100, labels={"model": "small"}))
    def complete(words: int) -> str:
        record(words * 10)
        return "done"

    assert complete(7) == "done"
    assert spent_and_held(tenant) == (70, 0)
    tenant.cap(0)
    with pytest.raises(Denied):
        complete(7)


async def test_a_coroutine_function_is_metered(async_client: AsyncClient, tenant: Tenant) -> None:
    @metered(async_client, Price(50))
    async def complete() -> str:
        return "done"

    assert await complete() == "done"
    assert spent_and_held(tenant) == (50, 0)


def test_what_could_not_be_metered_is_refused_at_once(client: Client) -> None:
    async def coroutine() -> None: ...

    def generator() -> Iterator[int]:
        yield 1

    for function in (coroutine, generator):
        with pytest.raises(TypeError):
            metered(client, Price(1))(function)


# --- ASGI -------------------------------------------------------------------------------------------------------------


async def answer(request: Request) -> JSONResponse:
    if "cost" in request.query_params:
        record(int(request.query_params["cost"]))
    return JSONResponse({"fine": True}, status_code=int(request.query_params.get("status", "200")))


def price_of(scope: Any) -> Price | None:
    if scope["path"] == "/free":
        return None
    model = dict(scope["headers"]).get(b"x-model", b"small").decode()
    return Price(USD, unit="CREDITS", labels={"model": model})


def http(client: AsyncClient, **settings: Any) -> httpx.AsyncClient:
    app = Starlette(routes=[Route("/work", answer, methods=["POST"]), Route("/free", answer, methods=["POST"])])
    wrapped = SpendMiddleware(app, client=client, price=price_of, **settings)
    return httpx.AsyncClient(transport=httpx.ASGITransport(wrapped), base_url="http://app")


async def test_requests_cost_what_they_say(async_client: AsyncClient, tenant: Tenant) -> None:
    async with http(async_client) as web:
        assert (await web.post("/work?cost=5")).json() == {"fine": True}
        assert spent_and_held(tenant, "credits") == (5, 0)
        assert (await web.post("/work")).status_code == 200
        assert spent_and_held(tenant, "credits") == (5 + USD, 0)
        assert (await web.post("/work?status=500")).status_code == 500
        assert (await web.post("/work?status=400&cost=3")).status_code == 400
        assert (await web.post("/free")).status_code == 200
    assert spent_and_held(tenant, "credits") == (8 + USD, 0)


async def test_a_denied_request_gets_a_402_with_the_body_of_the_usage_face(
    async_client: AsyncClient, tenant: Tenant
) -> None:
    tenant.cap(0, "credits")
    async with http(async_client) as web:
        denied = await web.post("/work", headers={"x-request-id": "mine"})
    body = denied.json()
    details = body["error"].pop("details")
    assert (denied.status_code, denied.headers["x-request-id"]) == (402, "mine")
    assert body == {
        "success": False,
        "error": {
            "code": "AI_CREDITS_EXHAUSTED",
            "type": "payment_required",
            "message": "The hard cap of the budget credits is reached for this cycle.",
            "param": None,
            "retryable": False,
            "request_id": "mine",
        },
        "meta": {"request_id": "mine"},
    }
    assert details.keys() == {"reason", "budget", "cycle_reset_at"}
    assert (details["reason"], details["budget"]) == ("HARD_CAP_REACHED", tenant.child("budgets", "credits"))


async def test_a_gate_that_is_off_is_a_403_with_the_body_of_the_billing_face(async_client: AsyncClient) -> None:
    async with http(async_client, face="billing") as web:
        denied = await web.post("/work", headers={"x-model": "claude-opus-4"})
    assert (denied.status_code, denied.json()) == (
        403,
        {
            "success": False,
            "status": 403,
            "error": {
                "message": "opus is not enabled for this organization.",
                "type": "forbidden",
                "code": "OPUS_NOT_ENABLED",
                "details": {"reason": "GATE_DISABLED"},
            },
        },
    )


async def test_a_request_that_cannot_be_checked_gets_a_503() -> None:
    async with AsyncClient("127.0.0.1:1", "sk_x") as client, http(client) as web:
        away = await web.post("/work")
    assert (away.status_code, away.json()["error"]["code"]) == (503, "SPEND_CHECK_UNAVAILABLE")
    assert away.headers["retry-after"] == "1"


# --- gRPC -------------------------------------------------------------------------------------------------------------


def price_by_request(request: bytes) -> Price | None:
    return None if request == b"free" else Price(USD, labels={"model": request.decode()})


def say(request: bytes, context: Any) -> bytes:
    if request != b"free":
        record(7)
    return request


async def say_async(request: bytes, context: Any) -> bytes:
    return say(request, context)


def handlers(behavior: Any) -> Any:
    methods = {
        "Say": grpc.unary_unary_rpc_method_handler(behavior),
        "Stream": grpc.unary_stream_rpc_method_handler(behavior),
        "Other": grpc.unary_unary_rpc_method_handler(lambda request, context: request),
    }
    return grpc.method_handlers_generic_handler("tests.Echo", methods)


PRICES = {METHOD: price_by_request, "/tests.Echo/Stream": price_by_request}


def test_a_server_of_threads_is_metered(client: Client, tenant: Tenant) -> None:
    server = grpc.server(ThreadPoolExecutor(2), interceptors=[SpendInterceptor(client, PRICES)])
    server.add_generic_rpc_handlers((handlers(say),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            call = channel.unary_unary(METHOD)
            assert [call(b"small"), call(b"free")] == [b"small", b"free"]
            assert channel.unary_unary("/tests.Echo/Other")(b"other") == b"other"
            assert spent_and_held(tenant) == (7, 0)
            refusals = [_error(call, b"claude-opus-4"), _error(channel.unary_unary("/tests.Echo/Stream"), b"")]
            tenant.cap(0)
            refusals.append(_error(call, b"small"))
    finally:
        server.stop(None).wait()
    _assert_refusals(refusals)


async def test_a_server_of_asyncio_is_metered(async_client: AsyncClient, tenant: Tenant) -> None:
    server = grpc.aio.server(interceptors=[AsyncSpendInterceptor(async_client, PRICES)])
    server.add_generic_rpc_handlers((handlers(say_async),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            call = channel.unary_unary(METHOD)
            assert [await call(b"small"), await call(b"free")] == [b"small", b"free"]
            assert spent_and_held(tenant) == (7, 0)
            refusals = [await _async_error(call(b"claude-opus-4"))]
            refusals.append(await _async_error(channel.unary_unary("/tests.Echo/Stream")(b"")))
            tenant.cap(0)
            refusals.append(await _async_error(call(b"small")))
    finally:
        await server.stop(None)
    _assert_refusals(refusals)


def _assert_refusals(refusals: list[Any]) -> None:
    gate, stream, cap = (failure_of(error) for error in refusals)
    assert (gate.code, gate.reason) == (grpc.StatusCode.PERMISSION_DENIED, "OPUS_NOT_ENABLED")
    assert stream.code is grpc.StatusCode.UNIMPLEMENTED
    assert (cap.code, cap.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "SPENDING_CAP_REACHED")
    assert cap.metadata["denial_reason"] == "HARD_CAP_REACHED"


def _error(call: Any, request: bytes) -> grpc.RpcError:
    with pytest.raises(grpc.RpcError) as failed:
        call(request)
    return failed.value


async def _async_error(call: Any) -> grpc.RpcError:
    with pytest.raises(grpc.RpcError) as failed:
        await call
    return failed.value
