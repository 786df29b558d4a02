"""`outlay webhooks`: where events are sent, and what became of them."""

from collections.abc import Sequence
from datetime import timedelta

import click
from google.protobuf.field_mask_pb2 import FieldMask

from outlay.v1 import admin_service_pb2 as pb
from outlay.v1.delivery_pb2 import Delivery, DeliveryState
from outlay.v1.webhook_endpoint_pb2 import WebhookDisableReason, WebhookEndpoint, WebhookFormat
from outlay_cli import options, output, remote, text
from outlay_cli.confirm import ask_first
from outlay_cli.exits import ExitCode
from outlay_server.domain.event import EventType

_STATES = ("waiting", "delivered", "dead")
_FORMATS = ("standard", "slack", "mail")
_NOT_SHOWN_AGAIN = "This request id did it before; the secret is not shown again."


@click.group()
def webhooks() -> None:
    """Where events are sent: webhooks, Slack, mail."""


@webhooks.command("list")
@options.organization_option
@options.limit_option
@options.output_option
def list_endpoints(organization: str, limit: int, output: str) -> None:
    """List an organization's endpoints; never a secret."""
    with remote.connect() as service:

        def fetch(page_size: int, page_token: str) -> tuple[list[WebhookEndpoint], str]:
            request = pb.ListWebhookEndpointsRequest(
                parent=f"organizations/{organization}", page_size=page_size, page_token=page_token
            )
            page = service.call(service.admin.ListWebhookEndpoints, request)
            return list(page.webhook_endpoints), page.next_page_token

        found, has_more = remote.collect(fetch, limit)
    show_list(found, output, has_more=has_more)


@webhooks.command()
@click.argument("endpoint")
@click.argument("uri")
@options.organization_option
@click.option(
    "--format", "form", type=click.Choice(_FORMATS), default="standard", show_default=True, help="Of the body."
)
@click.option(
    "--event",
    "events",
    multiple=True,
    type=click.Choice([kind.value for kind in EventType]),
    help="Which events; once for each. Without it all of them.",
)
@click.option("--display-name", default="", help="What people read.")
@options.request_id_option
@options.output_option
def create(
    endpoint: str,
    uri: str,
    organization: str,
    form: str,
    events: Sequence[str],
    display_name: str,
    request_id: str,
    output: str,
) -> None:
    """Send events to URI: https://… or, with --format mail, mailto:…. The signing secret is shown this once."""
    with remote.connect() as service:
        request = pb.CreateWebhookEndpointRequest(
            parent=f"organizations/{organization}",
            webhook_endpoint_id=endpoint,
            webhook_endpoint=WebhookEndpoint(
                uri=uri,
                format=WebhookFormat.Value(f"WEBHOOK_FORMAT_{form.upper()}"),
                event_types=events,
                display_name=display_name,
            ),
            request_id=request_id or remote.new_request_id(),
        )
        created = service.call(service.admin.CreateWebhookEndpoint, request)
    show(created, output)
    if form == "standard" and not created.secret:
        click.echo(_NOT_SHOWN_AGAIN, err=True)


@webhooks.command()
@click.argument("endpoint")
@options.organization_option
@options.output_option
def test(endpoint: str, organization: str, output: str) -> int:
    """Send one test event, once, and tell what was answered. Exits 1 where it did not arrive."""
    with remote.connect() as service:
        request = pb.TestWebhookEndpointRequest(name=_name(organization, endpoint))
        tested = service.call(service.admin.TestWebhookEndpoint, request)
    show_test(tested, output)
    return ExitCode.DONE if tested.delivered else ExitCode.ERROR


@webhooks.command()
@click.argument("endpoint")
@options.organization_option
@click.option(
    "--overlap", type=options.duration, default="24h", show_default=True, help="How long the old secret signs too."
)
@options.request_id_option
@options.output_option
def rotate(endpoint: str, organization: str, overlap: timedelta, request_id: str, output: str) -> None:
    """Sign with a new secret, and with the old one too for a while. The new one is shown this once."""
    with remote.connect() as service:
        request = pb.RotateWebhookSecretRequest(
            name=_name(organization, endpoint), request_id=request_id or remote.new_request_id()
        )
        request.overlap_duration.FromTimedelta(overlap)
        rotated = service.call(service.admin.RotateWebhookSecret, request)
    show(rotated, output)
    if not rotated.secret:
        click.echo(_NOT_SHOWN_AGAIN, err=True)


@webhooks.command()
@click.argument("endpoint")
@options.organization_option
@click.option("--state", type=click.Choice(_STATES), help="Only those in this state.")
@options.limit_option
@options.output_option
def deliveries(endpoint: str, organization: str, state: str | None, limit: int, output: str) -> None:
    """List what was sent to an endpoint, what waits and what was given up, newest first."""
    wanted = DeliveryState.Value(f"DELIVERY_STATE_{(state or 'unspecified').upper()}")
    with remote.connect() as service:

        def fetch(page_size: int, page_token: str) -> tuple[list[Delivery], str]:
            request = pb.ListDeliveriesRequest(
                parent=_name(organization, endpoint), page_size=page_size, page_token=page_token, state=wanted
            )
            page = service.call(service.admin.ListDeliveries, request)
            return list(page.deliveries), page.next_page_token

        found, has_more = remote.collect(fetch, limit)
    show_deliveries(found, output, has_more=has_more)


@webhooks.command()
@click.argument("endpoint")
@click.argument("delivery", required=False)
@click.option("--dead", is_flag=True, help="Everything that is dead instead of one delivery.")
@options.organization_option
@options.request_id_option
@options.output_option
def replay(endpoint: str, delivery: str | None, dead: bool, organization: str, request_id: str, output: str) -> None:
    """Send a delivery again, or with --dead all that were given up."""
    if (delivery is None) != dead:
        raise click.UsageError("Name one delivery, by its id from `outlay webhooks deliveries`, or pass --dead.")
    name, request_id = _name(organization, endpoint), request_id or remote.new_request_id()
    with remote.connect() as service:
        if dead:
            asked = pb.ReplayDeadDeliveriesRequest(name=name, request_id=request_id)
            _show_count(service.call(service.admin.ReplayDeadDeliveries, asked).replayed_count, output)
            return
        one = pb.ReplayDeliveryRequest(name=f"{name}/deliveries/{delivery}", request_id=request_id)
        again = service.call(service.admin.ReplayDelivery, one)
    show_deliveries([again], output, has_more=False)


@webhooks.command()
@click.argument("endpoint")
@options.organization_option
@options.override_manager_option
@options.output_option
def enable(endpoint: str, organization: str, override_manager: bool, output: str) -> None:
    """Send events again, from now on."""
    _set_disabled(organization, endpoint, output, disabled=False, override_manager=override_manager)


@webhooks.command()
@click.argument("endpoint")
@options.organization_option
@options.override_manager_option
@options.output_option
def disable(endpoint: str, organization: str, override_manager: bool, output: str) -> None:
    """Send nothing more. What waits becomes dead, and can be replayed once the endpoint is enabled."""
    _set_disabled(organization, endpoint, output, disabled=True, override_manager=override_manager)


@webhooks.command()
@click.argument("endpoint")
@options.organization_option
@options.override_manager_option
@options.yes_option
@options.request_id_option
def delete(endpoint: str, organization: str, override_manager: bool, yes: bool, request_id: str) -> None:
    """Delete an endpoint with its secret and everything that was to be sent to it."""
    name = _name(organization, endpoint)
    ask_first(f"{name} is deleted, and what was to be sent to it is dropped.", assume_yes=yes)
    with remote.connect() as service:
        request = pb.DeleteWebhookEndpointRequest(
            name=name, override_manager=override_manager, request_id=request_id or remote.new_request_id()
        )
        service.call(service.admin.DeleteWebhookEndpoint, request)
    click.echo(f"Deleted {name}.")


def _set_disabled(organization: str, endpoint: str, form: str, *, disabled: bool, override_manager: bool) -> None:
    with remote.connect() as service:
        request = pb.UpdateWebhookEndpointRequest(
            webhook_endpoint=WebhookEndpoint(name=_name(organization, endpoint), disabled=disabled),
            update_mask=FieldMask(paths=["disabled"]),
            override_manager=override_manager,
            request_id=remote.new_request_id(),
        )
        changed = service.call(service.admin.UpdateWebhookEndpoint, request)
    show(changed, form)


def _name(organization: str, endpoint: str) -> str:
    return options.child_name(organization, "webhookEndpoints", endpoint)


def _show_count(count: int, form: str) -> None:
    if form == "json":
        output.print_json({"replayed_count": count})
    else:
        click.echo(f"{count} sent again.")


def show_list(found: list[WebhookEndpoint], form: str, *, has_more: bool) -> None:
    """Print endpoints."""
    if form == "json":
        output.print_list(found, key="webhook_endpoints", has_more=has_more)
        return
    rows = [
        (
            text.last_segment(one.name),
            one.uri,
            text.enum_name(WebhookFormat.Name(one.format), "WEBHOOK_FORMAT_").lower(),
            " ".join(one.event_types) or "all",
            _state(one),
            one.display_name,
        )
        for one in found
    ]
    output.print_table(("ENDPOINT", "URI", "FORMAT", "EVENTS", "STATE", "DISPLAY NAME"), rows, has_more=has_more)


def show(endpoint: WebhookEndpoint, form: str) -> None:
    """Print one endpoint, with its secret where the answer holds one."""
    if form == "json":
        output.print_json({"webhook_endpoint": output.to_json(endpoint)})
        return
    output.print_details(
        [
            ("name", endpoint.name),
            ("display name", endpoint.display_name),
            ("uri", endpoint.uri),
            ("format", text.enum_name(WebhookFormat.Name(endpoint.format), "WEBHOOK_FORMAT_").lower()),
            ("events", " ".join(endpoint.event_types) or "all"),
            ("secret", endpoint.secret),
            ("old secret signs until", text.instant(endpoint.previous_secret_expire_time)),
            ("state", _state(endpoint)),
            ("managed by", endpoint.managed_by),
            ("created", text.instant(endpoint.create_time)),
        ]
    )


def show_test(tested: pb.TestWebhookEndpointResponse, form: str) -> None:
    """Print what a test met."""
    if form == "json":
        output.print_json({"test": output.to_json(tested)})
    elif tested.delivered:
        click.echo("Delivered.")
    else:
        click.echo(f"Not delivered: {tested.error_message}.")


def show_deliveries(found: list[Delivery], form: str, *, has_more: bool) -> None:
    """Print deliveries."""
    if form == "json":
        output.print_list(found, key="deliveries", has_more=has_more)
        return
    rows = [
        (
            text.last_segment(one.name),
            one.event_type,
            text.instant(one.create_time),
            text.enum_name(DeliveryState.Name(one.state), "DELIVERY_STATE_").lower(),
            str(one.attempt_count),
            str(one.last_http_status or ""),
            text.instant(one.next_attempt_time),
            one.last_error,
        )
        for one in found
    ]
    headers = ("DELIVERY", "EVENT", "TIME", "STATE", "ATTEMPTS>", "STATUS>", "NEXT ATTEMPT", "ERROR")
    output.print_table(headers, rows, has_more=has_more)


def _state(endpoint: WebhookEndpoint) -> str:
    if endpoint.disabled:
        reason = text.enum_name(WebhookDisableReason.Name(endpoint.disable_reason), "WEBHOOK_DISABLE_REASON_")
        return f"disabled ({reason.lower()})"
    if endpoint.HasField("failing_since_time"):
        return f"failing since {text.instant(endpoint.failing_since_time)}"
    return "enabled"
