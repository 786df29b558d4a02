"""Deleting what is older than the retention: reservations, records, alerts; in small steps, each a transaction.

What a step deletes is added to `pruned_rollups` in the same transaction, so that the books agree after every one of
them. A step is looked for without a lock, and looked for again under the organization's lock before it is taken: what
was refunded or recorded in between is seen.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, Table, delete, select

from outlay_server.domain.budget import Budget
from outlay_server.domain.instant import Instant
from outlay_server.domain.reservation import ReservationState
from outlay_server.domain.retention import Horizon, horizon_of, is_alert_done
from outlay_server.domain.spend import RecordKind, SpendRecord
from outlay_server.store import rollups, rows, statements, tables
from outlay_server.store.connection_driver import ConnectionDriver
from outlay_server.store.contract import ControlTransaction

STEP_ROWS: Final = 200
"""Rows that one step looks at. With their refunds it deletes hardly more: milliseconds of the organization's lock."""

Cursor = tuple[Any, ...]
"""The key of the last row that was looked at; () before the first."""


@dataclass(frozen=True, slots=True)
class Organization:
    """Whose rows are looked at; deleted ones' too."""

    key: int
    organization_id: str


@dataclass(frozen=True, slots=True)
class Step:
    """What one look found to delete, and where the next look begins; None after the last."""

    deletable: Sequence[Any]
    next: Cursor | None


@dataclass(frozen=True, slots=True)
class Stage:
    """One kind of rows."""

    name: str
    look: Callable[[Connection, Organization, Horizon, Cursor], Step]
    delete: Callable[[ControlTransaction, Organization, Sequence[Any]], None]


def organizations_after(connection: Connection, key: int, limit: int) -> list[Organization]:
    """Organizations with keys above `key`, ascending."""
    table = tables.organizations
    query = select(table.c.key, table.c.id).where(table.c.key > key).order_by(table.c.key).limit(limit)
    return [Organization(*row) for row in connection.execute(query)]


def look(
    connection: Connection,
    organization: Organization,
    stage: Stage,
    now: Instant,
    retention_seconds: int,
    after: Cursor,
) -> Step:
    """What of one kind of rows may go, from the cursor on."""
    return stage.look(connection, organization, _horizon(connection, organization, now, retention_seconds), after)


def prune(
    transaction: ControlTransaction, organization: Organization, stage: Stage, retention_seconds: int, after: Cursor
) -> Step:
    """Delete one step's rows; the answer is what was deleted."""
    connection = transaction.connection
    table = tables.organizations
    connection.execute(select(table.c.key).where(table.c.key == organization.key).with_for_update())
    transaction.has_waited()
    step = look(connection, organization, stage, transaction.now, retention_seconds, after)
    if step.deletable:
        stage.delete(transaction, organization, step.deletable)
    return step


def _horizon(connection: Connection, organization: Organization, now: Instant, retention_seconds: int) -> Horizon:
    table = tables.reservations
    oldest = select(table.c.create_time).where(table.c.organization_key == organization.key).order_by(table.c.id)
    return horizon_of(
        now,
        retention_seconds,
        _budgets(connection, organization).values(),
        connection.execute(oldest.limit(1)).scalar(),
    )


def _budgets(connection: Connection, organization: Organization) -> dict[int, Budget]:
    table = tables.budgets
    found = connection.execute(select(table).where(table.c.organization_key == organization.key))
    return {row.key: rows.budget_from_row(row, organization.organization_id) for row in found}


# Reservations: in the order of their ids, which is that of their creation.


def _look_at_reservations(connection: Connection, organization: Organization, horizon: Horizon, after: Cursor) -> Step:
    table = tables.reservations
    query = select(table.c.id, table.c.state, table.c.close_time, table.c.create_time)
    page = _page(connection, query, table, organization, after)
    old = [row for row in page if row.create_time < horizon.rows]
    done = [row.id for row in old if row.state != ReservationState.OPEN.value and row.close_time < horizon.rows]
    return Step(done, (page[-1].id,) if len(old) == STEP_ROWS else None)


def _delete_reservations(transaction: ControlTransaction, organization: Organization, ids: Sequence[str]) -> None:
    _delete_by_id(transaction.connection, tables.reservations, organization, ids)


# Records: by unit, and in each in the order of their time of charge, as their index has them. A refund goes with what
# it refunds, so that nothing is ever refunded twice and no refund stands alone.


def _look_at_records(connection: Connection, organization: Organization, horizon: Horizon, after: Cursor) -> Step:
    if not after:
        first = rollups.unit_after(ConnectionDriver(connection).fetch, organization.key, "")
        return Step((), None) if first is None else _look_at_records(connection, organization, horizon, (first, 0, ""))
    unit, charge_time, record_id = after
    table = tables.spend_records
    query = (
        select(table)
        .where(
            table.c.organization_key == organization.key,
            table.c.unit == unit,
            table.c.charge_time >= charge_time,
            table.c.charge_time < horizon.rows,
            (table.c.charge_time > charge_time) | (table.c.id > record_id),
        )
        .order_by(table.c.charge_time, table.c.id)
        .limit(STEP_ROWS)
    )
    page = [rows.record_from_row(row) for row in connection.execute(query)]
    deletable = _with_their_refunds(connection, organization, page, horizon)
    if len(page) == STEP_ROWS:
        return Step(deletable, (unit, page[-1].charge_time, page[-1].record_id))
    following = rollups.unit_after(ConnectionDriver(connection).fetch, organization.key, unit)
    return Step(deletable, None if following is None else (following, 0, ""))


def _with_their_refunds(
    connection: Connection, organization: Organization, page: Iterable[SpendRecord], horizon: Horizon
) -> list[SpendRecord]:
    """Those of the records that may go, each with all of its refunds."""
    reservations, refunding = tables.reservations, tables.spend_records
    old = [one for one in page if one.kind is not RecordKind.REFUND and one.create_time < horizon.rows]
    # A record of a reservation that is there can still be replaced by a late one, and is part of what was drawn of it.
    named = sorted({one.reservation_id for one in old if one.reservation_id is not None})
    there = select(reservations.c.id).where(
        reservations.c.organization_key == organization.key, reservations.c.id.in_(named)
    )
    kept_reservations = set(connection.execute(there).scalars()) if named else set()
    free = {one.record_id: one for one in old if one.reservation_id not in kept_reservations}
    refunds: dict[str, list[SpendRecord]] = {}
    theirs_query = select(refunding).where(
        refunding.c.organization_key == organization.key, refunding.c.refunded_record_id.in_(list(free))
    )
    for row in connection.execute(theirs_query):
        refund = rows.record_from_row(row)
        refunds.setdefault(refund.refunded_record_id or "", []).append(refund)
    found: list[SpendRecord] = []
    for record_id, record in free.items():
        theirs = refunds.get(record_id, [])
        if all(refund.create_time < horizon.rows for refund in theirs):
            found += [record, *theirs]
    return found


def _delete_records(
    transaction: ControlTransaction, organization: Organization, records: Sequence[SpendRecord]
) -> None:
    ConnectionDriver(transaction.connection).write(statements.ADD_TO_PRUNED, rollups.rows_of(records))
    ids = [record.record_id for record in records]
    _delete_by_id(transaction.connection, tables.spend_records, organization, ids)


# Alerts: in the order of their ids. The counter of such a cycle goes with them: it would still list them. What asks for
# it again has it summed.


def _look_at_alerts(connection: Connection, organization: Organization, horizon: Horizon, after: Cursor) -> Step:
    table = tables.alerts
    query = select(table.c.id, table.c.budget_key, table.c.cycle_start, table.c.create_time)
    page = _page(connection, query, table, organization, after)
    old = [row for row in page if row.create_time < horizon.alerts]
    budgets = _budgets(connection, organization) if old else {}
    done = [row for row in old if is_alert_done(budgets, row.budget_key, row.cycle_start, horizon)]
    return Step(done, (page[-1].id,) if len(old) == STEP_ROWS else None)


def _delete_alerts(transaction: ControlTransaction, organization: Organization, alerts: Sequence[Any]) -> None:
    connection, counters = transaction.connection, tables.counters
    transaction.changed_organizations.add(organization.organization_id)
    _delete_by_id(connection, tables.alerts, organization, [alert.id for alert in alerts])
    for budget_key, cycle_start in {(alert.budget_key, alert.cycle_start) for alert in alerts}:
        connection.execute(
            delete(counters).where(
                counters.c.organization_key == organization.key,
                counters.c.budget_key == budget_key,
                counters.c.cycle_start == cycle_start,
            )
        )


STAGES: Final = (
    Stage("reservations", _look_at_reservations, _delete_reservations),
    Stage("records", _look_at_records, _delete_records),
    Stage("alerts", _look_at_alerts, _delete_alerts),
)
"""In this order: a record goes after its reservation."""


def _page(connection: Connection, query: Any, table: Table, organization: Organization, after: Cursor) -> list[Any]:
    query = query.where(table.c.organization_key == organization.key).order_by(table.c.id).limit(STEP_ROWS)
    return list(connection.execute(query.where(table.c.id > after[0]) if after else query))


def _delete_by_id(connection: Connection, table: Table, organization: Organization, ids: Sequence[str]) -> None:
    # A record may have any number of refunds, and a statement takes only so many parameters.
    for start in range(0, len(ids), STEP_ROWS):
        some = ids[start : start + STEP_ROWS]
        connection.execute(delete(table).where(table.c.organization_key == organization.key, table.c.id.in_(some)))
