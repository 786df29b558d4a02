"""What is held: giving it back by release, by settlement, and when its time has passed."""

from dataclasses import replace

from outlay_server.domain.books import Books, OrganizationState
from outlay_server.domain.commands import ReleaseReservation, ReservationOutcome
from outlay_server.domain.errors import NotFound, ReservationClosed
from outlay_server.domain.event import reservation_expired
from outlay_server.domain.names import ReservationName
from outlay_server.domain.reservation import ExpiryAction, Reservation, ReservationState
from outlay_server.domain.spend import RecordKind, SpendRecord


def release(books: Books, state: OrganizationState, command: ReleaseReservation) -> ReservationOutcome:
    """Give back all that is still held. Raises `NotFound`, `ReservationClosed`."""
    reservation = open_reservation(books, state, command.reservation_id)
    give_back(books, state, reservation, reservation.held_micros, ReservationState.RELEASED)
    return ReservationOutcome(replace(reservation))


def expire(books: Books, state: OrganizationState, reservation: Reservation) -> None:
    """Close an expired reservation, by release or by recording what it held; in its own cycle, as of its own time."""
    held = reservation.held_micros
    give_back(books, state, reservation, held, ReservationState.EXPIRED)
    reservation.close_time = reservation.expire_time
    if held > 0:
        _note_expired(books, state, reservation, held)
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


def _note_expired(books: Books, state: OrganizationState, reservation: Reservation, held_micros: int) -> None:
    budgets = state.matching(reservation.unit, reservation.labels).budgets
    ids = [budget.budget_id for budget in budgets]
    books.changes.events.append(
        reservation_expired(books.new_id(), state.organization_id, reservation, held_micros, ids, books.now)
    )


def give_back(
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
    note_reservation(books, state, reservation)


def note_reservation(books: Books, state: OrganizationState, reservation: Reservation) -> None:
    """Have the reservation written."""
    books.changes.changed_reservations[(state.key, reservation.reservation_id)] = reservation


def named_reservation(books: Books, state: OrganizationState, reservation_id: str) -> Reservation:
    """The reservation that a command names, in whatever state; `NotFound` when there is none."""
    reservation = books.reservations.get((state.key, reservation_id))
    if reservation is None:
        raise NotFound(str(ReservationName(state.organization_id, reservation_id)))
    return reservation


def open_reservation(books: Books, state: OrganizationState, reservation_id: str) -> Reservation:
    """The reservation that a command names; `ReservationClosed` when it holds nothing any more."""
    reservation = named_reservation(books, state, reservation_id)
    if reservation.state is not ReservationState.OPEN:
        raise closed_error(state, reservation)
    return reservation


def closed_error(state: OrganizationState, reservation: Reservation) -> ReservationClosed:
    """What a caller is told who came too late."""
    name = str(ReservationName(state.organization_id, reservation.reservation_id))
    return ReservationClosed(name, reservation.state.value)
