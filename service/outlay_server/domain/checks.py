"""The two admissions: a check, and the extension of a reservation."""

from dataclasses import replace

from outlay_server.domain.books import Books, OrganizationState
from outlay_server.domain.commands import (
    CheckMode,
    CheckOutcome,
    CheckSpend,
    CheckWarning,
    ExtendOutcome,
    ExtendReservation,
    WarningType,
)
from outlay_server.domain.decision import Decision, DenialReason, Position, Verdict, decide, retry_time, verdicts
from outlay_server.domain.errors import LimitExceeded, ReservationClosed
from outlay_server.domain.holds import note_reservation, open_reservation
from outlay_server.domain.instant import Instant
from outlay_server.domain.limits import OPEN_RESERVATIONS_PER_BUDGET_MAX
from outlay_server.domain.names import ReservationName
from outlay_server.domain.records import new_record
from outlay_server.domain.reservation import Reservation, ReservationState

_LIMIT_REASONS = (DenialReason.HARD_CAP_REACHED, DenialReason.ALLOTMENT_EXHAUSTED)
"""Denials by what is spent, whoever waits."""

# Members at hand: to ask an enum for one costs more than to compare it.
_CHECK_ONLY, _RECORD, _OPEN = CheckMode.CHECK_ONLY, CheckMode.RECORD, ReservationState.OPEN


def check(books: Books, state: OrganizationState, command: CheckSpend) -> CheckOutcome:
    """Decide, and hold or record what is admitted. A denial leaves nothing but a count of it.

    Raises `LimitExceeded` where a budget holds as many reservations as it can.
    """
    standing = books.standing(state, command.unit, command.labels)
    positions = standing.positions
    decision = decide(command.amount_micros, command.min_amount_micros, standing.closed_gate, positions)
    allowed = decision.reason is None
    asked = decision.granted_micros if allowed else command.amount_micros
    told = verdicts(asked, positions) if command.full_view or not allowed else ()
    if command.mode is _CHECK_ONLY:
        return _answer(books, state, command.amount_micros, decision, positions, told)
    if not allowed:
        _count_denial(books, state, decision)
        return _answer(books, state, command.amount_micros, decision, positions, told)
    books.ensure_countable(positions, decision.granted_micros)
    if command.mode is _RECORD:
        record_id = _record(books, state, command, decision.granted_micros, positions)
        _count_shadow_denials(books, state, decision)
        return _admitted(decision, positions, told, record_id=record_id)
    _ensure_room_for_reservation(positions)
    reservation = _reserve(books, state, command, decision.granted_micros)
    books.move(state, positions, reserved=decision.granted_micros, opened=1)
    _count_shadow_denials(books, state, decision)
    return _admitted(decision, positions, told, reservation=reservation)


def extend(books: Books, state: OrganizationState, command: ExtendReservation) -> ExtendOutcome:
    """Hold more for a reservation, where that is admitted, and let it expire later; neither on a denial.

    Raises `NotFound`, `ReservationClosed`, `LimitExceeded`.
    """
    reservation = open_reservation(books, state, command.reservation_id)
    more = command.additional_micros
    positions = books.positions(state, reservation.unit, reservation.labels, reservation.create_time)
    if more > 0 and any(books.now >= position.counter.window.end for position in positions):
        # More would be admitted against a cycle that is over, past the limits of the one that runs.
        raise ReservationClosed(
            str(ReservationName(state.organization_id, reservation.reservation_id)), "of a cycle that has ended"
        )
    gate = state.matching(reservation.unit, reservation.labels).closed_gate if more > 0 else None
    decision = decide(more, command.min_additional_micros, gate, positions) if more > 0 else Decision(0)
    if not decision.allowed:
        _count_denial(books, state, decision)
        return ExtendOutcome(
            _answer(books, state, more, decision, positions, verdicts(more, positions)), replace(reservation)
        )
    granted = decision.granted_micros
    books.ensure_countable(positions, granted)
    reservation.granted_micros += granted
    reservation.held_micros += granted
    reservation.expire_time = max(reservation.expire_time, Instant(books.now + command.reservation_ttl_micros))
    note_reservation(books, state, reservation)
    books.move(state, positions, reserved=granted)
    _count_shadow_denials(books, state, decision)
    return ExtendOutcome(_admitted(decision, positions, (), reservation=reservation), replace(reservation))


def _record(
    books: Books,
    state: OrganizationState,
    command: CheckSpend,
    granted_micros: int,
    positions: tuple[Position, ...],
) -> str | None:
    """Write what is admitted as spent and return the record's id; None for nothing, which is no entry."""
    if granted_micros == 0:
        return None
    record = new_record(books, state, command, command.unit, granted_micros, command.labels, books.now)
    books.changes.new_records.append(record)
    books.move(state, positions, spent=granted_micros)
    return record.record_id


def _reserve(books: Books, state: OrganizationState, command: CheckSpend, granted_micros: int) -> Reservation:
    reservation = Reservation(
        reservation_id=books.new_id(),
        organization_key=state.key,
        unit=command.unit,
        labels=command.labels,
        granted_micros=granted_micros,
        held_micros=granted_micros,
        recorded_micros=0,
        state=_OPEN,
        expiry_action=command.expiry_action,
        create_time=books.now,
        expire_time=Instant(books.now + command.reservation_ttl_micros),
        close_time=None,
        request_id=command.request_id,
        api_key_id=command.api_key_id,
    )
    books.changes.new_reservations[(state.key, reservation.reservation_id)] = reservation
    return reservation


def _ensure_room_for_reservation(positions: tuple[Position, ...]) -> None:
    for position in positions:
        if position.counter.open_reservations >= OPEN_RESERVATIONS_PER_BUDGET_MAX:
            raise LimitExceeded("open reservations of one budget", OPEN_RESERVATIONS_PER_BUDGET_MAX)


def _count_denial(books: Books, state: OrganizationState, decision: Decision) -> None:
    if decision.binding is not None:
        decision.binding.counter.denied_count += 1
        books.note_counter(state, decision.binding.counter)
        if decision.reason in _LIMIT_REASONS:
            books.note_cap_reached(decision.binding, decision.reason.value)
    _count_shadow_denials(books, state, decision)


def _count_shadow_denials(books: Books, state: OrganizationState, decision: Decision) -> None:
    for position, reason in decision.shadow:
        position.counter.denied_count += 1
        books.note_counter(state, position.counter)
        if reason in _LIMIT_REASONS:
            books.note_cap_reached(position, reason.value)


def _admitted(
    decision: Decision,
    positions: tuple[Position, ...],
    told: tuple[Verdict, ...],
    *,
    reservation: Reservation | None = None,
    record_id: str | None = None,
) -> CheckOutcome:
    """Tell of an admission. Warnings tell of the budgets as they stand afterwards."""
    binding = decision.binding
    return CheckOutcome(
        allowed=True,
        granted_micros=decision.granted_micros,
        affordable_micros=decision.affordable_micros,
        binding_budget_id=None if binding is None else binding.budget.budget_id,
        verdicts=told,
        warnings=_warnings(decision, positions),
        reservation_id=None if reservation is None else reservation.reservation_id,
        expire_time=None if reservation is None else reservation.expire_time,
        record_id=record_id,
    )


def _answer(
    books: Books,
    state: OrganizationState,
    amount_micros: int,
    decision: Decision,
    positions: tuple[Position, ...],
    told: tuple[Verdict, ...],
) -> CheckOutcome:
    """Put a decision that has no effect into the caller's words."""
    if decision.reason is None:
        return _admitted(decision, positions, told)
    binding = decision.binding
    if decision.reason is DenialReason.HELD_BY_RESERVATIONS and binding is not None:
        books.expiries_wanted[(state.key, binding.budget.budget_id)] = (binding.budget, binding.counter.window)
    affordable = decision.affordable_micros
    return CheckOutcome(
        allowed=False,
        granted_micros=0,
        affordable_micros=affordable,
        binding_budget_id=binding.budget.budget_id if binding else None,
        verdicts=told,
        warnings=_warnings(decision, positions),
        reason=decision.reason,
        shortfall_micros=amount_micros - min(affordable or 0, amount_micros),
        retryable=decision.reason is DenialReason.HELD_BY_RESERVATIONS,
        retry_time=retry_time(decision, books.now, None),
        gate_id=decision.gate.gate_id if decision.gate else None,
    )


def _warnings(decision: Decision, positions: tuple[Position, ...]) -> tuple[CheckWarning, ...]:
    found: tuple[CheckWarning, ...] = ()
    for position, reason in decision.shadow:
        found = (*found, CheckWarning(WarningType.SHADOW_DENIAL, position.budget.budget_id, reason))
    if decision.reason is not None:
        return found
    for position in positions:
        soft, counter = position.budget.budget_micros, position.counter
        if soft is not None and counter.spent_micros + counter.reserved_micros > soft:
            found = (*found, CheckWarning(WarningType.SOFT_BUDGET_PASSED, position.budget.budget_id, None))
    return found
