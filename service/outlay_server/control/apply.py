"""Plan and apply the caps of one organization as they are in code: load, decide, and write all of it or nothing."""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace

from sqlalchemy import Connection

from outlay_server.control import apply_edits, apply_endpoints, apply_state, budget_writes, organizations
from outlay_server.control.apply_decided import Decided, EndpointEdit, OrganizationEdit
from outlay_server.control.apply_endpoints import EndpointCare
from outlay_server.control.apply_state import State
from outlay_server.control.budget_writes import Edit
from outlay_server.control.organization_row import locked_organization, raise_version
from outlay_server.control.origin import Origin
from outlay_server.domain import plan as plans
from outlay_server.domain.audit import AuditDraft
from outlay_server.domain.budget import BudgetCounter
from outlay_server.domain.caps import DesiredCaps
from outlay_server.domain.errors import ApplyRefused, MissingScope, NotFound, PlanOutdated
from outlay_server.domain.instant import Instant, to_datetime
from outlay_server.domain.names import BudgetName, OrganizationName, WebhookEndpointName
from outlay_server.domain.outside import APPLIED_BY, Trail, last_gate_flip
from outlay_server.domain.plan import Change, FieldChange, Plan
from outlay_server.domain.views import etag_of
from outlay_server.store import audit_trail, reads
from outlay_server.store.contract import ControlTransaction


def plan(connection: Connection, desired: DesiredCaps, care: EndpointCare, now: Instant) -> Plan:
    """What applying would do. Reads only, and locks nothing.

    Raises `NotFound`, `AlreadyExists`, `ValidationFailed`, `LimitExceeded`, `PlanOutdated`.
    """
    try:
        state = apply_state.existing(connection, reads.organization_row(connection, desired.organization_id))
    except NotFound:
        if not desired.leave.create_organization:
            raise
        state = apply_state.missing(connection, desired)
    return _planned(connection, state, desired, care, now).plan


def apply(
    tx: ControlTransaction, origin: Origin, desired: DesiredCaps, care: EndpointCare, scopes: AbstractSet[str]
) -> Plan:
    """Do what `plan` says, all of it or nothing, by a key that holds `scopes`; the etags are those afterwards.

    Raises what `plan` raises, and `ApplyRefused`, `MissingScope`.
    """
    try:
        state = apply_state.existing(tx.connection, locked_organization(tx, desired.organization_id))
    except NotFound:
        if not desired.leave.create_organization:
            raise
        state = apply_state.missing(tx.connection, desired)
    planned = _planned(tx.connection, state, desired, care, tx.now)
    for required in planned.plan.required_scopes:
        if scopes.isdisjoint(required.split(",")):
            raise MissingScope(required)
    if refusals := planned.plan.refusals():
        raise ApplyRefused(refusals)
    _write(tx, origin, state, planned, desired.manager)
    after = {decided.resource: decided.etag_after for decided in planned.made}
    changes = tuple(replace(change, etag=after[change.resource]) for change in planned.plan.changes)
    return replace(planned.plan, changes=changes)


@dataclass(frozen=True, slots=True)
class _Planned:
    """A plan, and what it was made of."""

    plan: Plan
    made: list[Decided]
    counted: Mapping[str, BudgetCounter]


def _planned(connection: Connection, state: State, desired: DesiredCaps, care: EndpointCare, now: Instant) -> _Planned:
    _ensure_etags(connection, state, desired)
    made = apply_edits.decide(state, desired, care, now)
    counted = apply_edits.counters(connection, state, made, now)
    warnings = apply_edits.warnings(desired, made, counted, now)
    names = [decided.resource for decided in made]
    trails = audit_trail.trails(connection, state.key, desired.organization_id, names, desired.manager)
    changes = tuple(
        Change(
            resource=decided.resource,
            type=decided.type,
            fields=_moved_fields(connection, state, decided, trails[decided.resource]),
            warnings=warnings[decided.resource],
            mover=trails[decided.resource].mover(desired.manager),
            etag=decided.etag_before,
            unseen=decided.unseen,
        )
        for decided in made
    )
    etag = plans.plan_etag(state.audit_sequence, changes)
    if desired.plan_etag and not plans.is_same_plan(etag, desired.plan_etag):
        raise _outdated(connection, state, desired)
    orphans = () if desired.leave.prune else apply_edits.orphans(state, desired)
    scopes = plans.required_scopes([decided.needed for decided in made])
    return _Planned(Plan(changes, etag, scopes, orphans), made, counted)


def _moved_fields(connection: Connection, state: State, decided: Decided, trail: Trail) -> tuple[FieldChange, ...]:
    """The fields that change, with who moved those that are not as they were last applied."""
    if trail.applied is None or decided.edit.before is None:
        return decided.fields
    applied = plans.flat(trail.applied)
    fields = []
    if isinstance(decided.edit, EndpointEdit):
        # The audit has it only where it was replaced.
        applied[apply_endpoints.SECRET] = apply_endpoints.IS_SET
    for change in decided.fields:
        mover = None
        if change.path == apply_endpoints.SECRET or applied.get(change.path) != change.before:
            mover = trail.mover_of_field(change.path.partition(".")[0])
            if mover is None and isinstance(decided.edit, OrganizationEdit):
                # Gates can be switched together with a budget, which is then what the event is about.
                organization_id = decided.edit.after.organization_id
                mover = last_gate_flip(audit_trail.newest(connection, state.key, organization_id))
        fields.append(change if mover is None else replace(change, last_applied=applied.get(change.path), mover=mover))
    return tuple(fields)


# Etags


def _ensure_etags(connection: Connection, state: State, desired: DesiredCaps) -> None:
    """Raise `PlanOutdated` for resources whose etag was sent and is no longer current."""
    moved = []
    organization = state.organization
    if desired.organization is not None and desired.organization.etag:
        current = "" if organization is None else etag_of(organization.revision)
        if desired.organization.etag != current:
            moved.append(str(OrganizationName(desired.organization_id)))
    for asked in desired.budgets:
        found = state.budgets.get(asked.budget_id)
        if asked.etag and (found is None or asked.etag != etag_of(found.revision)):
            moved.append(str(BudgetName(desired.organization_id, asked.budget_id)))
    for wanted in desired.endpoints:
        stored = state.endpoints.get(wanted.endpoint_id)
        if wanted.etag and (stored is None or wanted.etag != etag_of(stored.endpoint.revision)):
            moved.append(str(WebhookEndpointName(desired.organization_id, wanted.endpoint_id)))
    if moved:
        events = audit_trail.newest(connection, state.key, desired.organization_id, resource=moved[0], limit=1)
        raise PlanOutdated(moved, next(map(_told, events), "somebody"))


def _outdated(connection: Connection, state: State, desired: DesiredCaps) -> PlanOutdated:
    since = plans.planned_at(desired.plan_etag)
    events = list(audit_trail.newest(connection, state.key, desired.organization_id, after_sequence=since))
    return PlanOutdated([event.resource for event in events], _told(events[0]) if events else "")


def _told(event: AuditDraft) -> str:
    """Who did it, by which way and when."""
    time = to_datetime(event.create_time).isoformat(timespec="seconds").replace("+00:00", "Z")
    return f"{event.actor} ({event.source}) at {time}"


# Writing


def _write(tx: ControlTransaction, origin: Origin, state: State, planned: _Planned, manager: str) -> None:
    made = planned.made
    if not made:
        return
    key = state.key
    for decided in made:
        if isinstance(decided.edit, OrganizationEdit):
            key = _write_organization(tx, origin, state, decided.edit, manager)
    edits = [decided.edit for decided in made if isinstance(decided.edit, Edit)]
    budget_writes.write(tx, origin, key, edits, apply_edits.lasting(made, planned.counted))
    for decided in made:
        if isinstance(decided.edit, EndpointEdit):
            apply_endpoints.write(tx, origin, key, decided.edit, manager)
    raise_version(tx, key)


def _write_organization(
    tx: ControlTransaction, origin: Origin, state: State, edit: OrganizationEdit, manager: str
) -> int:
    """Write the organization itself; returns its key."""
    if edit.before is None:
        return organizations.write_new(tx, origin, edit.after, {APPLIED_BY: manager})
    organizations.write_change(tx, origin, state.key, edit.before, edit.after, {APPLIED_BY: manager})
    return state.key
