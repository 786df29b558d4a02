"""Rollups: what the ledger keeps as it writes is what its records add up to."""

import asyncio
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, available_timezones

import pytest
from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy import Connection, select, text

from ledger.stores import (
    DAY_MICROS,
    NOON,
    SettableClock,
    budget,
    check,
    disagreement,
    new_budget,
    record,
    refund,
    reserved,
)
from outlay_server.domain.commands import RecordOutcome
from outlay_server.domain.cycle import Window
from outlay_server.domain.instant import MICROS_PER_SECOND, Instant
from outlay_server.domain.limits import AMOUNT_MICROS_MAX, COUNTER_MICROS_MAX
from outlay_server.domain.reservation import ExpiryAction
from outlay_server.domain.rollups import BUCKET_MICROS, bucket_of, next_edge
from outlay_server.domain.selector import selector_of
from outlay_server.ledger import Ledger
from outlay_server.store import batch, reads, rollups, tables
from outlay_server.store.connection_driver import ConnectionDriver
from outlay_server.store.contract import Store
from outlay_server.store.migrations.versions import r0004_rollups
from outlay_server.store.reads import organization_row

QUARTER = BUCKET_MICROS


async def rows_of(store: Store) -> list[tuple[str, int, str, int, int, int]]:
    """(unit, bucket, labels, recorded, refunded, count) of every rollup, sorted."""

    def read(connection: Connection) -> list[tuple[str, int, str, int, int, int]]:
        found = []
        for row in connection.execute(select(tables.spend_rollups)):
            _, unit, bucket, digest, labels, *columns = row
            assert bytes(digest) == rollups.labels_digest(labels)
            sums = rollups.sums_from_columns(columns)
            found.append((unit, bucket, labels, sums.recorded_micros, sums.refunded_micros, sums.record_count))
        return sorted(found)

    return await store.read(read)


def test_every_offset_of_every_zone_since_1980_is_a_multiple_of_a_bucket() -> None:
    """So hours and days of all zones are made of whole buckets. Looked at every four weeks."""
    seconds = BUCKET_MICROS // MICROS_PER_SECOND
    # Kiritimati was the last to keep another one, 10 h 40 min behind until October 1979.
    months = [datetime(1980, 1, 1, tzinfo=UTC) + timedelta(days=28 * month) for month in range(13 * 57)]
    for name in sorted(available_timezones() - {"localtime", "Factory"}):
        if not name.startswith(("posix/", "right/")):
            zone = ZoneInfo(name)
            offsets = {day.astimezone(zone).utcoffset() for day in months}
            assert not [offset for offset in offsets if offset is None or offset.total_seconds() % seconds], name


async def test_a_rollup_for_each_unit_quarter_and_set_of_labels(
    timed_store: Store, timed_ledger: Ledger, clock: SettableClock
) -> None:
    """Refunds subtract in the quarter of what they refund, expiries add; one row for all entries alike."""
    a = {"team": "a"}
    first = await timed_ledger.submit(record(5, labels=a))
    await timed_ledger.submit(record(7, labels=a))
    await timed_ledger.submit(record(1, unit="EUR"))
    await reserved(timed_ledger, check(20, on_expiry=ExpiryAction.RECORD, ttl_seconds=900))
    await clock.advance(QUARTER)
    assert isinstance(first, RecordOutcome)
    await timed_ledger.submit(refund(first.record.record_id, 2))
    await timed_ledger.submit(record(11, labels=a))
    await timed_ledger.submit(record(3, labels=a, usage_time=Instant(NOON - 1)))
    in_a = '[["team","a"]]'
    assert await rows_of(timed_store) == [
        ("EUR", NOON, "[]", 1, 0, 1),
        ("USD", NOON - QUARTER, in_a, 3, 0, 1),
        ("USD", NOON, in_a, 12, 2, 2),
        ("USD", NOON, "[]", 20, 0, 1),
        ("USD", NOON + QUARTER, in_a, 11, 0, 1),
    ]
    assert await disagreement(timed_store) is None


async def test_a_thousand_entries_of_a_batch_write_one_row_each_for_what_is_alike(store: Store, ledger: Ledger) -> None:
    await ledger.submit_all([record(1, labels={"team": str(number % 3)}) for number in range(999)])
    assert [(row[3], row[5]) for row in await rows_of(store)] == [(333, 333)] * 3


async def test_labels_longer_than_an_index_takes_are_rolled_up(store: Store, ledger: Ledger) -> None:
    """Sixteen labels of the largest size, which do not compress: PostgreSQL indexes at most 2,704 bytes."""
    import random

    chance = random.Random(7)
    labels = {f"{key:063}": "".join(chance.choice("0123456789abcdefXYZ+-") for _ in range(255)) for key in range(16)}
    await ledger.submit(record(1, labels=labels))
    await ledger.submit(record(2, labels=labels))
    assert [(row[3], row[5]) for row in await rows_of(store)] == [(3, 2)]


async def test_more_than_an_integer_holds_is_recorded_where_no_budget_counts_it(store: Store, ledger: Ledger) -> None:
    """Ten thousand of the largest amounts: no column overflows, no batch fails, and what counts it later is bounded."""
    for _ in range(10):
        await ledger.submit_all([record(AMOUNT_MICROS_MAX, unit="TOKENS") for _ in range(1_000)])
    ((_, _, _, recorded, _, count),) = await rows_of(store)
    assert (recorded, count) == (10_000 * AMOUNT_MICROS_MAX, 10_000)
    await new_budget(store, "tokens", unit="TOKENS")
    assert (await budget(store, "tokens")).counter.spent_micros == COUNTER_MICROS_MAX
    await ledger.submit(check(1, unit="USD"))


@pytest.mark.parametrize("count", [1, 10])
async def test_missing_counters_are_summed_without_looking_at_a_record(
    store: Store, ledger: Ledger, count: int
) -> None:
    """New budgets count what their cycle holds by the rollups alone, one by one or many at once; refunds too."""
    labels = [{"team": team, "model": "m-1"} for team in ("a", "a", "b", 'a","x')]
    outcomes = await ledger.submit_all([record(2, labels=one) for one in labels])
    assert isinstance(outcomes[0], RecordOutcome)
    await ledger.submit(refund(outcomes[0].record.record_id, 1))
    await store.change(lambda tx: tx.connection.execute(text("DELETE FROM spend_records")) and None)
    selectors: dict[str, dict[str, str]] = {
        "all": {},
        "a": {"team": "a"},
        "beginning": {"team": "a*"},
        "none": {"team": "A"},
    }
    for name, patterns in selectors.items():
        for number in range(count):
            await new_budget(store, f"{name}-{number}", selector=selector_of(patterns | {"model": "m-*"}))
    now = await store.now()
    views = await store.read(lambda connection: reads.budget_views(connection, "acme", "", 100, now))
    found = {view.budget.budget_id: view.counter.spent_micros for view in views if view.budget.unit == "USD"}
    expected = {"all": 7, "a": 3, "beginning": 5, "none": 0}
    assert found == {"spending": 7} | {f"{name}-{n}": spent for name, spent in expected.items() for n in range(count)}


@pytest.mark.parametrize("start", [-QUARTER, -7, 0, 1])
@pytest.mark.parametrize("end", [2, QUARTER - 1, QUARTER, 3 * QUARTER + 5])
async def test_a_window_that_cuts_a_quarter_is_summed_exactly(
    timed_store: Store, timed_ledger: Ledger, clock: SettableClock, start: int, end: int
) -> None:
    """No zone has had such a midnight since 1980; the edges are summed from the records of their quarters."""
    instants = [NOON + offset for offset in (-QUARTER, -7, -1, 0, 1, 2, QUARTER - 1, QUARTER, 2 * QUARTER, 3 * QUARTER)]
    await clock.advance(DAY_MICROS)
    await timed_ledger.submit_all([record(1 << n, usage_time=Instant(t)) for n, t in enumerate(instants)])
    window = Window(Instant(NOON + start), Instant(NOON + end))
    view = await budget(timed_store)

    def summed(connection: Connection) -> int:
        key = organization_row(connection, "acme").key
        return batch.summed_counter(ConnectionDriver(connection), key, view.budget, window).spent_micros

    expected = sum(1 << n for n, t in enumerate(instants) if window.contains(Instant(t)))
    assert await timed_store.read(summed) == expected


def test_buckets_tile_time() -> None:
    for instant in (Instant(-1), Instant(0), Instant(1), NOON, Instant(NOON + 1), Instant(-QUARTER)):
        start = bucket_of(instant)
        assert start <= instant < start + QUARTER
        assert next_edge(instant) - instant == -instant % QUARTER
        assert start % QUARTER == 0


async def test_replicas_add_to_the_same_rollup(store: Store, store_url: str) -> None:
    """Two replicas that record at once lose nothing of each other's."""
    if not store.capabilities.replicas:
        pytest.skip("one process has the file to itself")
    from ledger.stores import opened, running

    async with opened(store_url) as other, running(store) as one, running(other) as two:
        await asyncio.gather(*(ledger.submit(record(1)) for _ in range(100) for ledger in (one, two)))
    assert sum(row[3] for row in await rows_of(store)) == 200
    assert await disagreement(store) is None


async def test_the_migration_fills_the_rollups_from_the_records(store: Store, ledger: Ledger) -> None:
    """A ledger from before has the same rollups after the upgrade as one that kept them from the start."""
    outcome = await ledger.submit(record(1_500_001, labels={"team": "ä:b"}))
    assert isinstance(outcome, RecordOutcome)
    await ledger.submit(refund(outcome.record.record_id, 1_000_001))
    await ledger.submit_all([record(number + 1, labels={"n": str(number)}) for number in range(1_000)])
    await ledger.submit_all([record(AMOUNT_MICROS_MAX, unit="EUR") for _ in range(3)])
    long_ago = Instant(await store.now() - 30 * DAY_MICROS)
    await ledger.submit(record(7, unit="EUR", usage_time=long_ago))
    kept = await rows_of(store)

    def upgrade_again(connection: Connection) -> None:
        for table in ("spend_rollups", "pruned_rollups"):
            connection.execute(text(f"DROP TABLE {table}"))
        with Operations.context(MigrationContext.configure(connection)):
            r0004_rollups.upgrade()

    await store.change(lambda tx: upgrade_again(tx.connection))
    assert len(kept) == 1_003
    assert await rows_of(store) == kept
    assert await disagreement(store) is None
