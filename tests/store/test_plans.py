"""No question to the ledger scans it: the plans of every statement that the questions run, on both stores."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import Connection, event, text

from ledger.stores import DAY_MICROS, new_budget, record, refund
from outlay_server.domain.budget import Budget
from outlay_server.domain.commands import RecordOutcome
from outlay_server.domain.instant import Instant
from outlay_server.domain.rollups import BUCKET_MICROS, bucket_of
from outlay_server.domain.selector import selector_of
from outlay_server.ledger import Ledger
from outlay_server.store import batch, forecasts, reads, retention, rollup_reads
from outlay_server.store.connection_driver import ConnectionDriver
from outlay_server.store.contract import Store
from outlay_server.store.ledger_reads import RecordFilter, spend_records

LARGE = ("spend_records", "spend_rollups", "reservations")
SECONDS = 40 * 86_400

Question = Callable[[Connection, Instant], object]


def _budget(connection: Connection, now: Instant) -> Budget:
    return reads.budget_view(connection, "acme", "team", now).budget


def _sums(by_labels: bool) -> Question:
    def ask(connection: Connection, now: Instant) -> object:
        end = Instant(bucket_of(now) + BUCKET_MICROS)
        edges = [Instant(end - day * DAY_MICROS) for day in range(30, -1, -1)]
        wanted = rollup_reads.Wanted(1, "USD", selector_of({"team": "t*"}), by_labels)
        return list(rollup_reads.stretches(connection, wanted, edges))

    return ask


def _records(wanted: Callable[[Instant], RecordFilter]) -> Question:
    """Two pages: the first, and one after a position."""

    def ask(connection: Connection, now: Instant) -> object:
        first = spend_records(connection, "acme", wanted(now), None, 20)
        assert len(first.records) == 20
        return spend_records(connection, "acme", wanted(now), first.next, 20)

    return ask


def _counter(connection: Connection, now: Instant) -> object:
    view = reads.budget_view(connection, "acme", "team", now)
    return batch.summed_counter(ConnectionDriver(connection), 1, view.budget, view.counter.window)


def _retention(connection: Connection, now: Instant) -> object:
    (organization,) = retention.organizations_after(connection, 0, 10)
    return [
        retention.look(connection, organization, stage, Instant(now + 60 * DAY_MICROS), SECONDS, ())
        for stage in (retention.STAGES[0], *retention.STAGES[1:2])
    ]


QUESTIONS: dict[str, Question] = {
    "records": _records(lambda now: RecordFilter()),
    "records of a unit": _records(lambda now: RecordFilter(unit="USD")),
    "records of a time": _records(lambda now: RecordFilter(start=Instant(now - DAY_MICROS), end=now)),
    "records with labels": _records(lambda now: RecordFilter(labels=selector_of({"team": "t1", "n": "*"}))),
    "sums by labels": _sums(True),
    "sums": _sums(False),
    "a missing counter": _counter,
    "a forecast": lambda connection, now: forecasts.forecast_of(connection, 1, _budget(connection, now), now),
    "retention": _retention,
}


@contextmanager
def statements_of(connection: Connection) -> Iterator[list[tuple[str, Any]]]:
    """What is executed on the connection meanwhile, with its parameters."""
    seen: list[tuple[str, Any]] = []

    def note(_c: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, _many: bool) -> None:
        seen.append((statement, parameters))

    event.listen(connection, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        event.remove(connection, "before_cursor_execute", note)


def scans(connection: Connection, statement: str, parameters: Any) -> list[str]:
    """The steps of the statement's plan that read a large table otherwise than by the beginning of an index's key."""
    if connection.dialect.name == "sqlite":
        plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters).all()
        sorts = ["USE TEMP B-TREE FOR ORDER BY"] if "spend_records" in statement else []
        return [
            row[3]
            for row in plan
            if row[3] in sorts or (row[3].startswith("SCAN") and row[3].split()[1] in (*LARGE, "r", "t"))
        ]
    found = connection.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {statement}", parameters).scalar_one()
    plan = found if isinstance(found, list) else json.loads(found)
    return [
        _described(node) for node in _nodes(plan[0]["Plan"]) if node.get("Relation Name") in LARGE and not _ranges(node)
    ]


def _nodes(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for child in node.get("Plans", ()):
        yield from _nodes(child)


def _ranges(node: dict[str, Any]) -> bool:
    """An index is used, from the organization's part of its key on; a bitmap's index stands in the node below."""
    return node["Node Type"] == "Bitmap Heap Scan" or "organization_key" in node.get("Index Cond", "")


def _described(node: dict[str, Any]) -> str:
    return f"{node['Node Type']} on {node['Relation Name']} {node.get('Index Cond', '')}"


@pytest.fixture
async def now(store: Store, ledger: Ledger) -> Instant:
    """A thousand records of a month, some refunded, and a budget that counts a part of them."""
    await new_budget(store, "team", selector=selector_of({"team": "t1"}), budget_micros=10**9)
    now = await store.now()
    entries = [
        record(
            1,
            labels={"team": f"t{number % 5}", "n": str(number % 20)},
            usage_time=Instant(now - number * DAY_MICROS // 40),
        )
        for number in range(1_000)
    ]
    outcomes = await ledger.submit_all(entries)
    some = [outcome.record.record_id for outcome in outcomes[:50] if isinstance(outcome, RecordOutcome)]
    await ledger.submit_all([refund(id_) for id_ in some])
    return now


async def test_no_question_scans_the_ledger(store: Store, now: Instant) -> None:
    """PostgreSQL would rather scan a table as small as this one, so it is told not to where it can help it."""

    def look(connection: Connection) -> list[str]:
        if connection.dialect.name == "postgresql":
            for setting in ("seqscan", "bitmapscan", "hashjoin", "mergejoin"):
                connection.execute(text(f"SET LOCAL enable_{setting} = off"))
        found = []
        for name, ask in QUESTIONS.items():
            with statements_of(connection) as seen:
                ask(connection, now)
            assert seen
            found += [
                f"{name}: {scan}: {statement}" for statement, p in seen for scan in scans(connection, statement, p)
            ]
        return found

    assert await store.read(look) == []


async def test_a_scan_would_be_seen(store: Store, now: Instant) -> None:
    """The look at plans finds a question that does scan."""

    def look(connection: Connection) -> list[str]:
        with statements_of(connection) as seen:
            connection.execute(text("SELECT id FROM spend_records WHERE request_id = 'x'"))
        return [scan for statement, p in seen for scan in scans(connection, statement, p)]

    assert len(await store.read(look)) == 1
