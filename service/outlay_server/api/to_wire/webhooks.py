"""Webhook endpoints and deliveries."""

from typing import Final

from outlay.v1 import delivery_pb2, webhook_endpoint_pb2
from outlay_server.api.to_wire.times import optional_timestamp, timestamp
from outlay_server.domain.names import DeliveryName, WebhookEndpointName
from outlay_server.domain.views import etag_of
from outlay_server.domain.webhook import Delivery, DeliveryState, DisableReason, Endpoint, WebhookFormat

_FORMATS: Final = {
    WebhookFormat.STANDARD: webhook_endpoint_pb2.WEBHOOK_FORMAT_STANDARD,
    WebhookFormat.SLACK: webhook_endpoint_pb2.WEBHOOK_FORMAT_SLACK,
    WebhookFormat.MAIL: webhook_endpoint_pb2.WEBHOOK_FORMAT_MAIL,
}
_REASONS: Final = {
    None: webhook_endpoint_pb2.WEBHOOK_DISABLE_REASON_UNSPECIFIED,
    DisableReason.REQUESTED: webhook_endpoint_pb2.WEBHOOK_DISABLE_REASON_REQUESTED,
    DisableReason.GONE: webhook_endpoint_pb2.WEBHOOK_DISABLE_REASON_GONE,
    DisableReason.FAILING: webhook_endpoint_pb2.WEBHOOK_DISABLE_REASON_FAILING,
}
_STATES: Final = {
    DeliveryState.WAITING: delivery_pb2.DELIVERY_STATE_WAITING,
    DeliveryState.DELIVERED: delivery_pb2.DELIVERY_STATE_DELIVERED,
    DeliveryState.DEAD: delivery_pb2.DELIVERY_STATE_DEAD,
}


def endpoint(found: Endpoint, secret: str = "") -> webhook_endpoint_pb2.WebhookEndpoint:
    """An endpoint; with its secret in the one answer that shows it."""
    return webhook_endpoint_pb2.WebhookEndpoint(
        name=str(WebhookEndpointName(found.organization_id, found.endpoint_id)),
        display_name=found.display_name,
        uri=found.uri,
        format=_FORMATS[found.format],
        event_types=found.event_types,
        disabled=found.disabled,
        secret=secret,
        managed_by=found.managed_by,
        etag=etag_of(found.revision),
        create_time=timestamp(found.create_time),
        update_time=timestamp(found.update_time),
        disable_reason=_REASONS[found.disable_reason],
        failing_since_time=optional_timestamp(found.failing_since),
        previous_secret_expire_time=optional_timestamp(found.previous_secret_expire_time),
    )


def delivery(found: Delivery) -> delivery_pb2.Delivery:
    is_planned = found.state is DeliveryState.WAITING and not found.is_being_tried
    return delivery_pb2.Delivery(
        name=str(DeliveryName(found.organization_id, found.endpoint_id, found.event_id)),
        event_type=found.event_type,
        state=_STATES[found.state],
        attempt_count=found.attempts,
        last_http_status=found.last_http_status or 0,
        last_error=found.last_error,
        last_attempt_time=optional_timestamp(found.last_attempt_time),
        next_attempt_time=timestamp(found.due_time) if is_planned else None,
        create_time=timestamp(found.create_time),
        complete_time=optional_timestamp(found.complete_time),
        payload_json=found.payload,
    )
