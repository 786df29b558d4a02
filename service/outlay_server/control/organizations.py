"""Create, change and delete organizations."""

from collections.abc import Set as AbstractSet
from dataclasses import replace

from sqlalchemy import Connection, insert, select
from sqlalchemy import update as sql_update

from outlay_server.control import budget_writes, budgets
from outlay_server.control.documents import Document, organization_document
from outlay_server.control.keys_version import raise_keys_version
from outlay_server.control.organization_row import (
    append_audit_event,
    ensure_etag,
    ensure_manager,
    locked_organization,
    raise_version,
)
from outlay_server.control.origin import Origin
from outlay_server.domain.audit import GENESIS_HASH, AuditAction
from outlay_server.domain.errors import AlreadyExists, NotFound, OpenReservations
from outlay_server.domain.instant import Instant
from outlay_server.domain.names import OrganizationName
from outlay_server.domain.settings import DEFAULT_BUDGETS, OrganizationSettings, gates_at_birth
from outlay_server.domain.views import OrganizationView
from outlay_server.store import outbox, reads, rows, tables
from outlay_server.store.contract import ControlTransaction


def create(
    tx: ControlTransaction,
    origin: Origin,
    organization_id: str,
    settings: OrganizationSettings,
    *,
    validate_only: bool = False,
) -> OrganizationView:
    """Create an organization with its two default budgets and the `opus` gate. Raises `AlreadyExists`.

    The id of a deleted organization stays taken: its ledger and audit are still under it.
    """
    ensure_id_is_free(tx.connection, organization_id)
    view = new_organization(organization_id, replace(settings, gates=gates_at_birth(settings.gates)), tx.now)
    if validate_only:
        return view
    key = write_new(tx, origin, view)
    defaults = [
        budget_writes.Edit(None, budgets.new_budget(organization_id, budget_id, settings, tx.now))
        for budget_id, settings in DEFAULT_BUDGETS.items()
    ]
    budget_writes.write(tx, origin, key, defaults)
    return view


def ensure_id_is_free(connection: Connection, organization_id: str) -> None:
    """Raise `AlreadyExists` for an organization that there is or was."""
    table = tables.organizations
    if connection.execute(select(table.c.key).where(table.c.id == organization_id)).first():
        raise AlreadyExists(str(OrganizationName(organization_id)))


def new_organization(organization_id: str, settings: OrganizationSettings, now: Instant) -> OrganizationView:
    """An organization that has not been written yet."""
    return OrganizationView(
        organization_id=organization_id,
        display_name=settings.display_name,
        gates=settings.gates,
        managed_by=settings.managed_by,
        revision=now,
        create_time=now,
        update_time=now,
    )


def write_new(tx: ControlTransaction, origin: Origin, view: OrganizationView, more: Document | None = None) -> int:
    """Insert an organization without budgets, and its audit event with `more` in it; returns its key."""
    tx.changed_organizations.add(view.organization_id)
    table = tables.organizations
    key: int = tx.connection.execute(
        insert(table)
        .values(
            id=view.organization_id,
            display_name=view.display_name,
            gates=rows.dump_gates(view.gates),
            managed_by=view.managed_by,
            version=1,
            revision=view.revision,
            audit_sequence=0,
            audit_hash=GENESIS_HASH,
            create_time=tx.now,
            update_time=tx.now,
        )
        .returning(table.c.key)
    ).scalar_one()
    append_audit_event(
        tx,
        origin,
        view.organization_id,
        AuditAction.ORGANIZATION_CREATED,
        str(OrganizationName(view.organization_id)),
        before=None,
        after=organization_document(view) | (more or {}),
    )
    return key


def update(
    tx: ControlTransaction,
    origin: Origin,
    organization_id: str,
    settings: OrganizationSettings,
    paths: AbstractSet[str],
    *,
    etag: str = "",
    allow_missing: bool = False,
    validate_only: bool = False,
    manager: str = "",
    override_manager: bool = False,
) -> OrganizationView:
    """Change the fields that `paths` names. Raises `NotFound`, `EtagMismatch`, `ManagedElsewhere`."""
    try:
        row = locked_organization(tx, organization_id)
    except NotFound:
        if not allow_missing:
            raise
        return create(tx, origin, organization_id, settings, validate_only=validate_only)
    found = reads.organization_view_of(row)
    ensure_etag(etag, found.revision)
    ensure_manager(found.managed_by, manager, override_manager)
    changed = replace(found, **{name: getattr(settings, name) for name in paths})
    if changed == found:
        return found
    changed = replace(changed, revision=found.revision + 1, update_time=tx.now)
    if validate_only:
        return changed
    write_change(tx, origin, row.key, found, changed)
    raise_version(tx, row.key)
    return changed


def write_change(
    tx: ControlTransaction,
    origin: Origin,
    organization_key: int,
    found: OrganizationView,
    changed: OrganizationView,
    more: Document | None = None,
) -> None:
    """Write changed settings, and their audit event with `more` in what is after. Raise the version too."""
    table = tables.organizations
    tx.connection.execute(
        sql_update(table)
        .where(table.c.key == organization_key)
        .values(
            display_name=changed.display_name,
            gates=rows.dump_gates(changed.gates),
            managed_by=changed.managed_by,
            revision=changed.revision,
            update_time=tx.now,
        )
    )
    append_audit_event(
        tx,
        origin,
        found.organization_id,
        AuditAction.ORGANIZATION_UPDATED,
        str(OrganizationName(found.organization_id)),
        before=organization_document(found),
        after=organization_document(changed) | (more or {}),
    )


def delete(
    tx: ControlTransaction,
    origin: Origin,
    organization_id: str,
    *,
    etag: str = "",
    force: bool = False,
    validate_only: bool = False,
    manager: str = "",
    override_manager: bool = False,
) -> None:
    """Delete an organization: its keys stop working and it reads as missing; ledger and audit are kept.

    Raises `NotFound`, `EtagMismatch`, `ManagedElsewhere`, and `OpenReservations` unless `force`.
    """
    row = locked_organization(tx, organization_id)
    found = reads.organization_view_of(row)
    ensure_etag(etag, found.revision)
    ensure_manager(found.managed_by, manager, override_manager)
    held = reads.open_reservation_count(tx.connection, row.key, tx.now)
    if held and not force:
        raise OpenReservations(held)
    if validate_only:
        return
    append_audit_event(
        tx,
        origin,
        organization_id,
        AuditAction.ORGANIZATION_DELETED,
        str(OrganizationName(organization_id)),
        before=organization_document(found),
        after=None,
    )
    raise_version(tx, row.key)
    table = tables.organizations
    tx.connection.execute(sql_update(table).where(table.c.key == row.key).values(delete_time=tx.now))
    raise_keys_version(tx)
    outbox.drop_endpoints(tx.connection, row.key)
