"""The few hot statements, as text made from the tables, in both dialects.

The hot path speaks to the drivers directly: SQLAlchemy's own execution costs more than the statement there. SQLite
runs one prepared statement per row; PostgreSQL takes arrays, so a bulk statement is one round trip for any number.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from sqlalchemy import BigInteger, Boolean, Integer, LargeBinary, Table, Text
from sqlalchemy.types import TypeEngine

from outlay_server.domain.limits import CHANGES_KEPT_MIN
from outlay_server.store import tables

_ARRAY_TYPES: dict[type[TypeEngine[Any]], str] = {
    BigInteger: "bigint[]",
    Integer: "integer[]",
    Text: "text[]",
    Boolean: "boolean[]",
    LargeBinary: "bytea[]",
}


@dataclass(frozen=True, slots=True)
class Statement:
    """One operation on rows: for SQLite the text for one row, for PostgreSQL the text for arrays of columns."""

    sqlite: str
    postgres: str
    columns: int
    """How many values a row has."""
    sqlite_many: str = ""
    """A lookup by a JSON list of keys, each a list."""


def _arrays(table: Table, columns: Sequence[str]) -> str:
    return ", ".join(f"${i}::{_ARRAY_TYPES[type(table.c[name].type)]}" for i, name in enumerate(columns, 1))


def _names(columns: Sequence[str], prefix: str = "") -> str:
    return ", ".join(f'{prefix}"{name}"' for name in columns)


def _all(table: Table) -> list[str]:
    return [column.name for column in table.columns]


def lookup(table: Table, by: Sequence[str]) -> Statement:
    """Read whole rows by tuples of the columns `by`."""
    ours = " AND ".join(f'"{name}" = ?' for name in by)
    theirs = " AND ".join(f't."{name}" = k."{name}"' for name in by)
    return Statement(
        sqlite=f"SELECT {_names(_all(table))} FROM {table.name} WHERE {ours}",
        postgres=(
            f"SELECT {_names(_all(table), 't.')} FROM unnest({_arrays(table, by)}) AS k({_names(by)}) "
            f"JOIN {table.name} t ON {theirs}"
        ),
        columns=len(by),
        sqlite_many=(
            f"SELECT {_names(_all(table), 't.')} FROM json_each(?) AS k CROSS JOIN {table.name} AS t WHERE "
            + " AND ".join(f"t.\"{name}\" = json_extract(k.value, '$[{i}]')" for i, name in enumerate(by))
        ),
    )


def insert(table: Table, on_conflict: str = "") -> Statement:
    """Insert whole rows."""
    columns = _all(table)
    marks = ", ".join("?" for _ in columns)
    into = f"INSERT INTO {table.name} ({_names(columns)})"
    return Statement(
        sqlite=f"{into} VALUES ({marks}){on_conflict}",
        postgres=f"{into} SELECT * FROM unnest({_arrays(table, columns)}){on_conflict}",
        columns=len(columns),
    )


def upsert(table: Table, key: Sequence[str]) -> Statement:
    """Insert whole rows, or replace what they hold where the key is there."""
    values = ", ".join(f'"{name}" = excluded."{name}"' for name in _all(table) if name not in key)
    return insert(table, f" ON CONFLICT ({_names(key)}) DO UPDATE SET {values}")


def add_up(table: Table, sums: Sequence[str], key: Sequence[str]) -> Statement:
    """Insert whole rows, or add their `sums` to what is there where the key is there; no key twice in one write."""
    added = ", ".join(f'"{name}" = {table.name}."{name}" + excluded."{name}"' for name in sums)
    return insert(table, f" ON CONFLICT ({_names(key)}) DO UPDATE SET {added}")


def update(table: Table, columns: Sequence[str], key: Sequence[str]) -> Statement:
    """Set `columns` of the rows with `key`; a row is the new values, then the key's."""
    ours = ", ".join(f'"{name}" = ?' for name in columns)
    theirs = ", ".join(f'"{name}" = u."{name}"' for name in columns)
    everything = [*columns, *key]
    return Statement(
        sqlite=f"UPDATE {table.name} SET {ours} WHERE " + " AND ".join(f'"{name}" = ?' for name in key),
        postgres=(
            f"UPDATE {table.name} AS t SET {theirs} "
            f"FROM unnest({_arrays(table, everything)}) AS u({_names(everything)}) WHERE "
            + " AND ".join(f't."{name}" = u."{name}"' for name in key)
        ),
        columns=len(everything),
    )


def numbered_insert(table: Table, number: str, within: str) -> Statement:
    """Insert whole rows but for the column `number`, which counts up by one from the newest row with their `within`.

    Who runs it holds a lock on what `within` names.
    """
    columns = [name for name in _all(table) if name != number]
    into = f'INSERT INTO {table.name} ({_names(columns)}, "{number}")'
    newest = f'COALESCE((SELECT MAX(n."{number}") FROM {table.name} AS n WHERE n."{within}" = g."{within}"), 0)'
    given = ", ".join(f'? AS "{name}"' for name in columns)
    position = f'ROW_NUMBER() OVER (PARTITION BY g."{within}" ORDER BY g.position)'
    return Statement(
        sqlite=f"{into} SELECT {_names(columns, 'g.')}, {newest} + 1 FROM (SELECT {given}) AS g",
        postgres=(
            f"{into} SELECT {_names(columns, 'g.')}, {newest} + {position} "
            f"FROM unnest({_arrays(table, columns)}) WITH ORDINALITY AS g({_names(columns)}, position)"
        ),
        columns=len(columns),
    )


def delete_older(table: Table, number: str, within: str, kept: int) -> Statement:
    """Delete all but the newest `kept` rows by `number` among those with one `within`; a row is that value, twice."""
    newest = f'(SELECT MAX("{number}") FROM {table.name} WHERE "{within}" = {{}}) - {kept}'
    return Statement(
        sqlite=f'DELETE FROM {table.name} WHERE "{within}" = ? AND "{number}" <= {newest.format("?")}',
        postgres=(
            f"DELETE FROM {table.name} AS t USING unnest({_arrays(table, (within, within))}) AS g(one, two) "
            f'WHERE t."{within}" = g.one AND t."{number}" <= {newest.format("g.two")}'
        ),
        columns=2,
    )


@cache
def with_numbered_parameters(sql: str) -> str:
    """`?` to `$1`, `$2` …; for statements that contain no other question mark."""
    first, *rest = sql.split("?")
    return first + "".join(f"${i}{part}" for i, part in enumerate(rest, 1))


RESERVATION_CHANGES = (
    "granted_micros",
    "held_micros",
    "recorded_micros",
    "state",
    "expire_time",
    "close_time",
    "expiry_record_id",
)
"""What can change in a reservation after it was made."""

ROLLUP_KEY = ("organization_key", "unit", "bucket", "labels_digest")
ROLLUP_SUMS = ("recorded_units", "recorded_micros", "refunded_units", "refunded_micros", "record_count")

REQUESTS_BY_ID = lookup(tables.requests, ("organization_key", "request_id"))
RESERVATIONS_BY_ID = lookup(tables.reservations, ("organization_key", "id"))
RECORDS_BY_ID = lookup(tables.spend_records, ("organization_key", "id"))
REFUNDS_BY_RECORD = lookup(tables.spend_records, ("organization_key", "refunded_record_id"))
COUNTERS_BY_CYCLE = lookup(tables.counters, ("organization_key", "budget_key", "cycle_start"))
ALERTS_BY_CYCLE = lookup(tables.alerts, ("organization_key", "budget_key", "cycle_start"))

INSERT_RESERVATIONS = insert(tables.reservations)
UPDATE_RESERVATIONS = update(tables.reservations, RESERVATION_CHANGES, ("organization_key", "id"))
INSERT_RECORDS = insert(tables.spend_records)
ADD_TO_ROLLUPS = add_up(tables.spend_rollups, ROLLUP_SUMS, ROLLUP_KEY)
ADD_TO_PRUNED = add_up(tables.pruned_rollups, ROLLUP_SUMS, ROLLUP_KEY)
UPSERT_COUNTERS = upsert(tables.counters, ("organization_key", "budget_key", "cycle_start"))
INSERT_ALERTS = insert(tables.alerts)
INSERT_EVENTS = insert(tables.events)
INSERT_REQUESTS = insert(tables.requests)
APPEND_CHANGES = numbered_insert(tables.budget_changes, "sequence", "organization_key")
PRUNE_CHANGES = delete_older(tables.budget_changes, "sequence", "organization_key", CHANGES_KEPT_MIN)

_RESERVATION_COLUMNS = _names(_all(tables.reservations))

EXPIRED_RESERVATIONS = (
    f"SELECT {_RESERVATION_COLUMNS} FROM reservations "
    "WHERE organization_key = ? AND state = 'OPEN' AND expire_time <= ?"
)
NEXT_EXPIRY = "SELECT MIN(expire_time) FROM reservations WHERE organization_key = ? AND state = 'OPEN'"
OPEN_BY_EXPIRY = (
    "SELECT labels, expire_time FROM reservations WHERE organization_key = ? AND state = 'OPEN' AND unit = ? "
    "AND held_micros > 0 AND create_time >= ? AND create_time < ? ORDER BY expire_time LIMIT ?"
)
SPENT_BY_LABELS = (
    "SELECT labels, SUM(CASE kind WHEN 'REFUND' THEN -amount_micros ELSE amount_micros END) FROM spend_records "
    "WHERE organization_key = ? AND unit = ? AND charge_time >= ? AND charge_time < ? GROUP BY labels"
)
HELD_BY_LABELS = (
    "SELECT labels, SUM(held_micros), COUNT(*) FROM reservations WHERE organization_key = ? AND state = 'OPEN' "
    "AND unit = ? AND create_time >= ? AND create_time < ? GROUP BY labels"
)
ALERTS_SENT = (
    "SELECT basis, threshold_percent FROM alerts WHERE organization_key = ? AND budget_key = ? AND cycle_start = ?"
)
