"""What a record of spend is in a table: columns, in order, and their values."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

from google.protobuf.timestamp_pb2 import Timestamp

from outlay.v1.spend_record_pb2 import SpendRecord, SpendRecordKind
from outlay_cli.text import enum_name, last_segment
from outlay_server.domain.amounts import format_micros

Value = str | int | bool
"""An instant is its microseconds since the epoch; there is no float."""


class Type(Enum):
    """What the values of a column are."""

    TEXT = "text"
    INTEGER = "integer"
    BOOLEAN = "boolean"
    INSTANT = "instant"


@dataclass(frozen=True, slots=True)
class Column:
    """One column."""

    name: str
    type: Type


_BEFORE_LABELS: Final = (
    Column("record", Type.TEXT),
    Column("kind", Type.TEXT),
    Column("charge_time", Type.INSTANT),
    Column("unit", Type.TEXT),
    Column("spent_micros", Type.INTEGER),
    Column("spent", Type.TEXT),
)
_AFTER_LABELS: Final = (
    Column("labels", Type.TEXT),
    Column("overrun_micros", Type.INTEGER),
    Column("late", Type.BOOLEAN),
    Column("usage_time", Type.INSTANT),
    Column("create_time", Type.INSTANT),
    Column("reservation", Type.TEXT),
    Column("refunded_record", Type.TEXT),
    Column("request_id", Type.TEXT),
)


def columns(label_keys: Sequence[str]) -> list[Column]:
    """The columns of a table with one of its own for each of these labels."""
    return [*_BEFORE_LABELS, *(Column(f"label_{key}", Type.TEXT) for key in label_keys), *_AFTER_LABELS]


def values(record: SpendRecord, label_keys: Sequence[str]) -> list[Value]:
    """One row. A refund's amount is negative, so that a column of amounts adds up to what was spent."""
    spent_micros = record.amount_micros
    if record.kind == SpendRecordKind.SPEND_RECORD_KIND_REFUND:
        spent_micros = -spent_micros
    return [
        last_segment(record.name),
        enum_name(SpendRecordKind.Name(record.kind), "SPEND_RECORD_KIND_"),
        _micros(record.charge_time),
        record.unit,
        spent_micros,
        format_micros(spent_micros),
        *(record.labels.get(key, "") for key in label_keys),
        json.dumps(dict(record.labels), sort_keys=True, separators=(",", ":"), ensure_ascii=False),
        record.overrun_micros,
        record.late,
        _micros(record.usage_time),
        _micros(record.create_time),
        last_segment(record.reservation),
        last_segment(record.refunded_record),
        record.request_id,
    ]


def _micros(timestamp: Timestamp) -> int:
    return timestamp.seconds * 1_000_000 + timestamp.nanos // 1_000
