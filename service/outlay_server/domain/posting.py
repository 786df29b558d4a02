"""Apply one command to the books: decide, move counters, note what must be written, answer.

Each function raises an `OutlayError` before it has changed anything, or changes everything that it has to.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from outlay_server.domain.books import Books, OrganizationState
from outlay_server.domain.commands import (
    CheckMode,
    CheckOutcome,
    CheckSpend,
    CheckWarning,
    Command,
    ExtendOutcome,
    ExtendReservation,
    Outcome,
    RecordOutcome,
    RecordSpend,
    RefundSpend,
    ReleaseReservation,
    ReservationOutcome,
    SettleExpired,
    WarningType,
)
from outlay_server.domain.decision import Decision, DenialReason, Position, Verdict, decide, retry_time, verdicts
from outlay_server.domain.errors import (
    LimitExceeded,
    NotFound,
    OutlayError,
    ReservationClosed,
    ValidationFailed,
    Violation,
)
from outlay_server.domain.instant import MICROS_PER_SECOND, Instant
from outlay_server.domain.limits import (
    CLOCK_SKEW_MAX_SECONDS,
    OPEN_RESERVATIONS_PER_BUDGET_MAX,
    USAGE_TIME_MAX_AGE_SECONDS,
)
from outlay_server.domain.names import ReservationName, SpendRecordName
from outlay_server.domain.replay import remember, replayed
from outlay_server.domain.reservation import ExpiryAction, Reservation, ReservationState, joined_labels
from outlay_server.domain.selector import CanonicalLabels
from outlay_server.domain.spend import RecordKind, SpendRecord


def post(books: Books, command: Command) -> Outcome:
    """Apply one command and return its answer, or the first answer again where its request_id has taken effect.

    Raises an `OutlayError` when the command cannot be carried out; nothing has changed then. A denial is an answer.
    """
    state = books.organization(command.organization_id)
    if command.request_id:
        earlier = replayed(books, state, command)
        if earlier is not None:
            return earlier
    outcome = _apply(books, state, command)
    if command.request_id and _took_effect(command, outcome):
        remember(books, state, command, outcome)
    return outcome


def settle_expired(books: Books) -> None:
    """Close every reservation in the books whose time has passed; done before the batch's first command."""
    states = {state.key: state for state in books.organizations.values()}
    for (organization_key, _), reservation in books.reservations.items():
        if reservation.state is ReservationState.OPEN and not reservation.is_open_at(books.now):
            _expire(books, states[organization_key], reservation)


def with_retry_times(
    books: Books,
    commands: Sequence[Command],
    outcomes: list[Outcome | OutlayError],
    expiries: Mapping[tuple[int, str], Instant],
) -> None:
    """Complete the denials for what reservations hold with the earliest expiry, by organization key and budget id."""
    for index, outcome in enumerate(outcomes):
        check = outcome.check if isinstance(outcome, ExtendOutcome) else outcome
        if not isinstance(check, CheckOutcome) or check.reason is not DenialReason.HELD_BY_RESERVATIONS:
            continue
        key = books.organizations[commands[index].organization_id].key
        check = replace(check, retry_time=expiries.get((key, check.binding_budget_id or "")))
        outcomes[index] = replace(outcome, check=check) if isinstance(outcome, ExtendOutcome) else check


def _apply(books: Books, state: OrganizationState, command: Command) -> Outcome:
    match command:
        case CheckSpend():
            return _check(books, state, command)
        case RecordSpend():
            return _record(books, state, command)
        case RefundSpend():
            return _refund(books, state, command)
        case ReleaseReservation():
            return _release(books, state, command)
        case ExtendReservation():
            return _extend(books, state, command)
        case SettleExpired():
            return None


def _took_effect(command: Command, outcome: Outcome) -> bool:
    """Whether there is an answer to remember: what was denied, or only asked, is decided afresh each time."""
    match outcome:
        case CheckOutcome():
            return outcome.allowed and isinstance(command, CheckSpend) and command.mode is not CheckMode.CHECK_ONLY
        case ExtendOutcome():
            return outcome.check.allowed
        case _:
            return outcome is not None


# Checks


def _check(books: Books, state: OrganizationState, command: CheckSpend) -> CheckOutcome:
    positions = books.positions(state, command.unit, command.labels, books.now)
    gate = state.matching(command.unit, command.labels).closed_gate
    decision = decide(command.amount_micros, command.min_amount_micros, gate, positions)
    asked = decision.granted_micros if decision.allowed else command.amount_micros
    told = verdicts(asked, positions) if command.full_view or not decision.allowed else ()
    if command.mode is CheckMode.CHECK_ONLY:
        return _answer(books, state, command.amount_micros, decision, positions, told)
    if not decision.allowed:
        _count_denial(books, state, decision)
        return _answer(books, state, command.amount_micros, decision, positions, told)
    granted = decision.granted_micros
    books.ensure_countable(positions, granted)
    if command.mode is CheckMode.RECORD:
        record_id = None
        if granted > 0:
            record = _spend(books, state, command, command.unit, granted, command.labels, books.now)
            books.changes.new_records.append(record)
            books.move(state, positions, spent=granted)
            record_id = record.record_id
        _count_shadow_denials(books, state, decision)
        return _answer(books, state, command.amount_micros, decision, positions, told, record_id=record_id)
    _ensure_room_for_reservation(positions)
    reservation = _reserve(books, state, command, granted)
    books.move(state, positions, reserved=granted, opened=1)
    _count_shadow_denials(books, state, decision)
    return _answer(books, state, command.amount_micros, decision, positions, told, reservation=reservation)


def _reserve(books: Books, state: OrganizationState, command: CheckSpend, granted_micros: int) -> Reservation:
    reservation = Reservation(
        reservation_id=books.new_id(),
        organization_key=state.key,
        unit=command.unit,
        labels=command.labels,
        granted_micros=granted_micros,
        held_micros=granted_micros,
        recorded_micros=0,
        state=ReservationState.OPEN,
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
    _count_shadow_denials(books, state, decision)


def _count_shadow_denials(books: Books, state: OrganizationState, decision: Decision) -> None:
    for position, _ in decision.shadow:
        position.counter.denied_count += 1
        books.note_counter(state, position.counter)


def _answer(
    books: Books,
    state: OrganizationState,
    amount_micros: int,
    decision: Decision,
    positions: tuple[Position, ...],
    told: tuple[Verdict, ...],
    *,
    reservation: Reservation | None = None,
    record_id: str | None = None,
) -> CheckOutcome:
    """Put a decision into the caller's words. Warnings tell of the budgets as they stand afterwards."""
    binding = decision.binding
    if decision.reason is DenialReason.HELD_BY_RESERVATIONS and binding is not None:
        books.expiries_wanted[(state.key, binding.budget.budget_id)] = (binding.budget, binding.counter.window)
    affordable = decision.affordable_micros
    short = 0 if decision.allowed else amount_micros - min(affordable or 0, amount_micros)
    return CheckOutcome(
        allowed=decision.allowed,
        reason=decision.reason,
        granted_micros=decision.granted_micros,
        reservation_id=reservation.reservation_id if reservation else None,
        record_id=record_id,
        expire_time=reservation.expire_time if reservation else None,
        binding_budget_id=binding.budget.budget_id if binding else None,
        shortfall_micros=short,
        affordable_micros=affordable,
        retryable=decision.reason is DenialReason.HELD_BY_RESERVATIONS,
        retry_time=None if decision.allowed else retry_time(decision, books.now, None),
        gate_id=decision.gate.gate_id if decision.gate else None,
        verdicts=told,
        warnings=_warnings(decision, positions),
    )


def _warnings(decision: Decision, positions: tuple[Position, ...]) -> tuple[CheckWarning, ...]:
    found = [
        CheckWarning(WarningType.SHADOW_DENIAL, position.budget.budget_id, reason)
        for position, reason in decision.shadow
    ]
    if decision.allowed:
        for position in positions:
            soft, counter = position.budget.budget_micros, position.counter
            if soft is not None and counter.spent_micros + counter.reserved_micros > soft:
                found.append(CheckWarning(WarningType.SOFT_BUDGET_PASSED, position.budget.budget_id, None))
    return tuple(found)


# Records


def _record(books: Books, state: OrganizationState, command: RecordSpend) -> RecordOutcome:
    if command.reservation_id is not None:
        return _settle(books, state, command, command.reservation_id)
    charge_time = _charge_time(books.now, command.usage_time)
    positions = books.positions(state, command.unit, command.labels, charge_time)
    books.ensure_countable(positions, command.amount_micros)
    record = _spend(books, state, command, command.unit, command.amount_micros, command.labels, charge_time)
    record = replace(record, usage_time=command.usage_time or books.now)
    books.changes.new_records.append(record)
    books.move(state, positions, spent=command.amount_micros)
    return RecordOutcome(record)


def _settle(books: Books, state: OrganizationState, command: RecordSpend, reservation_id: str) -> RecordOutcome:
    """Record against a reservation: into the cycle it was admitted in, in full, whenever it arrives."""
    reservation = _reservation(books, state, reservation_id)
    if reservation.state is ReservationState.SETTLED:
        raise _closed(state, reservation)
    if command.unit and command.unit != reservation.unit:
        raise ValidationFailed([Violation("unit", f"must be the reservation's, {reservation.unit}, or be left out")])
    labels = joined_labels(reservation, command.labels)
    if labels is None:
        raise ValidationFailed([Violation("labels", "must not change a label of the reservation")])
    _charge_time(books.now, command.usage_time)
    charged = books.positions(state, reservation.unit, labels, reservation.create_time)
    books.ensure_countable(charged, command.amount_micros)

    unspent = max(0, reservation.granted_micros - reservation.recorded_micros)
    is_late = reservation.state is not ReservationState.OPEN
    record = replace(
        _spend(books, state, command, reservation.unit, command.amount_micros, labels, reservation.create_time),
        reservation_id=reservation_id,
        overrun_micros=max(0, command.amount_micros - unspent),
        late=is_late,
        usage_time=command.usage_time or books.now,
    )
    if is_late:
        _replace_expiry_record(books, state, reservation, command)
    else:
        drawn = min(command.amount_micros, reservation.held_micros) if command.keep_open else reservation.held_micros
        _give_back(books, state, reservation, drawn, None if command.keep_open else ReservationState.SETTLED)
    reservation.recorded_micros += command.amount_micros
    _note_reservation(books, state, reservation)
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


def _spend(
    books: Books,
    state: OrganizationState,
    command: CheckSpend | RecordSpend,
    unit: str,
    amount_micros: int,
    labels: CanonicalLabels,
    charge_time: Instant,
) -> SpendRecord:
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


# Refunds


def _refund(books: Books, state: OrganizationState, command: RefundSpend) -> RecordOutcome:
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


# Reservations


def _release(books: Books, state: OrganizationState, command: ReleaseReservation) -> ReservationOutcome:
    reservation = _open_reservation(books, state, command.reservation_id)
    _give_back(books, state, reservation, reservation.held_micros, ReservationState.RELEASED)
    return ReservationOutcome(replace(reservation))


def _extend(books: Books, state: OrganizationState, command: ExtendReservation) -> ExtendOutcome:
    reservation = _open_reservation(books, state, command.reservation_id)
    more = command.additional_micros
    positions = books.positions(state, reservation.unit, reservation.labels, reservation.create_time)
    if more > 0 and any(books.now >= position.counter.window.end for position in positions):
        # More would be admitted against a cycle that is over, past the limits of the one that runs.
        raise ReservationClosed(
            str(ReservationName(state.organization_id, reservation.reservation_id)), "of a cycle that has ended"
        )
    gate = state.matching(reservation.unit, reservation.labels).closed_gate if more > 0 else None
    decision = decide(more, None, gate, positions) if more > 0 else Decision(0)
    if not decision.allowed:
        _count_denial(books, state, decision)
        return ExtendOutcome(
            _answer(books, state, more, decision, positions, verdicts(more, positions)), replace(reservation)
        )
    books.ensure_countable(positions, more)
    reservation.granted_micros += more
    reservation.held_micros += more
    reservation.expire_time = max(reservation.expire_time, Instant(books.now + command.reservation_ttl_micros))
    _note_reservation(books, state, reservation)
    books.move(state, positions, reserved=more)
    _count_shadow_denials(books, state, decision)
    answer = _answer(books, state, more, decision, positions, (), reservation=reservation)
    return ExtendOutcome(answer, replace(reservation))


def _expire(books: Books, state: OrganizationState, reservation: Reservation) -> None:
    """Close an expired reservation, by release or by recording what it held; in its own cycle, as of its own time."""
    held = reservation.held_micros
    _give_back(books, state, reservation, held, ReservationState.EXPIRED)
    reservation.close_time = reservation.expire_time
    if reservation.expiry_action is not ExpiryAction.RECORD or held == 0:
        return
    record = SpendRecord(
        record_id=books.new_id(),
        organization_key=state.key,
        kind=RecordKind.EXPIRY,
        unit=reservation.unit,
        amount_micros=held,
        labels=reservation.labels,
        reservation_id=reservation.reservation_id,
        refunded_record_id=None,
        overrun_micros=0,
        late=False,
        charge_time=reservation.create_time,
        usage_time=reservation.expire_time,
        create_time=books.now,
        request_id="",
        api_key_id=reservation.api_key_id,
    )
    reservation.expiry_record_id = record.record_id
    books.records[(state.key, record.record_id)] = record
    books.changes.new_records.append(record)
    positions = books.positions(state, reservation.unit, reservation.labels, reservation.create_time)
    books.move(state, positions, spent=held)


def _give_back(
    books: Books,
    state: OrganizationState,
    reservation: Reservation,
    amount_micros: int,
    closed_as: ReservationState | None,
) -> None:
    """Hold `amount_micros` less, and close the reservation where `closed_as` says as what."""
    positions = books.positions(state, reservation.unit, reservation.labels, reservation.create_time)
    reservation.held_micros -= amount_micros
    if closed_as is not None:
        assert reservation.held_micros == 0, "a closed reservation holds nothing"
        reservation.state = closed_as
        reservation.close_time = books.now
    books.move(state, positions, reserved=-amount_micros, opened=0 if closed_as is None else -1)
    _note_reservation(books, state, reservation)


def _note_reservation(books: Books, state: OrganizationState, reservation: Reservation) -> None:
    books.changes.changed_reservations[(state.key, reservation.reservation_id)] = reservation


def _reservation(books: Books, state: OrganizationState, reservation_id: str) -> Reservation:
    reservation = books.reservations.get((state.key, reservation_id))
    if reservation is None:
        raise NotFound(str(ReservationName(state.organization_id, reservation_id)))
    return reservation


def _open_reservation(books: Books, state: OrganizationState, reservation_id: str) -> Reservation:
    reservation = _reservation(books, state, reservation_id)
    if reservation.state is not ReservationState.OPEN:
        raise _closed(state, reservation)
    return reservation


def _closed(state: OrganizationState, reservation: Reservation) -> ReservationClosed:
    name = str(ReservationName(state.organization_id, reservation.reservation_id))
    return ReservationClosed(name, reservation.state.value)
