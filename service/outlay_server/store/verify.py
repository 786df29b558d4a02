"""Recompute the books from the ledger, and the audit chains, and name the first thing that disagrees."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, func, select

from outlay_server.domain.amounts import MICROS_PER_UNIT
from outlay_server.domain.audit import first_break
from outlay_server.domain.reservation import ReservationState
from outlay_server.domain.rollups import BUCKET_MICROS, Sums
from outlay_server.domain.spend import RecordKind
from outlay_server.store import batch, rollups, rows, statements, tables
from outlay_server.store.connection_driver import ConnectionDriver


@dataclass(frozen=True, slots=True)
class Disagreement:
    """One thing that is not what the ledger says it must be."""

    organization_id: str
    where: str
    """Table and row."""
    found: str
    expected: str


@dataclass(slots=True)
class Verification:
    """What was looked at, and the first disagreement if there is one."""

    organizations: int = 0
    budgets: int = 0
    counters: int = 0
    records: int = 0
    rollups: int = 0
    open_reservations: int = 0
    audit_events: int = 0
    disagreement: Disagreement | None = None


def verify(connection: Connection) -> Verification:
    """Check every organization, deleted ones too, up to the first disagreement. Run it inside one transaction.

    Rollups must equal the sums of the records that are there and of those that were pruned, counters the sums of the
    ledger by its rollups; nothing may be refunded beyond its amount, closed reservations hold nothing, and each audit
    chain must be whole up to the head that its organization's row names.
    """
    report = Verification()
    for organization in connection.execute(select(tables.organizations).order_by(tables.organizations.c.key)):
        report.organizations += 1
        for check in (_rollups, _counters, _refunds, _reservations, _audit):
            report.disagreement = next(check(connection, organization, report), None)
            if report.disagreement is not None:
                return report
    return report


# Each side in the same columns: what is kept is taken off what it must come to, and a sum that is not 0 disagrees.
_RECORDS = f"""
    SELECT unit, charge_time - charge_time % {BUCKET_MICROS} AS bucket, labels, {{records}}
    FROM spend_records WHERE organization_key = ? {{within}}"""
_PRUNED = "SELECT unit, bucket, labels, {sums} FROM pruned_rollups WHERE organization_key = ? {within}"
_KEPT = "SELECT unit, bucket, labels, {sums} FROM spend_rollups WHERE organization_key = ? {within}"
_RECORD_SUMS = f"""
    CASE kind WHEN 'REFUND' THEN 0 ELSE amount_micros / {MICROS_PER_UNIT} END AS recorded_units,
    CASE kind WHEN 'REFUND' THEN 0 ELSE amount_micros % {MICROS_PER_UNIT} END AS recorded_micros,
    CASE kind WHEN 'REFUND' THEN amount_micros / {MICROS_PER_UNIT} ELSE 0 END AS refunded_units,
    CASE kind WHEN 'REFUND' THEN amount_micros % {MICROS_PER_UNIT} ELSE 0 END AS refunded_micros,
    CASE kind WHEN 'REFUND' THEN 0 ELSE 1 END AS record_count"""
_SUMS = ", ".join(statements.ROLLUP_SUMS)
_MINUS_SUMS = ", ".join(f"-{name} AS {name}" for name in statements.ROLLUP_SUMS)
_IS_WRONG = " OR ".join(
    f"SUM({total}_units) * {MICROS_PER_UNIT} + SUM({total}_micros) <> 0" for total in ("recorded", "refunded")
)
_FIRST_WRONG_ROLLUP = (
    "SELECT unit, bucket, labels FROM ("
    + _RECORDS.format(records=_RECORD_SUMS, within="")
    + " UNION ALL "
    + _PRUNED.format(sums=_SUMS, within="")
    + " UNION ALL "
    + _KEPT.format(sums=_MINUS_SUMS, within="")
    + f") AS sides GROUP BY unit, bucket, labels HAVING {_IS_WRONG} OR SUM(record_count) <> 0 "
    "ORDER BY unit, bucket, labels LIMIT 1"
)
_IN_ONE = "AND unit = ? AND bucket = ? AND labels = ?"
_KEPT_IN_ONE = f"SELECT {rollups.TOTALS} FROM spend_rollups WHERE organization_key = ? {_IN_ONE}"
_EXPECTED_IN_ONE = (
    f"SELECT {rollups.TOTALS} FROM ("
    + _RECORDS.format(
        records=_RECORD_SUMS, within="AND unit = ? AND charge_time >= ? AND charge_time < ? AND labels = ?"
    )
    + " UNION ALL "
    + _PRUNED.format(sums=_SUMS, within=_IN_ONE)
    + ") AS sides"
)


def _rollups(connection: Connection, organization: Row[Any], report: Verification) -> Iterator[Disagreement]:
    fetch, key = ConnectionDriver(connection).fetch, organization.key
    of_organization = tables.spend_rollups.c.organization_key == key
    report.rollups += connection.execute(select(func.count()).where(of_organization)).scalar_one()
    for unit, bucket, labels in fetch(_FIRST_WRONG_ROLLUP, key, key, key):
        one = (key, unit, bucket, labels)
        kept = _sums(fetch(_KEPT_IN_ONE, *one))
        records = (key, unit, bucket, bucket + BUCKET_MICROS, labels)
        expected = _sums(fetch(_EXPECTED_IN_ONE, *records, *one))
        for name in ("recorded_micros", "refunded_micros", "record_count"):
            if getattr(kept, name) != getattr(expected, name):
                where = f"spend_rollups: {unit}, quarter of an hour from {bucket}, labels {labels}, {name}"
                yield Disagreement(organization.id, where, str(getattr(kept, name)), str(getattr(expected, name)))


def _sums(found: Sequence[Sequence[Any]]) -> Sums:
    return rollups.sums_from_columns([micros or 0 for micros in found[0]])


def _counters(connection: Connection, organization: Row[Any], report: Verification) -> Iterator[Disagreement]:
    driver = ConnectionDriver(connection)
    table = tables.budgets
    budgets = connection.execute(select(table).where(table.c.organization_key == organization.key)).all()
    by_key = {row.key: rows.budget_from_row(row, organization.id) for row in budgets}
    report.budgets += len(by_key)
    counters = select(tables.counters).where(tables.counters.c.organization_key == organization.key)
    for row in connection.execute(counters.order_by(*tables.counters.primary_key.columns)).all():
        report.counters += 1
        stored = rows.counter_from_row(row)
        budget = by_key.get(stored.budget_key)
        where = f"counters: budget {budget.budget_id if budget else stored.budget_key}, cycle of {stored.window.start}"
        if budget is None:
            yield Disagreement(organization.id, where, "a counter", "none: there is no such budget")
            continue
        summed = batch.summed_counter(driver, organization.key, budget, stored.window)
        for name in ("spent_micros", "reserved_micros", "open_reservations"):
            found, expected = getattr(stored, name), getattr(summed, name)
            if found != expected:
                yield Disagreement(organization.id, f"{where}, {name}", str(found), str(expected))
        if set(stored.alerts_sent) != set(summed.alerts_sent):
            found, expected = _alerts_text(stored.alerts_sent), _alerts_text(summed.alerts_sent)
            yield Disagreement(organization.id, f"{where}, alerts_sent", found, expected)


def _alerts_text(alerts_sent: Any) -> str:
    return " ".join(sorted(f"{basis.value}:{percent}" for basis, percent in alerts_sent)) or "none"


def _refunds(connection: Connection, organization: Row[Any], report: Verification) -> Iterator[Disagreement]:
    refund, record = tables.spend_records.alias("refund"), tables.spend_records.alias("record")
    of_organization = record.c.organization_key == organization.key
    report.records += connection.execute(select(func.count()).select_from(record).where(of_organization)).scalar_one()
    refunded = func.sum(refund.c.amount_micros)
    query = (
        select(refund.c.refunded_record_id, func.max(record.c.amount_micros), refunded)
        .select_from(refund)
        .outerjoin(record, of_organization & (record.c.id == refund.c.refunded_record_id))
        .where(refund.c.organization_key == organization.key, refund.c.kind == RecordKind.REFUND.value)
        .group_by(refund.c.refunded_record_id)
    )
    for record_id, amount, total in connection.execute(query):
        if amount is None or int(total) > amount:
            where = f"spend_records: {record_id}, refunds of it"
            yield Disagreement(organization.id, where, str(total), f"at most {amount if amount is not None else 0}")


def _reservations(connection: Connection, organization: Row[Any], report: Verification) -> Iterator[Disagreement]:
    table, records = tables.reservations, tables.spend_records
    drawn = (
        select(records.c.reservation_id, func.sum(records.c.amount_micros - records.c.overrun_micros))
        .join(
            table, (table.c.organization_key == records.c.organization_key) & (table.c.id == records.c.reservation_id)
        )
        .where(records.c.organization_key == organization.key, table.c.state == ReservationState.OPEN.value)
        .group_by(records.c.reservation_id)
    )
    drawn_micros = {row[0]: int(row[1]) for row in connection.execute(drawn)}
    query = select(table).where(table.c.organization_key == organization.key).order_by(table.c.id)
    for row in connection.execute(query):
        reservation = rows.reservation_from_row(row)
        expected = 0
        if reservation.state is ReservationState.OPEN:
            report.open_reservations += 1
            expected = reservation.granted_micros - drawn_micros.get(reservation.reservation_id, 0)
        if reservation.held_micros != expected:
            where = f"reservations: {reservation.reservation_id}, held_micros"
            yield Disagreement(organization.id, where, str(reservation.held_micros), str(expected))


def _audit(connection: Connection, organization: Row[Any], report: Verification) -> Iterator[Disagreement]:
    table = tables.audit_events
    query = select(table).where(table.c.organization_key == organization.key).order_by(table.c.sequence)
    events = [rows.audit_event_from_row(row, organization.id) for row in connection.execute(query)]
    report.audit_events += len(events)
    broken = first_break(events, head_sequence=organization.audit_sequence, head_hash=bytes(organization.audit_hash))
    if broken is not None:
        yield Disagreement(organization.id, f"audit_events: sequence {broken}", "a broken chain", "a whole one")
