"""Reading the ledger itself: records, sums of spend, audit events. Sync, on a read-only connection."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from sqlalchemy import Connection, Select, func, select

from outlay_server.domain.audit import AuditEvent
from outlay_server.domain.errors import NotFound
from outlay_server.domain.instant import Instant
from outlay_server.domain.names import SpendRecordName
from outlay_server.domain.spend import RecordKind, SpendRecord
from outlay_server.store import rows, tables
from outlay_server.store.reads import organization_row

Labels = Mapping[str, str]

SCAN_ROWS = 1_000
"""Records read at a time when labels are filtered, which SQL does not do for us on both stores alike."""


def spend_record(connection: Connection, organization_id: str, record_id: str) -> tuple[SpendRecord, int]:
    """One record, and how much of it has been credited back."""
    key = organization_row(connection, organization_id).key
    table = tables.spend_records
    row = connection.execute(select(table).where(table.c.organization_key == key, table.c.id == record_id)).first()
    if row is None:
        raise NotFound(str(SpendRecordName(organization_id, record_id)))
    return _with_refunds(connection, key, [rows.record_from_row(row)])[0]


def spend_records(
    connection: Connection,
    organization_id: str,
    after_id: str,
    limit: int,
    *,
    unit: str = "",
    start: Instant | None = None,
    end: Instant | None = None,
    label_filters: Labels | None = None,
) -> list[tuple[SpendRecord, int]]:
    """Records, newest first, after `after_id` ("" for the first page), each with how much of it was credited back.

    `start` (inclusive) and `end` (exclusive) bound the instant whose cycle a record counts in.
    """
    key = organization_row(connection, organization_id).key
    table = tables.spend_records
    query = _within(select(table).where(table.c.organization_key == key), unit, start, end).order_by(table.c.id.desc())
    wanted = dict(label_filters or {}).items()
    found: list[SpendRecord] = []
    while len(found) < limit:
        size = limit if not wanted else SCAN_ROWS
        page = query.where(table.c.id < after_id) if after_id else query
        records = [rows.record_from_row(row) for row in connection.execute(page.limit(size))]
        found += [record for record in records if wanted <= dict(record.labels).items()]
        if len(records) < size:
            break
        after_id = records[-1].record_id
    return _with_refunds(connection, key, found[:limit])


def _within(query: Select[Any], unit: str, start: Instant | None, end: Instant | None) -> Select[Any]:
    table = tables.spend_records
    if unit:
        query = query.where(table.c.unit == unit)
    if start is not None:
        query = query.where(table.c.charge_time >= start)
    if end is not None:
        query = query.where(table.c.charge_time < end)
    return query


def _with_refunds(
    connection: Connection, organization_key: int, records: Sequence[SpendRecord]
) -> list[tuple[SpendRecord, int]]:
    table = tables.spend_records
    query = (
        select(table.c.refunded_record_id, func.sum(table.c.amount_micros))
        .where(
            table.c.organization_key == organization_key,
            table.c.refunded_record_id.in_([record.record_id for record in records]),
        )
        .group_by(table.c.refunded_record_id)
    )
    refunded = {row[0]: int(row[1]) for row in connection.execute(query)}
    return [
        (record, 0 if record.kind is RecordKind.REFUND else refunded.get(record.record_id, 0)) for record in records
    ]


@dataclass(slots=True)
class SpendSum:
    """Spend of one bucket of time and one set of label values."""

    bucket: Instant
    labels: tuple[tuple[str, str], ...]
    """The labels that were grouped by and were there, ascending by key."""
    spent_micros: int = 0
    """Refunds taken off."""
    refunded_micros: int = 0
    record_count: int = 0
    """Entries of spend; refunds are not counted."""


def spend_sums(
    connection: Connection,
    organization_id: str,
    unit: str,
    edges: Sequence[Instant],
    *,
    group_by: Iterable[str] = (),
    label_filters: Labels | None = None,
) -> list[SpendSum]:
    """Sum spend between consecutive `edges` (ascending, half-open) and by the labels in `group_by`.

    Ascending by bucket, then by labels; buckets without a record are left out. Each bucket is one indexed query that
    groups in SQL, so what travels is a row per distinct set of labels.
    """
    key = organization_row(connection, organization_id).key
    table = tables.spend_records
    is_refund = table.c.kind == RecordKind.REFUND.value
    amount = table.c.amount_micros
    grouped = frozenset(group_by)
    wanted = dict(label_filters or {}).items()
    found: list[SpendSum] = []
    bounds = _within(select(func.min(table.c.charge_time), func.max(table.c.charge_time)), unit, edges[0], edges[-1])
    first, last = connection.execute(bounds.where(table.c.organization_key == key)).one()
    if first is None:
        return []
    for start, end in pairwise(edges):
        if end <= first or start > last:
            continue
        query = (
            select(
                table.c.labels,
                func.sum(amount).filter(~is_refund),
                func.sum(amount).filter(is_refund),
                func.count().filter(~is_refund),
            )
            .where(table.c.organization_key == key)
            .group_by(table.c.labels)
        )
        sums: dict[tuple[tuple[str, str], ...], SpendSum] = {}
        for text, spent, refunded, count in connection.execute(_within(query, unit, start, end)):
            labels = dict(rows.load_labels(text))
            if not wanted <= labels.items():
                continue
            shown = tuple(sorted((name, value) for name, value in labels.items() if name in grouped))
            into = sums.setdefault(shown, SpendSum(start, shown))
            into.spent_micros += int(spent or 0) - int(refunded or 0)
            into.refunded_micros += int(refunded or 0)
            into.record_count += count
        found += [sums[shown] for shown in sorted(sums)]
    return found


def audit_events(
    connection: Connection,
    organization_id: str,
    after_sequence: int | None,
    limit: int,
    *,
    resource: str = "",
    action: str = "",
    start: Instant | None = None,
    end: Instant | None = None,
) -> list[AuditEvent]:
    """Audit events, newest first; those before `after_sequence` (None for the first page)."""
    key = organization_row(connection, organization_id).key
    table = tables.audit_events
    query = select(table).where(table.c.organization_key == key).order_by(table.c.sequence.desc()).limit(limit)
    if after_sequence is not None:
        query = query.where(table.c.sequence < after_sequence)
    if resource:
        query = query.where(table.c.resource == resource)
    if action:
        query = query.where(table.c.action == action)
    if start is not None:
        query = query.where(table.c.create_time >= start)
    if end is not None:
        query = query.where(table.c.create_time < end)
    return [rows.audit_event_from_row(row, organization_id) for row in connection.execute(query)]
