"""Questions to the ledger as the contract asks them: label patterns, label values in order, pages of sums."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection

from outlay_server.api.buckets import bucket_edges
from outlay_server.api.from_wire.queries import RecordQuery, SpendQuery
from outlay_server.domain.errors import LimitExceeded
from outlay_server.domain.instant import Instant
from outlay_server.domain.limits import COUNTER_MICROS_MAX
from outlay_server.domain.rollups import Sums, bucket_of, next_edge
from outlay_server.domain.selector import CanonicalLabels
from outlay_server.store import ledger_reads, rollup_reads
from outlay_server.store.reads import organization_row

ROLLUPS_MAX: Final = 200_000
SUMS_MAX: Final = 20_000
"""Rollups that one page of sums adds up, and sums that it is made of, before it ends short."""


@dataclass(frozen=True, slots=True)
class SpendRow:
    """One sum, of one hour or day and one set of label values."""

    start: Instant
    values: tuple[str, ...]
    """Of the labels that were grouped by, in the order they were asked for; "" where a record has no such label."""
    spent_micros: int
    refunded_micros: int
    record_count: int


@dataclass(frozen=True, slots=True)
class SpendPage:
    """Rows in order; and the position that the next page begins after, None for the last."""

    rows: Sequence[SpendRow]
    next: tuple[int | str, ...] | None


def spend_records(connection: Connection, query: RecordQuery) -> ledger_reads.RecordPage:
    """A page of records, each with how much of it was credited back."""
    after = None if query.page.after is None else (Instant(int(query.page.after[0])), str(query.page.after[1]))
    wanted = ledger_reads.RecordFilter(query.unit, query.start, query.end, query.labels)
    return ledger_reads.spend_records(connection, query.organization_id, wanted, after, query.page.size)


def spend_rows(connection: Connection, query: SpendQuery) -> SpendPage:
    """A page of sums, ascending by start and then by label values; from the rollups, and only as many as it takes."""
    after, size = query.page.after, query.page.size
    key = organization_row(connection, query.organization_id).key
    edges = _edges(query)
    wanted = rollup_reads.Wanted(key, query.unit, query.labels, by_labels=bool(query.group_by))
    rows: list[SpendRow] = []
    rollups = sums = 0
    for stretch in rollup_reads.stretches(connection, wanted, edges):
        if rollups > ROLLUPS_MAX or sums > SUMS_MAX:
            # Just before this stretch: no row stands there.
            return SpendPage(rows, (stretch.start - 1, *([""] * len(query.group_by))))
        rollups, sums = rollups + stretch.rollups, sums + len(stretch.by_labels)
        start = stretch.start if stretch.start > edges[0] else _shown_start(query)
        rows += [row for row in _rows(start, stretch.by_labels, query) if after is None or _position(row) > after]
        if len(rows) > size:
            return SpendPage(rows[:size], _position(rows[size - 1]))
    return SpendPage(rows, None)


def _begin(query: SpendQuery) -> Instant:
    """An instant in the first hour or day of this page: the one that the page before ended in, or the next."""
    return query.start if query.page.after is None else max(query.start, Instant(int(query.page.after[0]) + 1))


def _edges(query: SpendQuery) -> list[Instant]:
    """The edges of the hours or days that this page may show; the first and the last cut as far as was asked for."""
    edges = bucket_edges(_begin(query), query.end, by_hour=query.by_hour, time_zone=query.time_zone)
    return [max(edges[0], bucket_of(query.start)), *edges[1:-1], min(edges[-1], next_edge(query.end))]


def _shown_start(query: SpendQuery) -> Instant:
    """Where the first hour or day begins, though less of it was asked for."""
    begin = _begin(query)
    return bucket_edges(begin, Instant(begin + 1), by_hour=query.by_hour, time_zone=query.time_zone)[0]


def _rows(start: Instant, by_labels: Sequence[tuple[CanonicalLabels, Sums]], query: SpendQuery) -> list[SpendRow]:
    """The sums by the values of `group_by` alone, in order. Raises `LimitExceeded` for one that no answer can hold."""
    totals: dict[tuple[str, ...], Sums] = {}
    for labels, sums in by_labels:
        mapping = dict(labels)
        totals.setdefault(tuple(mapping.get(label, "") for label in query.group_by), Sums()).add(sums)
    if any(max(total.recorded_micros, total.refunded_micros) > COUNTER_MICROS_MAX for total in totals.values()):
        raise LimitExceeded("micros of one row", COUNTER_MICROS_MAX)
    return [
        SpendRow(
            start, values, totals[values].spent_micros, totals[values].refunded_micros, totals[values].record_count
        )
        for values in sorted(totals)
    ]


def _position(row: SpendRow) -> tuple[int | str, ...]:
    return (row.start, *row.values)
