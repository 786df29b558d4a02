"""What may be deleted for its age, and what is still needed however old it is."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from outlay_server.domain.budget import Budget
from outlay_server.domain.cycle import Period, cycle_containing
from outlay_server.domain.instant import MICROS_PER_SECOND, Instant, plus_seconds
from outlay_server.domain.limits import CLOCK_SKEW_MAX_SECONDS


@dataclass(frozen=True, slots=True)
class Horizon:
    """Before which instants the rows of one organization may go."""

    rows: Instant
    """For reservations by the time they closed, for records by their times of charge and of creation."""
    alerts: Instant
    """For alerts by the end of their cycle: no reservation that is left can still be recorded into one before this."""


def horizon_of(
    now: Instant, retention_seconds: int, budgets: Iterable[Budget], oldest_reservation: Instant | None
) -> Horizon:
    """The horizon of an organization with these budgets, whose oldest reservation was created then.

    Nothing of a cycle that runs is beyond it, of whatever budget. A LIFETIME is the exception: it runs for ever, and
    its sums are in the rollups, which stay.
    """
    starts = [
        cycle_containing(now, budget.cycle).start for budget in budgets if budget.cycle.period is not Period.LIFETIME
    ]
    rows = min(plus_seconds(now, -retention_seconds), *starts) if starts else plus_seconds(now, -retention_seconds)
    # Ids sort by the clock of the replica that made them, so the oldest may not be quite the first.
    margin = CLOCK_SKEW_MAX_SECONDS * MICROS_PER_SECOND
    alerts = rows if oldest_reservation is None else min(rows, Instant(oldest_reservation - margin))
    return Horizon(rows, alerts)


def is_alert_done(budgets: Mapping[int, Budget], budget_key: int, cycle_start: Instant, horizon: Horizon) -> bool:
    """Whether the cycle that an alert is of is over for good, so that no counter needs to know that it was sent."""
    budget = budgets.get(budget_key)
    return budget is None or cycle_containing(cycle_start, budget.cycle).end <= horizon.alerts
