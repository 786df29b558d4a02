"""Reading the ledger itself: records and audit events. Sync, on a read-only connection.

Every query here is a range of an index, as long as a page: none looks at records that it does not show, but for those
of other labels in the same quarter of an hour.
"""

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from sqlalchemy import Connection, func, select, tuple_

from outlay_server.domain.audit import AuditEvent
from outlay_server.domain.errors import NotFound
from outlay_server.domain.instant import BEGINNING_OF_TIME, END_OF_TIME, Instant
from outlay_server.domain.names import SpendRecordName
from outlay_server.domain.rollups import BUCKET_MICROS, bucket_of
from outlay_server.domain.selector import MATCH_ALL, Selector, matches
from outlay_server.domain.spend import RecordKind, SpendRecord
from outlay_server.store import rows, tables
from outlay_server.store.connection_driver import ConnectionDriver
from outlay_server.store.reads import organization_row
from outlay_server.store.rollups import texts_of, units_of

Position = tuple[Instant, str]
"""Where a page ends: the `charge_time` and the id of its last record."""

ROLLUPS_MAX: Final = 400_000
"""Rollups that are looked through for one page of records with certain labels; then it ends short."""

ROLLUPS_AT_ONCE: Final = 20_000
"""Rollups that one query of that search looks through."""

LABEL_SETS_AT_ONCE: Final = 500
"""Sets of labels that one query names. Where more match, the records themselves are looked at."""


@dataclass(frozen=True, slots=True)
class RecordFilter:
    """Which records are wanted."""

    unit: str = ""
    """"" for every unit."""
    start: Instant | None = None
    end: Instant | None = None
    """By `charge_time`, half-open."""
    labels: Selector = MATCH_ALL

    @property
    def is_empty(self) -> bool:
        return self == RecordFilter()


@dataclass(frozen=True, slots=True)
class RecordPage:
    """Records, each with how much of it was credited back; and where the next page begins after, None for the last."""

    records: Sequence[tuple[SpendRecord, int]]
    next: Position | None


def spend_record(connection: Connection, organization_id: str, record_id: str) -> tuple[SpendRecord, int]:
    """One record, and how much of it has been credited back."""
    key = organization_row(connection, organization_id).key
    table = tables.spend_records
    row = connection.execute(select(table).where(table.c.organization_key == key, table.c.id == record_id)).first()
    if row is None:
        raise NotFound(str(SpendRecordName(organization_id, record_id)))
    return _with_refunds(connection, key, [rows.record_from_row(row)])[0]


def spend_records(
    connection: Connection, organization_id: str, wanted: RecordFilter, after: Position | None, limit: int
) -> RecordPage:
    """A page of at most `limit` records after the position (None: the first page).

    Without a filter newest first by creation; with one newest first by `charge_time`. A page in search of labels may be
    short, and even empty, before the last.
    """
    key = organization_row(connection, organization_id).key
    if wanted.is_empty:
        found: list[SpendRecord] = _by_creation(connection, key, after, limit + 1)
        stop = None
    else:
        found, stop = _by_charge(connection, key, wanted, after, limit + 1)
    shown = found[:limit]
    if len(found) > limit:
        stop = (shown[-1].charge_time, shown[-1].record_id)
    return RecordPage(_with_refunds(connection, key, shown), stop)


def _by_creation(connection: Connection, key: int, after: Position | None, limit: int) -> list[SpendRecord]:
    table = tables.spend_records
    query = select(table).where(table.c.organization_key == key).order_by(table.c.id.desc()).limit(limit)
    if after is not None:
        query = query.where(table.c.id < after[1])
    return [rows.record_from_row(row) for row in connection.execute(query)]


def _by_charge(
    connection: Connection, key: int, wanted: RecordFilter, after: Position | None, limit: int
) -> tuple[list[SpendRecord], Position | None]:
    """Up to `limit` records, and where the search was given up if it was."""
    units = [wanted.unit] if wanted.unit else units_of(ConnectionDriver(connection).fetch, key)
    searches = [_Search(connection, key, unit, wanted, after, limit) for unit in units]
    merged = heapq.merge(*(search.records() for search in searches), key=_position, reverse=True)
    found: list[SpendRecord] = []
    for item in merged:
        if isinstance(item, _GivenUp):
            return found, item.position
        found.append(item)
        if len(found) == limit:
            break
    return found, None


@dataclass(frozen=True, slots=True)
class _GivenUp:
    """Stands among records, in their order: what comes after it was not looked for."""

    position: Position


def _position(item: SpendRecord | _GivenUp) -> Position:
    return item.position if isinstance(item, _GivenUp) else (item.charge_time, item.record_id)


class _Search:
    """The records of one unit that are wanted, newest first by charge, read as they are consumed."""

    def __init__(
        self, connection: Connection, key: int, unit: str, wanted: RecordFilter, after: Position | None, limit: int
    ) -> None:
        self._connection = connection
        self._key = key
        self._unit = unit
        self._labels = wanted.labels
        self._start = BEGINNING_OF_TIME if wanted.start is None else wanted.start
        self._end = END_OF_TIME if wanted.end is None else wanted.end
        self._after = after
        self._limit = limit

    def records(self) -> Iterator[SpendRecord | _GivenUp]:
        if self._labels == MATCH_ALL:
            # One page of them is as many as the merged page can take.
            return iter(self._charged(self._start, self._end, self._limit))
        return self._labelled()

    def _labelled(self) -> Iterator[SpendRecord | _GivenUp]:
        """By way of the rollups, which know the quarters of an hour that hold such labels at all."""
        for bucket, group in groupby(self._rollups(), key=lambda row: row[0]):
            found_labels = [text for _, text in group]
            bucket_end = Instant(bucket + BUCKET_MICROS)
            if None in found_labels:
                yield _GivenUp((bucket_end, ""))
                return
            texts = [text for text in found_labels if text and matches(self._labels, dict(rows.load_labels(text)))]
            if not texts:
                continue
            start, end = max(bucket, self._start), min(bucket_end, self._end)
            found = self._charged(start, end, self._limit, texts if len(texts) <= LABEL_SETS_AT_ONCE else None)
            yield from (record for record in found if matches(self._labels, dict(record.labels)))
            if len(found) == self._limit:
                # There may be more of this quarter: the next page begins after the last that was seen.
                yield _GivenUp((found[-1].charge_time, found[-1].record_id))
                return

    def _rollups(self) -> Iterator[tuple[Instant, str | None]]:
        """(bucket, labels as JSON) of rollups that may match, newest first; labels None: nothing is known from here on.

        The database leaves out what cannot match, by the text of the labels. It goes through a bounded part of the
        rollups at a time, of which there can be as many as records; and never gives up in the bucket it began with.
        """
        table = tables.spend_rollups
        bucket, key = table.c.bucket, tuple_(table.c.bucket, table.c.labels_digest)
        order = (bucket.desc(), table.c.labels_digest.desc())
        here = (table.c.organization_key == self._key, table.c.unit == self._unit)
        wanted = [func.replace(table.c.labels, text, "") != table.c.labels for text in texts_of(self._labels)]
        # One bound on the bucket at either end: given two, SQLite may range by the wider one.
        above, below = bucket >= bucket_of(self._start), bucket <= self._newest_bucket()
        looked_through, first = 0, None
        while True:
            keys = select(bucket, table.c.labels_digest).where(*here, above, below).order_by(*order)
            following = self._connection.execute(keys.offset(ROLLUPS_AT_ONCE).limit(1)).first()
            part = above
            if following is not None:
                limit = (following[0], following[1])
                part = (bucket >= limit[0]) & (key > limit)
            page = select(bucket, table.c.labels).where(*here, part, below, *wanted).order_by(*order)
            yield from ((Instant(start), labels) for start, labels in self._connection.execute(page))
            if following is None:
                return
            below = (bucket <= limit[0]) & (key <= limit)
            first = limit[0] if first is None else first
            looked_through += ROLLUPS_AT_ONCE
            if looked_through >= ROLLUPS_MAX and limit[0] < first:
                yield Instant(limit[0]), None
                return

    def _newest_bucket(self) -> Instant:
        """The last bucket that can hold what is wanted."""
        last = Instant(self._end - 1)
        if self._after is not None:
            charge_time, record_id = self._after
            last = min(last, charge_time if record_id else Instant(charge_time - 1))
        return bucket_of(last)

    def _charged(
        self, start: Instant, end: Instant, limit: int, label_texts: Sequence[str] | None = None
    ) -> list[SpendRecord]:
        table = tables.spend_records
        query = (
            select(table)
            .where(
                table.c.organization_key == self._key,
                table.c.unit == self._unit,
                table.c.charge_time >= start,
                table.c.charge_time < end,
            )
            .order_by(table.c.charge_time.desc(), table.c.id.desc())
            .limit(limit)
        )
        if self._after is not None:
            charge_time, record_id = self._after
            # The bound on the time alone is one that an index of it can use.
            query = query.where(
                table.c.charge_time <= charge_time, (table.c.charge_time < charge_time) | (table.c.id < record_id)
            )
        if label_texts is not None:
            query = query.where(table.c.labels.in_(label_texts))
        return [rows.record_from_row(row) for row in self._connection.execute(query)]


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
