"""The client for asyncio against a real server."""

import asyncio
import random
from collections.abc import AsyncIterator
from typing import Any

import pytest

from client.books import USD, records, reservations, spent_and_held
from outlay.v1 import budget_service_pb2 as pb
from outlay_client import AsyncClient, Denied, ExpiryAction, Mode, OutlayRpcError, Unavailable, current_spend
from outlay_client.coalescing import Coalescer
from support.tenants import Tenant

TASKS = 300


async def test_it_has_the_calls_of_the_client_for_threads(async_client: AsyncClient, tenant: Tenant) -> None:
    check = await async_client.check(5 * USD, labels={"team": "core"}, ttl_seconds=60)
    more = await async_client.extend(check.reservation, additional_micros=USD)
    assert (check.granted_micros, more.granted_micros) == (5 * USD, USD)
    record = await async_client.record(2 * USD, reservation=check.reservation)
    await async_client.refund(record.spend_record, USD)
    other = await async_client.check(USD)
    await async_client.release(other.reservation)
    assert (await async_client.check(USD, mode=Mode.RECORD)).spend_record
    assert spent_and_held(tenant) == (2 * USD, 0)


async def test_work_is_settled_however_it_ends(async_client: AsyncClient, tenant: Tenant) -> None:
    async with async_client.spend(5 * USD) as spend:
        assert current_spend() is spend
        spend.record(USD)
    with pytest.raises(ValueError):
        async with async_client.spend(5 * USD):
            raise ValueError
    with pytest.raises(TimeoutError):
        async with async_client.spend(7 * USD):
            raise TimeoutError
    with pytest.raises(ValueError):
        async with async_client.spend(USD, expiry_action=ExpiryAction.RECORD):
            raise ValueError
    assert spent_and_held(tenant) == (USD, 7 * USD)
    tenant.cap(0)
    with pytest.raises(Denied):
        async with async_client.spend(USD):
            raise AssertionError("the work must not be done")


async def test_many_at_once_are_counted_to_the_micro(async_client: AsyncClient, tenant: Tenant) -> None:
    """300 tasks on a cap that half of them fit under: exactly those are admitted, and each record is there once."""
    tenant.cap(TASKS // 2 * 1_000)

    async def work(number: int) -> int:
        check = await async_client.check(1_000)
        if not check.allowed:
            return 0
        await async_client.record(number + 1, reservation=check.reservation)
        return number + 1

    # Nothing is given back before all have asked, so the cap alone decides how many fit.
    checks = await asyncio.gather(*(async_client.check(1_000) for _ in range(TASKS)))
    allowed = [check for check in checks if check.allowed]
    assert len(allowed) == TASKS // 2
    answers = await asyncio.gather(
        *(async_client.record(number + 1, reservation=check.reservation) for number, check in enumerate(allowed))
    )
    assert [answer.amount_micros for answer in answers] == list(range(1, TASKS // 2 + 1))
    expected = sum(range(1, TASKS // 2 + 1))
    assert spent_and_held(tenant) == (expected, 0)
    recorded = sum(await asyncio.gather(*(work(number) for number in range(50))))
    assert spent_and_held(tenant) == (expected + recorded, 0)


async def test_one_bad_item_of_a_batch_is_refused_alone(async_client: AsyncClient, tenant: Tenant) -> None:
    checks: list[Any] = await asyncio.gather(
        *(async_client.check(amount) for amount in (1, -1, 2)), return_exceptions=True
    )
    assert [checks[0].allowed, checks[2].allowed] == [True, True]
    assert isinstance(checks[1], OutlayRpcError)
    assert (checks[1].reason, checks[1].violations[0].field) == ("VALIDATION_FAILED", "amount_micros")
    results: list[Any] = await asyncio.gather(
        *(
            async_client.record(amount, reservation=name)
            for amount, name in ((1, checks[0].reservation), (0, ""), (2, checks[2].reservation))
        ),
        return_exceptions=True,
    )
    assert isinstance(results[1], OutlayRpcError)
    assert records(tenant) == [1, 2]


@pytest.fixture
async def lone_client(shared_server: Any, key: str) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(shared_server.grpc_address, key, coalesce=False) as made:
        yield made


async def test_calls_may_also_travel_alone(lone_client: AsyncClient, tenant: Tenant) -> None:
    await asyncio.gather(*(lone_client.check(1) for _ in range(20)))
    await lone_client.record(5)
    assert spent_and_held(tenant) == (5, 20)


async def test_cancellation_never_loses_a_settlement(async_client: AsyncClient, tenant: Tenant) -> None:
    """Each task is cancelled at a random moment; what recorded its cost before is in the books."""
    said: list[int] = []

    async def work(number: int) -> None:
        async with async_client.spend(1_000) as spend:
            await asyncio.sleep(random.uniform(0, 0.02))
            spend.record(number)
            said.append(number)
            await asyncio.sleep(random.uniform(0, 0.02))

    tasks = [asyncio.create_task(work(number)) for number in range(1, 101)]
    for task in tasks:
        await asyncio.sleep(random.uniform(0, 0.001))
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert said
    assert records(tenant) == sorted(said)


async def test_cancelled_work_that_said_nothing_stays_held(async_client: AsyncClient, tenant: Tenant) -> None:
    running = asyncio.Event()

    async def work() -> None:
        async with async_client.spend(USD):
            running.set()
            await asyncio.sleep(60)

    task = asyncio.create_task(work())
    await running.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (spent_and_held(tenant), reservations(tenant)) == ((0, USD), 1)


async def test_a_closed_client_is_unavailable(shared_server: Any, key: str) -> None:
    client = AsyncClient(shared_server.grpc_address, key)
    assert (await client.check(1)).allowed
    await client.close()
    with pytest.raises(Unavailable):
        await client.check(1)


# --- coalescing, alone ------------------------------------------------------------------------------------------------


class Wire:
    """Takes batches and answers them when it is told to."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.go_on = asyncio.Event()

    async def send(self, items: Any, timeout_seconds: float) -> Any:
        assert timeout_seconds > 0
        self.batches.append([item.request_id for item in items])
        await self.go_on.wait()
        return [item.request_id for item in items]


def item(number: int) -> Any:
    return pb.CheckSpendRequest(request_id=f"r{number}")


async def test_two_batches_are_on_the_way_and_the_rest_waits_for_them() -> None:
    wire = Wire()
    coalescer: Coalescer[Any, Any] = Coalescer(wire.send)
    first = asyncio.create_task(coalescer.ask(item(0), 5))
    await asyncio.sleep(0.01)
    second = asyncio.create_task(coalescer.ask(item(1), 5))
    await asyncio.sleep(0.01)
    waiting = [asyncio.create_task(coalescer.ask(item(number), 5)) for number in range(2, 1_500)]
    await asyncio.sleep(0.05)
    assert wire.batches == [["r0"], ["r1"]]
    wire.go_on.set()
    assert await asyncio.gather(first, second, *waiting) == [f"r{number}" for number in range(1_500)]
    assert [len(batch) for batch in wire.batches] == [1, 1, 1_000, 498]


async def test_who_gives_up_is_not_sent_and_who_waits_too_long_does_not_know() -> None:
    wire = Wire()
    coalescer: Coalescer[Any, Any] = Coalescer(wire.send)
    tasks = []
    for number in range(3):
        tasks.append(asyncio.create_task(coalescer.ask(item(number), 0.2)))
        await asyncio.sleep(0.01)
    tasks[2].cancel()
    for task in tasks[:2]:
        with pytest.raises(Unavailable) as late:
            await task
        assert late.value.effect_unknown
    wire.go_on.set()
    assert await coalescer.ask(item(3), 5) == "r3"
    assert wire.batches == [["r0"], ["r1"], ["r3"]]
