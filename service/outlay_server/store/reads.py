"""What readers ask: budgets with their spend, organizations, keys, reservations. Sync, on a read-only connection.

Readers see what is committed. Reservations that have expired and that no decision has met yet are shown as expired here
already, and counted as such.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Row, Select, exists, func, select

from outlay_server.domain.alert import Alert
from outlay_server.domain.budget import Budget, BudgetCounter
from outlay_server.domain.cycle import cycle_containing
from outlay_server.domain.errors import NotFound
from outlay_server.domain.instant import Instant
from outlay_server.domain.names import ApiKeyName, BudgetName, OrganizationName, ReservationName
from outlay_server.domain.reservation import ExpiryAction, Reservation, ReservationState
from outlay_server.domain.selector import matches
from outlay_server.domain.views import BudgetView, KeyView, OrganizationView
from outlay_server.store import batch, rows, statements, tables
from outlay_server.store.connection_driver import ConnectionDriver

COUNTERS_SUMMED_ONE_BY_ONE = 3
"""Counters that are missing at once and that the database sums each by itself; of more, sets of labels are shared."""


def organization_row(connection: Connection, organization_id: str, *, lock: bool = False) -> Row[Any]:
    """The row of an organization that exists; `NotFound` for any other. `lock` keeps others from changing it."""
    query = select(tables.organizations).where(
        tables.organizations.c.id == organization_id, tables.organizations.c.delete_time.is_(None)
    )
    row = connection.execute(query.with_for_update() if lock else query).one_or_none()
    if row is None:
        raise NotFound(str(OrganizationName(organization_id)))
    return row


def organization_view_of(row: Row[Any]) -> OrganizationView:
    """The view of a row of `organizations`."""
    return OrganizationView(
        organization_id=row.id,
        display_name=row.display_name,
        gates=rows.load_gates(row.gates),
        managed_by=row.managed_by,
        revision=row.revision,
        create_time=Instant(row.create_time),
        update_time=Instant(row.update_time),
    )


def organization_view(connection: Connection, organization_id: str) -> OrganizationView:
    """One organization."""
    return organization_view_of(organization_row(connection, organization_id))


def organization_views(connection: Connection, after_id: str, limit: int) -> list[OrganizationView]:
    """Organizations with ids above `after_id`, ascending."""
    table = tables.organizations
    query = select(table).where(table.c.id > after_id, table.c.delete_time.is_(None)).order_by(table.c.id).limit(limit)
    return [organization_view_of(row) for row in connection.execute(query)]


def organizations_with_expired(connection: Connection, now: Instant, limit: int) -> list[str]:
    """Ids of organizations that have reservations to settle because their time has passed."""
    due = exists().where(
        tables.reservations.c.organization_key == tables.organizations.c.key,
        tables.reservations.c.state == ReservationState.OPEN.value,
        tables.reservations.c.expire_time <= now,
    )
    query = select(tables.organizations.c.id).where(tables.organizations.c.delete_time.is_(None), due).limit(limit)
    return list(connection.execute(query).scalars())


# Budgets


def budget_view(connection: Connection, organization_id: str, budget_id: str, now: Instant) -> BudgetView:
    """One budget and its spend."""
    key = organization_row(connection, organization_id).key
    found = connection.execute(_budgets_of(key).where(tables.budgets.c.id == budget_id)).one_or_none()
    if found is None:
        raise NotFound(str(BudgetName(organization_id, budget_id)))
    return views_of(connection, key, [rows.budget_from_row(found, organization_id)], now)[0]


def budget_views(
    connection: Connection, organization_id: str, after_budget_id: str, limit: int, now: Instant
) -> list[BudgetView]:
    """Budgets with ids above `after_budget_id`, ascending, with their spend."""
    key = organization_row(connection, organization_id).key
    query = _budgets_of(key).where(tables.budgets.c.id > after_budget_id).order_by(tables.budgets.c.id).limit(limit)
    budgets = [rows.budget_from_row(row, organization_id) for row in connection.execute(query)]
    return views_of(connection, key, budgets, now)


def _budgets_of(organization_key: int) -> Select[tuple[object, ...]]:
    return select(tables.budgets).where(tables.budgets.c.organization_key == organization_key)


def views_of(
    connection: Connection, organization_key: int, budgets: Sequence[Budget], now: Instant
) -> list[BudgetView]:
    """What each budget counts in the cycle that contains `now`."""
    driver = ConnectionDriver(connection)
    expired = [
        rows.reservation_from_row(row) for row in driver.fetch(statements.EXPIRED_RESERVATIONS, organization_key, now)
    ]
    counters = _counters(driver, organization_key, budgets, now)
    views = []
    for budget in budgets:
        counter = counters[budget.key]
        _discount(budget, counter, expired)
        views.append(BudgetView(budget, counter, budget.limits_at(now), now))
    return views


def stored_counters(
    connection: Connection, organization_key: int, budgets: Sequence[Budget], now: Instant
) -> dict[int, BudgetCounter]:
    """The counters of the cycle that contains `now` as they stand in the store, expired reservations included."""
    return _counters(ConnectionDriver(connection), organization_key, budgets, now)


def open_reservation_count(connection: Connection, organization_key: int, now: Instant) -> int:
    """How many reservations of the organization still hold."""
    table = tables.reservations
    query = select(func.count()).where(
        table.c.organization_key == organization_key,
        table.c.state == ReservationState.OPEN.value,
        table.c.expire_time > now,
    )
    return connection.execute(query).scalar_one()


def _counters(
    driver: ConnectionDriver, organization_key: int, budgets: Sequence[Budget], now: Instant
) -> dict[int, BudgetCounter]:
    windows = {budget.key: cycle_containing(now, budget.cycle) for budget in budgets}
    keys = [(organization_key, budget.key, windows[budget.key].start) for budget in budgets]
    found = {row[1]: rows.counter_from_row(row) for row in driver.fetch_by_key(statements.COUNTERS_BY_CYCLE, keys)}
    missing = [budget for budget in budgets if budget.key not in found]
    once = _ReadOnce(driver)
    once.know_alerts(organization_key, {budget.key: windows[budget.key].start for budget in missing})
    are_many = len(missing) > COUNTERS_SUMMED_ONE_BY_ONE
    for budget in missing:
        window = windows[budget.key]
        found[budget.key] = batch.summed_counter(once, organization_key, budget, window, is_one_of_many=are_many)
    return found


class _ReadOnce:
    """A driver that runs each query once: budgets of one unit and cycle are sums of the same rows."""

    def __init__(self, driver: ConnectionDriver) -> None:
        self._driver = driver
        self._found: dict[tuple[object, ...], list[Sequence[Any]]] = {}
        self.fetch_by_key = driver.fetch_by_key
        self.write = driver.write

    def know_alerts(self, organization_key: int, cycle_starts: Mapping[int, Instant]) -> None:
        """Read the alerts of many budgets, by their keys, in one go."""
        for key, start in cycle_starts.items():
            self._found[(statements.ALERTS_SENT, organization_key, key, start)] = []
        keys = [(organization_key, key, start) for key, start in cycle_starts.items()]
        for _, _, key, _, start, basis, percent, *_ in self._driver.fetch_by_key(statements.ALERTS_BY_CYCLE, keys):
            self._found[(statements.ALERTS_SENT, organization_key, key, start)].append((basis, percent))

    def fetch(self, sql: str, *parameters: object) -> list[Sequence[Any]]:
        question = (sql, *parameters)
        if question not in self._found:
            self._found[question] = self._driver.fetch(sql, *parameters)
        return self._found[question]


def _discount(budget: Budget, counter: BudgetCounter, expired: Sequence[Reservation]) -> None:
    """Count expired reservations as what they will be once a decision meets them."""
    for reservation in expired:
        if (
            reservation.unit == budget.unit
            and counter.window.contains(reservation.create_time)
            and matches(budget.selector, dict(reservation.labels))
        ):
            counter.reserved_micros -= reservation.held_micros
            counter.open_reservations -= 1
            if reservation.expiry_action is ExpiryAction.RECORD:
                counter.spent_micros += reservation.held_micros


# Reservations


def reservation(connection: Connection, organization_id: str, reservation_id: str, now: Instant) -> Reservation:
    """One reservation, in the state that callers see at `now`."""
    key = organization_row(connection, organization_id).key
    table = tables.reservations
    query = select(table).where(table.c.organization_key == key, table.c.id == reservation_id)
    row = connection.execute(query).one_or_none()
    if row is None:
        raise NotFound(str(ReservationName(organization_id, reservation_id)))
    return _as_seen(rows.reservation_from_row(row), now)


def reservations(
    connection: Connection,
    organization_id: str,
    after_id: str,
    limit: int,
    state: ReservationState | None,
    unit: str,
    now: Instant,
) -> list[Reservation]:
    """Reservations, newest first; those after `after_id` ("" for the first page), of a state and unit where given."""
    key = organization_row(connection, organization_id).key
    table = tables.reservations
    query = select(table).where(table.c.organization_key == key).order_by(table.c.id.desc()).limit(limit)
    if after_id:
        query = query.where(table.c.id < after_id)
    if unit:
        query = query.where(table.c.unit == unit)
    is_open, is_past = table.c.state == ReservationState.OPEN.value, table.c.expire_time <= now
    match state:
        case None:
            pass
        case ReservationState.OPEN:
            query = query.where(is_open, ~is_past)
        case ReservationState.EXPIRED:
            query = query.where((table.c.state == state.value) | (is_open & is_past))
        case _:
            query = query.where(table.c.state == state.value)
    return [_as_seen(rows.reservation_from_row(row), now) for row in connection.execute(query)]


def _as_seen(reservation: Reservation, now: Instant) -> Reservation:
    state = reservation.state_at(now)
    if state is not reservation.state:
        reservation.state = state
        reservation.held_micros = 0
        reservation.close_time = reservation.expire_time
    return reservation


# Keys and alerts


def key_view_of(row: Row[Any], organization_id: str) -> KeyView:
    """The view of a row of `api_keys`."""
    return KeyView(
        organization_id=organization_id,
        key_id=row.id,
        display_name=row.display_name,
        scopes=rows.load_scopes(row.scopes),
        last_four=row.last_four,
        create_time=Instant(row.create_time),
        last_used_time=None if row.last_used_time is None else Instant(row.last_used_time),
        expire_time=None if row.expire_time is None else Instant(row.expire_time),
        revoke_time=None if row.revoke_time is None else Instant(row.revoke_time),
    )


def key_row(connection: Connection, organization_key: int, organization_id: str, key_id: str) -> Row[Any]:
    """The row of one key; `NotFound` when the organization has no such key."""
    table = tables.api_keys
    query = select(table).where(table.c.organization_key == organization_key, table.c.id == key_id)
    row = connection.execute(query).one_or_none()
    if row is None:
        raise NotFound(str(ApiKeyName(organization_id, key_id)))
    return row


def key_views(connection: Connection, organization_id: str, after_id: str, limit: int) -> list[KeyView]:
    """Keys, newest first; those after `after_id` ("" for the first page)."""
    key = organization_row(connection, organization_id).key
    table = tables.api_keys
    query = select(table).where(table.c.organization_key == key).order_by(table.c.id.desc()).limit(limit)
    if after_id:
        query = query.where(table.c.id < after_id)
    return [key_view_of(row, organization_id) for row in connection.execute(query)]


def alerts(connection: Connection, organization_id: str, after_id: str, limit: int, budget_id: str) -> list[Alert]:
    """Alerts, newest first; those after `after_id` ("" for the first page), of one budget where `budget_id` says so."""
    key = organization_row(connection, organization_id).key
    table = tables.alerts
    query = select(table).where(table.c.organization_key == key).order_by(table.c.id.desc()).limit(limit)
    if after_id:
        query = query.where(table.c.id < after_id)
    if budget_id:
        query = query.where(table.c.budget_id == budget_id)
    return [rows.alert_from_row(row, organization_id) for row in connection.execute(query)]
