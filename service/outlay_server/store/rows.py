"""Rows to domain values and back. Column order is the table's."""

from collections.abc import Sequence
from datetime import date
from typing import Any

from outlay_server.domain import json_text
from outlay_server.domain.alert import Alert
from outlay_server.domain.audit import AuditDraft, AuditEvent
from outlay_server.domain.books import StoredRequest
from outlay_server.domain.budget import AlertBasis, Budget, BudgetCounter, CapOverride, Enforcement
from outlay_server.domain.cycle import Cycle, Period, Window
from outlay_server.domain.event import Event
from outlay_server.domain.gate import Gate
from outlay_server.domain.instant import Instant
from outlay_server.domain.reservation import ExpiryAction, Reservation, ReservationState
from outlay_server.domain.selector import selector_of
from outlay_server.domain.spend import RecordKind, SpendRecord

Row = Sequence[Any]

# The spelling that every JSON column uses.
dump, load = json_text.dump, json_text.load
dump_labels, load_labels = json_text.dump_labels, json_text.load_labels


def load_gates(text: str) -> tuple[Gate, ...]:
    return tuple(Gate(*fields) for fields in load(text))


def dump_gates(gates: Sequence[Gate]) -> str:
    return dump([[gate.gate_id, gate.label, gate.pattern, gate.enabled] for gate in gates])


def budget_from_row(row: Any, organization_id: str) -> Budget:
    """`row` has the columns of `budgets` as attributes."""
    override = None
    if row.override_hard_cap_micros is not None:
        override = CapOverride(
            row.override_hard_cap_micros, Instant(row.override_expire_time), row.override_reason or ""
        )
    thresholds = row.alert_thresholds
    return Budget(
        key=row.key,
        organization_id=organization_id,
        budget_id=row.id,
        unit=row.unit,
        display_name=row.display_name,
        selector=selector_of(load(row.selector)),
        cycle=Cycle(Period(row.cycle_period), date.fromisoformat(row.cycle_anchor), row.cycle_time_zone),
        budget_micros=row.budget_micros,
        hard_cap_micros=row.hard_cap_micros,
        hard_cap_enabled=bool(row.hard_cap_enabled),
        allotment_micros=row.allotment_micros,
        alert_thresholds=None if thresholds is None else tuple(load(thresholds)),
        alerts_enabled=bool(row.alerts_enabled),
        enforcement=Enforcement(row.enforcement),
        cap_override=override,
        managed_by=row.managed_by,
        revision=row.revision,
        create_time=Instant(row.create_time),
        update_time=Instant(row.update_time),
    )


def budget_to_values(budget: Budget, organization_key: int) -> dict[str, Any]:
    """The columns of `budgets` but for the key, which the store gives."""
    override = budget.cap_override
    return {
        "organization_key": organization_key,
        "id": budget.budget_id,
        "unit": budget.unit,
        "display_name": budget.display_name,
        "selector": dump(budget.selector.patterns()),
        "cycle_period": budget.cycle.period.value,
        "cycle_anchor": budget.cycle.anchor.isoformat(),
        "cycle_time_zone": budget.cycle.time_zone,
        "budget_micros": budget.budget_micros,
        "hard_cap_micros": budget.hard_cap_micros,
        "hard_cap_enabled": budget.hard_cap_enabled,
        "allotment_micros": budget.allotment_micros,
        "alert_thresholds": None if budget.alert_thresholds is None else dump(list(budget.alert_thresholds)),
        "alerts_enabled": budget.alerts_enabled,
        "enforcement": budget.enforcement.value,
        "override_hard_cap_micros": override.hard_cap_micros if override else None,
        "override_expire_time": override.expire_time if override else None,
        "override_reason": override.reason if override else None,
        "managed_by": budget.managed_by,
        "revision": budget.revision,
        "create_time": budget.create_time,
        "update_time": budget.update_time,
    }


def counter_from_row(row: Row) -> BudgetCounter:
    _, budget_key, start, end, spent, reserved, opened, denied, alerts_sent, _, cap_reached = row
    return BudgetCounter(
        budget_key=budget_key,
        window=Window(Instant(start), Instant(end)),
        spent_micros=spent,
        reserved_micros=reserved,
        open_reservations=opened,
        denied_count=denied,
        alerts_sent=load_alerts_sent(alerts_sent),
        cap_reached_micros=cap_reached,
    )


def counter_to_row(organization_key: int, counter: BudgetCounter, update_time: Instant) -> Row:
    return (
        organization_key,
        counter.budget_key,
        counter.window.start,
        counter.window.end,
        counter.spent_micros,
        counter.reserved_micros,
        counter.open_reservations,
        counter.denied_count,
        dump_alerts_sent(counter.alerts_sent),
        update_time,
        counter.cap_reached_micros,
    )


def change_to_row(organization_key: int, counter: BudgetCounter, now: Instant) -> Row:
    """The entry of the log of changes for a budget whose settings or spend have changed."""
    return (
        organization_key,
        counter.budget_key,
        counter.window.start,
        counter.window.end,
        counter.spent_micros,
        counter.reserved_micros,
        counter.open_reservations,
        counter.denied_count,
        dump_alerts_sent(counter.alerts_sent),
        now,
        None,
    )


def counter_of_change(change: Any) -> BudgetCounter:
    """Where a budget stood at an entry of the log of changes, from its row by name."""
    return BudgetCounter(
        budget_key=change.budget_key,
        window=Window(Instant(change.cycle_start), Instant(change.cycle_end)),
        spent_micros=change.spent_micros,
        reserved_micros=change.reserved_micros,
        open_reservations=change.open_reservations,
        denied_count=change.denied_count,
        alerts_sent=load_alerts_sent(change.alerts_sent),
    )


def load_alerts_sent(text: str) -> tuple[tuple[AlertBasis, int], ...]:
    if text == "[]":
        return ()
    return tuple((AlertBasis(basis), percent) for basis, percent in load(text))


def dump_alerts_sent(alerts_sent: Sequence[tuple[AlertBasis, int]]) -> str:
    return dump([[basis.value, percent] for basis, percent in alerts_sent]) if alerts_sent else "[]"


def reservation_from_row(row: Row) -> Reservation:
    (key, id_, unit, labels, granted, held, recorded, state, action, created, expires, closed, record_id, request_id,
     api_key_id) = row  # fmt: skip
    return Reservation(
        reservation_id=id_,
        organization_key=key,
        unit=unit,
        labels=load_labels(labels),
        granted_micros=granted,
        held_micros=held,
        recorded_micros=recorded,
        state=ReservationState(state),
        expiry_action=ExpiryAction(action),
        create_time=Instant(created),
        expire_time=Instant(expires),
        close_time=None if closed is None else Instant(closed),
        expiry_record_id=record_id,
        request_id=request_id,
        api_key_id=api_key_id,
    )


def reservation_to_row(reservation: Reservation) -> Row:
    return (
        reservation.organization_key,
        reservation.reservation_id,
        reservation.unit,
        dump_labels(reservation.labels),
        reservation.granted_micros,
        reservation.held_micros,
        reservation.recorded_micros,
        reservation.state._value_,
        reservation.expiry_action._value_,
        reservation.create_time,
        reservation.expire_time,
        reservation.close_time,
        reservation.expiry_record_id,
        reservation.request_id,
        reservation.api_key_id,
    )


def record_from_row(row: Row) -> SpendRecord:
    (key, id_, kind, unit, amount, labels, reservation_id, refunded_id, overrun, late, charged, used, created,
     request_id, api_key_id) = row  # fmt: skip
    return SpendRecord(
        record_id=id_,
        organization_key=key,
        kind=RecordKind(kind),
        unit=unit,
        amount_micros=amount,
        labels=load_labels(labels),
        reservation_id=reservation_id,
        refunded_record_id=refunded_id,
        overrun_micros=overrun,
        late=bool(late),
        charge_time=Instant(charged),
        usage_time=Instant(used),
        create_time=Instant(created),
        request_id=request_id,
        api_key_id=api_key_id,
    )


def record_to_row(record: SpendRecord) -> Row:
    return (
        record.organization_key,
        record.record_id,
        record.kind._value_,
        record.unit,
        record.amount_micros,
        dump_labels(record.labels),
        record.reservation_id,
        record.refunded_record_id,
        record.overrun_micros,
        record.late,
        record.charge_time,
        record.usage_time,
        record.create_time,
        record.request_id,
        record.api_key_id,
    )


def request_from_row(row: Row) -> StoredRequest:
    key, request_id, method, content, answer, created = row
    return StoredRequest(key, request_id, method, content, answer, Instant(created))


def request_to_row(request: StoredRequest) -> Row:
    return (
        request.organization_key,
        request.request_id,
        request.method,
        request.content,
        request.answer,
        request.create_time,
    )


def alert_to_row(alert: Alert, organization_key: int) -> Row:
    return (
        organization_key,
        alert.alert_id,
        alert.budget_key,
        alert.budget_id,
        alert.cycle_start,
        alert.basis.value,
        alert.threshold_percent,
        alert.spent_micros,
        alert.basis_micros,
        alert.create_time,
    )


def alert_from_row(row: Row, organization_id: str) -> Alert:
    _, alert_id, budget_key, budget_id, cycle_start, basis, percent, spent, basis_micros, created = row
    return Alert(
        alert_id=alert_id,
        organization_id=organization_id,
        budget_id=budget_id,
        budget_key=budget_key,
        cycle_start=Instant(cycle_start),
        basis=AlertBasis(basis),
        threshold_percent=percent,
        spent_micros=spent,
        basis_micros=basis_micros,
        create_time=Instant(created),
    )


def event_to_row(event: Event, organization_key: int) -> Row:
    """A new event: its deliveries have not been written."""
    created = event.create_time
    return (organization_key, event.event_id, event.event_type, event.budget_id, event.payload, created, None)


def load_scopes(text: str) -> tuple[str, ...]:
    """The scopes of a key."""
    return tuple(load(text))


def audit_event_to_values(event: AuditEvent, organization_key: int) -> dict[str, Any]:
    """The columns of `audit_events`."""
    draft = event.draft
    return {
        "organization_key": organization_key,
        "sequence": event.sequence,
        "id": draft.event_id,
        "action": draft.action,
        "resource": draft.resource,
        "actor": draft.actor,
        "source": draft.source,
        "request_id": draft.request_id,
        "before": None if draft.before is None else dump(draft.before),
        "after": None if draft.after is None else dump(draft.after),
        "create_time": draft.create_time,
        "previous_hash": event.previous_hash,
        "hash": event.hash,
    }


def audit_event_from_row(row: Any, organization_id: str) -> AuditEvent:
    """`row` has the columns of `audit_events` as attributes."""
    return AuditEvent(
        draft=AuditDraft(
            organization_id=organization_id,
            event_id=row.id,
            action=row.action,
            resource=row.resource,
            actor=row.actor,
            source=row.source,
            request_id=row.request_id,
            before=None if row.before is None else load(row.before),
            after=None if row.after is None else load(row.after),
            create_time=Instant(row.create_time),
        ),
        sequence=row.sequence,
        previous_hash=bytes(row.previous_hash),
        hash=bytes(row.hash),
    )
