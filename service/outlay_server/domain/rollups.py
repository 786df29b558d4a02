"""Rollups: the ledger's sums by quarter of an hour and by labels, which the ledger keeps as it writes.

A quarter of an hour is the longest stretch that the hours and days of every zone are made of: since 1980 each offset
from UTC, and each change of one, has been a multiple of it (Kathmandu +05:45, Lord Howe's half-hour of summer time).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from outlay_server.domain.instant import MICROS_PER_SECOND, Instant
from outlay_server.domain.selector import CanonicalLabels
from outlay_server.domain.spend import RecordKind, SpendRecord

BUCKET_MICROS: Final = 900 * MICROS_PER_SECOND
"""How long a bucket is. Buckets begin at multiples of it since the epoch."""

RollupKey = tuple[int, str, Instant, CanonicalLabels]
"""Organization key, unit, start of the bucket, labels."""


def bucket_of(instant: Instant) -> Instant:
    """The start of the bucket that contains the instant."""
    return Instant(instant - instant % BUCKET_MICROS)


def next_edge(instant: Instant) -> Instant:
    """The first edge of a bucket at or after the instant."""
    return Instant(instant + -instant % BUCKET_MICROS)


@dataclass(slots=True)
class Sums:
    """What a number of entries add up to."""

    recorded_micros: int = 0
    refunded_micros: int = 0
    record_count: int = 0
    """Entries of spend; refunds are not counted."""

    @property
    def spent_micros(self) -> int:
        """Recorded less refunds."""
        return self.recorded_micros - self.refunded_micros

    def add(self, other: "Sums") -> None:
        self.recorded_micros += other.recorded_micros
        self.refunded_micros += other.refunded_micros
        self.record_count += other.record_count

    def add_record(self, record: SpendRecord) -> None:
        if record.kind is RecordKind.REFUND:
            self.refunded_micros += record.amount_micros
        else:
            self.recorded_micros += record.amount_micros
            self.record_count += 1


def rolled_up(records: Iterable[SpendRecord]) -> dict[RollupKey, Sums]:
    """The sums of some records by the bucket that they are charged to and by their labels."""
    found: dict[RollupKey, Sums] = {}
    for record in records:
        key = (record.organization_key, record.unit, bucket_of(record.charge_time), record.labels)
        sums = found.get(key)
        if sums is None:
            sums = found[key] = Sums()
        sums.add_record(record)
    return found
