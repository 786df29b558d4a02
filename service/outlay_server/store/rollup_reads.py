"""Reading rollups: sums between instants, and which labels are in which quarter of an hour."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

from sqlalchemy import Connection

from outlay_server.domain.instant import Instant
from outlay_server.domain.rollups import Sums, bucket_of, next_edge
from outlay_server.domain.selector import CanonicalLabels, Selector
from outlay_server.store import rows
from outlay_server.store.connection_driver import ConnectionDriver
from outlay_server.store.rollups import TOTALS, containing, sums_from_columns, texts_of

STRETCHES_AT_ONCE_MAX: Final = 256
"""Stretches of time that one query sums: two parameters each, and SQLite takes 999 of them in its older builds."""

ROLLUPS_WELL_READ: Final = 50_000
SUMS_WELL_READ: Final = 2_000
"""What one query may add up and bring back before the next one asks for no more stretches than it did. Who reads shares
a thread with who checks: milliseconds of it at a time."""

# On SQLite CROSS JOIN is an order: for each stretch, its part of the key. On PostgreSQL LATERAL is.
_SQLITE: Final = (
    "WITH stretches(start_time, end_time) AS (VALUES {stretches}) "
    f"SELECT s.start_time, {{labels}} AS labels, COUNT(*), {TOTALS} FROM stretches s CROSS JOIN spend_rollups r "
    "WHERE r.organization_key = ? AND r.unit = ? AND r.bucket >= s.start_time AND r.bucket < s.end_time{matching} "
    "GROUP BY 1, 2"
)
_POSTGRES: Final = (
    "SELECT s.start_time, r.* FROM unnest($1::bigint[], $2::bigint[]) AS s(start_time, end_time) CROSS JOIN LATERAL "
    f"(SELECT {{labels}} AS labels, COUNT(*), {TOTALS} FROM spend_rollups WHERE organization_key = $3 AND unit = $4 "
    "AND bucket >= s.start_time AND bucket < s.end_time{matching} GROUP BY 1) AS r"
)
_EXTENT: Final = (
    "SELECT (SELECT bucket FROM spend_rollups WHERE organization_key = ? AND unit = ? AND bucket >= ? AND bucket < ? "
    "ORDER BY bucket LIMIT 1), (SELECT bucket FROM spend_rollups WHERE organization_key = ? AND unit = ? "
    "AND bucket >= ? AND bucket < ? ORDER BY bucket DESC LIMIT 1)"
)


@dataclass(frozen=True, slots=True)
class Stretch:
    """What was spent between two instants."""

    start: Instant
    end: Instant
    by_labels: Sequence[tuple[CanonicalLabels, Sums]]
    rollups: int
    """How many rollups were added up for it."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which rollups are added up."""

    organization_key: int
    unit: str
    labels: Selector
    by_labels: bool
    """Each set of labels by itself; else everything that matches is one sum, under no labels."""


def stretches(connection: Connection, wanted: Wanted, edges: Sequence[Instant]) -> Iterator[Stretch]:
    """The sums between consecutive `edges` (ascending, half-open), in order; those without an entry are left out.

    An edge inside a bucket is taken for the bucket's own edge: the first and those between for the one before, the last
    for the one after. It is read as it is consumed: who stops early has not asked for the rest.
    """
    aligned = [*map(bucket_of, edges[:-1]), next_edge(edges[-1])]
    extent = _extent(connection, wanted, aligned[0], aligned[-1])
    if extent is None:
        return
    first, last = extent
    left = [
        (start, end, shown)
        for (start, end), shown in zip(pairwise(aligned), pairwise(edges), strict=True)
        if end > first and start <= last and start < end
    ]
    at_once = 1
    while left:
        chunk, left = left[:at_once], left[at_once:]
        found: dict[int, list[Any]] = {}
        summed = _summed(connection, wanted, [(start, end) for start, end, _ in chunk])
        for row in summed:
            found.setdefault(row[0], []).append(row)
        if len(summed) < SUMS_WELL_READ and sum(row[2] for row in summed) < ROLLUPS_WELL_READ:
            at_once = min(2 * at_once, STRETCHES_AT_ONCE_MAX)
        for start, _, (shown_start, shown_end) in chunk:
            if start in found:
                yield _stretch(shown_start, shown_end, found[start])


def _stretch(start: Instant, end: Instant, group: Sequence[Sequence[Any]]) -> Stretch:
    by_labels = [(rows.load_labels(labels), sums_from_columns(columns)) for _, labels, _, *columns in group]
    return Stretch(start, end, by_labels, sum(row[2] for row in group))


def _extent(connection: Connection, wanted: Wanted, start: Instant, end: Instant) -> tuple[Instant, Instant] | None:
    """The first and the last bucket in `[start, end)` that has an entry, if one has."""
    within = (wanted.organization_key, wanted.unit, start, end)
    ((first, last),) = ConnectionDriver(connection).fetch(_EXTENT, *within, *within)
    return None if first is None else (first, last)


def _summed(
    connection: Connection, wanted: Wanted, between: Sequence[tuple[Instant, Instant]]
) -> Sequence[Sequence[Any]]:
    """Rows of (start, labels, rollups, totals …) in no particular order."""
    texts = texts_of(wanted.labels)
    labels = "labels" if wanted.by_labels else "'[]'"
    whose = (wanted.organization_key, wanted.unit, *texts)
    parameters: tuple[Any, ...]
    if connection.dialect.name == "postgresql":
        sql = _POSTGRES.format(labels=labels, matching=containing(texts, lambda index: f"${index + 5}"))
        parameters = ([start for start, _ in between], [end for _, end in between], *whose)
    else:
        marks = ", ".join(["(?, ?)"] * len(between))
        sql = _SQLITE.format(labels=labels, stretches=marks, matching=containing(texts))
        parameters = (*(edge for pair in between for edge in pair), *whose)
    return connection.exec_driver_sql(sql, parameters).all()
