"""`batch.Driver` over asyncpg: the usual batch reads in one round trip and writes in another.

A round trip costs both sides more than what the statement does. So all that a batch is known to need is read by one
statement, right after the locks were granted, and handed out when it is asked for; whatever else is asked for is read
then. Writes are kept and sent together, before the next read and at the end.
"""

import json
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final

import asyncpg
from sqlalchemy.util import await_only

from outlay_server.domain.instant import BEGINNING_OF_TIME, Instant
from outlay_server.store import statements, tables
from outlay_server.store.statements import Statement, with_numbered_parameters

Row = Sequence[Any]

CLOCK: Final = "(extract(epoch from clock_timestamp()) * 1000000)::bigint"
"""The database's time, in microseconds."""


@dataclass(slots=True)
class Wanted:
    """What a batch is known to need before anything is locked."""

    organization_ids: Sequence[str]
    organization_keys: Collection[int]
    """Of those organizations whose settings are remembered: their expired reservations."""
    request_keys: Collection[tuple[int, str]]
    reservation_keys: Collection[tuple[int, str]]
    budget_keys: Collection[tuple[int, int]]
    """By organization and budget: the latest counter."""


@dataclass(slots=True)
class _Found:
    """What one look at the database found, by what it was looked for."""

    now: Instant = BEGINNING_OF_TIME
    organizations: list[Row] = field(default_factory=list)
    expired: dict[int, list[Row]] = field(default_factory=dict)
    requests: dict[tuple[int, str], Row | None] = field(default_factory=dict)
    reservations: dict[tuple[int, str], Row | None] = field(default_factory=dict)
    latest_counters: dict[tuple[int, int], Row | None] = field(default_factory=dict)


def _columns(table: Any, prefix: str) -> str:
    return ", ".join(f'{prefix}."{column.name}"' for column in table.columns)


# Each row is its kind and its columns as JSON: one shape for all of them. The clock is read once, after the locks.
_LOOK: Final = f"""
WITH clock AS MATERIALIZED (SELECT GREATEST({CLOCK}, $2::bigint) AS now)
SELECT 'clock', json_build_array(now)::text FROM clock
UNION ALL
SELECT 'organization', json_build_array(o.id, o.version)::text
FROM organizations o WHERE o.id = ANY($1::text[]) AND o.delete_time IS NULL
UNION ALL
SELECT 'request', json_build_array({_columns(tables.requests, "t")})::text
FROM unnest($3::bigint[], $4::text[]) AS k(one, two)
JOIN requests t ON t.organization_key = k.one AND t.request_id = k.two
UNION ALL
SELECT 'reservation', json_build_array({_columns(tables.reservations, "t")})::text
FROM unnest($5::bigint[], $6::text[]) AS k(one, two) JOIN reservations t ON t.organization_key = k.one AND t.id = k.two
UNION ALL
SELECT 'counter', json_build_array({_columns(tables.counters, "t")})::text
FROM unnest($7::bigint[], $8::bigint[]) AS k(one, two) CROSS JOIN LATERAL (
    SELECT * FROM counters c WHERE c.organization_key = k.one AND c.budget_key = k.two
    ORDER BY c.cycle_start DESC LIMIT 1
) t
UNION ALL
SELECT 'expired', json_build_array({_columns(tables.reservations, "t")})::text
FROM unnest($9::bigint[]) AS k(one) CROSS JOIN LATERAL (
    SELECT r.* FROM reservations r, clock
    WHERE r.organization_key = k.one AND r.state = 'OPEN' AND r.expire_time <= clock.now
) t
"""

_TABLE: Final = re.compile(r"(?:INSERT INTO|UPDATE|DELETE FROM) (\w+)")


_UNKNOWN: Final[Row] = ("unknown",)


class PostgresDriver:
    """One transaction of one connection. Runs inside `greenlet_spawn`."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection
        self._found = _Found()
        self._unwritten: dict[str, tuple[Statement, Sequence[Row]]] = {}

    # Reading

    def look(self, wanted: Wanted, at_least: Instant) -> tuple[Instant, list[Row]]:
        """Read all that is wanted, and return the time, `at_least` that, and (id, version) of the organizations."""
        found = self._found = _Found(
            expired={key: [] for key in wanted.organization_keys},
            requests=dict.fromkeys(wanted.request_keys),
            reservations=dict.fromkeys(wanted.reservation_keys),
            latest_counters=dict.fromkeys(wanted.budget_keys),
        )
        records = await_only(
            self._connection.fetch(
                _LOOK,
                wanted.organization_ids,
                at_least,
                *_columns_of(wanted.request_keys),
                *_columns_of(wanted.reservation_keys),
                *_columns_of(wanted.budget_keys),
                list(wanted.organization_keys),
            )
        )
        for kind, text in records:
            row = json.loads(text)
            match kind:
                case "clock":
                    found.now = Instant(row[0])
                case "organization":
                    found.organizations.append(row)
                case "expired":
                    found.expired[row[0]].append(row)
                case "request":
                    found.requests[(row[0], row[1])] = row
                case "reservation":
                    found.reservations[(row[0], row[1])] = row
                case "counter":
                    found.latest_counters[(row[0], row[1])] = row
        return found.now, found.organizations

    def fetch(self, sql: str, *parameters: object) -> list[Row]:
        if sql is statements.EXPIRED_RESERVATIONS:
            organization_key, now = parameters
            expired = self._found.expired.get(organization_key) if isinstance(organization_key, int) else None
            if expired is not None and now == self._found.now:
                return list(expired)
        return self._read(with_numbered_parameters(sql), parameters)

    def fetch_by_key(self, statement: Statement, keys: Sequence[Row]) -> list[Row]:
        found: list[Row] = []
        unknown: list[Row] = []
        for key in keys:
            row = self._known(statement, key)
            if row is _UNKNOWN:
                unknown.append(key)
            elif row is not None:
                found.append(row)
        if unknown:
            found += self._read(statement.postgres, _columns_of(unknown))
        return found

    def _known(self, statement: Statement, key: Row) -> Row | None:
        """What is there under this key, None for nothing; `_UNKNOWN` where that was not looked at."""
        if statement is statements.REQUESTS_BY_ID:
            return self._found.requests.get((key[0], key[1]), _UNKNOWN)
        if statement is statements.RESERVATIONS_BY_ID:
            return self._found.reservations.get((key[0], key[1]), _UNKNOWN)
        if statement is not statements.COUNTERS_BY_CYCLE:
            return _UNKNOWN
        latest = self._found.latest_counters.get((key[0], key[1]), _UNKNOWN)
        if latest is None or latest is _UNKNOWN or latest[2] == key[2]:
            return latest
        return None if latest[2] < key[2] else _UNKNOWN

    def _read(self, sql: str, parameters: Sequence[object]) -> list[Row]:
        self.flush()
        return [tuple(record) for record in await_only(self._connection.fetch(sql, *parameters))]

    # Writing

    def write(self, statement: Statement, rows: Sequence[Row]) -> None:
        """Keep a write for `flush`, whose statements all see the tables as they were: one statement a table."""
        written = _TABLE.match(statement.postgres)
        assert written is not None, "a write begins with what it does and to which table"
        if written[1] in self._unwritten:
            self.flush()
        self._unwritten[written[1]] = (statement, rows)

    def flush(self) -> None:
        """Send all that was kept, in one statement."""
        unwritten, self._unwritten = tuple(self._unwritten.values()), {}
        if unwritten:
            sql = _together(tuple(statement.postgres for statement, _ in unwritten))
            parameters = [column for _, rows in unwritten for column in _columns_of(rows)]
            await_only(self._connection.execute(sql, *parameters))


@cache
def _together(parts: Sequence[str]) -> str:
    """One statement that does what all of these do; there are few sets of tables that a batch writes."""
    if len(parts) == 1:
        return parts[0]
    written, taken = [], 0
    for number, part in enumerate(parts):
        marks = {int(mark) for mark in re.findall(r"\$(\d+)", part)}
        moved = re.sub(r"\$(\d+)", lambda mark, by=taken: f"${int(mark[1]) + by}", part)  # type: ignore[misc]
        written.append(f"w{number} AS ({moved})")
        taken += max(marks)
    return f"WITH {', '.join(written)} SELECT 1"


def _columns_of(rows: Collection[Row]) -> list[list[Any]]:
    """Rows as a list for each column; two empty ones for no rows, which only lookups by pairs have."""
    return [list(column) for column in zip(*rows, strict=True)] or [[], []]
