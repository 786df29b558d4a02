"""Where each resource and setting is written, so that what the service says of it can be told at its line."""

import re
from dataclasses import dataclass
from typing import Final

from outlay.v1.caps_pb2 import ApplyCapsRequest
from outlay_sync.desired import Budget, Organization, WebhookEndpoint
from outlay_sync.problems import Place, Problem
from outlay_sync.service import CallFailedError

_BUDGET: Final = re.compile(r"budgets\[([0-9]+)\](?:\.budget)?(?:\.(.+))?", re.ASCII)
_ENDPOINT: Final = re.compile(r"webhook_endpoints\[([0-9]+)\](?:\.webhook_endpoint)?(?:\.(.+))?", re.ASCII)
_GATE: Final = re.compile(r"organization_settings\.organization\.gates\[([0-9]+)\](?:\.(.+))?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Places:
    """The places of one organization's files."""

    default: Place
    by_resource: dict[str, Place]
    """By the name of the resource."""
    by_setting: dict[tuple[str, str], Place]
    """By the name of the resource and the path of the field."""

    def of(self, resource: str, path: str = "") -> Place:
        """The place of a field, else of its resource, else of its organization."""
        found = self.by_setting.get((resource, path)) or self.by_setting.get((resource, path.partition(".")[0]))
        return found or self.by_resource.get(resource, self.default)


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
        by_setting[budget.name, "unit"] = budget.unit_place
    resources: tuple[Budget | WebhookEndpoint, ...] = (*organization.budgets, *organization.webhook_endpoints)
    for resource in resources:
        by_resource[resource.name] = resource.place
        by_setting.update({(resource.name, path): setting.place for path, setting in resource.settings.items()})
    return Places(organization.place, by_resource, by_setting)


def problems_of(error: CallFailedError, request: ApplyCapsRequest, places: Places) -> list[Problem]:
    """What the service said of a request, at the places of the files that it is about."""
    if error.violations:
        return [_violated(violation.field, violation.description, request, places) for violation in error.violations]
    if error.refusals:
        return [
            Problem(places.of(refusal.resource), refusal.resource, refusal.description) for refusal in error.refusals
        ]
    return [Problem(places.default, request.organization, error.message)]


def field_name(path: str) -> str:
    """How the files call the field of a path: `hard_cap` for `hard_cap_micros`."""
    return path.removesuffix("_micros")


def _violated(field: str, description: str, request: ApplyCapsRequest, places: Places) -> Problem:
    if (found := _BUDGET.fullmatch(field)) is not None and int(found[1]) < len(request.budgets):
        return _at(request.budgets[int(found[1])].budget.name, found[2], description, places)
    if (found := _ENDPOINT.fullmatch(field)) is not None and int(found[1]) < len(request.webhook_endpoints):
        return _at(request.webhook_endpoints[int(found[1])].webhook_endpoint.name, found[2], description, places)
    if (found := _GATE.fullmatch(field)) is not None:
        where = f"gates[{found[1]}]"
        path = f"{where}.{found[2]}" if found[2] else where
        return Problem(places.of(request.organization, where), path, description)
    return Problem(places.default, field, description)


def _at(resource: str, path: str | None, description: str, places: Places) -> Problem:
    shown = f"{resource}: {field_name(path)}" if path else resource
    return Problem(places.of(resource, path or ""), shown, description)
