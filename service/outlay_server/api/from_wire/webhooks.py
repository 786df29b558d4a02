"""Webhook endpoints and deliveries: names, settings, and the changes that are asked for them."""

from dataclasses import dataclass
from typing import Final

from outlay.v1 import admin_service_pb2 as pb
from outlay.v1 import delivery_pb2, webhook_endpoint_pb2
from outlay_server.api.caller import Caller
from outlay_server.api.from_wire.fields import Fields, Page
from outlay_server.api.from_wire.masks import paths_of
from outlay_server.domain.event import EventType
from outlay_server.domain.instant import MICROS_PER_SECOND
from outlay_server.domain.limits import (
    DISPLAY_NAME_MAX_LENGTH,
    MANAGED_BY_MAX_LENGTH,
    WEBHOOK_SECRET_OVERLAP_DEFAULT_SECONDS,
    WEBHOOK_SECRET_OVERLAP_MAX_SECONDS,
)
from outlay_server.domain.names import DeliveryName, WebhookEndpointName, id_violation
from outlay_server.domain.webhook import (
    ENDPOINT_PATHS,
    DeliveryState,
    EndpointSettings,
    WebhookFormat,
    event_type_violation,
    secret_violation,
)

_FORMATS: Final = {
    webhook_endpoint_pb2.WEBHOOK_FORMAT_UNSPECIFIED: WebhookFormat.STANDARD,
    webhook_endpoint_pb2.WEBHOOK_FORMAT_STANDARD: WebhookFormat.STANDARD,
    webhook_endpoint_pb2.WEBHOOK_FORMAT_SLACK: WebhookFormat.SLACK,
    webhook_endpoint_pb2.WEBHOOK_FORMAT_MAIL: WebhookFormat.MAIL,
}
_STATES: Final = {
    delivery_pb2.DELIVERY_STATE_WAITING: DeliveryState.WAITING,
    delivery_pb2.DELIVERY_STATE_DELIVERED: DeliveryState.DELIVERED,
    delivery_pb2.DELIVERY_STATE_DEAD: DeliveryState.DEAD,
}


@dataclass(frozen=True, slots=True)
class EndpointCreation:
    """CreateWebhookEndpoint, read."""

    name: WebhookEndpointName
    settings: EndpointSettings
    secret: str
    """"" where the server is to make one."""
    validate_only: bool


@dataclass(frozen=True, slots=True)
class EndpointUpdate:
    """UpdateWebhookEndpoint, read."""

    name: WebhookEndpointName
    settings: EndpointSettings
    paths: frozenset[str]
    secret: str
    etag: str
    allow_missing: bool
    validate_only: bool
    manager: str
    override_manager: bool


@dataclass(frozen=True, slots=True)
class EndpointDeletion:
    """DeleteWebhookEndpoint, read."""

    name: WebhookEndpointName
    etag: str
    validate_only: bool
    manager: str
    override_manager: bool


@dataclass(frozen=True, slots=True)
class SecretRotation:
    """RotateWebhookSecret, read."""

    name: WebhookEndpointName
    secret: str
    overlap_micros: int
    etag: str


@dataclass(frozen=True, slots=True)
class DeliveryListing:
    """ListDeliveries, read."""

    name: WebhookEndpointName
    page: Page
    state: DeliveryState | None


def named(request: pb.GetWebhookEndpointRequest | pb.TestWebhookEndpointRequest, caller: Caller) -> WebhookEndpointName:
    """The endpoint of a request that only names one."""
    fields = Fields(caller)
    name = fields.child("name", request.name, WebhookEndpointName)
    fields.finish()
    assert name is not None
    return name


def listing(request: pb.ListWebhookEndpointsRequest, caller: Caller) -> tuple[str, Page]:
    """The organization and the page."""
    fields = Fields(caller)
    organization_id = fields.required_organization("parent", request.parent)
    page = fields.page(request)
    fields.finish()
    return organization_id, page


def create(request: pb.CreateWebhookEndpointRequest, caller: Caller) -> EndpointCreation:
    fields = Fields(caller)
    fields.violations.add("webhook_endpoint_id", id_violation(request.webhook_endpoint_id))
    organization_id = fields.required_organization("parent", request.parent)
    creation = EndpointCreation(
        name=WebhookEndpointName(organization_id, request.webhook_endpoint_id),
        settings=endpoint_settings(fields, request.webhook_endpoint, ENDPOINT_PATHS),
        secret=signing_secret(fields, "webhook_endpoint.secret", request.webhook_endpoint.secret),
        validate_only=request.validate_only,
    )
    fields.request_id(request.request_id)
    fields.finish()
    return creation


def update(request: pb.UpdateWebhookEndpointRequest, caller: Caller) -> EndpointUpdate:
    fields = Fields(caller)
    endpoint = request.webhook_endpoint
    paths = paths_of(fields, request, "webhook_endpoint", ENDPOINT_PATHS)
    read = ENDPOINT_PATHS if request.allow_missing else paths
    name = fields.child("webhook_endpoint.name", endpoint.name, WebhookEndpointName)
    settings = endpoint_settings(fields, endpoint, read)
    secret = signing_secret(fields, "webhook_endpoint.secret", endpoint.secret) if "secret" in read else ""
    manager = fields.manager(request.manager)
    fields.request_id(request.request_id)
    fields.finish()
    assert name is not None
    return EndpointUpdate(
        name=name,
        settings=settings,
        paths=paths,
        secret=secret,
        etag=endpoint.etag,
        allow_missing=request.allow_missing,
        validate_only=request.validate_only,
        manager=manager,
        override_manager=request.override_manager,
    )


def delete(request: pb.DeleteWebhookEndpointRequest, caller: Caller) -> EndpointDeletion:
    fields = Fields(caller)
    name = fields.child("name", request.name, WebhookEndpointName)
    manager = fields.manager(request.manager)
    fields.request_id(request.request_id)
    fields.finish()
    assert name is not None
    return EndpointDeletion(name, request.etag, request.validate_only, manager, request.override_manager)


def rotate(request: pb.RotateWebhookSecretRequest, caller: Caller) -> SecretRotation:
    fields = Fields(caller)
    name = fields.child("name", request.name, WebhookEndpointName)
    secret = signing_secret(fields, "secret", request.secret)
    overlap_micros = WEBHOOK_SECRET_OVERLAP_DEFAULT_SECONDS * MICROS_PER_SECOND
    if request.HasField("overlap_duration"):
        overlap_micros = fields.duration_micros(
            "overlap_duration",
            request.overlap_duration,
            min_seconds=0,
            max_seconds=WEBHOOK_SECRET_OVERLAP_MAX_SECONDS,
        )
    fields.request_id(request.request_id)
    fields.finish()
    assert name is not None
    return SecretRotation(name, secret, overlap_micros, request.etag)


def deliveries(request: pb.ListDeliveriesRequest, caller: Caller) -> DeliveryListing:
    fields = Fields(caller)
    name = fields.child("parent", request.parent, WebhookEndpointName)
    page = fields.page(request)
    state = fields.choice("state", request.state, _STATES) if request.state else None
    fields.finish()
    assert name is not None
    return DeliveryListing(name, page, state)


def replay(request: pb.ReplayDeliveryRequest, caller: Caller) -> DeliveryName:
    fields = Fields(caller)
    name = fields.child("name", request.name, DeliveryName)
    fields.request_id(request.request_id)
    fields.finish()
    assert name is not None
    return name


def replay_dead(request: pb.ReplayDeadDeliveriesRequest, caller: Caller) -> WebhookEndpointName:
    fields = Fields(caller)
    name = fields.child("name", request.name, WebhookEndpointName)
    fields.request_id(request.request_id)
    fields.finish()
    assert name is not None
    return name


def endpoint_settings(
    fields: Fields, endpoint: webhook_endpoint_pb2.WebhookEndpoint, paths: frozenset[str]
) -> EndpointSettings:
    """The settings in a message, checked as far as `paths` names them. The URI is judged where its format is known."""
    display_name = managed_by = ""
    kind = WebhookFormat.STANDARD
    event_types: tuple[str, ...] = ()
    if "display_name" in paths:
        display_name = fields.text("webhook_endpoint.display_name", endpoint.display_name, DISPLAY_NAME_MAX_LENGTH)
    if "format" in paths:
        kind = fields.choice("webhook_endpoint.format", endpoint.format, _FORMATS)
    if "event_types" in paths:
        event_types = _event_types(fields, endpoint)
    if "managed_by" in paths:
        managed_by = fields.text("webhook_endpoint.managed_by", endpoint.managed_by, MANAGED_BY_MAX_LENGTH)
    return EndpointSettings(
        display_name=display_name,
        uri=endpoint.uri if "uri" in paths else "",
        format=kind,
        event_types=event_types,
        disabled=endpoint.disabled if "disabled" in paths else False,
        managed_by=managed_by,
    )


def _event_types(fields: Fields, endpoint: webhook_endpoint_pb2.WebhookEndpoint) -> tuple[str, ...]:
    # One more than there are: then one is named twice or is none, and is named as such.
    asked = list(endpoint.event_types[: len(EventType) + 1])
    for index, event_type in enumerate(asked):
        where = f"webhook_endpoint.event_types[{index}]"
        fields.violations.add(where, event_type_violation(event_type))
        if event_type in asked[:index]:
            fields.violations.add(where, "must be named once")
    return tuple(sorted(asked))


def signing_secret(fields: Fields, field: str, secret: str) -> str:
    """A secret that the caller chose, or ""."""
    if secret:
        fields.violations.add(field, secret_violation(secret))
    return secret
