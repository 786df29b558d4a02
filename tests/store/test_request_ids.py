"""Request ids are forgotten after their retention, a page at a time, and not before."""

import pytest
from sqlalchemy import func, select

from ledger.stores import DAY_MICROS, SettableClock, budget, check, disagreement, record
from outlay_server.domain.commands import RecordOutcome
from outlay_server.domain.instant import Instant
from outlay_server.ledger import Ledger
from outlay_server.server.pruning import RequestIdPruning
from outlay_server.store import request_ids, tables
from outlay_server.store.contract import Store

RETENTION_DAYS = 40


async def remembered(store: Store) -> int:
    """How many ids of the ledger's calls are kept."""
    query = select(func.count()).select_from(tables.requests)
    return await store.read(lambda connection: int(connection.execute(query).scalar_one()))


async def prune(store: Store) -> int:
    """Walk the whole table once; how many pages that took."""
    pruning, pages = RequestIdPruning(store, RETENTION_DAYS), 1
    while not await pruning.step():
        pages += 1
    return pages


async def test_an_id_is_kept_for_its_retention_and_then_new(
    timed_store: Store, timed_ledger: Ledger, clock: SettableClock
) -> None:
    """A second before it a repetition is answered as before; after it, it counts as a new request."""
    first = await timed_ledger.submit(record(5, request_id="a"))
    await clock.advance(RETENTION_DAYS * DAY_MICROS)
    await prune(timed_store)
    again = await timed_ledger.submit(record(5, request_id="a"))
    await clock.advance(1)
    await prune(timed_store)
    anew = await timed_ledger.submit(record(5, request_id="a"))
    assert isinstance(first, RecordOutcome)
    assert isinstance(again, RecordOutcome)
    assert isinstance(anew, RecordOutcome)
    assert again.record.record_id == first.record.record_id != anew.record.record_id
    assert await disagreement(timed_store) is None


async def test_only_the_old_of_many_pages_are_deleted(
    timed_store: Store, timed_ledger: Ledger, clock: SettableClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Old and young mixed over pages of seven rows: the old go, whatever page they are on, and nothing else changes."""
    monkeypatch.setattr(request_ids, "PAGE_ROWS", 7)
    before = await remembered(timed_store)
    for number in range(0, 60, 2):
        await timed_ledger.submit(check(1, request_id=f"id-{number:02}"))
    await clock.advance(DAY_MICROS)
    for number in range(1, 60, 2):
        await timed_ledger.submit(check(1, request_id=f"id-{number:02}"))
    await clock.advance((RETENTION_DAYS - 1) * DAY_MICROS + 1)
    before_pruning = await budget(timed_store)
    pages = await prune(timed_store)
    assert (await remembered(timed_store) - before, pages > 5) == (30, True)
    assert (await budget(timed_store), await disagreement(timed_store)) == (before_pruning, None)


async def test_an_id_that_is_used_anew_meanwhile_stays(
    timed_store: Store, timed_ledger: Ledger, clock: SettableClock
) -> None:
    """Another replica may have forgotten it and taken it again between this one's look and its deletion."""
    await timed_ledger.submit(record(5, request_id="a"))
    cutoff = clock.now
    kept = await remembered(timed_store)
    _, (key,) = await timed_store.read(
        lambda connection: request_ids.page_after(connection, request_ids.BEFORE_ALL, Instant(cutoff + 1))
    )
    await timed_store.change(lambda tx: request_ids.forget(tx.connection, [key], cutoff))
    assert await remembered(timed_store) == kept
