"""Load the books of a batch, and write what it changed: the same steps on every store, over the store's driver."""

from collections.abc import Collection, Iterable, Sequence
from typing import Any, Protocol

from outlay_server.domain.books import Books, Changes, Moment, OrganizationState
from outlay_server.domain.budget import AlertBasis, Budget, BudgetCounter
from outlay_server.domain.commands import (
    CheckSpend,
    Command,
    ExtendReservation,
    RecordSpend,
    RefundSpend,
    ReleaseReservation,
)
from outlay_server.domain.cycle import Window
from outlay_server.domain.instant import Instant
from outlay_server.domain.limits import COUNTER_MICROS_MAX, OPEN_RESERVATIONS_PER_BUDGET_MAX
from outlay_server.domain.names import is_uuid
from outlay_server.domain.reservation import joined_labels
from outlay_server.domain.selector import matches
from outlay_server.store import rollups, rows, statements
from outlay_server.store.statements import Statement

EXPIRIES_LOOKED_AT_FIRST = 100
"""Reservations looked through for the earliest expiry of one budget, before all of them are."""


CHANGES_PRUNED_EVERY = 1_000
"""Entries of one organization's log of changes between two looks for those that may go."""


class Driver(Protocol):
    """An open transaction of one connection."""

    def fetch(self, sql: str, *parameters: object) -> list[Sequence[Any]]:
        """Run one query; parameters are marked `?`."""

    def fetch_by_key(self, statement: Statement, keys: Sequence[Sequence[Any]]) -> list[Sequence[Any]]:
        """Run a lookup for many keys; rows in no particular order."""

    def write(self, statement: Statement, rows: Sequence[Sequence[Any]]) -> None:
        """Run a write for many rows, in their order."""


def load(driver: Driver, books: Books, commands: Sequence[Command]) -> None:
    """Fill the books with all that the commands need. `books.organizations` are there and locked already.

    Where `next_expiry` of an organization is unknown or past, its expired reservations are loaded too.
    """
    keys = {organization_id: state.key for organization_id, state in books.organizations.items()}
    present = [command for command in commands if command.organization_id in keys]
    _load_requests(driver, books, {(keys[c.organization_id], c.request_id) for c in present if c.request_id})
    # Checks name neither reservations nor records, and bring few sets of labels: they are most of a batch.
    asked = {(c.organization_id, c.unit, c.labels) for c in present if type(c) is CheckSpend}
    others = [command for command in present if type(command) is not CheckSpend]
    _load_reservations(driver, books, others)
    _load_records(driver, books, others)
    moments = {Moment(organization_id, unit, labels, books.now) for organization_id, unit, labels in asked}
    for moment in moments | _moments(books, others):
        ensure_counters(driver, books.organizations[moment.organization_id], moment)


def _key(books: Books, command: Command) -> int:
    return books.organizations[command.organization_id].key


def _load_requests(driver: Driver, books: Books, keys: Collection[tuple[int, str]]) -> None:
    if keys:
        for row in driver.fetch_by_key(statements.REQUESTS_BY_ID, list(keys)):
            request = rows.request_from_row(row)
            books.requests[(request.organization_key, request.request_id)] = request


def named_reservation(command: Command) -> str | None:
    """The id of the reservation that a command names; None for none, and for what can be no id of one."""
    if isinstance(command, RecordSpend | ReleaseReservation | ExtendReservation):
        id_ = command.reservation_id
        return id_ if id_ is not None and is_uuid(id_) else None
    return None


def _load_reservations(driver: Driver, books: Books, commands: Iterable[Command]) -> None:
    keys = {(_key(books, c), id_) for c in commands if (id_ := named_reservation(c)) is not None}
    found = driver.fetch_by_key(statements.RESERVATIONS_BY_ID, list(keys)) if keys else []
    for state in books.organizations.values():
        if state.next_expiry is None or state.next_expiry <= books.now:
            found += driver.fetch(statements.EXPIRED_RESERVATIONS, state.key, books.now)
    for row in found:
        reservation = rows.reservation_from_row(row)
        books.reservations.setdefault((reservation.organization_key, reservation.reservation_id), reservation)


def _load_records(driver: Driver, books: Books, commands: Iterable[Command]) -> None:
    """Records that are to be refunded: by a caller, or because a late record replaces what expiry recorded."""
    keys = {
        (_key(books, command), command.record_id)
        for command in commands
        if isinstance(command, RefundSpend) and is_uuid(command.record_id)
    }
    keys.update(
        (organization_key, reservation.expiry_record_id)
        for (organization_key, _), reservation in books.reservations.items()
        if reservation.expiry_record_id is not None
    )
    if not keys:
        return
    for row in driver.fetch_by_key(statements.RECORDS_BY_ID, list(keys)):
        record = rows.record_from_row(row)
        books.records[(record.organization_key, record.record_id)] = record
    for row in driver.fetch_by_key(statements.REFUNDS_BY_RECORD, list(keys)):
        refund = rows.record_from_row(row)
        assert refund.refunded_record_id is not None
        key = (refund.organization_key, refund.refunded_record_id)
        books.refunded_micros[key] = books.refunded_micros.get(key, 0) + refund.amount_micros


def _moments(books: Books, commands: Iterable[Command]) -> set[Moment]:
    """Every instant and set of labels whose counters posting may ask for, but those of checks."""
    found: set[Moment] = set()
    organization_ids = {state.key: id_ for id_, state in books.organizations.items()}
    for command in commands:
        match command:
            case RecordSpend(reservation_id=None):
                instant = min(command.usage_time or books.now, books.now)
                found.add(Moment(command.organization_id, command.unit, command.labels, instant))
            case RecordSpend(reservation_id=str(id_)):
                reservation = books.reservations.get((_key(books, command), id_))
                labels = joined_labels(reservation, command.labels) if reservation else None
                if reservation and labels is not None:
                    found.add(Moment(command.organization_id, reservation.unit, labels, reservation.create_time))
    for (organization_key, _), held in books.reservations.items():
        found.add(Moment(organization_ids[organization_key], held.unit, held.labels, held.create_time))
    for (organization_key, _), record in books.records.items():
        found.add(Moment(organization_ids[organization_key], record.unit, record.labels, record.charge_time))
    return found


def ensure_counters(driver: Driver, state: OrganizationState, moment: Moment) -> None:
    """Load the counters that `moment` needs; what has no row is summed from the ledger."""
    missing = {
        (state.key, budget.key, window.start): (budget, window) for budget, window in state.missing_counters(moment)
    }
    if not missing:
        return
    for row in driver.fetch_by_key(statements.COUNTERS_BY_CYCLE, list(missing)):
        state.add_counter(rows.counter_from_row(row))
        del missing[(row[0], row[1], row[2])]
    for budget, window in missing.values():
        state.add_counter(summed_counter(driver, state.key, budget, window))


def summed_counter(
    driver: Driver, organization_key: int, budget: Budget, window: Window, *, is_one_of_many: bool = False
) -> BudgetCounter:
    """Sum what a budget counts in one cycle from the ledger and its rollups. Denials are not in it and start at 0.

    `is_one_of_many` is for a driver that remembers what it has read: see `rollups.spent_within`.
    """
    counter = BudgetCounter(budget.key, window)
    within = (organization_key, budget.unit, window.start, window.end)
    spent = rollups.spent_within(
        driver.fetch, organization_key, budget.unit, window, budget.selector, is_one_of_many=is_one_of_many
    )
    # More than a counter holds can have been spent while nobody counted it. What it shows then stops at its bound.
    counter.spent_micros = min(spent, COUNTER_MICROS_MAX)
    for labels, held, count in driver.fetch(statements.HELD_BY_LABELS, *within):
        if matches(budget.selector, dict(rows.load_labels(labels))):
            counter.reserved_micros += int(held)
            counter.open_reservations += count
    sent = driver.fetch(statements.ALERTS_SENT, organization_key, budget.key, window.start)
    counter.alerts_sent = tuple((AlertBasis(basis), percent) for basis, percent in sent)
    return counter


def write(driver: Driver, books: Books) -> None:
    """Write the batch's changes; the caller commits."""
    changes: Changes = books.changes
    if changes.new_reservations:
        made = [rows.reservation_to_row(reservation) for reservation in changes.new_reservations.values()]
        driver.write(statements.INSERT_RESERVATIONS, made)
    changed = [
        reservation for key, reservation in changes.changed_reservations.items() if key not in changes.new_reservations
    ]
    if changed:
        driver.write(
            statements.UPDATE_RESERVATIONS,
            [
                (
                    reservation.granted_micros,
                    reservation.held_micros,
                    reservation.recorded_micros,
                    reservation.state.value,
                    reservation.expire_time,
                    reservation.close_time,
                    reservation.expiry_record_id,
                    reservation.organization_key,
                    reservation.reservation_id,
                )
                for reservation in changed
            ],
        )
    if changes.new_records:
        driver.write(statements.INSERT_RECORDS, [rows.record_to_row(record) for record in changes.new_records])
        driver.write(statements.ADD_TO_ROLLUPS, rollups.rows_of(changes.new_records))
    if changes.counters:
        driver.write(
            statements.UPSERT_COUNTERS,
            [rows.counter_to_row(key[0], counter, books.now) for key, counter in changes.counters.items()],
        )
        _log_changes(driver, books)
    if changes.alerts:
        keys = {id_: state.key for id_, state in books.organizations.items()}
        driver.write(
            statements.INSERT_ALERTS,
            [rows.alert_to_row(alert, keys[alert.organization_id]) for alert in changes.alerts],
        )
    if changes.events:
        keys = {id_: state.key for id_, state in books.organizations.items()}
        driver.write(
            statements.INSERT_EVENTS,
            [rows.event_to_row(event, keys[event.organization_id]) for event in changes.events],
        )
    if changes.requests:
        driver.write(statements.INSERT_REQUESTS, [rows.request_to_row(request) for request in changes.requests])


def _log_changes(driver: Driver, books: Books) -> None:
    """Tell watchers where budgets stand. Cycles that are over, or that a late record reaches back to, are not shown."""
    logged = [
        (key[0], counter)
        for key, counter in books.changes.counters.items()
        if counter.window.start <= books.now < counter.window.end
    ]
    if not logged:
        return
    driver.write(
        statements.APPEND_CHANGES,
        [rows.change_to_row(organization_key, counter, books.now) for organization_key, counter in logged],
    )
    states = {state.key: state for state in books.organizations.values()}
    for organization_key, _ in logged:
        state = states[organization_key]
        state.changes_unpruned += 1
        if state.changes_unpruned == CHANGES_PRUNED_EVERY:
            state.changes_unpruned = 0
            driver.write(statements.PRUNE_CHANGES, [(organization_key, organization_key)])


def earliest_expiries(driver: Driver, books: Books) -> dict[tuple[int, str], Instant]:
    """Answer `books.expiries_wanted`, after the batch's own reservations have been written."""
    found = {}
    for (organization_key, budget_id), (budget, window) in books.expiries_wanted.items():
        expiry = _earliest_expiry(driver, organization_key, budget, window)
        if expiry is not None:
            found[(organization_key, budget_id)] = expiry
    return found


def _earliest_expiry(driver: Driver, organization_key: int, budget: Budget, window: Window) -> Instant | None:
    within = (organization_key, budget.unit, window.start, window.end)
    for limit in (EXPIRIES_LOOKED_AT_FIRST, OPEN_RESERVATIONS_PER_BUDGET_MAX * 10):
        found = driver.fetch(statements.OPEN_BY_EXPIRY, *within, limit)
        for labels, expire_time in found:
            if matches(budget.selector, dict(rows.load_labels(labels))):
                return Instant(expire_time)
        if len(found) < limit:
            break
    return None
