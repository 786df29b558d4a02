"""Decide what becomes of each resource when caps in code are applied. One place decides, for plans and for applying."""

from collections.abc import Iterator, Mapping
from dataclasses import replace

from sqlalchemy import Connection

from outlay_server.control import apply_endpoints, organizations
from outlay_server.control.apply_decided import Decided, OrganizationEdit, is_taken_over
from outlay_server.control.apply_endpoints import EndpointCare
from outlay_server.control.apply_state import State, blank_budget
from outlay_server.control.budget_writes import Edit
from outlay_server.control.documents import Document, budget_document, organization_document
from outlay_server.domain.allotments import changes_what_is_granted
from outlay_server.domain.api_key import Scope
from outlay_server.domain.budget import Budget, BudgetCounter
from outlay_server.domain.caps import DesiredBudget, DesiredCaps, DesiredOrganization
from outlay_server.domain.errors import LimitExceeded, ValidationFailed, Violations
from outlay_server.domain.guard_rails import budget_warnings, is_recounted, owner_warnings, too_many_deletes
from outlay_server.domain.instant import Instant
from outlay_server.domain.limits import BUDGETS_PER_ORGANIZATION_MAX
from outlay_server.domain.names import BudgetName, OrganizationName
from outlay_server.domain.outside import APPLIED_BY
from outlay_server.domain.plan import CapsWarning, ChangeType, field_changes
from outlay_server.domain.settings import (
    CYCLE_PATHS,
    BudgetSettings,
    OrganizationSettings,
    gates_at_birth,
    merged,
    settings_of,
    with_settings,
)
from outlay_server.domain.views import OrganizationView
from outlay_server.store import reads

PLATFORM_NEEDED = frozenset({Scope.ADMIN.value})
WRITE_NEEDED = frozenset({Scope.BUDGETS_WRITE.value})
UPDATE_NEEDED = frozenset({Scope.BUDGETS_WRITE.value, Scope.CONTROL_READ.value})
"""As the methods that do one such change at a time need them."""


def decide(state: State, desired: DesiredCaps, care: EndpointCare, now: Instant) -> list[Decided]:
    """All that differs: the organization, then budgets, then webhook endpoints by id.

    Raises `ValidationFailed`, `LimitExceeded`.
    """
    named = {each.budget_id: each for each in desired.budgets}
    violations = Violations()
    made = list(_organization(state, desired, now))
    for budget_id in sorted(named.keys() | state.budgets.keys() | state.born_budgets.keys()):
        asked = named.get(budget_id)
        if asked is not None:
            made += _named(state, desired, asked, violations, now)
        elif budget_id in state.born_budgets:
            born = _edit(None, _new(desired, budget_id, state.born_budgets[budget_id], now), desired.manager)
            made.append(_decided(ChangeType.CREATE, born, now))
        elif desired.leave.prune and state.budgets[budget_id].managed_by == desired.manager:
            gone = _edit(state.budgets[budget_id], None, desired.manager)
            made.append(_decided(ChangeType.DELETE, gone, now))
    endpoints = list(apply_endpoints.decide(state, desired, care, violations, now))
    violations.raise_if_any()
    _ensure_room(state, made)
    made += endpoints
    return made


def orphans(state: State, desired: DesiredCaps) -> tuple[str, ...]:
    """Names of what the manager keeps and the request does not name."""
    named = {each.budget_id for each in desired.budgets}
    of_budgets = tuple(
        str(BudgetName(desired.organization_id, budget_id))
        for budget_id, budget in state.budgets.items()
        if budget.managed_by == desired.manager and budget_id not in named
    )
    return of_budgets + apply_endpoints.orphans(state, desired)


def counters(connection: Connection, state: State, made: list[Decided], now: Instant) -> dict[str, BudgetCounter]:
    """What each budget counts once it is as decided, or before it is deleted, by the resource."""
    edits = _budget_edits(made)
    views = reads.views_of(connection, state.key, [_counted(edit, i) for i, edit in enumerate(edits, 1)], now)
    return {edit.name: view.counter for edit, view in zip(edits, views, strict=True)}


def lasting(made: list[Decided], counted: Mapping[str, BudgetCounter]) -> dict[str, BudgetCounter]:
    """Of these counters, by budget id, those of budgets that count the same before and after."""
    return {
        edit.budget.budget_id: counted[edit.name]
        for edit in _budget_edits(made)
        if edit.after is not None and (edit.before is None or not is_recounted(edit.before, edit.after))
    }


def warnings(
    desired: DesiredCaps, made: list[Decided], counted: Mapping[str, BudgetCounter], now: Instant
) -> dict[str, tuple[CapsWarning, ...]]:
    """What a person should know of each, by resource."""
    of_budgets = {
        edit.name: budget_warnings(edit.before, edit.after, counted[edit.name], desired.leave, now)
        for edit in _budget_edits(made)
    }
    deletes = sum(decided.type is ChangeType.DELETE for decided in made)
    return {
        decided.resource: (
            *decided.owner_warnings,
            *of_budgets.get(decided.resource, ()),
            *(too_many_deletes(deletes, desired.leave) if decided.type is ChangeType.DELETE else ()),
        )
        for decided in made
    }


def _budget_edits(made: list[Decided]) -> list[Edit]:
    return [decided.edit for decided in made if isinstance(decided.edit, Edit)]


def _counted(edit: Edit, number: int) -> Budget:
    """The budget whose spend matters; under a key of its own where what is stored under its key is not what counts."""
    budget = edit.budget
    if edit.before is None or (edit.after is not None and is_recounted(edit.before, edit.after)):
        return replace(budget, key=-number)
    return budget


# The organization


def _organization(state: State, desired: DesiredCaps, now: Instant) -> Iterator[Decided]:
    found, asked = state.organization, desired.organization
    if found is None:
        yield _decided_organization(ChangeType.CREATE, OrganizationEdit(None, _born(desired, now)))
        return
    if asked is None:
        return
    changed = replace(found, **{name: getattr(asked.settings, name) for name in asked.paths})
    is_ours = found.managed_by == desired.manager
    if changed == found and (is_ours or not is_taken_over(found.managed_by, desired)):
        return
    changed = replace(changed, managed_by=desired.manager, revision=found.revision + 1, update_time=now)
    owners = () if is_ours else tuple(owner_warnings(found.managed_by, desired.leave))
    type_ = ChangeType.UPDATE if is_ours else ChangeType.ADOPT
    yield _decided_organization(type_, OrganizationEdit(found, changed), owners)


def _born(desired: DesiredCaps, now: Instant) -> OrganizationView:
    asked = desired.organization or DesiredOrganization(OrganizationSettings(), frozenset(), "")
    gates = asked.settings.gates if "gates" in asked.paths else gates_at_birth(())
    display_name = asked.settings.display_name if "display_name" in asked.paths else ""
    managed_by = "" if desired.organization is None else desired.manager
    return organizations.new_organization(
        desired.organization_id, OrganizationSettings(display_name, gates, managed_by), now
    )


def _decided_organization(type_: ChangeType, edit: OrganizationEdit, owners: tuple[CapsWarning, ...] = ()) -> Decided:
    before = None if edit.before is None else organization_document(edit.before)
    blank = organization_document(replace(edit.after, display_name="", gates=(), managed_by=""))
    fields = field_changes(before, organization_document(edit.after), blank)
    name = str(OrganizationName(edit.after.organization_id))
    return Decided(name, type_, edit, fields, owners, PLATFORM_NEEDED)


# Budgets


def _named(
    state: State, desired: DesiredCaps, asked: DesiredBudget, violations: Violations, now: Instant
) -> Iterator[Decided]:
    found = state.budgets.get(asked.budget_id)
    if found is None and asked.budget_id not in state.born_budgets and "unit" not in asked.paths:
        violations.add(f"{asked.field}.budget.unit", "must be set: the budget does not exist yet")
        return
    try:
        changed = _created(state, desired, asked, now) if found is None else _changed(found, asked, now)
    except ValidationFailed as failed:
        for violation in failed.violations:
            violations.add(f"{asked.field}.{violation.field}", violation.description)
        return
    if found is None:
        edit = _edit(None, replace(changed, managed_by=desired.manager), desired.manager)
        yield _decided(ChangeType.CREATE, edit, now)
        return
    is_ours = found.managed_by == desired.manager
    if changed == found and (is_ours or not is_taken_over(found.managed_by, desired)):
        return
    changed = replace(changed, managed_by=desired.manager, revision=found.revision + 1, update_time=now)
    owners = () if is_ours else tuple(owner_warnings(found.managed_by, desired.leave))
    type_ = ChangeType.UPDATE if is_ours else ChangeType.ADOPT
    yield _decided(type_, _edit(found, changed, desired.manager), now, owners)


def _changed(found: Budget, asked: DesiredBudget, now: Instant) -> Budget:
    return with_settings(found, merged(settings_of(found), asked.settings, asked.paths), now)


def _created(state: State, desired: DesiredCaps, asked: DesiredBudget, now: Instant) -> Budget:
    """A new budget: what is managed as asked for, the rest as it is in every new budget."""
    born = state.born_budgets.get(asked.budget_id, BudgetSettings(unit=""))
    base = replace(born, unit=asked.settings.unit) if "unit" in asked.paths else born
    paths = asked.paths - CYCLE_PATHS | ({"cycle"} if asked.paths & CYCLE_PATHS else frozenset())
    return _new(desired, asked.budget_id, merged(base, asked.settings, paths), now)


def _new(desired: DesiredCaps, budget_id: str, settings: BudgetSettings, now: Instant) -> Budget:
    return with_settings(blank_budget(desired.organization_id, budget_id, now), settings, now)


def _edit(before: Budget | None, after: Budget | None, manager: str) -> Edit:
    mark: Document = {APPLIED_BY: manager}
    return Edit(before, after, {} if after is not None else mark, mark if after is not None else {})


def _decided(type_: ChangeType, edit: Edit, now: Instant, owners: tuple[CapsWarning, ...] = ()) -> Decided:
    before = None if edit.before is None else budget_document(edit.before)
    after = None if edit.after is None else budget_document(edit.after)
    blank = budget_document(blank_budget(edit.budget.organization_id, edit.budget.budget_id, now))
    needed = UPDATE_NEEDED if edit.before is not None and edit.after is not None else WRITE_NEEDED
    if changes_what_is_granted(edit.before, edit.after):
        needed = PLATFORM_NEEDED
    return Decided(edit.name, type_, edit, field_changes(before, after, blank), owners, needed)


def _ensure_room(state: State, made: list[Decided]) -> None:
    created = sum(isinstance(each.edit, Edit) and each.type is ChangeType.CREATE for each in made)
    deleted = sum(isinstance(each.edit, Edit) and each.type is ChangeType.DELETE for each in made)
    if created and len(state.budgets) + created - deleted > BUDGETS_PER_ORGANIZATION_MAX:
        raise LimitExceeded("budgets in one organization", BUDGETS_PER_ORGANIZATION_MAX)
