"""Apply one command to the books: decide, move counters, note what must be written, answer.

Each function of a command raises an `OutlayError` before it has changed anything, or changes everything that it has to.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from outlay_server.domain.books import Books, OrganizationState
from outlay_server.domain.checks import check, extend
from outlay_server.domain.commands import (
    CheckMode,
    CheckOutcome,
    CheckSpend,
    Command,
    ExtendOutcome,
    ExtendReservation,
    Outcome,
    RecordSpend,
    RefundSpend,
    ReleaseReservation,
    SettleExpired,
)
from outlay_server.domain.decision import DenialReason
from outlay_server.domain.errors import OutlayError
from outlay_server.domain.holds import expire, release
from outlay_server.domain.instant import Instant
from outlay_server.domain.records import record_spend, refund
from outlay_server.domain.replay import remember, replayed
from outlay_server.domain.reservation import ReservationState

_CHECK_ONLY = CheckMode.CHECK_ONLY  # At hand: to ask an enum for a member costs more than to compare it.


def post(books: Books, command: Command) -> Outcome:
    """Apply one command and return its answer, or the first answer again where its request_id has taken effect.

    Raises an `OutlayError` when the command cannot be carried out; nothing has changed then. A denial is an answer.
    """
    state = books.organization(command.organization_id)
    if command.request_id and (state.key, command.request_id) in books.requests:
        return replayed(books, state, command)
    outcome = _apply(books, state, command)
    if _took_effect(command, outcome):
        books.changes.acknowledged = True
        if command.request_id:
            remember(books, state, command, outcome)
    return outcome


def settle_expired(books: Books) -> None:
    """Close every reservation in the books whose time has passed; done before the batch's first command."""
    states = {state.key: state for state in books.organizations.values()}
    for (organization_key, _), reservation in books.reservations.items():
        if reservation.state is ReservationState.OPEN and not reservation.is_open_at(books.now):
            expire(books, states[organization_key], reservation)


def with_retry_times(
    books: Books,
    commands: Sequence[Command],
    outcomes: list[Outcome | OutlayError],
    expiries: Mapping[tuple[int, str], Instant],
) -> None:
    """Complete the denials for what reservations hold with the earliest expiry, by organization key and budget id."""
    if not books.expiries_wanted:
        return
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
            return check(books, state, command)
        case RecordSpend():
            return record_spend(books, state, command)
        case RefundSpend():
            return refund(books, state, command)
        case ReleaseReservation():
            return release(books, state, command)
        case ExtendReservation():
            return extend(books, state, command)
        case SettleExpired():
            return None


def _took_effect(command: Command, outcome: Outcome) -> bool:
    """Whether the answer tells of an effect: what was denied, or only asked, is decided afresh each time."""
    match outcome:
        case CheckOutcome():
            return outcome.allowed and isinstance(command, CheckSpend) and command.mode is not _CHECK_ONLY
        case ExtendOutcome():
            return outcome.check.allowed
        case _:
            return outcome is not None
