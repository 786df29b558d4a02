"""Create, change and delete budgets: load, decide, write, in the transaction that the store opened."""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Row, func, select
from sqlalchemy import update as sql_update

from outlay_server.control import budget_writes
from outlay_server.control.budget_writes import Edit
from outlay_server.control.documents import Document
from outlay_server.control.organization_row import (
    ensure_etag,
    ensure_manager,
    locked_organization,
    raise_version,
)
from outlay_server.control.origin import Origin
from outlay_server.domain.allotments import changes_what_is_granted
from outlay_server.domain.api_key import Scope
from outlay_server.domain.audit import JsonValue
from outlay_server.domain.budget import Budget
from outlay_server.domain.errors import (
    AlreadyExists,
    LimitExceeded,
    MissingScope,
    NotFound,
    OpenReservations,
    ValidationFailed,
    Violation,
)
from outlay_server.domain.gate import Gate
from outlay_server.domain.instant import Instant
from outlay_server.domain.limits import BUDGETS_PER_ORGANIZATION_MAX
from outlay_server.domain.names import BudgetName
from outlay_server.domain.settings import (
    BudgetSettings,
    merged,
    settings_of,
    with_settings,
)
from outlay_server.domain.views import BudgetView
from outlay_server.store import reads, rows, tables
from outlay_server.store.contract import ControlTransaction


def create(
    tx: ControlTransaction,
    origin: Origin,
    organization_id: str,
    budget_id: str,
    settings: BudgetSettings,
    *,
    validate_only: bool = False,
    gates: Mapping[str, bool] | None = None,
) -> BudgetView:
    """Create a budget, and flip the switches in `gates` with it.

    It counts what its organization has spent in the cycle that runs, from before it was there too.

    Raises `NotFound`, `AlreadyExists`, `LimitExceeded`, `MissingScope` (an allotment takes a platform key),
    `ValidationFailed`.
    """
    organization = locked_organization(tx, organization_id)
    name = str(BudgetName(organization_id, budget_id))
    table = tables.budgets
    of_organization = table.c.organization_key == organization.key
    if tx.connection.execute(select(table.c.key).where(of_organization, table.c.id == budget_id)).first():
        raise AlreadyExists(name)
    count = tx.connection.execute(select(func.count()).select_from(table).where(of_organization)).scalar_one()
    if count >= BUDGETS_PER_ORGANIZATION_MAX:
        raise LimitExceeded("budgets in one organization", BUDGETS_PER_ORGANIZATION_MAX)
    budget = new_budget(organization_id, budget_id, settings, tx.now)
    _ensure_may(origin, None, budget)
    flip = _flip(organization, gates or {})
    if validate_only:
        return _view(tx, organization.key, budget)
    _write_flip(tx, organization.key, flip)
    edit = Edit(None, budget, flip.before if flip else {}, flip.after if flip else {})
    (view,) = budget_writes.write(tx, origin, organization.key, [edit])
    raise_version(tx, organization.key)
    return view


@dataclass(frozen=True, slots=True)
class _Flip:
    """The organization's gates as they are to be, and the switches as the audit shows them."""

    gates: tuple[Gate, ...]
    before: Document
    after: Document


def new_budget(organization_id: str, budget_id: str, settings: BudgetSettings, now: Instant) -> Budget:
    """A budget that has not been written yet."""
    return with_settings(_blank(organization_id, budget_id, now), settings, now)


def update(
    tx: ControlTransaction,
    origin: Origin,
    organization_id: str,
    budget_id: str,
    settings: BudgetSettings,
    paths: AbstractSet[str],
    *,
    etag: str = "",
    allow_missing: bool = False,
    validate_only: bool = False,
    gates: Mapping[str, bool] | None = None,
    manager: str = "",
    override_manager: bool = False,
) -> BudgetView:
    """Change the fields that `paths` names, and the organization's switches in `gates`, as one change.

    What is the same afterwards is no change and leaves no trace. A limit set below what is spent alerts at once.
    Raises `NotFound`, `EtagMismatch`, `ManagedElsewhere`, `MissingScope`, `ValidationFailed`.
    """
    organization = locked_organization(tx, organization_id)
    found = _find(tx, organization.key, organization_id, budget_id)
    if found is None:
        if not allow_missing:
            raise NotFound(str(BudgetName(organization_id, budget_id)))
        # AIP-134: all of the resource, with no regard to the mask.
        return create(tx, origin, organization_id, budget_id, settings, validate_only=validate_only, gates=gates)
    ensure_etag(etag, found.revision)
    ensure_manager(found.managed_by, manager, override_manager)
    changed = with_settings(found, merged(settings_of(found), settings, paths), tx.now)
    _ensure_may(origin, found, changed)
    flip = _flip(organization, gates or {})
    if changed == found and flip is None:
        return _view(tx, organization.key, found)
    changed = replace(changed, revision=found.revision + 1, update_time=tx.now)
    if validate_only:
        return _view(tx, organization.key, changed)
    _write_flip(tx, organization.key, flip)
    edit = Edit(found, changed, flip.before if flip else {}, flip.after if flip else {})
    (view,) = budget_writes.write(tx, origin, organization.key, [edit])
    raise_version(tx, organization.key)
    return view


def delete(
    tx: ControlTransaction,
    origin: Origin,
    organization_id: str,
    budget_id: str,
    *,
    etag: str = "",
    force: bool = False,
    validate_only: bool = False,
    manager: str = "",
    override_manager: bool = False,
) -> None:
    """Delete a budget: its limits no longer bind. Records, alerts and the audit stay.

    Raises `NotFound`, `EtagMismatch`, `ManagedElsewhere`, and `OpenReservations` unless `force`.
    """
    organization = locked_organization(tx, organization_id)
    found = _find(tx, organization.key, organization_id, budget_id)
    if found is None:
        raise NotFound(str(BudgetName(organization_id, budget_id)))
    ensure_etag(etag, found.revision)
    ensure_manager(found.managed_by, manager, override_manager)
    _ensure_may(origin, found, None)
    held = _view(tx, organization.key, found).counter.open_reservations
    if held and not force:
        raise OpenReservations(held)
    if validate_only:
        return
    budget_writes.write(tx, origin, organization.key, [Edit(found, None)])
    raise_version(tx, organization.key)


def _blank(organization_id: str, budget_id: str, now: Instant) -> Budget:
    defaults = BudgetSettings(unit="")
    return Budget(
        key=0,
        organization_id=organization_id,
        budget_id=budget_id,
        unit="",
        display_name="",
        selector=defaults.selector,
        cycle=defaults.cycle,
        budget_micros=None,
        hard_cap_micros=None,
        hard_cap_enabled=False,
        allotment_micros=None,
        alert_thresholds=None,
        alerts_enabled=True,
        enforcement=defaults.enforcement,
        cap_override=None,
        managed_by="",
        revision=now,
        create_time=now,
        update_time=now,
    )


def _find(tx: ControlTransaction, organization_key: int, organization_id: str, budget_id: str) -> Budget | None:
    table = tables.budgets
    query = select(table).where(table.c.organization_key == organization_key, table.c.id == budget_id)
    row = tx.connection.execute(query).one_or_none()
    return None if row is None else rows.budget_from_row(row, organization_id)


def _ensure_may(origin: Origin, old: Budget | None, new: Budget | None) -> None:
    """An allotment is what the plan grants: an organization cannot grant itself more, nor get round it."""
    if changes_what_is_granted(old, new) and not origin.is_platform:
        raise MissingScope(Scope.ADMIN.value)


def _flip(organization: Row[Any], switches: Mapping[str, bool]) -> _Flip | None:
    """What becomes of the organization's gates, or None where they stay as they are."""
    gates = rows.load_gates(organization.gates)
    unknown = sorted(switches.keys() - {gate.gate_id for gate in gates})
    if unknown:
        raise ValidationFailed([Violation(f"gates.{gate_id}", "is no gate of the organization") for gate_id in unknown])
    flipped = tuple(replace(gate, enabled=switches.get(gate.gate_id, gate.enabled)) for gate in gates)
    if flipped == gates:
        return None
    return _Flip(flipped, {"gates": _switches(gates)}, {"gates": _switches(flipped)})


def _switches(gates: tuple[Gate, ...]) -> JsonValue:
    return {gate.gate_id: gate.enabled for gate in gates}


def _write_flip(tx: ControlTransaction, organization_key: int, flip: _Flip | None) -> None:
    if flip is None:
        return
    table = tables.organizations
    tx.connection.execute(
        sql_update(table)
        .where(table.c.key == organization_key)
        .values(gates=rows.dump_gates(flip.gates), revision=table.c.revision + 1, update_time=tx.now)
    )


def _view(tx: ControlTransaction, organization_key: int, budget: Budget) -> BudgetView:
    return reads.views_of(tx.connection, organization_key, [budget], tx.now)[0]
