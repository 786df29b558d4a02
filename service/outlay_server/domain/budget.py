"""Budgets: limits and thresholds over one unit, and the counter of one budget in one cycle."""

import enum
from dataclasses import dataclass

from outlay_server.domain.cycle import Cycle, Window
from outlay_server.domain.instant import Instant
from outlay_server.domain.limits import DEFAULT_ALERT_THRESHOLDS_PERCENT
from outlay_server.domain.selector import Selector


class Enforcement(enum.Enum):
    """What a budget does with a check that does not fit."""

    ENFORCE = "ENFORCE"
    SHADOW = "SHADOW"
    """Decide and count, never block: the check is answered with a warning."""
    FREEZE = "FREEZE"
    """Deny everything: the switch for an incident."""


@dataclass(frozen=True, slots=True)
class CapOverride:
    """A temporary hard cap, up or down: it stands for the hard cap, enforced, until `expire_time` (exclusive)."""

    hard_cap_micros: int
    expire_time: Instant
    reason: str


@dataclass(frozen=True, slots=True)
class Limits:
    """What bounds `spent + reserved` at one instant; None is no such limit."""

    hard_cap_micros: int | None
    allotment_micros: int | None

    @property
    def limit_micros(self) -> int | None:
        """The smaller of the two, None when neither is set."""
        if self.hard_cap_micros is None:
            return self.allotment_micros
        if self.allotment_micros is None:
            return self.hard_cap_micros
        return min(self.hard_cap_micros, self.allotment_micros)


@dataclass(frozen=True, slots=True)
class Budget:
    """The settings of one budget, without its spend."""

    key: int
    """The row's key in the store; never shown."""
    organization_id: str
    budget_id: str
    unit: str
    display_name: str
    selector: Selector
    cycle: Cycle
    budget_micros: int | None
    """The soft budget: alerts only."""
    hard_cap_micros: int | None
    hard_cap_enabled: bool
    allotment_micros: int | None
    alert_thresholds: tuple[int, ...] | None
    """Whole percents, ascending. None is the default list, () is none at all."""
    alerts_enabled: bool
    enforcement: Enforcement
    cap_override: CapOverride | None
    managed_by: str
    """Who keeps this budget as code; "" is nobody."""
    revision: int
    """Starts at `create_time` and grows with every change, so that a budget made anew never repeats an etag."""
    create_time: Instant
    update_time: Instant

    def override_at(self, now: Instant) -> CapOverride | None:
        """The override in force at `now`; an expired one is as good as none, nothing has to remove it."""
        override = self.cap_override
        return override if override is not None and now < override.expire_time else None

    def limits_at(self, now: Instant) -> Limits:
        """The limits in force at `now`."""
        override = self.override_at(now)
        if override is not None:
            return Limits(override.hard_cap_micros, self.allotment_micros)
        return Limits(self.hard_cap_micros if self.hard_cap_enabled else None, self.allotment_micros)

    @property
    def thresholds_percent(self) -> tuple[int, ...]:
        """The thresholds that alert, the default list where none was given."""
        return DEFAULT_ALERT_THRESHOLDS_PERCENT if self.alert_thresholds is None else self.alert_thresholds


class AlertBasis(enum.Enum):
    """What an alert's percent is of."""

    BUDGET = "BUDGET"
    """The soft budget."""
    LIMIT = "LIMIT"
    """The limit, where no soft budget is set."""


@dataclass(slots=True)
class BudgetCounter:
    """What one budget counts in one cycle: a running sum of the ledger, part of a working set and changed in place."""

    budget_key: int
    window: Window
    spent_micros: int = 0
    reserved_micros: int = 0
    open_reservations: int = 0
    denied_count: int = 0
    alerts_sent: tuple[tuple[AlertBasis, int], ...] = ()
    """(basis, threshold percent) of each alert row of this budget and cycle."""
    cap_reached_micros: int | None = None
    """The limit that `cap.reached` was last written for in this cycle."""

    def overrun_micros(self, limits: Limits) -> int:
        """How far spend stands above the limit; 0 without a limit."""
        limit = limits.limit_micros
        return 0 if limit is None else max(0, self.spent_micros - limit)

    def available_micros(self, limits: Limits) -> int | None:
        """What a check could still get, never negative; None without a limit."""
        limit = limits.limit_micros
        return None if limit is None else max(0, limit - self.spent_micros - self.reserved_micros)
