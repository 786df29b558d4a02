"""Questions to the ledger as the contract asks them: label patterns, label values in order, pages of sums."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from outlay_server.api.buckets import bucket_edges
from outlay_server.api.from_wire.queries import RecordQuery, SpendQuery
from outlay_server.domain.instant import Instant
from outlay_server.domain.selector import matches
from outlay_server.domain.spend import SpendRecord
from outlay_server.store import ledger_reads


@dataclass(frozen=True, slots=True)
class SpendRow:
    """One sum, of one hour or day and one set of label values."""

    start: Instant
    values: tuple[str, ...]
    """Of the labels that were grouped by, in the order they were asked for; "" where a record has no such label."""
    spent_micros: int
    refunded_micros: int
    record_count: int


def spend_records(connection: Connection, query: RecordQuery, limit: int) -> list[tuple[SpendRecord, int]]:
    """Up to `limit` records, newest first, each with how much of it was credited back."""
    found: list[tuple[SpendRecord, int]] = []
    after_id = query.page.after_id
    while len(found) < limit:
        rows = ledger_reads.spend_records(
            connection,
            query.organization_id,
            after_id,
            limit,
            unit=query.unit,
            start=query.start,
            end=query.end,
            label_filters=dict(query.labels.exact),
        )
        # The store knows labels that are equal; what only begins alike is sorted out here.
        found += [row for row in rows if matches(query.labels, dict(row[0].labels))]
        if len(rows) < limit:
            break
        after_id = rows[-1][0].record_id
    return found[:limit]


def spend_rows(connection: Connection, query: SpendQuery, limit: int) -> list[SpendRow]:
    """Up to `limit` sums after the page's position, ascending by start and then by label values."""
    after = query.page.after
    start = query.start if after is None else max(query.start, Instant(int(after[0])))
    edges = bucket_edges(start, query.end, by_hour=query.by_hour, time_zone=query.time_zone)
    sums = ledger_reads.spend_sums(
        connection,
        query.organization_id,
        query.unit,
        # The first and the last bucket are counted as far as they were asked for.
        [max(edges[0], query.start), *edges[1:-1], min(edges[-1], query.end)],
        group_by={*query.group_by, *(label for label, _ in query.labels.prefixes)},
        label_filters=dict(query.labels.exact),
    )
    rows = _rows([found for found in sums if _matches_prefixes(query, found)], query.group_by, edges)
    return [row for row in rows if after is None or (row.start, *row.values) > after][:limit]


def _matches_prefixes(query: SpendQuery, found: ledger_reads.SpendSum) -> bool:
    labels = dict(found.labels)
    return all(labels.get(label, "").startswith(prefix) and label in labels for label, prefix in query.labels.prefixes)


def _rows(sums: Sequence[ledger_reads.SpendSum], group_by: tuple[str, ...], edges: Sequence[Instant]) -> list[SpendRow]:
    """The sums by the values of `group_by` alone, in order, each under the edge that its bucket begins at."""
    totals: dict[tuple[Instant, tuple[str, ...]], list[int]] = {}
    for found in sums:
        labels = dict(found.labels)
        # The first bucket may have been cut, and then begins later than the hour or day that it belongs to.
        start = found.bucket if found.bucket >= edges[1] else edges[0]
        total = totals.setdefault((start, tuple(labels.get(label, "") for label in group_by)), [0, 0, 0])
        total[0] += found.spent_micros
        total[1] += found.refunded_micros
        total[2] += found.record_count
    return [SpendRow(start, values, *totals[start, values]) for start, values in sorted(totals)]
