"""One budget: where it stands, where it goes, who spends, and its settings, which can be changed here."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from google.protobuf.field_mask_pb2 import FieldMask
from starlette.responses import Response

from outlay.v1 import admin_service_pb2 as admin_pb
from outlay.v1 import budget_service_pb2 as pb
from outlay.v1.budget_pb2 import Budget, Enforcement
from outlay_rest.calls import CallFailed
from outlay_rest.console import figures
from outlay_rest.console.admin import differences
from outlay_rest.console.budgets import limit_of
from outlay_rest.console.history import breakdown_of, chart_of
from outlay_rest.console.visit import ADMIN, BUDGETS, Visit, refusal, see_other
from outlay_rest.problems import Problem, from_status

EVENTS_SHOWN: Final = 10
ALERTS_SHOWN: Final = 5

_ENFORCEMENTS: Final = {
    Enforcement.ENFORCEMENT_ENFORCE: "Enforce the limits",
    Enforcement.ENFORCEMENT_SHADOW: "Shadow: count what would be denied, block nothing",
    Enforcement.ENFORCEMENT_FREEZE: "Freeze: deny every check",
}
_READERS: Final = ("PERMISSION_DENIED",)
_DEFAULT_PERCENTS: Final = "50, 75, 90, 100"


@dataclass(slots=True)
class Draft:
    """The form as it is shown: what was typed where it was, else what the budget has."""

    fields: dict[str, str]
    changed: frozenset[str] = frozenset()
    """Fields that were typed into."""
    failures: dict[str, str] = field(default_factory=dict)
    """By field; what concerns none of them is under the empty name."""
    needs_confirmation: str = ""
    """What saving would do at once, where somebody has to want it."""


async def show(visit: Visit) -> Response:
    """The page."""
    found = await _budget(visit)
    return await _page(visit, found, _merged(found, _typed_of(found)), saved="saved" in visit.request.query_params)


async def save(visit: Visit) -> Response:
    """Change what was changed in the form, or show the form again with what is wrong."""
    form = await visit.form()
    found = await _budget(visit)
    draft = _merged(found, form)
    wanted = _read(draft)
    paths = [path for path, fields in _FIELDS_OF_PATH.items() if not draft.changed.isdisjoint(fields)]
    if form.get("etag", found.etag) != found.etag and not draft.failures:
        draft.failures[""] = _CHANGED_MEANWHILE
    draft.needs_confirmation = _consequence(found, wanted, paths) if "confirmed" not in form else ""
    if draft.failures or draft.needs_confirmation:
        return await _page(visit, found, draft, status=422)
    if not paths:
        return see_other(visit.request.url.path)
    wanted.name, wanted.etag = found.name, found.etag
    request = pb.UpdateBudgetRequest(
        budget=wanted, update_mask=FieldMask(paths=paths), override_manager="override_manager" in form
    )
    try:
        await visit.ask(f"{BUDGETS}UpdateBudget", request)
    except CallFailed as failed:
        problem = from_status(failed.status)
        _explain(problem, draft)
        return await _page(visit, found, draft, status=403 if problem.http_status == 403 else 409)
    return see_other(f"{visit.request.url.path}?saved=1")


async def _budget(visit: Visit) -> Budget:
    name = f"{visit.organization()}/budgets/{visit.request.path_params['budget']}"
    found: Budget = await visit.ask(f"{BUDGETS}GetBudget", pb.GetBudgetRequest(name=name))
    return found


async def _page(visit: Visit, budget: Budget, draft: Draft, *, status: int = 200, saved: bool = False) -> Response:
    now = datetime.now(UTC)
    limit = limit_of(budget)
    chart, steps = await chart_of(visit, budget, limit[1] if limit else None, now)
    breakdown = await breakdown_of(visit, budget, visit.request.query_params.get("by", "")[:63], now)
    audit = await _if_allowed(
        visit,
        f"{ADMIN}ListAuditEvents",
        admin_pb.ListAuditEventsRequest(parent=visit.organization(), resource=budget.name, page_size=EVENTS_SHOWN),
    )
    return await visit.page(
        "budget.html",
        status=status,
        budget=budget,
        limit=limit,
        chart=chart,
        steps=steps,
        breakdown=breakdown,
        bar=bar_of(budget),
        draft=draft,
        was=_typed_of(budget),
        saved=saved,
        enforcements=[(str(int(value)), text) for value, text in _ENFORCEMENTS.items()],
        thresholds_default=_DEFAULT_PERCENTS,
        alerts=await _if_allowed(
            visit,
            f"{ADMIN}ListAlerts",
            admin_pb.ListAlertsRequest(parent=visit.organization(), budget=budget.name, page_size=ALERTS_SHOWN),
        ),
        audit_rows=[(event, differences(event)) for event in audit.audit_events] if audit else [],
    )


async def _if_allowed(visit: Visit, method: str, request: Any) -> Any:
    """The answer, or None where this key may not see it: the rest of the page is still worth showing."""
    try:
        return await visit.ask(method, request)
    except CallFailed as failed:
        if from_status(failed.status).code not in _READERS:
            raise
        return None


# The bar


@dataclass(frozen=True, slots=True)
class Bar:
    """How much of the soft budget, else of the limit, is spent; lengths in percent of the bar."""

    spent_width: float
    reserved_width: float
    ticks: list[tuple[float, int, bool]]
    """(at, threshold percent, whether its alert was raised)."""
    level: str
    """`ok`, `warning` or `full`."""


def bar_of(budget: Budget) -> Bar | None:
    """None without anything to measure against."""
    limit = limit_of(budget)
    basis = budget.budget_micros if budget.HasField("budget_micros") else limit[1] if limit else 0
    if basis <= 0:
        return None
    percents = list(budget.alert_thresholds.percents) if budget.HasField("alert_thresholds") else [50, 75, 90, 100]
    scale = max([100, *percents]) / 100 * basis
    spent = budget.spend.spent_micros
    width = min(100.0, 100 * spent / scale)
    used = 100 * spent / basis
    return Bar(
        spent_width=round(width, 2),
        reserved_width=round(min(100.0 - width, 100 * budget.spend.reserved_micros / scale), 2),
        ticks=[
            (round(100 * percent * basis / 100 / scale, 2), percent, percent in budget.spend.alerts_sent)
            for percent in percents
        ],
        level="full" if used >= 100 else "warning" if used >= 75 else "ok",
    )


# The form

_FIELDS_OF_PATH: Final = {
    "display_name": ("display_name",),
    "budget_micros": ("budget",),
    "hard_cap_micros": ("hard_cap",),
    "hard_cap_enabled": ("hard_cap_enabled",),
    "alert_thresholds": ("thresholds", "thresholds_default"),
    "alerts_enabled": ("alerts_enabled",),
    "enforcement": ("enforcement",),
}
"""What the form has for each path of an update mask."""

_CHANGED_MEANWHILE: Final = (
    "Somebody changed this budget since the form was loaded. What you typed is still here, and everything else is as it"
    " is now. Save again to change it all the same."
)
WAS: Final = "was:"
"""Before the name of a field: what the form showed when it was loaded, which tells what somebody typed."""


def _typed_of(budget: Budget) -> dict[str, str]:
    """The settings as they would be typed; a box that is not ticked is the empty text."""
    default = not budget.HasField("alert_thresholds")
    return {
        "display_name": budget.display_name,
        "budget": figures.written(budget.budget_micros) if budget.HasField("budget_micros") else "",
        "hard_cap": figures.written(budget.hard_cap_micros) if budget.HasField("hard_cap_micros") else "",
        "hard_cap_enabled": "on" if budget.hard_cap_enabled else "",
        "thresholds": ", ".join(str(percent) for percent in budget.alert_thresholds.percents),
        "thresholds_default": "on" if default else "",
        "alerts_enabled": "on" if budget.alerts_enabled else "",
        "enforcement": str(int(budget.enforcement)),
    }


def _merged(found: Budget, form: dict[str, str]) -> Draft:
    """What was typed over what the budget has now, whatever it had when the form was loaded."""
    now = _typed_of(found)
    names = {name for fields in _FIELDS_OF_PATH.values() for name in fields}
    changed = frozenset(name for name in names if form.get(name, "") != form.get(WAS + name, now[name]))
    typed = {name: form.get(name, "") for name in changed}
    return Draft({**now, **typed, "override_manager": form.get("override_manager", "")}, changed)


def _read(draft: Draft) -> Budget:
    """The settings that the form asks for; what is wrong with it goes into the draft."""
    fields = draft.fields
    wanted = Budget(
        display_name=fields["display_name"],
        hard_cap_enabled=bool(fields["hard_cap_enabled"]),
        alerts_enabled=bool(fields["alerts_enabled"]),
    )
    for name, path in (("budget", "budget_micros"), ("hard_cap", "hard_cap_micros")):
        if fields[name]:
            try:
                setattr(wanted, path, figures.parsed_amount(fields[name]))
            except ValueError as error:
                draft.failures[name] = str(error)
    if not fields["thresholds_default"]:
        try:
            wanted.alert_thresholds.percents.extend(figures.parsed_percents(fields["thresholds"]))
            wanted.alert_thresholds.SetInParent()
        except ValueError as error:
            draft.failures["thresholds"] = str(error)
    if fields["enforcement"] in {str(int(value)) for value in _ENFORCEMENTS}:
        wanted.enforcement = Enforcement.ValueType(int(fields["enforcement"]))
    else:
        draft.failures["enforcement"] = "must be one of these"
    return wanted


def _consequence(found: Budget, wanted: Budget, paths: list[str]) -> str:
    """What would surprise who saves it: a cap that blocks at once, or that is gone."""
    used = found.spend.spent_micros + found.spend.reserved_micros
    is_capped = wanted.hard_cap_enabled and wanted.HasField("hard_cap_micros")
    if is_capped and {"hard_cap_micros", "hard_cap_enabled"} & set(paths) and wanted.hard_cap_micros < used:
        return (
            f"{figures.amount(used)} {found.unit} are spent or held already, more than the new cap of"
            f" {figures.amount(wanted.hard_cap_micros)}: every further check is denied at once."
        )
    if found.hard_cap_enabled and found.HasField("hard_cap_micros") and not is_capped and paths:
        return "The hard cap no longer blocks anything."
    if "enforcement" in paths and wanted.enforcement == Enforcement.ENFORCEMENT_FREEZE:
        return "Every check against this budget is denied at once."
    return ""


def _explain(problem: Problem, draft: Draft) -> None:
    """Why it was not saved, beside the fields that it concerns."""
    match problem.reason:
        case "ETAG_MISMATCH":
            draft.failures[""] = _CHANGED_MEANWHILE
        case "MANAGED_ELSEWHERE":
            manager = problem.facts.get("managed_by", "")
            draft.failures[""] = f"It is kept as code by {manager}. Change it there, or tick the box to override it."
        case "VALIDATION_FAILED":
            for violation in problem.violations:
                path = violation.field.removeprefix("budget.").partition(".")[0].partition("[")[0]
                draft.failures[_FIELDS_OF_PATH.get(path, ("",))[0]] = violation.description
        case _:
            draft.failures[""] = refusal(problem)
