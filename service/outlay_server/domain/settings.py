"""What can be set on a budget and on an organization, and how a partial change is merged into what is there."""

from collections.abc import Set as AbstractSet
from dataclasses import dataclass, fields, replace

from outlay_server.domain.budget import Budget, CapOverride, Enforcement
from outlay_server.domain.cycle import Cycle, cycle_containing, default_cycle
from outlay_server.domain.errors import ValidationFailed, Violation
from outlay_server.domain.gate import DEFAULT_GATES, Gate
from outlay_server.domain.instant import END_OF_TIME, Instant
from outlay_server.domain.selector import MATCH_ALL, Selector

DEFAULT_CYCLE = default_cycle()
"""Calendar months, UTC."""

EXPIRE_TIME = "budget.cap_override.expire_time"

CYCLE_PATHS = frozenset({"cycle.period", "cycle.anchor", "cycle.time_zone"})
"""Parts of a cycle that can be changed one by one."""


@dataclass(frozen=True, slots=True)
class OverrideDraft:
    """A temporary cap as asked for; without an `expire_time` it lasts until the cycle's end."""

    hard_cap_micros: int
    expire_time: Instant | None
    reason: str


@dataclass(frozen=True, slots=True)
class BudgetSettings:
    """All that a caller may set. The defaults are those of a budget that only counts."""

    unit: str
    display_name: str = ""
    selector: Selector = MATCH_ALL
    cycle: Cycle = DEFAULT_CYCLE
    budget_micros: int | None = None
    hard_cap_micros: int | None = None
    hard_cap_enabled: bool = False
    allotment_micros: int | None = None
    alert_thresholds: tuple[int, ...] | None = None
    alerts_enabled: bool = True
    enforcement: Enforcement = Enforcement.ENFORCE
    cap_override: OverrideDraft | None = None
    managed_by: str = ""


BUDGET_PATHS = frozenset(field.name for field in fields(BudgetSettings)) | CYCLE_PATHS
"""Every path that a budget's update mask may name."""


@dataclass(frozen=True, slots=True)
class OrganizationSettings:
    """All that a caller may set on an organization."""

    display_name: str = ""
    gates: tuple[Gate, ...] = ()
    managed_by: str = ""


ORGANIZATION_PATHS = frozenset(field.name for field in fields(OrganizationSettings))
"""Every path that an organization's update mask may name."""


def settings_of(budget: Budget) -> BudgetSettings:
    """The settings that a budget has now."""
    override = budget.cap_override
    values = {field.name: getattr(budget, field.name) for field in fields(BudgetSettings)}
    values["cap_override"] = (
        None if override is None else OverrideDraft(override.hard_cap_micros, override.expire_time, override.reason)
    )
    return BudgetSettings(**values)


def merged(current: BudgetSettings, asked: BudgetSettings, paths: AbstractSet[str]) -> BudgetSettings:
    """`current` with the fields that `paths` names taken from `asked`. Raises `ValidationFailed` for another unit."""
    if "unit" in paths and asked.unit != current.unit:
        raise ValidationFailed([Violation("budget.unit", f"cannot be changed; it is {current.unit}")])
    whole = {name: getattr(asked, name) for name in paths - CYCLE_PATHS}
    changed = replace(current, **whole)
    parts = {
        path.removeprefix("cycle."): getattr(asked.cycle, path.removeprefix("cycle.")) for path in paths & CYCLE_PATHS
    }
    return replace(changed, cycle=replace(changed.cycle, **parts)) if parts else changed


def with_settings(budget: Budget, settings: BudgetSettings, now: Instant) -> Budget:
    """The budget with all of its settings replaced, at `now`; identity, revision and times are left as they are.

    A temporary cap whose end was not given ends with the cycle that runs. Raises `ValidationFailed` for one that would
    have ended already.
    """
    values = {field.name: getattr(settings, field.name) for field in fields(BudgetSettings)}
    draft = settings.cap_override
    override = None
    if draft is not None:
        until = draft.expire_time or cycle_containing(now, settings.cycle).end
        if draft.expire_time is None and until >= END_OF_TIME:
            raise ValidationFailed([Violation(EXPIRE_TIME, "must be given where the cycle has no end")])
        override = CapOverride(draft.hard_cap_micros, until, draft.reason)
        if until <= now and override != budget.cap_override:
            raise ValidationFailed([Violation(EXPIRE_TIME, "must be in the future")])
    values["cap_override"] = override
    return replace(budget, **values)


SPENDING_BUDGET_ID = "spending"
CREDITS_BUDGET_ID = "credits"

DEFAULT_BUDGETS = {
    SPENDING_BUDGET_ID: BudgetSettings(unit="USD", display_name="Spending"),
    CREDITS_BUDGET_ID: BudgetSettings(
        unit="CREDITS", display_name="Credits", hard_cap_enabled=True, alert_thresholds=()
    ),
}
"""The budgets that every organization is born with."""


def gates_at_birth(asked: tuple[Gate, ...]) -> tuple[Gate, ...]:
    """The gates of a new organization: the default ones, unless it names them itself, and those it asks for."""
    named = {gate.gate_id for gate in asked}
    return (*(gate for gate in DEFAULT_GATES if gate.gate_id not in named), *asked)
