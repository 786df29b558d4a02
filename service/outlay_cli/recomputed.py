"""What `outlay verify` finds: the service's own verification, and the sums of the ledger by unit."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, case, func, select

from outlay_server.domain.spend import RecordKind
from outlay_server.store import tables
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
    records, reservations = tables.spend_records.c, tables.reservations.c
    is_refund = records.kind == RecordKind.REFUND.value
    signed = case((is_refund, -records.amount_micros), else_=records.amount_micros)
    spent_query = select(records.unit, func.sum(signed)).group_by(records.unit)
    held_query = select(reservations.unit, func.sum(reservations.held_micros)).group_by(reservations.unit)
    # PostgreSQL sums integers into decimals, which are whole.
    spent = {unit: int(micros) for unit, micros in connection.execute(spent_query)}
    held = {unit: int(micros) for unit, micros in connection.execute(held_query)}
    return [UnitSums(unit, spent.get(unit, 0), held.get(unit, 0)) for unit in sorted(spent | held)]
