"""What could not be written has not happened, and nothing is decided from memory afterwards."""

import asyncio
import time

import pytest

from ledger.stores import (
    CENT,
    UNIT,
    SettableClock,
    admitted,
    alerts,
    budget,
    cap,
    check,
    disagreement,
    migrate_blocking,
    new_budget,
    new_organization,
    opened,
    record,
    reserved,
    running,
    set_budget,
    snapshot,
)
from outlay_server.domain.commands import CheckOutcome
from outlay_server.domain.errors import StorageUnavailable
from outlay_server.ledger import Ledger
from outlay_server.store.contract import Store
from store.faults import cut_connections, full_disk
from support.postgres import PostgresServer

LONG = {f"label-{number}": "x" * 255 for number in range(16)}
"""Labels that make a row grow the database for certain."""


async def test_a_failed_commit_answers_unavailable_and_has_no_effect(
    store: Store, store_url: str, ledger: Ledger
) -> None:
    """Everybody in the batch is told; afterwards the same request_ids take effect, once."""
    await set_budget(store, budget_micros=100)
    await ledger.submit(record(1))
    before = await snapshot(store)
    commands = [record(10, labels=LONG, request_id=f"r{number}") for number in range(20)]
    async with full_disk(store_url):
        answers = await asyncio.gather(*(ledger.submit(command) for command in commands), return_exceptions=True)
        assert {type(answer) for answer in answers} == {StorageUnavailable}
        assert await snapshot(store) == before
    await asyncio.gather(*(ledger.submit(command) for command in [*commands, *commands]))
    assert (await budget(store)).counter.spent_micros == 201
    assert len(await alerts(store)) == 4
    assert await disagreement(store) is None


async def test_room_that_a_failed_commit_took_is_free_again(store: Store, store_url: str, ledger: Ledger) -> None:
    """A decision after the failure sees the books of before it."""
    await cap(store, 10)
    async with full_disk(store_url):
        with pytest.raises(StorageUnavailable):
            await ledger.submit(check(6, labels=LONG))
    await admitted(ledger, check(10))


async def test_a_failed_commit_does_not_settle(store: Store, store_url: str, ledger: Ledger) -> None:
    """The reservation is as it was, and can be settled later."""
    hold = await reserved(ledger, check(5))
    async with full_disk(store_url):
        with pytest.raises(StorageUnavailable):
            await ledger.submit(record(5, hold, labels=LONG))
        assert (await budget(store)).counter.reserved_micros == 5
    await ledger.submit(record(5, hold, labels=LONG))
    assert (await budget(store)).counter.spent_micros == 5


async def test_denials_and_reads_are_answered_on_a_full_disk(store: Store, store_url: str, ledger: Ledger) -> None:
    """They acknowledge nothing that would have to be kept."""
    await cap(store, 10)
    await ledger.submit(record(10))
    async with full_disk(store_url):
        for _ in range(3):
            denied = await ledger.submit(check(1))
            assert isinstance(denied, CheckOutcome)
            assert not denied.allowed
            assert (await budget(store)).counter.spent_micros == 10


async def test_a_denial_is_answered_on_a_full_disk_while_something_expires(
    timed_store: Store, store_url: str, timed_ledger: Ledger, clock: SettableClock
) -> None:
    """That a reservation has expired is written down by a later batch; no is no meanwhile."""
    await cap(timed_store, 10)
    await timed_ledger.submit(record(8))
    await reserved(timed_ledger, check(2, ttl_seconds=10))
    await clock.advance(11 * 1_000_000)
    async with full_disk(store_url):
        denied = await timed_ledger.submit(check(3))
        assert isinstance(denied, CheckOutcome)
        assert not denied.allowed
    await admitted(timed_ledger, check(2))
    assert (await budget(timed_store)).counter.reserved_micros == 2
    assert await disagreement(timed_store) is None


async def test_a_change_that_cannot_be_committed_changes_nothing(store: Store, store_url: str, ledger: Ledger) -> None:
    """The old settings stay in force, and a later change is taken."""
    if store.capabilities.survives_server_crash_apart:
        pytest.skip("what fails here is the disk of this process")
    await cap(store, 0)
    await new_budget(store, "long", display_name="x" * 100)
    async with full_disk(store_url):
        with pytest.raises(StorageUnavailable):
            await cap(store, UNIT)
        denied = await ledger.submit(check(1))
        assert isinstance(denied, CheckOutcome)
        assert not denied.allowed
    await cap(store, UNIT)
    await admitted(ledger, check(1))


async def test_cut_connections_lose_nothing_that_was_answered(store: Store, store_url: str, ledger: Ledger) -> None:
    """Under load: what was answered is there, what was not is found out by its request_id, each once."""
    if not store.capabilities.survives_server_crash_apart:
        pytest.skip("there is no connection to cut")
    numbers = iter(range(2_000))
    unavailable = 0

    async def caller() -> None:
        nonlocal unavailable
        for number in numbers:
            for attempt in range(50):
                try:
                    await ledger.submit(record(1, request_id=f"r{number}"))
                    break
                except StorageUnavailable:
                    unavailable += 1
                    await asyncio.sleep(0.001 * attempt)

    async def saboteur() -> None:
        for _ in range(10):
            await cut_connections(store_url, "outlay-ledger")
            await asyncio.sleep(0.02)

    await asyncio.gather(saboteur(), *(caller() for _ in range(32)))
    assert unavailable > 0, "nothing was cut in the middle"
    assert (await budget(store)).counter.spent_micros == 2_000
    assert await disagreement(store) is None


async def test_a_failed_read_leaves_the_ledger_its_connection(store: Store, ledger: Ledger) -> None:
    """Nobody's query can undo somebody else's commit."""

    def broken(_: object) -> None:
        raise KeyError("a defect in a view")

    async def read() -> None:
        for _ in range(50):
            with pytest.raises((StorageUnavailable, KeyError)):
                await store.read(broken)

    writes = [ledger.submit(record(1)) for _ in range(200)]
    await asyncio.gather(read(), *writes)
    assert (await budget(store)).counter.spent_micros == 200


async def test_a_database_that_died_is_served_from_again_when_it_returns() -> None:
    """Unavailable at once while it is gone, the process stays, and nothing that was answered is missing."""
    with PostgresServer() as server:
        url = server.url(server.create_database())
        await asyncio.to_thread(migrate_blocking, url)
        async with opened(url) as store, running(store) as ledger:
            await new_organization(store)
            await ledger.submit(record(CENT))
            server.kill9()
            async with asyncio.timeout(5):
                for question in (store.ping(), ledger.submit(record(CENT, request_id="r")), budget(store)):
                    with pytest.raises(StorageUnavailable):
                        await question
            server.start()
            async with asyncio.timeout(5):
                await store.ping()
                await ledger.submit(record(CENT, request_id="r"))
            assert (await budget(store)).counter.spent_micros == 2 * CENT
            assert await disagreement(store) is None


async def test_a_change_that_is_cancelled_twice_ends_before_the_next_batch(store: Store, ledger: Ledger) -> None:
    """Its thread cannot be stopped, so the connection is its own until it is done, however often a caller gives up."""
    if store.capabilities.replicas:
        pytest.skip("a change has a connection of its own")
    order: list[str] = []
    began, loop = asyncio.Event(), asyncio.get_running_loop()

    def slow(_: object) -> None:
        order.append("begins")
        loop.call_soon_threadsafe(began.set)
        time.sleep(0.3)
        order.append("ends")

    change = asyncio.ensure_future(store.change(slow))
    await began.wait()
    change.cancel()
    await asyncio.sleep(0.01)
    change.cancel()
    await asyncio.sleep(0.01)
    await ledger.submit(record(1))
    assert order == ["begins", "ends"]
    with pytest.raises(asyncio.CancelledError):
        await change
    assert (await budget(store)).counter.spent_micros == 1
