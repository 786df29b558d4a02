"""Budgets: names, settings, and the changes that are asked for them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from outlay.v1 import budget_pb2
from outlay.v1 import budget_service_pb2 as pb
from outlay_server.api.caller import Caller
from outlay_server.api.from_wire.fields import Fields, Page
from outlay_server.api.from_wire.masks import paths_of
from outlay_server.domain.budget import Enforcement
from outlay_server.domain.cycle import (
    DEFAULT_TIME_ZONE,
    Cycle,
    Period,
    default_anchor,
    default_cycle,
    parse_anchor,
    time_zone_violation,
)
from outlay_server.domain.limits import (
    ALERT_THRESHOLD_PERCENT_MAX,
    ALERT_THRESHOLD_PERCENT_MIN,
    ALERT_THRESHOLDS_MAX,
    DISPLAY_NAME_MAX_LENGTH,
    GATES_PER_ORGANIZATION_MAX,
    LABELS_MAX,
    MANAGED_BY_MAX_LENGTH,
    OVERRIDE_REASON_MAX_LENGTH,
)
from outlay_server.domain.names import BudgetName, id_violation
from outlay_server.domain.selector import Selector, add_selector_violations, selector_of
from outlay_server.domain.settings import BUDGET_PATHS, BudgetSettings, OverrideDraft

_PERIODS: Final = {
    budget_pb2.PERIOD_UNSPECIFIED: Period.MONTH,
    budget_pb2.PERIOD_DAY: Period.DAY,
    budget_pb2.PERIOD_WEEK: Period.WEEK,
    budget_pb2.PERIOD_MONTH: Period.MONTH,
    budget_pb2.PERIOD_QUARTER: Period.QUARTER,
    budget_pb2.PERIOD_YEAR: Period.YEAR,
    budget_pb2.PERIOD_LIFETIME: Period.LIFETIME,
}
_ENFORCEMENTS: Final = {
    budget_pb2.ENFORCEMENT_UNSPECIFIED: Enforcement.ENFORCE,
    budget_pb2.ENFORCEMENT_ENFORCE: Enforcement.ENFORCE,
    budget_pb2.ENFORCEMENT_SHADOW: Enforcement.SHADOW,
    budget_pb2.ENFORCEMENT_FREEZE: Enforcement.FREEZE,
}


@dataclass(frozen=True, slots=True)
class BudgetCreation:
    """CreateBudget, read."""

    name: BudgetName
    settings: BudgetSettings
    validate_only: bool
    request_id: str


@dataclass(frozen=True, slots=True)
class BudgetUpdate:
    """UpdateBudget, read."""

    name: BudgetName
    settings: BudgetSettings
    paths: frozenset[str]
    etag: str
    allow_missing: bool
    validate_only: bool
    gates: Mapping[str, bool]
    manager: str
    override_manager: bool
    request_id: str


@dataclass(frozen=True, slots=True)
class BudgetDeletion:
    """DeleteBudget, read."""

    name: BudgetName
    etag: str
    force: bool
    validate_only: bool
    manager: str
    override_manager: bool
    request_id: str


def get(request: pb.GetBudgetRequest, caller: Caller) -> BudgetName:
    fields = Fields(caller)
    name = fields.child("name", request.name, BudgetName)
    fields.finish()
    assert name is not None
    return name


def listing(request: pb.ListBudgetsRequest, caller: Caller) -> tuple[str, Page]:
    """The organization and the page."""
    fields = Fields(caller)
    organization_id = fields.required_organization("parent", request.parent)
    page = fields.page(request)
    fields.finish()
    return organization_id, page


def create(request: pb.CreateBudgetRequest, caller: Caller) -> BudgetCreation:
    fields = Fields(caller)
    organization_id = fields.required_organization("parent", request.parent)
    fields.violations.add("budget_id", id_violation(request.budget_id))
    creation = BudgetCreation(
        name=BudgetName(organization_id, request.budget_id),
        settings=settings(fields, request.budget, BUDGET_PATHS),
        validate_only=request.validate_only,
        request_id=fields.request_id(request.request_id),
    )
    fields.finish()
    return creation


def update(request: pb.UpdateBudgetRequest, caller: Caller) -> BudgetUpdate:
    """An update. Only what it means to set is looked at, and with `allow_missing` all of it: it may become a budget."""
    fields = Fields(caller)
    name = fields.child("budget.name", request.budget.name, BudgetName)
    paths = paths_of(fields, request, "budget", BUDGET_PATHS)
    if not request.budget.unit:
        # Immutable: one that is left out does not change.
        paths -= {"unit"}
    values = settings(fields, request.budget, BUDGET_PATHS if request.allow_missing else paths)
    gates = dict(request.gates) if len(request.gates) <= GATES_PER_ORGANIZATION_MAX else {}
    if len(gates) < len(request.gates):
        fields.violations.add("gates", f"must have at most {GATES_PER_ORGANIZATION_MAX} entries")
    for gate_id in gates:
        fields.violations.add("gates", id_violation(gate_id))
    manager = fields.manager(request.manager)
    request_id = fields.request_id(request.request_id)
    fields.finish()
    assert name is not None
    return BudgetUpdate(
        name=name,
        settings=values,
        paths=paths,
        etag=request.budget.etag,
        allow_missing=request.allow_missing,
        validate_only=request.validate_only,
        gates=gates,
        manager=manager,
        override_manager=request.override_manager,
        request_id=request_id,
    )


def delete(request: pb.DeleteBudgetRequest, caller: Caller) -> BudgetDeletion:
    fields = Fields(caller)
    name = fields.child("name", request.name, BudgetName)
    manager = fields.manager(request.manager)
    request_id = fields.request_id(request.request_id)
    fields.finish()
    assert name is not None
    return BudgetDeletion(
        name=name,
        etag=request.etag,
        force=request.force,
        validate_only=request.validate_only,
        manager=manager,
        override_manager=request.override_manager,
        request_id=request_id,
    )


def settings(fields: Fields, budget: budget_pb2.Budget, paths: frozenset[str]) -> BudgetSettings:
    """The settings in a message, checked as far as `paths` names them; the others have their defaults."""
    names = {path.partition(".")[0] for path in paths}
    is_enabled = budget.alerts_enabled if budget.HasField("alerts_enabled") else True
    return BudgetSettings(
        unit=fields.unit("budget.unit", budget.unit) if "unit" in names else budget.unit,
        display_name=fields.text("budget.display_name", budget.display_name, DISPLAY_NAME_MAX_LENGTH)
        if "display_name" in names
        else "",
        selector=_selector(fields, budget.selector) if "selector" in names else selector_of({}),
        cycle=_cycle(fields, budget.cycle) if "cycle" in names else default_cycle(),
        budget_micros=_cap(fields, budget, "budget_micros", names),
        hard_cap_micros=_cap(fields, budget, "hard_cap_micros", names),
        hard_cap_enabled=budget.hard_cap_enabled,
        allotment_micros=_cap(fields, budget, "allotment_micros", names),
        alert_thresholds=_thresholds(fields, budget) if "alert_thresholds" in names else None,
        alerts_enabled=is_enabled,
        enforcement=fields.choice("budget.enforcement", budget.enforcement, _ENFORCEMENTS)
        if "enforcement" in names
        else Enforcement.ENFORCE,
        cap_override=_override(fields, budget, paths) if "cap_override" in names else None,
        managed_by=fields.text("budget.managed_by", budget.managed_by, MANAGED_BY_MAX_LENGTH)
        if "managed_by" in names
        else "",
    )


def _cap(fields: Fields, budget: budget_pb2.Budget, name: str, names: set[str]) -> int | None:
    if name not in names or not budget.HasField(name):  # type: ignore[arg-type]  # one of the three optional amounts
        return None
    return fields.cap(f"budget.{name}", getattr(budget, name))


def _selector(fields: Fields, patterns: Mapping[str, str]) -> Selector:
    add_selector_violations(fields.violations, "budget.selector", patterns)
    # Above the limit they were refused unread; sorting them would be work for nothing.
    return selector_of(patterns if len(patterns) <= LABELS_MAX else {})


def _cycle(fields: Fields, cycle: budget_pb2.Cycle) -> Cycle:
    period = fields.choice("budget.cycle.period", cycle.period, _PERIODS)
    time_zone = cycle.time_zone or DEFAULT_TIME_ZONE
    fields.violations.add("budget.cycle.time_zone", time_zone_violation(time_zone))
    anchor = default_anchor(period)
    if cycle.anchor:
        try:
            anchor = parse_anchor(cycle.anchor)
        except ValueError as error:
            fields.violations.add("budget.cycle.anchor", str(error))
    return Cycle(period, anchor, time_zone)


def _thresholds(fields: Fields, budget: budget_pb2.Budget) -> tuple[int, ...] | None:
    if not budget.HasField("alert_thresholds"):
        return None
    percents = budget.alert_thresholds.percents
    field = "budget.alert_thresholds.percents"
    if len(percents) > ALERT_THRESHOLDS_MAX:
        fields.violations.add(field, f"must have at most {ALERT_THRESHOLDS_MAX} entries")
        return ()
    for index, percent in enumerate(percents):
        if not ALERT_THRESHOLD_PERCENT_MIN <= percent <= ALERT_THRESHOLD_PERCENT_MAX:
            bounds = f"{ALERT_THRESHOLD_PERCENT_MIN} to {ALERT_THRESHOLD_PERCENT_MAX}"
            fields.violations.add(f"{field}[{index}]", f"must be {bounds} percent")
        if index and percent <= percents[index - 1]:
            fields.violations.add(f"{field}[{index}]", "must be above the one before it")
    return tuple(percents)


def _override(fields: Fields, budget: budget_pb2.Budget, paths: frozenset[str]) -> OverrideDraft | None:
    if not budget.HasField("cap_override"):
        return None
    override, field = budget.cap_override, "budget.cap_override"
    if not override.HasField("hard_cap_micros") and paths & {"cap_override", "cap_override.hard_cap_micros"}:
        fields.violations.add(f"{field}.hard_cap_micros", "must be set")
    return OverrideDraft(
        hard_cap_micros=fields.cap(f"{field}.hard_cap_micros", override.hard_cap_micros),
        expire_time=fields.optional_instant(f"{field}.expire_time", override),
        reason=fields.text(f"{field}.reason", override.reason, OVERRIDE_REASON_MAX_LENGTH),
    )
