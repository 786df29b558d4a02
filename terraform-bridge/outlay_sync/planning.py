"""Plans: what the service says would change, for each organization, and applying exactly that."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from outlay.v1.caps_pb2 import ApplyCapsRequest, ApplyCapsResponse, CapsChange, CapsChangeType
from outlay_sync.desired import Desired, Organization
from outlay_sync.endpoints import EndpointEdit, EndpointFailedError, Environment, check, plan_endpoints, send
from outlay_sync.options import Options
from outlay_sync.problems import Place, Problem
from outlay_sync.requests import apply_request
from outlay_sync.service import CallFailedError, Service

Progress = Callable[[str, int, int], None]
"""Told before each organization: its name, its number from 1, and how many there are."""

_CREATE: Final = CapsChangeType.CAPS_CHANGE_TYPE_CREATE

_BUDGET_FIELD: Final = re.compile(r"budgets\[([0-9]+)\](?:\.budget)?(?:\.(.+))?", re.ASCII)
_GATE_FIELD: Final = re.compile(r"organization_settings\.organization\.gates\[([0-9]+)\](?:\.(.+))?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Places:
    """Where the resources and settings of one organization are written, for what is said about them later."""

    default: Place
    by_resource: dict[str, Place]
    """By the name of the resource."""
    by_setting: dict[tuple[str, str], Place]
    """By the name of the resource and the path of the field."""

    def of(self, resource: str, path: str = "") -> Place:
        """The place of a field, else of its resource, else of its organization."""
        found = self.by_setting.get((resource, path)) or self.by_setting.get((resource, path.partition(".")[0]))
        return found or self.by_resource.get(resource, self.default)


@dataclass(frozen=True, slots=True)
class OrganizationPlan:
    """What the service says of one organization."""

    name: str
    places: Places
    request: ApplyCapsRequest
    """What applies it, but for `plan_etag` and `request_id`."""
    answer: ApplyCapsResponse
    """What it says of the caps."""
    edits: Sequence[EndpointEdit]
    """What differs in the webhook endpoints."""
    changes: Sequence[CapsChange]
    """What applying changes: caps, then webhook endpoints."""
    orphans: Sequence[str]
    """Names of what this source keeps, the files no longer name, and stays."""


@dataclass(frozen=True, slots=True)
class Failure:
    """An organization that could not be planned or applied, and why."""

    name: str
    problems: Sequence[Problem]
    is_effect_unknown: bool = False
    is_partial: bool = False
    """Whether something of it was applied before."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that the files ask for, against what there is."""

    manager: str
    organizations: Sequence[OrganizationPlan]
    failures: Sequence[Failure]

    @property
    def changes(self) -> Iterator[CapsChange]:
        return (change for organization in self.organizations for change in organization.changes)

    @property
    def has_changes(self) -> bool:
        return next(self.changes, None) is not None


def make_plan(
    desired: Desired, service: Service, options: Options, environment: Environment, progress: Progress
) -> Plan:
    """Ask the service what would change. An organization that cannot be planned does not hide the others."""
    plans, failures = [], []
    for number, organization in enumerate(desired.organizations, 1):
        progress(organization.name, number, len(desired.organizations))
        planned = _plan_organization(organization, desired.manager, service, options, environment)
        if isinstance(planned, Failure):
            failures.append(planned)
        else:
            plans.append(planned)
    return Plan(desired.manager, plans, failures)


def _plan_organization(
    organization: Organization, manager: str, service: Service, options: Options, environment: Environment
) -> OrganizationPlan | Failure:
    places = places_of(organization)
    request = apply_request(organization, manager, options)
    try:
        answer = ask(service, request)
        is_new = any(change.resource == organization.name and change.type == _CREATE for change in answer.changes)
        endpoints = plan_endpoints(organization, service, manager, options, environment, is_new=is_new)
    except EndpointFailedError as failed:
        return Failure(organization.name, endpoint_problems(failed.error, failed.name, places))
    except CallFailedError as error:
        return Failure(organization.name, problems_of(error, request, places))
    changes = [*answer.changes, *(edit.change for edit in endpoints.edits)]
    orphans = [*answer.orphans, *endpoints.orphans]
    return OrganizationPlan(organization.name, places, request, answer, endpoints.edits, changes, orphans)


def ask(service: Service, request: ApplyCapsRequest, plan_etag: str = "") -> ApplyCapsResponse:
    """The plan of a request; nothing is changed. Fails where it is no longer the plan of `plan_etag`."""
    question = ApplyCapsRequest()
    question.CopyFrom(request)
    question.validate_only = True
    question.plan_etag = plan_etag
    return service.apply_caps(question)


class OutdatedError(Exception):
    """A saved plan is no longer what would be done."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.name)
        self.failure = failure


def plan_again(saved: OrganizationPlan, service: Service, environment: Environment) -> OrganizationPlan:
    """A saved plan as it is now, with today's warnings. Raises `OutdatedError` where it would do anything else."""
    try:
        answer = ask(service, saved.request, saved.answer.plan_etag)
    except CallFailedError as error:
        raise OutdatedError(Failure(saved.name, problems_of(error, saved.request, saved.places))) from error
    is_new = any(change.resource == saved.name for change in answer.changes if change.type == _CREATE)
    for edit in () if is_new else saved.edits:
        try:
            check(edit, service, saved.request.manager, environment)
        except CallFailedError as error:
            raise OutdatedError(Failure(saved.name, endpoint_problems(error, edit.name, saved.places))) from error
    changes = [*answer.changes, *(edit.change for edit in saved.edits)]
    return replace(saved, answer=answer, changes=changes)


def drift_of(plan: Plan) -> Plan:
    """Of a plan only what was changed outside of the files since it was last applied."""
    organizations = [
        replace(organization, changes=list(_drifted(organization.changes))) for organization in plan.organizations
    ]
    return Plan(plan.manager, organizations, plan.failures)


def _drifted(changes: Iterable[CapsChange]) -> Iterator[CapsChange]:
    for change in changes:
        fields = [field for field in change.fields if field.HasField("outside_change")]
        if not fields and not change.HasField("outside_change"):
            continue
        kept = CapsChange()
        kept.CopyFrom(change)
        del kept.warnings[:]
        if fields:
            del kept.fields[:]
            kept.fields.extend(fields)
        yield kept


def apply_organization(
    plan: OrganizationPlan, service: Service, environment: Environment, new_request_id: Callable[[], str]
) -> Failure | None:
    """Apply one organization exactly as it was planned: its caps whole or not at all, then its webhook endpoints.

    Returns what failed.
    """
    if plan.answer.changes:
        request = ApplyCapsRequest()
        request.CopyFrom(plan.request)
        request.plan_etag = plan.answer.plan_etag
        request.request_id = new_request_id()
        try:
            service.apply_caps(request)
        except CallFailedError as error:
            problems = problems_of(error, request, plan.places)
            return Failure(plan.name, problems, is_effect_unknown=error.is_effect_unknown)
    is_partial = bool(plan.answer.changes)
    manager, override_manager = plan.request.manager, plan.request.override_manager
    for edit in plan.edits:
        request_id = new_request_id()
        try:
            send(edit, service, manager, environment, override_manager=override_manager, request_id=request_id)
        except CallFailedError as error:
            problems = endpoint_problems(error, edit.name, plan.places)
            return Failure(plan.name, problems, error.is_effect_unknown, is_partial)
        is_partial = True
    return None


def places_of(organization: Organization) -> Places:
    by_resource = {organization.name: organization.place}
    by_setting: dict[tuple[str, str], Place] = {}
    if organization.display_name is not None:
        by_setting[organization.name, "display_name"] = organization.display_name.place
    if organization.gates_place is not None:
        by_setting[organization.name, "gates"] = organization.gates_place
    for index, gate in enumerate(organization.gates or ()):
        by_setting[organization.name, f"gates[{index}]"] = gate.place
    for budget in organization.budgets:
        by_resource[budget.name] = budget.place
        by_setting[budget.name, "unit"] = budget.unit_place
        by_setting.update({(budget.name, path): setting.place for path, setting in budget.settings.items()})
    for endpoint in organization.webhook_endpoints or ():
        by_resource[endpoint.name] = endpoint.place
        by_setting.update({(endpoint.name, path): setting.place for path, setting in endpoint.settings.items()})
    return Places(organization.place, by_resource, by_setting)


def problems_of(error: CallFailedError, request: ApplyCapsRequest, places: Places) -> list[Problem]:
    """What the service said, at the places of the files that it is about."""
    if error.violations:
        return [_violated(violation.field, violation.description, request, places) for violation in error.violations]
    if error.refusals:
        return [
            Problem(places.of(refusal.resource), refusal.resource, refusal.description) for refusal in error.refusals
        ]
    return [Problem(places.default, request.organization, error.message)]


def endpoint_problems(error: CallFailedError, name: str, places: Places) -> list[Problem]:
    """The same for a webhook endpoint."""
    if not error.violations:
        return [Problem(places.of(name), name, error.message)]
    problems = []
    for violation in error.violations:
        path = violation.field.removeprefix("webhook_endpoint.")
        problems.append(Problem(places.of(name, path), f"{name}: {path}", violation.description))
    return problems


def _violated(field: str, description: str, request: ApplyCapsRequest, places: Places) -> Problem:
    if (found := _BUDGET_FIELD.fullmatch(field)) is not None and int(found[1]) < len(request.budgets):
        path = found[2] or ""
        name = request.budgets[int(found[1])].budget.name
        return Problem(places.of(name, path), f"{name}: {field_name(path)}" if path else name, description)
    if (found := _GATE_FIELD.fullmatch(field)) is not None:
        where = f"gates[{found[1]}]"
        path = f"{where}.{found[2]}" if found[2] else where
        return Problem(places.of(request.organization, where), path, description)
    return Problem(places.default, field, description)


def field_name(path: str) -> str:
    """How the files call the field of a path: `hard_cap` for `hard_cap_micros`."""
    return path.removesuffix("_micros")


def tally(changes: Iterable[CapsChange]) -> dict[str, int]:
    """How many resources are created, updated, adopted and deleted; zeros too, in this order."""
    counts = dict.fromkeys(("create", "update", "adopt", "delete"), 0)
    for change in changes:
        counts[type_name(change)] += 1
    return counts


def type_name(change: CapsChange) -> str:
    """`create`, `update`, `adopt` or `delete`."""
    return CapsChangeType.Name(change.type).removeprefix("CAPS_CHANGE_TYPE_").lower()
