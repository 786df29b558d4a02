"""`outlay_webhook_endpoint`: where events of an organization are sent. Its secret is written and never read."""

import base64
import binascii
from collections.abc import Iterator, Mapping
from typing import Any, Final

from outlay.v1 import admin_service_pb2 as pb
from outlay.v1 import webhook_endpoint_pb2
from outlay_client.errors import OutlayRpcError
from outlay_terraform import checks, failures, names
from outlay_terraform.framework.contracts import Change, Remote
from outlay_terraform.framework.diagnostics import Diagnostic, Path, error, warning
from outlay_terraform.framework.schema import Attribute, Mode, Schema, known
from outlay_terraform.framework.types import BOOL, NUMBER, STRING, set_of
from outlay_terraform.framework.values import Unknown, Value, Values
from outlay_terraform.resources import shared
from outlay_terraform.service import MANAGER, Service, new_request_id

FORMATS: Final = ("STANDARD", "SLACK", "MAIL")
EVENT_TYPES: Final = (
    "alert.crossed",
    "budget.updated",
    "cap.reached",
    "forecast.breached",
    "reservation.expired",
    "spend.overrun",
)
URI_MAX_BYTES: Final = 2_048
SECRET_PREFIX: Final = "whsec_"  # noqa: S105  # no secret: how secrets begin
_SECRET_BYTES: Final = range(24, 65)

_CHANGEABLE: Final = ("display_name", "uri", "format", "event_types", "disabled")
"""Attributes that are called like the fields of the service's message."""

_FIELDS: Final[Mapping[str, Path]] = {
    "webhook_endpoint_id": ("webhook_endpoint_id",),
    "parent": ("organization",),
    "webhook_endpoint.secret": ("secret_wo",),
    **{f"webhook_endpoint.{name}": (name,) for name in _CHANGEABLE},
}


def _uri_complaint(uri: str) -> str | None:
    if len(uri.encode()) > URI_MAX_BYTES:
        return f"must be at most {URI_MAX_BYTES} bytes"
    if uri.startswith(("https://", "http://", "mailto:")):
        return None
    return "must begin with https://, or with mailto: for the format MAIL"


def _secret_complaint(secret: str) -> str | None:
    """Never repeats any of it."""
    try:
        size = len(base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True))
    except (binascii.Error, ValueError):
        size = 0
    if secret.startswith(SECRET_PREFIX) and size in _SECRET_BYTES:
        return None
    return f"must be {SECRET_PREFIX} and base64 of {_SECRET_BYTES.start} to {_SECRET_BYTES.stop - 1} bytes"


def _event_types(given: list[Any]) -> Iterator[tuple[Path, str]]:
    # A set has no indexes to point at.
    for each in given:
        if not isinstance(each, Unknown) and each not in EVENT_TYPES:
            yield (), f"has {each!r}, which is no type of event: there are {', '.join(EVENT_TYPES)}"


class WebhookEndpoint:
    """A receiver of events."""

    type_name = "outlay_webhook_endpoint"
    schema = Schema(
        "Where events of an organization are sent: alerts, caps that are reached, overrun. Delivery is at least once,"
        " signed, and retried for three days. The signing secret is write-only (Terraform 1.11 or newer): it is in no"
        " state and no plan. Takes the platform key, or one with `control:webhooks`.",
        (
            shared.ORGANIZATION,
            Attribute(
                name="webhook_endpoint_id",
                type=STRING,
                mode=Mode.REQUIRED,
                replaces=True,
                checks=(checks.ID,),
                description="The id, `[a-z][a-z0-9-]{0,62}`, unique in the organization. Another id takes another"
                " endpoint.",
            ),
            Attribute(
                name="uri",
                type=STRING,
                mode=Mode.REQUIRED,
                checks=(checks.whole(_uri_complaint),),
                description="Where it is sent: an `https` URL, or `mailto:` and one address for the format `MAIL`."
                " It is part of the state: where it opens the receiver by itself, as Slack's do, keep the state"
                " accordingly.",
            ),
            shared.DISPLAY_NAME,
            Attribute(
                name="format",
                type=STRING,
                mode=Mode.DEFAULTED,
                default=lambda _planned, _config: "STANDARD",
                same=shared.same_choice,
                checks=(checks.one_of(*FORMATS),),
                description="How the body is written: `STANDARD` (JSON, signed as Standard Webhooks has it), `SLACK` or"
                " `MAIL`. Default: `STANDARD`.",
            ),
            Attribute(
                name="event_types",
                type=set_of(STRING),
                mode=Mode.DEFAULTED,
                default=lambda _planned, _config: [],
                same=lambda one, other: set(one) == set(other),
                checks=(_event_types,),
                description=f"Which events are sent: {', '.join(f'`{each}`' for each in EVENT_TYPES)}. Default: all.",
            ),
            Attribute(
                name="disabled",
                type=BOOL,
                mode=Mode.DEFAULTED,
                default=lambda _planned, _config: False,
                description="Whether sending is paused. The service sets it for an endpoint that is gone or that"
                " nothing has reached for five days; the next plan shows that. Default: `false`.",
            ),
            Attribute(
                name="secret_wo",
                type=STRING,
                mode=Mode.OPTIONAL,
                sensitive=True,
                write_only=True,
                checks=(checks.whole(_secret_complaint),),
                description="The signing secret of the format `STANDARD`, `whsec_` and base64 of 24 to 64 bytes."
                " Without one the service makes a secret that nobody sees.",
            ),
            Attribute(
                name="secret_wo_version",
                type=NUMBER,
                mode=Mode.OPTIONAL,
                description="Any number, together with `secret_wo`. The secret is sent when this changes: Terraform"
                " cannot tell by itself that a write-only value did.",
            ),
            Attribute(
                name="id",
                type=STRING,
                kept=True,
                derived=lambda planned: names.child_if_known(planned, "webhookEndpoints", "webhook_endpoint_id"),
                description="`organizations/{organization}/webhookEndpoints/{webhook_endpoint_id}`.",
            ),
            shared.MANAGED_BY,
            shared.CREATE_TIME,
        ),
    )

    def path_of(self, field: str) -> Path:
        return failures.located(field, _FIELDS)

    def validate(self, config: Values) -> Iterator[Diagnostic]:
        if (config["secret_wo"] is None) != (config["secret_wo_version"] is None):
            missing = "secret_wo" if config["secret_wo"] is None else "secret_wo_version"
            given = "secret_wo_version" if config["secret_wo"] is None else "secret_wo"
            yield error(f"{missing} is missing", "secret_wo and secret_wo_version are set together.", (given,))
        form = "STANDARD" if config["format"] is None else config["format"]
        form = form if isinstance(form, Unknown) else form.upper()
        if form not in FORMATS:
            return
        if form != "STANDARD" and config["secret_wo"] is not None:
            yield error("There is nothing to sign", f"The format {form} has no secret.", ("secret_wo",))
        if known(config["uri"]) and config["uri"].startswith("mailto:") != (form == "MAIL"):
            wanted = "mailto: and an address" if form == "MAIL" else "an https URL"
            yield error("Invalid uri", f"uri must be {wanted} for the format {form}", ("uri",))

    def read(self, service: Service, state: Values) -> Remote | None:
        name = names.child(state["organization"], "webhookEndpoints", state["webhook_endpoint_id"])
        try:
            return _remote(_get(service, name), state["secret_wo_version"])
        except OutlayRpcError as raised:
            if raised.reason == "NOT_FOUND":
                return None
            raise

    def find(self, service: Service, import_id: str) -> Remote:
        organization, endpoint_id = names.parsed_child(import_id, "webhookEndpoints", "webhook endpoint")
        return _remote(_get(service, names.child(organization, "webhookEndpoints", endpoint_id)), None)

    def create(self, service: Service, change: Change) -> Remote:
        planned = change.planned
        request = pb.CreateWebhookEndpointRequest(
            parent=names.organization_name(planned["organization"]),
            webhook_endpoint_id=planned["webhook_endpoint_id"],
            webhook_endpoint=_message(planned),
            request_id=new_request_id(),
        )
        request.webhook_endpoint.secret = change.config["secret_wo"] or ""
        try:
            made = service.call(service.admin.CreateWebhookEndpoint, request)
        except OutlayRpcError as raised:
            if raised.reason == "ALREADY_EXISTS":
                name = names.child(planned["organization"], "webhookEndpoints", planned["webhook_endpoint_id"])
                raise failures.already_exists(self.type_name, name) from None
            raise
        return _remote(made, planned["secret_wo_version"])

    def update(self, service: Service, change: Change) -> Remote:
        planned = change.planned
        request = pb.UpdateWebhookEndpointRequest(
            webhook_endpoint=_message(planned), manager=MANAGER, request_id=new_request_id()
        )
        request.webhook_endpoint.name, request.webhook_endpoint.etag = planned["id"], change.private.get("etag", "")
        request.update_mask.paths.extend([*filter(change.differs, _CHANGEABLE), "managed_by"])
        if change.differs("secret_wo_version") and change.config["secret_wo"] is not None:
            request.webhook_endpoint.secret = change.config["secret_wo"]
            request.update_mask.paths.append("secret")
        return _remote(service.call(service.admin.UpdateWebhookEndpoint, request), planned["secret_wo_version"])

    def delete(self, service: Service, prior: Values, private: Mapping[str, str]) -> None:
        request = pb.DeleteWebhookEndpointRequest(
            name=prior["id"], etag=private.get("etag", ""), manager=MANAGER, request_id=new_request_id()
        )
        try:
            service.call(service.admin.DeleteWebhookEndpoint, request)
        except OutlayRpcError as raised:
            if raised.reason != "NOT_FOUND":
                raise

    def foresee(self, service: Service, prior: Values | None, planned: Values | None) -> Iterator[Diagnostic]:
        if prior is not None:
            yield from failures.unless_kept_elsewhere(prior["id"], prior["managed_by"])
        elif planned is not None and planned["format"] == "STANDARD" and planned["secret_wo_version"] is None:
            yield warning(
                "The signing secret will be known to nobody",
                "Without secret_wo the service makes one, and it is kept out of Terraform's state. Set secret_wo and"
                " secret_wo_version, so that the receiver can verify what it gets.",
            )


def _get(service: Service, name: str) -> webhook_endpoint_pb2.WebhookEndpoint:
    return service.call(service.admin.GetWebhookEndpoint, pb.GetWebhookEndpointRequest(name=name))


def _message(planned: Values) -> webhook_endpoint_pb2.WebhookEndpoint:
    """The planned settings, without the secret."""
    return webhook_endpoint_pb2.WebhookEndpoint(
        uri=planned["uri"],
        display_name=planned["display_name"],
        format=webhook_endpoint_pb2.WebhookFormat.Value(f"WEBHOOK_FORMAT_{planned['format'].upper()}"),
        event_types=sorted(planned["event_types"]),
        disabled=planned["disabled"],
        managed_by=MANAGER,
    )


def _remote(found: webhook_endpoint_pb2.WebhookEndpoint, secret_version: Value) -> Remote:
    organization, _, endpoint_id = found.name.rpartition("/webhookEndpoints/")
    values = {
        "organization": names.organization_id(organization),
        "webhook_endpoint_id": endpoint_id,
        "uri": found.uri,
        "display_name": found.display_name,
        "format": webhook_endpoint_pb2.WebhookFormat.Name(found.format).removeprefix("WEBHOOK_FORMAT_"),
        "event_types": list(found.event_types),
        "disabled": found.disabled,
        "secret_wo": None,
        # The service knows no version; it is what the state or the plan says it is.
        "secret_wo_version": secret_version,
        "id": found.name,
        "managed_by": found.managed_by,
        "create_time": found.create_time.ToJsonString(),
    }
    return Remote(values, {"etag": found.etag})
