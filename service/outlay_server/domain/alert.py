"""Which alert thresholds a budget's spend has crossed and not yet alerted."""

from dataclasses import dataclass

from outlay_server.domain.budget import AlertBasis, Budget, BudgetCounter
from outlay_server.domain.instant import Instant


@dataclass(frozen=True, slots=True)
class Alert:
    """One row per (budget, cycle, basis, threshold), written in the transaction that crossed it."""

    alert_id: str
    organization_id: str
    budget_id: str
    budget_key: int
    cycle_start: Instant
    basis: AlertBasis
    threshold_percent: int
    spent_micros: int
    basis_micros: int
    """The amount that the percent is of, as it was when the threshold was crossed."""
    create_time: Instant


def alert_basis(budget: Budget, now: Instant) -> tuple[AlertBasis, int] | None:
    """The amount that thresholds are a percent of: the soft budget, else the limit, else nothing."""
    if budget.budget_micros is not None:
        return AlertBasis.BUDGET, budget.budget_micros
    limit = budget.limits_at(now).limit_micros
    return None if limit is None else (AlertBasis.LIMIT, limit)


def is_crossed(spent_micros: int, threshold_percent: int, basis_micros: int) -> bool:
    """Whether spend has reached the threshold. 0 percent is the first spend; without spend nothing is crossed."""
    return spent_micros > 0 and spent_micros * 100 >= threshold_percent * basis_micros


def newly_crossed(budget: Budget, counter: BudgetCounter, now: Instant) -> tuple[tuple[AlertBasis, int, int], ...]:
    """(basis, threshold percent, basis micros) of each threshold that spend has crossed and no row stands for yet."""
    if not budget.alerts_enabled or counter.spent_micros <= 0:
        return ()
    basis = alert_basis(budget, now)
    if basis is None:
        return ()
    kind, basis_micros = basis
    return tuple(
        (kind, percent, basis_micros)
        for percent in budget.thresholds_percent
        if is_crossed(counter.spent_micros, percent, basis_micros) and (kind, percent) not in counter.alerts_sent
    )
