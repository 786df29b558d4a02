"""Forecasts of budgets, from their counters and the daily sums of the rollups."""

from dataclasses import replace

from sqlalchemy import Connection

from outlay_server.domain.budget import Budget
from outlay_server.domain.forecast import Course, Forecast, course_of, forecast
from outlay_server.domain.instant import Instant
from outlay_server.domain.views import BudgetView
from outlay_server.store import reads, rollup_reads


def forecast_of(connection: Connection, organization_key: int, budget: Budget, now: Instant) -> Forecast | None:
    """Where the budget's spend goes in the cycle that contains `now`; None where there are too few days to say."""
    (view,) = reads.views_of(connection, organization_key, [budget], now)
    return _forecast(connection, organization_key, view)


def budget_view(connection: Connection, organization_id: str, budget_id: str, now: Instant) -> BudgetView:
    """One budget, its spend and its forecast. Raises `NotFound`."""
    view = reads.budget_view(connection, organization_id, budget_id, now)
    organization_key = reads.organization_row(connection, organization_id).key
    return replace(view, forecast=_forecast(connection, organization_key, view))


def _forecast(connection: Connection, organization_key: int, view: BudgetView) -> Forecast | None:
    course = course_of(view.budget.cycle, view.now)
    if not course.past or view.counter.spent_micros <= 0:
        return None
    daily = _daily_micros(connection, organization_key, view.budget, course)
    return forecast(course, daily, view.counter.spent_micros, view.limits.limit_micros, view.now)


def _daily_micros(connection: Connection, organization_key: int, budget: Budget, course: Course) -> list[int]:
    """What the budget counts of each past day."""
    spent = {day.start: 0 for day in course.past}
    edges = [*spent, course.past[-1].end]
    wanted = rollup_reads.Wanted(organization_key, budget.unit, budget.selector, by_labels=False)
    for stretch in rollup_reads.stretches(connection, wanted, edges):
        spent[stretch.start] = sum(sums.spent_micros for _, sums in stretch.by_labels)
    return list(spent.values())
