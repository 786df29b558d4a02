"""Budgets and where they stand."""

from typing import Final

from outlay.v1 import budget_pb2 as pb
from outlay_server.api.to_wire.times import optional_timestamp, timestamp
from outlay_server.domain.alert import alert_basis
from outlay_server.domain.budget import Budget, Enforcement
from outlay_server.domain.cycle import Cycle, Period
from outlay_server.domain.forecast import Forecast
from outlay_server.domain.instant import END_OF_TIME, Instant
from outlay_server.domain.names import BudgetName
from outlay_server.domain.views import BudgetView, etag_of

ENFORCEMENTS: Final = {
    Enforcement.ENFORCE: pb.ENFORCEMENT_ENFORCE,
    Enforcement.SHADOW: pb.ENFORCEMENT_SHADOW,
    Enforcement.FREEZE: pb.ENFORCEMENT_FREEZE,
}
_PERIODS: Final = {
    Period.DAY: pb.PERIOD_DAY,
    Period.WEEK: pb.PERIOD_WEEK,
    Period.MONTH: pb.PERIOD_MONTH,
    Period.QUARTER: pb.PERIOD_QUARTER,
    Period.YEAR: pb.PERIOD_YEAR,
    Period.LIFETIME: pb.PERIOD_LIFETIME,
}


def budget(view: BudgetView) -> pb.Budget:
    """A budget with its spend. An override that has ended is not shown: it is gone."""
    settings = view.budget
    message = pb.Budget(
        name=str(BudgetName(settings.organization_id, settings.budget_id)),
        display_name=settings.display_name,
        unit=settings.unit,
        selector=settings.selector.patterns(),
        budget_micros=settings.budget_micros,
        hard_cap_micros=settings.hard_cap_micros,
        hard_cap_enabled=settings.hard_cap_enabled,
        allotment_micros=settings.allotment_micros,
        alert_thresholds=_thresholds(settings),
        alerts_enabled=settings.alerts_enabled,
        cycle=_cycle(settings.cycle),
        enforcement=ENFORCEMENTS[settings.enforcement],
        cap_override=_override(settings, view.now),
        managed_by=settings.managed_by,
        etag=etag_of(settings.revision),
        create_time=timestamp(settings.create_time),
        update_time=timestamp(settings.update_time),
    )
    message.spend.CopyFrom(spend(view))
    return message


def spend(view: BudgetView) -> pb.BudgetSpend:
    """Where a budget stands in the cycle that runs."""
    counter, limits = view.counter, view.limits
    return pb.BudgetSpend(
        cycle_start=timestamp(counter.window.start),
        cycle_end=optional_timestamp(counter.window.end),
        spent_micros=counter.spent_micros,
        reserved_micros=counter.reserved_micros,
        overrun_micros=counter.overrun_micros(limits),
        available_micros=counter.available_micros(limits),
        percent_used=percent_used(view),
        alerts_sent=sorted({percent for _, percent in counter.alerts_sent}),
        denied_count=counter.denied_count,
        projected_exhaustion_time=optional_timestamp(projected_exhaustion(view)),
        forecast=None if view.forecast is None else forecast(view.forecast),
    )


def forecast(forecast: Forecast) -> pb.Forecast:
    return pb.Forecast(
        projected_spend_micros=forecast.projected_micros,
        low_micros=forecast.low_micros,
        high_micros=forecast.high_micros,
        exhaustion_time=optional_timestamp(forecast.exhaustion),
        day_count=forecast.days,
    )


def percent_used(view: BudgetView) -> float | None:
    """Spend as percent of the soft budget, else of the limit, rounded down to a tenth; None without a base."""
    basis = alert_basis(view.budget, view.now)
    if basis is None or basis[1] == 0:
        return None
    return view.counter.spent_micros * 1_000 // basis[1] / 10


def projected_exhaustion(view: BudgetView) -> Instant | None:
    """When the limit is reached: by the forecast, or else if the spend of the cycle goes on in a straight line.

    None without a limit, without spend, once the limit is reached, and where it lies after the cycle. A cycle without
    end is as old as its budget: its first instant may lie decades back, and would flatten any line.
    """
    if view.forecast is not None:
        return view.forecast.exhaustion
    limit, spent, window = view.limits.limit_micros, view.counter.spent_micros, view.counter.window
    start = window.start if window.end < END_OF_TIME else max(window.start, view.budget.create_time)
    elapsed = view.now - start
    if limit is None or not 0 < spent < limit or elapsed <= 0:
        return None
    reached = start + elapsed * limit // spent
    return None if reached >= window.end else Instant(reached)


def _cycle(cycle: Cycle) -> pb.Cycle:
    return pb.Cycle(period=_PERIODS[cycle.period], anchor=cycle.anchor.isoformat(), time_zone=cycle.time_zone)


def _thresholds(settings: Budget) -> pb.AlertThresholds | None:
    return None if settings.alert_thresholds is None else pb.AlertThresholds(percents=settings.alert_thresholds)


def _override(settings: Budget, now: Instant) -> pb.CapOverride | None:
    override = settings.override_at(now)
    if override is None:
        return None
    return pb.CapOverride(
        hard_cap_micros=override.hard_cap_micros,
        expire_time=optional_timestamp(override.expire_time),
        reason=override.reason,
    )
