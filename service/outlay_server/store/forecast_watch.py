"""Which budgets are heading past what they may spend, each told once a cycle."""

import json

from sqlalchemy import Connection, Table, select, update
from sqlalchemy.dialects import postgresql, sqlite

from outlay_server.domain.event import EventType, forecast_breached
from outlay_server.domain.forecast import Forecast
from outlay_server.domain.instant import Instant
from outlay_server.domain.views import BudgetView
from outlay_server.domain.webhook import wants
from outlay_server.store import forecasts, reads, rows, statements, tables
from outlay_server.store.connection_driver import ConnectionDriver
from outlay_server.store.contract import ControlTransaction

_JOB = "forecasts"


def begin_run(connection: Connection, now: Instant, pause_micros: int) -> bool:
    """Whether this replica is the one that looks now: nobody has begun to within the pause."""
    table = tables.job_runs
    taken = connection.execute(
        update(table).where(table.c.name == _JOB, table.c.run_time <= now - pause_micros).values(run_time=now)
    )
    if taken.rowcount == 1:
        return True
    return _inserted(connection, tables.job_runs, name=_JOB, run_time=now)


def organizations_that_ask(connection: Connection, after_key: int, limit: int) -> list[tuple[int, str]]:
    """Keys and ids of organizations with an endpoint that wants to hear of forecasts, ascending from above a key."""
    endpoints, organizations = tables.webhook_endpoints, tables.organizations
    query = (
        select(organizations.c.key, organizations.c.id, endpoints.c.event_types)
        .join(endpoints, endpoints.c.organization_key == organizations.c.key)
        .where(organizations.c.key > after_key, organizations.c.delete_time.is_(None), endpoints.c.disabled.is_(False))
        .order_by(organizations.c.key)
    )
    found: dict[int, str] = {}
    for row in connection.execute(query):
        if wants(json.loads(row.event_types), EventType.FORECAST_BREACHED):
            found[row.key] = row.id
        if len(found) == limit:
            break
    return list(found.items())


def breaches(
    connection: Connection, organization_key: int, organization_id: str, now: Instant
) -> list[tuple[BudgetView, Forecast]]:
    """The budgets of an organization that head past a limit or soft budget, and have not been told of in this cycle."""
    table = tables.budgets
    query = select(table).where(table.c.organization_key == organization_key, table.c.alerts_enabled.is_(True))
    budgets = [rows.budget_from_row(row, organization_id) for row in connection.execute(query)]
    bounded = [one for one in budgets if one.budget_micros is not None or one.limits_at(now).limit_micros is not None]
    found = []
    for view in reads.views_of(connection, organization_key, bounded, now):
        if not _is_told(connection, organization_key, view):
            forecast = forecasts.forecast_of(connection, organization_key, view.budget, now)
            if forecast is not None and _is_breach(view, forecast):
                found.append((view, forecast))
    return found


def tell(tx: ControlTransaction, organization_key: int, view: BudgetView, forecast: Forecast) -> bool:
    """Write the event, unless somebody has in this cycle."""
    told = {
        "organization_key": organization_key,
        "budget_key": view.budget.key,
        "cycle_start": view.counter.window.start,
        "create_time": tx.now,
    }
    if not _inserted(tx.connection, tables.forecast_breaches, **told):
        return False
    event = forecast_breached(tx.new_id(), view.budget, view.counter, view.limits, forecast, tx.now)
    ConnectionDriver(tx.connection).write(statements.INSERT_EVENTS, [rows.event_to_row(event, organization_key)])
    return True


def _is_breach(view: BudgetView, forecast: Forecast) -> bool:
    if forecast.exhaustion is not None:
        return True
    soft, projected = view.budget.budget_micros, forecast.projected_micros
    return soft is not None and projected is not None and view.counter.spent_micros <= soft < projected


def _is_told(connection: Connection, organization_key: int, view: BudgetView) -> bool:
    table = tables.forecast_breaches
    query = select(table.c.create_time).where(
        table.c.organization_key == organization_key,
        table.c.budget_key == view.budget.key,
        table.c.cycle_start == view.counter.window.start,
    )
    return connection.execute(query).first() is not None


def _inserted(connection: Connection, table: Table, **values: object) -> bool:
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    return connection.execute(dialect.insert(table).values(**values).on_conflict_do_nothing()).rowcount == 1
