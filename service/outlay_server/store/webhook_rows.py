"""Webhook endpoints and deliveries: rows to domain values and back, and what readers ask of them."""

import json
from typing import Any

from sqlalchemy import Connection, Row, Select, and_, select

from outlay_server.domain.errors import NotFound
from outlay_server.domain.instant import Instant
from outlay_server.domain.names import DeliveryName, WebhookEndpointName
from outlay_server.domain.webhook import (
    Delivery,
    DeliveryState,
    DisableReason,
    Endpoint,
    WebhookFormat,
)
from outlay_server.store import rows, tables
from outlay_server.store.reads import organization_row


def endpoint_of(row: Any, organization_id: str) -> Endpoint:
    """`row` has the columns of `webhook_endpoints` as attributes. Its secrets are left where they are."""
    return Endpoint(
        key=row.key,
        organization_id=organization_id,
        endpoint_id=row.id,
        display_name=row.display_name,
        uri=row.uri,
        format=WebhookFormat(row.format),
        event_types=tuple(json.loads(row.event_types)),
        disabled=bool(row.disabled),
        disable_reason=DisableReason(row.disable_reason) if row.disable_reason else None,
        managed_by=row.managed_by,
        failing_since=_instant(row.failing_since),
        previous_secret_expire_time=_instant(row.previous_secret_expire_time),
        revision=row.revision,
        create_time=Instant(row.create_time),
        update_time=Instant(row.update_time),
    )


def endpoint_to_values(endpoint: Endpoint, organization_key: int) -> dict[str, Any]:
    """The columns of `webhook_endpoints` but for the key, which the store gives, and the secrets."""
    return {
        "organization_key": organization_key,
        "id": endpoint.endpoint_id,
        "display_name": endpoint.display_name,
        "uri": endpoint.uri,
        "format": endpoint.format.value,
        "event_types": rows.dump(endpoint.event_types),
        "disabled": endpoint.disabled,
        "disable_reason": endpoint.disable_reason.value if endpoint.disable_reason else "",
        "managed_by": endpoint.managed_by,
        "failing_since": endpoint.failing_since,
        "previous_secret_expire_time": endpoint.previous_secret_expire_time,
        "revision": endpoint.revision,
        "create_time": endpoint.create_time,
        "update_time": endpoint.update_time,
    }


def find_endpoint_row(
    connection: Connection, organization_key: int, endpoint_id: str, *, lock: bool = False
) -> Row[Any] | None:
    """The row of one endpoint with its secrets, or None. `lock` keeps others from changing it."""
    table = tables.webhook_endpoints
    query = select(table).where(table.c.organization_key == organization_key, table.c.id == endpoint_id)
    return connection.execute(query.with_for_update() if lock else query).one_or_none()


def endpoint_row(
    connection: Connection, organization_key: int, organization_id: str, endpoint_id: str, *, lock: bool = False
) -> Row[Any]:
    """The same; `NotFound` when the organization has no such endpoint."""
    row = find_endpoint_row(connection, organization_key, endpoint_id, lock=lock)
    if row is None:
        raise NotFound(str(WebhookEndpointName(organization_id, endpoint_id)))
    return row


def endpoint(connection: Connection, organization_id: str, endpoint_id: str) -> Endpoint:
    """One endpoint."""
    key = organization_row(connection, organization_id).key
    return endpoint_of(endpoint_row(connection, key, organization_id, endpoint_id), organization_id)


def endpoints(connection: Connection, organization_id: str, after_id: str, limit: int) -> list[Endpoint]:
    """Endpoints with ids above `after_id`, ascending."""
    key = organization_row(connection, organization_id).key
    table = tables.webhook_endpoints
    query = select(table).where(table.c.organization_key == key, table.c.id > after_id).order_by(table.c.id)
    return [endpoint_of(row, organization_id) for row in connection.execute(query.limit(limit))]


def delivery(
    connection: Connection, organization_key: int, organization_id: str, endpoint_id: str, event_id: str
) -> Delivery:
    """One delivery; `NotFound` when there is none."""
    endpoint_key = endpoint_row(connection, organization_key, organization_id, endpoint_id).key
    table = tables.deliveries
    query = _deliveries(organization_key, endpoint_key).where(table.c.event_id == event_id)
    row = connection.execute(query).one_or_none()
    if row is None:
        raise NotFound(str(DeliveryName(organization_id, endpoint_id, event_id)))
    return _delivery_of(row, organization_id, endpoint_id)


def deliveries(
    connection: Connection,
    organization_id: str,
    endpoint_id: str,
    after_id: str,
    limit: int,
    state: DeliveryState | None,
) -> list[Delivery]:
    """Deliveries to one endpoint, newest event first; those after `after_id` ("" for the first page)."""
    organization_key = organization_row(connection, organization_id).key
    endpoint_key = endpoint_row(connection, organization_key, organization_id, endpoint_id).key
    table = tables.deliveries
    query = _deliveries(organization_key, endpoint_key).order_by(table.c.event_id.desc()).limit(limit)
    if after_id:
        query = query.where(table.c.event_id < after_id)
    if state is not None:
        query = query.where(table.c.state == state.value)
    return [_delivery_of(row, organization_id, endpoint_id) for row in connection.execute(query)]


def _deliveries(organization_key: int, endpoint_key: int) -> Select[Any]:
    table, events = tables.deliveries, tables.events
    same = and_(events.c.organization_key == table.c.organization_key, events.c.id == table.c.event_id)
    return (
        select(table, events.c.payload)
        .join(events, same)
        .where(table.c.organization_key == organization_key, table.c.endpoint_key == endpoint_key)
    )


def _delivery_of(row: Any, organization_id: str, endpoint_id: str) -> Delivery:
    return Delivery(
        organization_id=organization_id,
        endpoint_id=endpoint_id,
        event_id=row.event_id,
        event_type=row.event_type,
        payload=row.payload,
        state=DeliveryState(row.state),
        attempts=row.attempts,
        due_time=Instant(row.due_time),
        is_being_tried=row.lease_holder is not None,
        last_attempt_time=_instant(row.last_attempt_time),
        last_http_status=row.last_http_status,
        last_error=row.last_error,
        create_time=Instant(row.create_time),
        complete_time=_instant(row.complete_time),
    )


def _instant(value: int | None) -> Instant | None:
    return None if value is None else Instant(value)
