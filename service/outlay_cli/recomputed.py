"""What `outlay verify` finds: the service's own verification, and the sums of the ledger by unit."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, func, select

from outlay_server.store import statements, tables
from outlay_server.store.rollups import sums_from_columns
from outlay_server.store.verify import Verification, verify


@dataclass(frozen=True, slots=True)
class UnitSums:
    """All that was ever recorded of one unit less refunds, and what is held, over every organization."""

    unit: str
    spent_micros: int
    held_micros: int


@dataclass(frozen=True, slots=True)
class Recomputed:
    """One verification."""

    books: Verification
    units: Sequence[UnitSums]
    """By unit; empty where the books disagree."""


def recompute(connection: Connection) -> Recomputed:
    """Verify everything over one connection, inside one transaction."""
    books = verify(connection)
    return Recomputed(books, _sums(connection) if books.disagreement is None else ())


def _sums(connection: Connection) -> list[UnitSums]:
    kept, reservations = tables.spend_rollups.c, tables.reservations.c
    # The rollups, which were just held against the records: they know of those that retention has deleted, too.
    totals = [kept[name] for name in statements.ROLLUP_SUMS]
    spent_query = select(kept.unit, *map(func.sum, totals)).group_by(kept.unit)
    held_query = select(reservations.unit, func.sum(reservations.held_micros)).group_by(reservations.unit)
    spent = {unit: sums_from_columns(columns).spent_micros for unit, *columns in connection.execute(spent_query)}
    # PostgreSQL sums integers into decimals, which are whole.
    held = {unit: int(micros) for unit, micros in connection.execute(held_query)}
    return [UnitSums(unit, spent.get(unit, 0), held.get(unit, 0)) for unit in sorted(spent | held)]
