"""Plans: what the service says would change, for each organization, and applying exactly that."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from outlay.v1.caps_pb2 import ApplyCapsRequest, ApplyCapsResponse, CapsChange, CapsChangeType
from outlay_sync.desired import Desired, Organization
from outlay_sync.options import Options
from outlay_sync.places import Places, places_of, problems_of
from outlay_sync.problems import Problem
from outlay_sync.requests import apply_request
from outlay_sync.service import CallFailedError, Service
from outlay_sync.variables import Environment, MissingVariableError, Variables, filled, required, variables_of

Progress = Callable[[str, int, int], None]
"""Told before each organization: its name, its number from 1, and how many there are."""

_CREATE: Final = CapsChangeType.CAPS_CHANGE_TYPE_CREATE


@dataclass(frozen=True, slots=True)
class OrganizationPlan:
    """What the service says of one organization."""

    name: str
    places: Places
    request: ApplyCapsRequest
    """What applies it, without what comes from the environment, `plan_etag` and `request_id`."""
    variables: Sequence[Variables]
    """What comes from the environment."""
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


def make_plan(
    desired: Desired, service: Service, options: Options, environment: Environment, progress: Progress
) -> Plan:
    """Ask the service what would change. An organization that cannot be planned does not hide the others."""
    drafts = [_draft(organization, desired.manager, options) for organization in desired.organizations]
    return _asked(desired.manager, drafts, service, environment, progress)


def plan_again(saved: Plan, service: Service, environment: Environment, progress: Progress) -> Plan:
    """A saved plan as it is now. An organization where anything else would be done than was shown has failed."""
    return _asked(saved.manager, saved.organizations, service, environment, progress)


def apply_organization(
    plan: OrganizationPlan, service: Service, environment: Environment, new_request_id: Callable[[], str]
) -> Failure | None:
    """Apply one organization exactly as it was planned, or not at all. Returns why it was not."""
    try:
        request = filled(plan.request, plan.variables, environment)
        request.plan_etag = plan.answer.plan_etag
        request.request_id = new_request_id()
        service.apply_caps(request)
    except (CallFailedError, MissingVariableError) as error:
        return _failure(plan, error)
    return None


def lacking(plan: OrganizationPlan, environment: Environment) -> Failure | None:
    """Why a plan must not be applied: a secret that is not at hand, of an endpoint that would be made without it.

    The service would make one that nobody has seen.
    """
    created = {change.resource for change in plan.changes if change.type == _CREATE}
    problems: list[Problem] = []
    for variables in plan.variables:
        if variables.endpoint in created and variables.secret is not None:
            try:
                required(variables.endpoint, variables.secret, environment)
            except MissingVariableError as error:
                problems += _failure(plan, error).problems
    return Failure(plan.name, problems) if problems else None


def drift_of(plan: Plan) -> Plan:
    """Of a plan only what was changed outside of the files since it was last applied."""
    organizations = []
    for organization in plan.organizations:
        answer = ApplyCapsResponse(changes=_drifted(organization.changes))
        organizations.append(replace(organization, answer=answer))
    return Plan(plan.manager, organizations, plan.failures)


def tally(changes: Iterable[CapsChange]) -> dict[str, int]:
    """How many resources are created, updated, adopted and deleted; zeros too, in this order."""
    counts = dict.fromkeys(("create", "update", "adopt", "delete"), 0)
    for change in changes:
        counts[type_name(change)] += 1
    return counts


def type_name(change: CapsChange) -> str:
    """`create`, `update`, `adopt` or `delete`."""
    return CapsChangeType.Name(change.type).removeprefix("CAPS_CHANGE_TYPE_").lower()


def _draft(organization: Organization, manager: str, options: Options) -> OrganizationPlan:
    """A plan of which the service has not been asked yet."""
    return OrganizationPlan(
        name=organization.name,
        places=places_of(organization),
        request=apply_request(organization, manager, options),
        variables=variables_of(organization),
        answer=ApplyCapsResponse(),
    )


def _asked(
    manager: str,
    drafts: Sequence[OrganizationPlan],
    service: Service,
    environment: Environment,
    progress: Progress,
) -> Plan:
    plans, failures = [], []
    for number, draft in enumerate(drafts, 1):
        progress(draft.name, number, len(drafts))
        try:
            question = filled(draft.request, draft.variables, environment)
            question.validate_only = True
            # Of a draft it is empty, and any plan will do.
            question.plan_etag = draft.answer.plan_etag
            plans.append(replace(draft, answer=service.apply_caps(question)))
        except (CallFailedError, MissingVariableError) as error:
            failures.append(_failure(draft, error))
    return Plan(manager, plans, failures)


def _failure(plan: OrganizationPlan, error: CallFailedError | MissingVariableError) -> Failure:
    if isinstance(error, MissingVariableError):
        return Failure(plan.name, [Problem(plan.places.of(error.endpoint), error.endpoint, str(error))])
    problems = problems_of(error, plan.request, plan.places)
    return Failure(plan.name, problems, is_effect_unknown=error.is_effect_unknown)


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
