"""Questions to the ledger, page by page, have the answers that adding up and looking through all of it has."""

import random
from collections import defaultdict
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import Connection

from ledger.stores import DAY_MICROS, record, refund
from outlay_server.api import ledger_queries
from outlay_server.api.from_wire.fields import Page
from outlay_server.api.from_wire.queries import RecordQuery, SpendQuery
from outlay_server.domain.commands import RecordOutcome
from outlay_server.domain.instant import MICROS_PER_SECOND, Instant, to_datetime
from outlay_server.domain.rollups import BUCKET_MICROS, bucket_of, next_edge
from outlay_server.domain.selector import MATCH_ALL, Selector, matches, selector_of
from outlay_server.domain.spend import RecordKind, SpendRecord
from outlay_server.ledger import Ledger
from outlay_server.store import ledger_reads
from outlay_server.store.contract import Store

HOUR = 3_600 * MICROS_PER_SECOND
TEAMS = ("a", "b", "B", 'quo"ted', "per%cent", "under_score", "ä", "sla/sh\\")


@pytest.fixture
async def entries(store: Store, ledger: Ledger) -> list[SpendRecord]:
    """Four hundred entries of three days and two units, some refunded, some without labels, many at one instant."""
    chance = random.Random(5)
    now = await store.now()
    commands = []
    for _ in range(300):
        labels = {"team": chance.choice(TEAMS), "model": f"m-{chance.randrange(3)}"} if chance.random() < 0.9 else {}
        moment = Instant(now - chance.choice([0, HOUR, chance.randrange(3 * DAY_MICROS)]))
        commands.append(
            record(
                chance.randrange(1, 1_000), unit=chance.choice(["USD", "USD", "EUR"]), labels=labels, usage_time=moment
            )
        )
    found = [outcome.record for outcome in await ledger.submit_all(commands) if isinstance(outcome, RecordOutcome)]
    refunds = await ledger.submit_all([refund(one.record_id, 1) for one in chance.sample(found, 100)])
    return found + [outcome.record for outcome in refunds if isinstance(outcome, RecordOutcome)]


async def listed(store: Store, size: int, wanted: ledger_reads.RecordFilter) -> tuple[list[str], int]:
    """Ids of all records, page by page, and how many pages that took."""
    ids: list[str] = []
    after, pages = None, 0
    while True:
        query = RecordQuery("acme", Page(size, after), wanted.unit, wanted.start, wanted.end, wanted.labels)
        page = await store.read(lambda connection, query=query: ledger_queries.spend_records(connection, query))
        assert len(page.records) <= size
        ids += [entry.record_id for entry, _ in page.records]
        pages += 1
        if page.next is None:
            return ids, pages
        assert after is None or page.next < after or wanted == ledger_reads.RecordFilter()
        after = page.next


SELECTORS = {
    "all": {},
    "a team": {"team": "a"},
    "a team in capitals": {"team": "B"},
    "characters that JSON and LIKE have plans for": {"team": 'quo"*'},
    "more of them": {"team": "per%cent"},
    "a backslash": {"team": "sla/sh\\"},
    "any team, one model": {"team": "*", "model": "m-1"},
    "a beginning": {"model": "m-*"},
    "nothing": {"team": "none"},
}


@pytest.mark.parametrize("is_patient", [True, False], ids=["at once", "in parts"])
async def test_records_are_listed_as_by_looking_through_all(
    store: Store, entries: list[SpendRecord], monkeypatch: pytest.MonkeyPatch, is_patient: bool
) -> None:
    """By any filter, once each, in order; also where the search for labels is given up again and again."""
    if not is_patient:
        monkeypatch.setattr(ledger_reads, "ROLLUPS_AT_ONCE", 20)
        monkeypatch.setattr(ledger_reads, "ROLLUPS_MAX", 40)
        monkeypatch.setattr(ledger_reads, "LABEL_SETS_AT_ONCE", 1)
    now = await store.now()
    times = [(None, None), (Instant(now - DAY_MICROS - 7), None), (Instant(now - 2 * DAY_MICROS), Instant(now - HOUR))]
    for name, patterns in SELECTORS.items():
        selector = selector_of(patterns)
        for unit in ("", "USD") if is_patient else ("",):
            for start, end in times if is_patient else times[1:2]:
                wanted = ledger_reads.RecordFilter(unit, start, end, selector)
                found = [
                    one
                    for one in entries
                    if (not unit or one.unit == unit)
                    and (start is None or one.charge_time >= start)
                    and (end is None or one.charge_time < end)
                    and matches(selector, dict(one.labels))
                ]
                is_filtered = wanted != ledger_reads.RecordFilter()
                found.sort(key=lambda one: (one.charge_time if is_filtered else 0, one.record_id), reverse=True)
                ids, _ = await listed(store, 60 if is_patient else 25, wanted)
                assert ids == [one.record_id for one in found], (name, unit, start, end)


async def test_a_search_for_labels_that_is_given_up_goes_on_with_the_next_page(
    store: Store, entries: list[SpendRecord], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pages are short, and some empty, and the last one is the one without a token."""
    monkeypatch.setattr(ledger_reads, "ROLLUPS_AT_ONCE", 7)
    monkeypatch.setattr(ledger_reads, "ROLLUPS_MAX", 14)
    ids, pages = await listed(store, 1_000, ledger_reads.RecordFilter(labels=selector_of({"team": "none"})))
    assert ids == []
    assert pages > 5


async def summed(store: Store, size: int, **question: object) -> list[ledger_queries.SpendRow]:
    rows: list[ledger_queries.SpendRow] = []
    after = None
    while True:
        query = SpendQuery("acme", Page(size, after), **question)  # type: ignore[arg-type]
        page = await store.read(lambda connection, query=query: ledger_queries.spend_rows(connection, query))
        assert len(page.rows) <= size
        rows += page.rows
        if page.next is None:
            return rows
        after = page.next


def expected_rows(
    entries: list[SpendRecord], question: dict[str, object]
) -> list[tuple[Instant, tuple[str, ...], int, int, int]]:
    """By the calendar of the zone, from each entry alone."""
    zone, labels, group_by = ZoneInfo(str(question["time_zone"])), question["labels"], question["group_by"]
    assert isinstance(labels, Selector)
    assert isinstance(group_by, tuple)
    totals: dict[tuple[Instant, tuple[str, ...]], list[int]] = defaultdict(lambda: [0, 0, 0])
    start, end = bucket_of(question["start"]), next_edge(question["end"])  # type: ignore[arg-type]
    for one in entries:
        mapping = dict(one.labels)
        if one.unit != question["unit"] or not start <= one.charge_time < end or not matches(labels, mapping):
            continue
        local = to_datetime(one.charge_time).astimezone(zone)
        begin = local.replace(minute=0, second=0, microsecond=0, **({} if question["by_hour"] else {"hour": 0}))
        instant = Instant(round(datetime.timestamp(begin)) * MICROS_PER_SECOND)
        total = totals[instant, tuple(mapping.get(label, "") for label in group_by)]
        is_refund = one.kind is RecordKind.REFUND
        total[0] += -one.amount_micros if is_refund else one.amount_micros
        total[1] += one.amount_micros if is_refund else 0
        total[2] += not is_refund
    return [(*key, *totals[key]) for key in sorted(totals)]


@pytest.mark.parametrize("is_patient", [True, False], ids=["at once", "in parts"])
async def test_sums_are_those_of_the_records(
    store: Store, entries: list[SpendRecord], monkeypatch: pytest.MonkeyPatch, is_patient: bool
) -> None:
    """By hour and day, in zones of half and of quarter hours, by labels and filters; on small pages and short ones."""
    if not is_patient:
        monkeypatch.setattr(ledger_queries, "SUMS_MAX", 1)
    now = await store.now()
    for zone in ("UTC", "Asia/Kolkata", "Asia/Kathmandu", "Australia/Lord_Howe", "America/St_Johns"):
        for by_hour in (True, False):
            for group_by, labels in (
                ((), MATCH_ALL),
                (("team", "model"), MATCH_ALL),
                (("model",), selector_of({"team": "*"})),
            ):
                question: dict[str, object] = {
                    "unit": "USD",
                    "start": Instant(now - 2 * DAY_MICROS - 12_345_678),
                    "end": Instant(now + BUCKET_MICROS),
                    "by_hour": by_hour,
                    "time_zone": zone,
                    "group_by": group_by,
                    "labels": labels,
                }
                found = await summed(store, 1_000 if is_patient else 7, **question)
                shown = [(r.start, r.values, r.spent_micros, r.refunded_micros, r.record_count) for r in found]
                assert shown == expected_rows(entries, question), question


async def test_a_refund_shows_in_the_listing_of_its_record(store: Store, entries: list[SpendRecord]) -> None:
    def read(connection: Connection) -> int:
        page = ledger_reads.spend_records(connection, "acme", ledger_reads.RecordFilter(), None, 1_000)
        return sum(refunded for _, refunded in page.records)

    assert await store.read(read) == 100
