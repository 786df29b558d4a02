"""How long questions to a long ledger take: `python -m benchmarks.history --records 1000000`.

CPU time of the process, and the time that passed: on a machine that does other things the first is the one to read.
The ledger is written straight into the tables, spread evenly over its days, with the rollups that the service would
have kept. Then each question is put to the store as the RPC puts it, and its median time is printed. No server and no
wire: what is measured is the work that grows with the ledger.
"""

import argparse
import asyncio
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import date
from itertools import islice
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, text

from outlay_server.api import ledger_queries
from outlay_server.api.from_wire.fields import Page
from outlay_server.api.from_wire.queries import RecordQuery, SpendQuery
from outlay_server.control import Origin, budgets, organizations
from outlay_server.domain.commands import RecordSpend
from outlay_server.domain.cycle import Cycle, Period
from outlay_server.domain.instant import MICROS_PER_SECOND, Instant
from outlay_server.domain.limits import BATCH_MAX
from outlay_server.domain.rollups import rolled_up
from outlay_server.domain.selector import MATCH_ALL, Selector, selector_of
from outlay_server.domain.settings import BudgetSettings, OrganizationSettings
from outlay_server.domain.spend import RecordKind, SpendRecord
from outlay_server.ledger import Ledger
from outlay_server.store import batch, forecasts, reads, rollups, rows, statements, tables
from outlay_server.store.connection_driver import ConnectionDriver
from outlay_server.store.contract import Store
from outlay_server.store.sqlite import SqliteStore

DAY_MICROS = 86_400 * MICROS_PER_SECOND
CHUNK = 20_000
REPEATS = 5
BATCHES_WRITTEN = 20
ORIGIN = Origin("platform", "cli", "history", is_platform=True)
TEAMS = 10
ORGANIZATION = "acme"

Question = Callable[[Connection], object]


def records(count: int, days: int, label_sets: int, end: Instant) -> Iterator[SpendRecord]:
    """Oldest first; each in one of so many sets of labels. One in a thousand has a label that no other has: `rare`."""
    step = days * DAY_MICROS // count
    start = end - count * step
    for number in range(count):
        instant = Instant(start + number * step)
        one = number * 7_919 % label_sets
        labels = [("feature", f"f{one // TEAMS}"), ("model", f"m{one % 7}"), ("team", f"t{one % TEAMS}")]
        if number % 1_000 == 0:
            labels.insert(2, ("rare", "yes"))
        milliseconds = f"{instant // 1_000:012x}"
        yield SpendRecord(
            record_id=f"{milliseconds[:8]}-{milliseconds[8:]}-7000-8000-{number:012x}",
            organization_key=1,
            kind=RecordKind.SPEND,
            unit="USD",
            amount_micros=1_000 + number % 1_000,
            labels=tuple(labels),
            reservation_id=None,
            refunded_record_id=None,
            overrun_micros=0,
            late=False,
            charge_time=instant,
            usage_time=instant,
            create_time=instant,
            request_id=f"r{number}",
            api_key_id="k",
        )


def fill(path: Path, entries: Iterator[SpendRecord]) -> None:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA synchronous = OFF")
    connection.execute("PRAGMA cache_size = -400000")
    record_marks = ", ".join("?" * len(tables.spend_records.columns))
    rollup_sql = statements.ADD_TO_ROLLUPS.sqlite
    while chunk := list(islice(entries, CHUNK)):
        connection.execute("BEGIN")
        connection.executemany(f"INSERT INTO spend_records VALUES ({record_marks})", map(rows.record_to_row, chunk))
        connection.executemany(rollup_sql, [rollups.to_row(key, sums) for key, sums in rolled_up(chunk).items()])
        connection.execute("COMMIT")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


def page(size: int) -> Page:
    return Page(size, None)


def record_query(
    *, unit: str = "", start: Instant | None = None, end: Instant | None = None, labels: Selector = MATCH_ALL
) -> Question:
    query = RecordQuery(ORGANIZATION, page(50), unit, start, end, labels)

    def ask(connection: Connection) -> object:
        found = ledger_queries.spend_records(connection, query)
        assert found.records
        return found

    return ask


def spend_query(start: Instant, end: Instant, *, by_hour: bool, zone: str, group_by: tuple[str, ...] = ()) -> Question:
    query = SpendQuery(ORGANIZATION, page(10_000), "USD", start, end, by_hour, zone, group_by, MATCH_ALL)

    def ask(connection: Connection) -> object:
        found = ledger_queries.spend_rows(connection, query)
        assert found.rows
        return found

    return ask


def counter_question(now: Instant) -> Question:
    """A counter that is missing: a new budget, or one whose selector has changed."""

    def ask(connection: Connection) -> object:
        view = reads.budget_view(connection, ORGANIZATION, "team", now)
        return batch.summed_counter(ConnectionDriver(connection), 1, view.budget, view.counter.window)

    return ask


def questions(now: Instant, days: int) -> dict[str, Question]:
    def ago(days: int) -> Instant:
        return Instant(now - days * DAY_MICROS)

    return {
        "ListSpendRecords, the newest 50": record_query(),
        "ListSpendRecords, 50 of a unit": record_query(unit="USD"),
        "ListSpendRecords, 50 of the second day": record_query(start=ago(days - 1), end=ago(days - 2)),
        "ListSpendRecords, 50 with a label of 1 in 1,000": record_query(labels=selector_of({"rare": "yes"})),
        "QuerySpend, a year by day": spend_query(ago(365), now, by_hour=False, zone="UTC"),
        "QuerySpend, a year by day in Kolkata": spend_query(ago(365), now, by_hour=False, zone="Asia/Kolkata"),
        "QuerySpend, 30 days by day and team": spend_query(
            ago(30), now, by_hour=False, zone="Europe/Berlin", group_by=("team",)
        ),
        "QuerySpend, 30 days by hour": spend_query(ago(30), now, by_hour=True, zone="UTC"),
        "GetBudget with its forecast, all labels": lambda c: forecasts.budget_view(c, ORGANIZATION, "spending", now),
        "GetBudget with its forecast, one team": lambda c: forecasts.budget_view(c, ORGANIZATION, "team", now),
        "a missing counter of a month, one team": counter_question(now),
    }


async def measure(store: Store, now: Instant, days: int) -> None:
    for name, question in questions(now, days).items():
        took = []
        for _ in range(REPEATS):
            started = time.process_time(), time.perf_counter()
            await store.read(question)
            took.append((time.process_time() - started[0], time.perf_counter() - started[1]))
        cpu, wall = (statistics.median(column) * 1_000 for column in zip(*took, strict=True))
        print(f"| {name} | {cpu:.1f} ms | {wall:.1f} ms |", flush=True)


async def measure_writing(store: Store) -> None:
    """What an entry costs the ledger where labels repeat, and where each has its own."""
    ledger = Ledger(store)
    await ledger.start()
    for name, label_sets in (("labels that repeat", 10), ("labels of its own", 10**9)):
        batches = [
            [
                RecordSpend(
                    organization_id=ORGANIZATION,
                    reservation_id=None,
                    unit="USD",
                    amount_micros=1,
                    labels=(("call", f"c{(batch_number * BATCH_MAX + number) % label_sets}"), ("team", "t2")),
                    usage_time=None,
                    keep_open=False,
                    request_id="",
                    api_key_id="k",
                )
                for number in range(BATCH_MAX)
            ]
            for batch_number in range(BATCHES_WRITTEN)
        ]
        started = time.process_time()
        for commands in batches:
            await ledger.submit_all(commands)
        per_record = (time.process_time() - started) / BATCHES_WRITTEN / BATCH_MAX
        print(f"| recording with {name}, a record | {per_record * 1_000_000:.0f} µs | |", flush=True)
    await ledger.stop()


def _rollup_count(connection: Connection) -> int:
    return int(connection.execute(text("SELECT COUNT(*) FROM spend_rollups")).scalar_one())


async def run(path: Path, count: int, days: int, label_sets: int) -> None:
    store = SqliteStore(path)
    await store.open()
    await store.migrate()
    now = await store.now()
    await store.change(lambda tx: organizations.create(tx, ORIGIN, ORGANIZATION, OrganizationSettings("Acme")))
    team = BudgetSettings(
        unit="USD", selector=selector_of({"team": "t1"}), cycle=Cycle(Period.MONTH, date(1970, 1, 1)), budget_micros=1
    )
    await store.change(lambda tx: budgets.create(tx, ORIGIN, ORGANIZATION, "team", team))
    await store.close()
    started = time.perf_counter()
    fill(path, records(count, days, label_sets, now))
    store = SqliteStore(path)
    await store.open()
    print(f"{count:,} records over {days} days, {label_sets:,} sets of labels; written in ", end="")
    rollup_count, size = await store.read(_rollup_count), path.stat().st_size  # noqa: ASYNC240
    print(f"{time.perf_counter() - started:.0f} s; {rollup_count:,} rollups; {size / count:.0f} bytes a record")
    try:
        await measure(store, now, days)
        await measure_writing(store)
    finally:
        await store.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition(":")[0] if __doc__ else None)
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--days", type=int, default=400)
    parser.add_argument("--label-sets", type=int, default=50)
    arguments: Any = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="outlay-history-") as directory:
        path = Path(directory) / "outlay.db"
        asyncio.run(run(path, arguments.records, arguments.days, arguments.label_sets))


if __name__ == "__main__":
    main()
