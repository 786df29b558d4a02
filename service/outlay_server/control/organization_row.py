"""The organization's row as every change uses it: locked first, its version raised, its audit chain carried on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, insert, update

from outlay_server.control.origin import Origin
from outlay_server.domain.audit import AuditAction, AuditDraft, JsonValue, chain
from outlay_server.domain.errors import EtagMismatch, ManagedElsewhere
from outlay_server.domain.views import etag_of
from outlay_server.store import rows, tables
from outlay_server.store.contract import ControlTransaction
from outlay_server.store.reads import organization_row

Document = Mapping[str, JsonValue]


def locked_organization(tx: ControlTransaction, organization_id: str) -> Row[Any]:
    """The organization's row, which no other change and no decision of the ledger can pass until this one is done."""
    row = organization_row(tx.connection, organization_id, lock=True)
    tx.has_waited()
    tx.changed_organizations.add(organization_id)
    return row


def raise_version(tx: ControlTransaction, organization_key: int) -> None:
    """Have every replica read the organization's settings anew before its next decision."""
    table = tables.organizations
    tx.connection.execute(update(table).where(table.c.key == organization_key).values(version=table.c.version + 1))


@dataclass(frozen=True, slots=True)
class EventDraft:
    """One change as the audit tells it."""

    action: AuditAction
    resource: str
    before: Document | None
    after: Document | None


def append_audit_event(
    tx: ControlTransaction,
    origin: Origin,
    organization_id: str,
    action: AuditAction,
    resource: str,
    *,
    before: Document | None,
    after: Document | None,
) -> None:
    """Write one event at the head of the organization's chain; its row must be locked."""
    append_audit_events(tx, origin, organization_id, [EventDraft(action, resource, before, after)])


def append_audit_events(
    tx: ControlTransaction, origin: Origin, organization_id: str, drafts: Sequence[EventDraft]
) -> None:
    """Write at least one event at the head of the organization's chain, in their order; its row must be locked."""
    table = tables.organizations
    head = tx.connection.execute(
        table.select()
        .with_only_columns(table.c.key, table.c.audit_sequence, table.c.audit_hash)
        .where(table.c.id == organization_id)
    ).one()
    sequence, digest, events = head.audit_sequence, head.audit_hash, []
    for draft in drafts:
        event = chain(
            sequence,
            digest,
            AuditDraft(
                organization_id=organization_id,
                event_id=tx.new_id(),
                action=draft.action.value,
                resource=draft.resource,
                actor=origin.actor,
                source=origin.source,
                request_id=origin.correlation_id,
                before=draft.before,
                after=draft.after,
                create_time=tx.now,
            ),
        )
        sequence, digest = event.sequence, event.hash
        events.append(rows.audit_event_to_values(event, head.key))
    tx.connection.execute(insert(tables.audit_events), events)
    tx.connection.execute(
        update(table).where(table.c.key == head.key).values(audit_sequence=sequence, audit_hash=digest)
    )


def ensure_etag(etag: str, revision: int) -> None:
    """Raise `EtagMismatch` unless the caller has seen this revision, or did not say which it has seen."""
    if etag and etag != etag_of(revision):
        raise EtagMismatch


def ensure_manager(managed_by: str, manager: str, override: bool) -> None:
    """Raise `ManagedElsewhere` when another tool keeps the resource as code and would undo the change."""
    if managed_by and managed_by != manager and not override:
        raise ManagedElsewhere(managed_by)
