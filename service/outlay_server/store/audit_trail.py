"""What the audit tells of some resources of one organization, newest first."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

from sqlalchemy import Connection, Row, select

from outlay_server.domain.audit import AuditDraft
from outlay_server.domain.outside import Trail
from outlay_server.store import rows, tables

EVENTS_AT_ONCE: Final = 1_000
PAGES_READ_MAX: Final = 20
"""Twenty thousand events: beyond that who moved is not looked for, and a plan says nothing of it."""


def trails(
    connection: Connection, organization_key: int, organization_id: str, resources: Sequence[str], manager: str
) -> dict[str, Trail]:
    """What happened to each resource since caps of `manager` were last applied to it."""
    found = {resource: Trail() for resource in resources}
    before: int | None = None
    for _ in range(PAGES_READ_MAX):
        wanted = [resource for resource, trail in found.items() if not trail.is_complete]
        page = _page(connection, organization_key, before, wanted) if wanted else []
        for row in page:
            if not found[row.resource].is_complete:
                found[row.resource].add(rows.audit_event_from_row(row, organization_id).draft, manager)
        if len(page) < EVENTS_AT_ONCE:
            break
        before = page[-1].sequence
    return found


def _page(
    connection: Connection, organization_key: int, before: int | None, resources: Sequence[str]
) -> Sequence[Row[Any]]:
    table = tables.audit_events
    query = select(table).where(table.c.organization_key == organization_key, table.c.resource.in_(resources))
    if before is not None:
        query = query.where(table.c.sequence < before)
    return connection.execute(query.order_by(table.c.sequence.desc()).limit(EVENTS_AT_ONCE)).all()


def newest(
    connection: Connection,
    organization_key: int,
    organization_id: str,
    *,
    after_sequence: int = 0,
    resource: str = "",
    limit: int = EVENTS_AT_ONCE,
) -> Iterator[AuditDraft]:
    """The newest events after a place in the chain; of one resource, where it is named."""
    table = tables.audit_events
    query = select(table).where(table.c.organization_key == organization_key, table.c.sequence > after_sequence)
    if resource:
        query = query.where(table.c.resource == resource)
    for row in connection.execute(query.order_by(table.c.sequence.desc()).limit(limit)):
        yield rows.audit_event_from_row(row, organization_id).draft
