"""Health tells everybody who asks or watches, and lets nobody keep a stopping server waiting."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from outlay_server.server.health import Health

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
SERVICE_UNKNOWN = 3


@pytest.fixture
async def health() -> Health:
    return Health()


@pytest.fixture
async def stub(health: Health) -> AsyncIterator[health_pb2_grpc.HealthStub]:
    server = grpc.aio.server()
    health_pb2_grpc.add_HealthServicer_to_server(health, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield health_pb2_grpc.HealthStub(channel)
    health.close()
    await server.stop(1)


Stub = Any  # the stubs of its types do not know its methods


async def _ask(stub: Stub, service: str = "") -> int:
    status: int = (await stub.Check(health_pb2.HealthCheckRequest(service=service))).status
    return status


@pytest.mark.parametrize("service", ["", "outlay.v1.BudgetService", "outlay.v1.AdminService"])
async def test_every_service_stands_and_falls_with_the_storage(health: Health, stub: Stub, service: str) -> None:
    found = [await _ask(stub, service)]
    for answers in (True, False, True):
        health.set_serving(answers)
        found.append(await _ask(stub, service))
    assert found == [NOT_SERVING, SERVING, NOT_SERVING, SERVING]


async def test_a_service_of_nobody_is_not_found(stub: Stub) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await _ask(stub, "outlay.v2.BudgetService")
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


async def test_a_draining_server_stays_not_serving_whatever_the_storage_does(health: Health, stub: Stub) -> None:
    health.set_serving(True)
    health.drain()
    health.set_serving(False)
    health.set_serving(True)
    assert (await _ask(stub), health.is_serving) == (NOT_SERVING, False)


async def test_those_who_watch_are_told_after_another_has_left(health: Health, stub: Stub) -> None:
    """The library's servicer tells nobody any more once one of them is gone."""
    watches = [stub.Watch(health_pb2.HealthCheckRequest()) for _ in range(3)]
    first = [(await watch.read()).status for watch in watches]
    watches[0].cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await watches[0].wait_for_connection()
    health.set_serving(True)
    then = [(await asyncio.wait_for(watch.read(), 5)).status for watch in watches[1:]]
    assert (first, then) == ([NOT_SERVING] * 3, [SERVING] * 2)


async def test_who_watches_a_service_of_nobody_is_told_so(stub: Stub) -> None:
    watch = stub.Watch(health_pb2.HealthCheckRequest(service="no.such.Service"))
    assert (await watch.read()).status == SERVICE_UNKNOWN


async def test_streams_that_watch_end_when_the_server_does(health: Health, stub: Stub) -> None:
    """A stream that stays open would make every stop last as long as its grace."""
    health.set_serving(True)
    watch = stub.Watch(health_pb2.HealthCheckRequest())
    first = (await watch.read()).status
    health.drain()
    last = (await watch.read()).status
    health.close()
    assert (first, last, await watch.read() is grpc.aio.EOF) == (SERVING, NOT_SERVING, True)
