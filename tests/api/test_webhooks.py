"""Webhook endpoints and deliveries at the edge: settings, secrets that are shown once, and what is refused."""

import json
import sqlite3
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask

from api.edge import Client, Edge
from outlay.v1 import admin_service_pb2 as admin
from outlay.v1 import budget_service_pb2 as pb
from outlay.v1 import delivery_pb2
from outlay.v1 import webhook_endpoint_pb2 as wire
from outlay_server.store import outbox

ACME = "organizations/acme"
HOOK = f"{ACME}/webhookEndpoints/hook"
URI = "https://example.com/hooks/opens-it"
GIVEN = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


async def create(client: Client, endpoint_id: str = "hook", request_id: str = "", **settings: Any) -> Any:
    endpoint = wire.WebhookEndpoint(**{"uri": URI, **settings})
    request = admin.CreateWebhookEndpointRequest(
        parent=ACME, webhook_endpoint_id=endpoint_id, webhook_endpoint=endpoint, request_id=request_id
    )
    return await client.call("CreateWebhookEndpoint", request)


def update(paths: list[str], options: dict[str, Any] | None = None, **settings: Any) -> Any:
    return admin.UpdateWebhookEndpointRequest(
        webhook_endpoint=wire.WebhookEndpoint(**{"name": HOOK, **settings}),
        update_mask=FieldMask(paths=paths),
        **(options or {}),
    )


async def get(client: Client) -> Any:
    return await client.call("GetWebhookEndpoint", admin.GetWebhookEndpointRequest(name=HOOK))


@pytest.fixture
async def client(edge: Edge) -> Client:
    """With the scope of webhooks alone."""
    return await edge.client("control:webhooks")


async def test_an_endpoint_is_created_and_read_back(client: Client) -> None:
    made = await create(client, display_name="On call", event_types=["cap.reached", "alert.crossed"])
    assert (made.name, made.uri, made.format) == (HOOK, URI, wire.WEBHOOK_FORMAT_STANDARD)
    assert list(made.event_types) == ["alert.crossed", "cap.reached"]
    found = await get(client)
    made.secret = ""
    assert found == made


async def test_the_secret_that_the_server_made_is_shown_in_that_answer_and_never_again(
    edge: Edge, client: Client
) -> None:
    """Not to a retry, not in a list, not in the audit, and not in what is remembered of the request."""
    made = await create(client, request_id="once")
    again = await create(client, request_id="once")
    assert made.secret.startswith("whsec_")
    assert (again.name, again.secret) == (made.name, "")
    listed = await client.call("ListWebhookEndpoints", admin.ListWebhookEndpointsRequest(parent=ACME))
    assert listed.webhook_endpoints[0].secret == ""
    _assert_nowhere_but_in_its_column(edge, made.secret)


async def test_a_secret_that_was_given_is_not_repeated(edge: Edge, client: Client) -> None:
    made = await create(client, secret=GIVEN, request_id="once")
    await client.call(
        "RotateWebhookSecret", admin.RotateWebhookSecretRequest(name=HOOK, secret=GIVEN, request_id="twice")
    )
    assert made.secret == ""
    _assert_nowhere_but_in_its_column(edge, GIVEN)


def _assert_nowhere_but_in_its_column(edge: Edge, secret: str) -> None:
    """In all of the database: neither the secret nor the path of the URI, but where the server needs them."""
    connection = sqlite3.connect(edge.store._path)
    tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    found = {
        (table, column)
        for table in tables
        for row in connection.execute(f"SELECT * FROM {table}").fetchall()
        for column, value in zip(
            [one[1] for one in connection.execute(f"PRAGMA table_info({table})")], row, strict=True
        )
        if secret.removeprefix("whsec_") in str(value)
    }
    audited = [row for row in connection.execute("SELECT before, after FROM audit_events") if "opens-it" in str(row)]
    connection.close()
    assert found <= {("webhook_endpoints", "secret"), ("webhook_endpoints", "previous_secret")}
    assert audited == []


async def test_the_same_request_with_another_secret_is_another_request(client: Client) -> None:
    await create(client, secret=GIVEN, request_id="once")
    other = admin.CreateWebhookEndpointRequest(
        parent=ACME,
        webhook_endpoint_id="hook",
        webhook_endpoint=wire.WebhookEndpoint(uri=URI, secret="whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"),
        request_id="once",
    )
    failure = await client.failure("CreateWebhookEndpoint", other)
    assert (failure.reason, failure.facts["field"]) == ("REQUEST_ID_REUSED", "webhook_endpoint.secret")


async def test_an_update_changes_what_its_mask_names(client: Client) -> None:
    made = await create(client)
    changed = await client.call("UpdateWebhookEndpoint", update(["display_name"], display_name="Night", uri="nowhere"))
    assert (changed.display_name, changed.uri, changed.secret) == ("Night", URI, "")
    assert changed.etag != made.etag


async def test_an_update_without_effect_leaves_no_trace(client: Client) -> None:
    made = await create(client)
    same = await client.call("UpdateWebhookEndpoint", update(["uri"], uri=URI))
    assert same.etag == made.etag


async def test_an_update_by_an_old_etag_is_refused(client: Client) -> None:
    made = await create(client)
    await client.call("UpdateWebhookEndpoint", update(["display_name"], display_name="First"))
    failure = await client.failure(
        "UpdateWebhookEndpoint", update(["display_name"], display_name="Second", etag=made.etag)
    )
    assert failure.reason == "ETAG_MISMATCH"


async def test_an_update_may_create_what_is_missing(client: Client) -> None:
    made = await client.call("UpdateWebhookEndpoint", update(["uri"], {"allow_missing": True}, uri=URI))
    assert (made.name, made.secret[:6]) == (HOOK, "whsec_")
    missing = update(["uri"], uri=URI)
    missing.webhook_endpoint.name = f"{ACME}/webhookEndpoints/other"
    assert (await client.failure("UpdateWebhookEndpoint", missing)).reason == "NOT_FOUND"


async def test_what_is_only_validated_changes_nothing(client: Client) -> None:
    request = admin.CreateWebhookEndpointRequest(
        parent=ACME, webhook_endpoint_id="hook", webhook_endpoint={"uri": URI}, validate_only=True
    )
    assert (await client.call("CreateWebhookEndpoint", request)).secret == ""
    assert (
        await client.failure("GetWebhookEndpoint", admin.GetWebhookEndpointRequest(name=HOOK))
    ).reason == "NOT_FOUND"
    made = await create(client)
    await client.call("UpdateWebhookEndpoint", update(["uri"], {"validate_only": True}, uri="https://example.com/x"))
    await client.call("DeleteWebhookEndpoint", admin.DeleteWebhookEndpointRequest(name=HOOK, validate_only=True))
    assert (await get(client)).etag == made.etag


async def test_what_is_kept_as_code_is_changed_there(client: Client) -> None:
    await create(client, managed_by="terraform:infra")
    change = update(["display_name"], display_name="By hand")
    failure = await client.failure("UpdateWebhookEndpoint", change)
    assert (failure.reason, failure.facts["managed_by"]) == ("MANAGED_ELSEWHERE", "terraform:infra")
    change.override_manager = True
    await client.call("UpdateWebhookEndpoint", change)
    failure = await client.failure("DeleteWebhookEndpoint", admin.DeleteWebhookEndpointRequest(name=HOOK))
    assert failure.reason == "MANAGED_ELSEWHERE"
    own = admin.DeleteWebhookEndpointRequest(name=HOOK, manager="terraform:infra")
    await client.call("DeleteWebhookEndpoint", own)


async def test_everything_that_is_wrong_is_told_at_once(client: Client) -> None:
    request = admin.CreateWebhookEndpointRequest(
        parent=ACME,
        webhook_endpoint_id="Hook",
        webhook_endpoint={
            "uri": URI,
            "secret": "whsec_short",
            "format": 9,
            "event_types": ["cap.reached", "cap.reached", "cap.touched"],
            "display_name": "\0",
        },
    )
    failure = await client.failure("CreateWebhookEndpoint", request)
    assert failure.fields == [
        "webhook_endpoint_id",
        "webhook_endpoint.display_name",
        "webhook_endpoint.format",
        "webhook_endpoint.event_types[1]",
        "webhook_endpoint.event_types[2]",
        "webhook_endpoint.secret",
    ]
    assert "short" not in failure.message


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"uri": "http://example.com/"}, "webhook_endpoint.uri"),
        ({"uri": "https://127.0.0.1/"}, "webhook_endpoint.uri"),
        ({"uri": ""}, "webhook_endpoint.uri"),
        ({"uri": "mailto:a@example.com", "format": wire.WEBHOOK_FORMAT_MAIL}, "webhook_endpoint.uri"),
        ({"secret": GIVEN, "format": wire.WEBHOOK_FORMAT_SLACK}, "webhook_endpoint.secret"),
    ],
)
async def test_what_depends_on_several_fields_is_refused(client: Client, settings: dict[str, Any], field: str) -> None:
    endpoint = wire.WebhookEndpoint(**{"uri": URI, **settings})
    request = admin.CreateWebhookEndpointRequest(parent=ACME, webhook_endpoint_id="hook", webhook_endpoint=endpoint)
    assert (await client.failure("CreateWebhookEndpoint", request)).fields == [field]


async def test_a_format_without_a_secret_has_none_and_back_again_a_new_one(client: Client) -> None:
    first = (await create(client)).secret
    slack = await client.call("UpdateWebhookEndpoint", update(["format"], format=wire.WEBHOOK_FORMAT_SLACK))
    failure = await client.failure("RotateWebhookSecret", admin.RotateWebhookSecretRequest(name=HOOK))
    standard = await client.call("UpdateWebhookEndpoint", update(["format"], format=wire.WEBHOOK_FORMAT_STANDARD))
    assert (slack.secret, failure.reason) == ("", "VALIDATION_FAILED")
    assert standard.secret not in ("", first)


async def test_there_are_at_most_twenty(client: Client) -> None:
    for number in range(20):
        await create(client, f"hook-{number}")
    one_more = admin.CreateWebhookEndpointRequest(
        parent=ACME, webhook_endpoint_id="one-more", webhook_endpoint={"uri": URI}
    )
    failure = await client.failure("CreateWebhookEndpoint", one_more)
    assert (failure.reason, failure.facts["limit"]) == ("LIMIT_EXCEEDED", "20")
    page = await client.call("ListWebhookEndpoints", admin.ListWebhookEndpointsRequest(parent=ACME, page_size=12))
    rest = await client.call(
        "ListWebhookEndpoints",
        admin.ListWebhookEndpointsRequest(parent=ACME, page_size=12, page_token=page.next_page_token),
    )
    assert [len(page.webhook_endpoints), len(rest.webhook_endpoints), rest.next_page_token] == [12, 8, ""]


async def test_an_id_that_is_taken_is_refused(client: Client) -> None:
    await create(client)
    request = admin.CreateWebhookEndpointRequest(parent=ACME, webhook_endpoint_id="hook", webhook_endpoint={"uri": URI})
    assert (await client.failure("CreateWebhookEndpoint", request)).reason == "ALREADY_EXISTS"


async def test_a_rotation_tells_how_long_the_old_secret_signs(edge: Edge, client: Client) -> None:
    first = (await create(client)).secret
    rotated = await client.call("RotateWebhookSecret", admin.RotateWebhookSecretRequest(name=HOOK))
    day = rotated.previous_secret_expire_time.ToMicroseconds() - edge.clock.now
    assert (rotated.secret not in ("", first), day) == (True, 86_400_000_000)
    at_once = admin.RotateWebhookSecretRequest(name=HOOK, overlap_duration=Duration(seconds=0))
    ended = await client.call("RotateWebhookSecret", at_once)
    assert not ended.HasField("previous_secret_expire_time")
    too_long = admin.RotateWebhookSecretRequest(name=HOOK, overlap_duration=Duration(seconds=8 * 86_400))
    assert (await client.failure("RotateWebhookSecret", too_long)).fields == ["overlap_duration"]


async def test_every_change_is_audited_with_a_shortened_uri(edge: Edge, client: Client) -> None:
    await create(client)
    await client.call("UpdateWebhookEndpoint", update(["disabled"], disabled=True))
    await client.call("RotateWebhookSecret", admin.RotateWebhookSecretRequest(name=HOOK))
    await client.call("DeleteWebhookEndpoint", admin.DeleteWebhookEndpointRequest(name=HOOK))
    listed = await edge.platform.call(
        "ListAuditEvents", admin.ListAuditEventsRequest(parent=ACME, resource=HOOK, page_size=10)
    )
    events = list(listed.audit_events)[::-1]
    assert [event.action for event in events] == [
        "webhook_endpoint.created",
        "webhook_endpoint.updated",
        "webhook_endpoint.secret_rotated",
        "webhook_endpoint.deleted",
    ]
    assert events[1].after["disable_reason"] == "REQUESTED"
    assert events[0].after["uri"].startswith("https://example.com/… (sha256 ")
    assert events[2].after["secret"] == "replaced"


async def test_deliveries_are_listed_page_by_page_and_by_state(edge: Edge, client: Client) -> None:
    await create(client)
    for number in range(3):
        budget = {"name": f"{ACME}/budgets/spending", "display_name": f"Number {number}"}
        await edge.platform.call("UpdateBudget", pb.UpdateBudgetRequest(budget=budget))
    await edge.store.change(lambda tx: outbox.fan_out(tx.connection, tx.now, 1_000_000))
    first = await client.call("ListDeliveries", admin.ListDeliveriesRequest(parent=HOOK, page_size=2))
    token = first.next_page_token
    rest = await client.call("ListDeliveries", admin.ListDeliveriesRequest(parent=HOOK, page_size=2, page_token=token))
    names = [json.loads(one.payload_json)["data"]["display_name"] for one in [*first.deliveries, *rest.deliveries]]
    assert (names, rest.next_page_token) == (["Number 2", "Number 1", "Number 0"], "")
    newest = first.deliveries[0]
    assert (newest.event_type, newest.state) == ("budget.updated", delivery_pb2.DELIVERY_STATE_WAITING)
    assert newest.next_attempt_time.ToMicroseconds() == edge.clock.now
    dead = admin.ListDeliveriesRequest(parent=HOOK, state=delivery_pb2.DELIVERY_STATE_DEAD)
    assert list((await client.call("ListDeliveries", dead)).deliveries) == []


async def test_nothing_is_replayed_to_a_disabled_endpoint(edge: Edge, client: Client) -> None:
    await create(client)
    await client.call("UpdateWebhookEndpoint", update(["disabled"], disabled=True))
    failure = await client.failure("ReplayDeadDeliveries", admin.ReplayDeadDeliveriesRequest(name=HOOK))
    assert (failure.reason, failure.facts) == ("ENDPOINT_DISABLED", {"resource": HOOK})


async def test_a_delivery_that_is_not_there_is_not_found(client: Client) -> None:
    await create(client)
    for name in (f"{HOOK}/deliveries/019aa9e0-8f2c-7d31-a1f4-5a0f2f0d9c11", f"{HOOK}/deliveries/x", HOOK):
        failure = await client.failure("ReplayDelivery", admin.ReplayDeliveryRequest(name=name))
        assert failure.reason == "NOT_FOUND"
