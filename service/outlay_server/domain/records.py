"""Entries of spend: against a reservation, without one, and refunds."""

from dataclasses import replace

from outlay_server.domain.books import Books, OrganizationState
from outlay_server.domain.commands import CheckSpend, RecordOutcome, RecordSpend, RefundSpend
from outlay_server.domain.errors import NotFound, ValidationFailed, Violation
from outlay_server.domain.holds import closed_error, give_back, named_reservation, note_reservation
from outlay_server.domain.instant import MICROS_PER_SECOND, Instant
from outlay_server.domain.limits import CLOCK_SKEW_MAX_SECONDS, USAGE_TIME_MAX_AGE_SECONDS
from outlay_server.domain.names import SpendRecordName
from outlay_server.domain.reservation import Reservation, ReservationState, joined_labels
from outlay_server.domain.selector import CanonicalLabels
from outlay_server.domain.spend import RecordKind, SpendRecord


def record_spend(books: Books, state: OrganizationState, command: RecordSpend) -> RecordOutcome:
    """Record what was spent. Never refused for lack of budget: the money is gone.

    Raises `NotFound` and `ReservationClosed` (settled already) for the reservation, `ValidationFailed`.
    """
    if command.reservation_id is not None:
        return _settle(books, state, command, command.reservation_id)
    charge_time = _charge_time(books.now, command.usage_time)
    positions = books.positions(state, command.unit, command.labels, charge_time)
    books.ensure_countable(positions, command.amount_micros)
    record = new_record(books, state, command, command.unit, command.amount_micros, command.labels, charge_time)
    record = replace(record, usage_time=command.usage_time or books.now)
    books.changes.new_records.append(record)
    books.move(state, positions, spent=command.amount_micros)
    return RecordOutcome(record)


def _settle(books: Books, state: OrganizationState, command: RecordSpend, reservation_id: str) -> RecordOutcome:
    """Record against a reservation: into the cycle it was admitted in, in full, whenever it arrives."""
    reservation = named_reservation(books, state, reservation_id)
    if reservation.state is ReservationState.SETTLED:
        raise closed_error(state, reservation)
    if command.unit and command.unit != reservation.unit:
        raise ValidationFailed([Violation("unit", f"must be the reservation's, {reservation.unit}, or be left out")])
    labels = joined_labels(reservation, command.labels)
    if labels is None:
        raise ValidationFailed([Violation("labels", "must not change a label of the reservation")])
    _charge_time(books.now, command.usage_time)
    charged = books.positions(state, reservation.unit, labels, reservation.create_time)
    books.ensure_countable(charged, command.amount_micros)

    is_late = reservation.state is not ReservationState.OPEN
    left = max(0, reservation.granted_micros - reservation.recorded_micros) if is_late else reservation.held_micros
    record = replace(
        new_record(books, state, command, reservation.unit, command.amount_micros, labels, reservation.create_time),
        reservation_id=reservation_id,
        overrun_micros=max(0, command.amount_micros - left),
        late=is_late,
        usage_time=command.usage_time or books.now,
    )
    if is_late:
        _replace_expiry_record(books, state, reservation, command)
    else:
        drawn = min(command.amount_micros, reservation.held_micros) if command.keep_open else reservation.held_micros
        give_back(books, state, reservation, drawn, None if command.keep_open else ReservationState.SETTLED)
    reservation.recorded_micros += command.amount_micros
    note_reservation(books, state, reservation)
    books.changes.new_records.append(record)
    books.move(state, charged, spent=command.amount_micros)
    return RecordOutcome(record)


def _replace_expiry_record(
    books: Books, state: OrganizationState, reservation: Reservation, command: RecordSpend
) -> None:
    """Refund what expiry recorded by itself, as far as the late record now says it: nothing is counted twice."""
    if reservation.expiry_record_id is None:
        return
    automatic = books.records[(state.key, reservation.expiry_record_id)]
    left = automatic.amount_micros - books.refunded_micros.get((state.key, automatic.record_id), 0)
    replaced = min(command.amount_micros, left)
    if replaced > 0:
        _credit_back(books, state, automatic, replaced, command.request_id, command.api_key_id)


def _charge_time(now: Instant, usage_time: Instant | None) -> Instant:
    if usage_time is None:
        return now
    if usage_time < now - USAGE_TIME_MAX_AGE_SECONDS * MICROS_PER_SECOND:
        days = USAGE_TIME_MAX_AGE_SECONDS // 86_400
        raise ValidationFailed([Violation("usage_time", f"must not be more than {days} days in the past")])
    if usage_time > now + CLOCK_SKEW_MAX_SECONDS * MICROS_PER_SECOND:
        raise ValidationFailed([Violation("usage_time", "must not be in the future")])
    return min(usage_time, now)


def new_record(
    books: Books,
    state: OrganizationState,
    command: CheckSpend | RecordSpend,
    unit: str,
    amount_micros: int,
    labels: CanonicalLabels,
    charge_time: Instant,
) -> SpendRecord:
    """An entry of this moment that names no reservation."""
    return SpendRecord(
        record_id=books.new_id(),
        organization_key=state.key,
        kind=RecordKind.SPEND,
        unit=unit,
        amount_micros=amount_micros,
        labels=labels,
        reservation_id=None,
        refunded_record_id=None,
        overrun_micros=0,
        late=False,
        charge_time=charge_time,
        usage_time=books.now,
        create_time=books.now,
        request_id=command.request_id,
        api_key_id=command.api_key_id,
    )


def refund(books: Books, state: OrganizationState, command: RefundSpend) -> RecordOutcome:
    """Credit back part of a record, into that record's cycle. Raises `NotFound`, `ValidationFailed`."""
    record = books.records.get((state.key, command.record_id))
    if record is None:
        raise NotFound(str(SpendRecordName(state.organization_id, command.record_id)))
    if record.kind is RecordKind.REFUND:
        raise ValidationFailed([Violation("spend_record", "must not be a refund itself")])
    left = record.amount_micros - books.refunded_micros.get((state.key, record.record_id), 0)
    amount = left if command.amount_micros is None else command.amount_micros
    if left == 0:
        raise ValidationFailed([Violation("spend_record", "has been refunded in full")])
    if amount > left:
        raise ValidationFailed([Violation("amount_micros", f"must be at most {left}, what is left of the record")])
    return RecordOutcome(_credit_back(books, state, record, amount, command.request_id, command.api_key_id))


def _credit_back(
    books: Books, state: OrganizationState, record: SpendRecord, amount_micros: int, request_id: str, api_key_id: str
) -> SpendRecord:
    refund = replace(
        record,
        record_id=books.new_id(),
        kind=RecordKind.REFUND,
        amount_micros=amount_micros,
        refunded_record_id=record.record_id,
        overrun_micros=0,
        late=False,
        usage_time=books.now,
        create_time=books.now,
        request_id=request_id,
        api_key_id=api_key_id,
    )
    key = (state.key, record.record_id)
    books.refunded_micros[key] = books.refunded_micros.get(key, 0) + amount_micros
    books.changes.new_records.append(refund)
    positions = books.positions(state, record.unit, record.labels, record.charge_time)
    books.move(state, positions, spent=-amount_micros)
    return refund
