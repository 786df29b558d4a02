"""Plans: what the service says would change, for each organization, and applying exactly that."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from outlay.v1.caps_pb2 import ApplyCapsRequest, ApplyCapsResponse, CapsChange, CapsChangeType
from outlay_sync.desired import Desired, Organization
from outlay_sync.problems import Place, Problem
from outlay_sync.requests import Options, apply_request
from outlay_sync.service import CallFailedError, Service

Progress = Callable[[str, int, int], None]
"""Told before each organization: its name, its number from 1, and how many there are."""

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

    @property
    def changes(self) -> Sequence[CapsChange]:
        """What applying changes."""
        return self.answer.changes


@dataclass(frozen=True, slots=True)
class Failure:
    """An organization that could not be planned or applied, and why."""

    name: str
    problems: Sequence[Problem]
    is_effect_unknown: bool = False


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


def make_plan(desired: Desired, service: Service, options: Options, progress: Progress) -> Plan:
    """Ask the service what would change. An organization that cannot be planned does not hide the others."""
    plans, failures = [], []
    for number, organization in enumerate(desired.organizations, 1):
        progress(organization.name, number, len(desired.organizations))
        places = places_of(organization)
        request = apply_request(organization, desired.manager, options)
        try:
            answer = ask(service, request)
        except CallFailedError as error:
            failures.append(Failure(organization.name, problems_of(error, request, places)))
        else:
            plans.append(OrganizationPlan(organization.name, places, request, answer))
    return Plan(desired.manager, plans, failures)


def ask(service: Service, request: ApplyCapsRequest, plan_etag: str = "") -> ApplyCapsResponse:
    """The plan of a request; nothing is changed. Fails where it is no longer the plan of `plan_etag`."""
    question = ApplyCapsRequest()
    question.CopyFrom(request)
    question.validate_only = True
    question.plan_etag = plan_etag
    return service.apply_caps(question)


def drift_of(plan: Plan) -> Plan:
    """Of a plan only what was changed outside of the files since it was last applied."""
    drifted = []
    for organization in plan.organizations:
        answer = ApplyCapsResponse()
        for change in organization.changes:
            fields = [field for field in change.fields if field.HasField("outside_change")]
            if not fields and not change.HasField("outside_change"):
                continue
            kept = answer.changes.add()
            kept.CopyFrom(change)
            del kept.warnings[:]
            if fields:
                del kept.fields[:]
                kept.fields.extend(fields)
        drifted.append(replace(organization, answer=answer))
    return Plan(plan.manager, drifted, plan.failures)


def apply_organization(
    plan: OrganizationPlan, service: Service, new_request_id: Callable[[], str]
) -> ApplyCapsResponse | Failure:
    """Apply one organization exactly as it was planned, or not at all."""
    request = ApplyCapsRequest()
    request.CopyFrom(plan.request)
    request.plan_etag = plan.answer.plan_etag
    request.request_id = new_request_id()
    try:
        return service.apply_caps(request)
    except CallFailedError as error:
        problems = problems_of(error, request, plan.places)
        return Failure(plan.name, problems, is_effect_unknown=error.is_effect_unknown)


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
