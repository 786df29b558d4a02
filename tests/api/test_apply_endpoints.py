"""Webhook endpoints among the caps of code: compared with their secrets, which nothing shows."""

from typing import Any

import pytest

from api.edge import Client, Edge
from api.test_apply_caps import (
    ACME,
    ADOPT,
    CREATE,
    DELETE,
    TEAM,
    UPDATE,
    applied,
    events,
    plan,
    refusals,
    request,
    told,
    warned,
)
from outlay.v1 import admin_service_pb2 as admin
from outlay.v1 import caps_pb2 as caps
from outlay.v1 import webhook_endpoint_pb2 as webhooks

SECRET = "whsec_" + "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVo="
OTHER = SECRET.replace("QUJD", "QUJE")
HOOK = "https://example.com/hooks/opensesame"
SHORTENED = "https://example.com/… (sha256 "


def hook(endpoint_id: str = "ops", mask: str = "", organization: str = ACME, **values: Any) -> dict[str, Any]:
    """An endpoint of which exactly the given settings are managed, and those that `mask` names beside them."""
    paths = [name for name in values if name != "etag"] + mask.split()
    name = f"{organization}/webhookEndpoints/{endpoint_id}"
    return {"webhook_endpoint": {"name": name, **values}, "update_mask": {"paths": paths}}


def asked(*endpoints: dict[str, Any], **more: Any) -> caps.ApplyCapsRequest:
    return request(webhook_endpoints=list(endpoints), **more)


OPS = hook(uri=HOOK, secret=SECRET, event_types=["cap.reached"])


async def found(client: Client, endpoint_id: str = "ops") -> webhooks.WebhookEndpoint:
    name = f"{ACME}/webhookEndpoints/{endpoint_id}"
    answer: webhooks.WebhookEndpoint = await client.call(
        "GetWebhookEndpoint", admin.GetWebhookEndpointRequest(name=name)
    )
    return answer


async def stored_secret(edge: Edge, endpoint_id: str = "ops") -> str:
    """The secret as this store, which seals nothing, keeps it."""

    def read(connection: Any) -> str:
        query = "SELECT secret FROM webhook_endpoints WHERE id = ?"
        return str(connection.exec_driver_sql(query, (endpoint_id,)).scalar_one()).removeprefix("plain:")

    return await edge.store.read(read)


async def test_an_endpoint_is_made_with_the_caps_and_then_there_is_nothing_to_do(edge: Edge) -> None:
    """After the budgets; what may open the receiver is not in the answer, nor in the audit."""
    both = request(TEAM, webhook_endpoints=[OPS])
    shown = await plan(edge.platform, both)
    assert [change.resource.rpartition("/")[2] for change in shown.changes] == ["team", "ops"]
    type_, fields = told(shown)["ops"]
    uri = fields.pop("uri")
    assert (type_, fields) == (
        CREATE,
        {
            "event_types": (None, ["cap.reached"]),
            "managed_by": (None, "yaml:caps"),
            "secret": (None, "set"),
        },
    )
    assert uri[1].startswith(SHORTENED)
    assert list(shown.required_scopes) == ["admin,control:webhooks", "budgets:write"]
    done = await applied(edge.platform, both)
    assert done.plan_etag == shown.plan_etag
    assert not (await plan(edge.platform, both)).changes
    endpoint = await found(edge.platform)
    assert (endpoint.uri, endpoint.managed_by, endpoint.etag) == (HOOK, "yaml:caps", done.changes[1].etag)
    assert await stored_secret(edge) == SECRET
    for text in (str(done), str(shown), str(await events(edge))):
        assert SECRET not in text
        assert "opensesame" not in text


async def test_a_secret_is_compared_and_replaced(edge: Edge) -> None:
    """Where it is managed; where it is not, the endpoint keeps the one that it has."""
    await applied(edge.platform, asked(OPS))
    assert not (await plan(edge.platform, asked(hook(uri=HOOK)))).changes
    rotated = asked(hook(secret=OTHER))
    shown = await plan(edge.platform, rotated)
    assert told(shown) == {"ops": (UPDATE, {"secret": ("set", "replaced")})}
    third = await plan(edge.platform, asked(hook(secret=OTHER.replace("REVG", "REVH"))))
    assert third.plan_etag != shown.plan_etag, "a plan with another secret is another plan"
    rotated.plan_etag = shown.plan_etag
    await applied(edge.platform, rotated)
    assert await stored_secret(edge) == OTHER
    rotated.plan_etag = ""
    assert not (await plan(edge.platform, rotated)).changes


async def test_an_endpoint_without_a_secret_gets_one_that_nobody_sees(edge: Edge) -> None:
    """Once: the next plan is empty. Another format has none, and going back makes a new one."""
    await applied(edge.platform, asked(hook(uri=HOOK)))
    made = await stored_secret(edge)
    assert made.startswith("whsec_")
    assert not (await plan(edge.platform, asked(hook(uri=HOOK)))).changes
    slack = asked(hook(uri=HOOK, format="WEBHOOK_FORMAT_SLACK"))
    assert told(await plan(edge.platform, slack)) == {
        "ops": (UPDATE, {"format": ("STANDARD", "SLACK"), "secret": ("set", None)})
    }
    await applied(edge.platform, slack)
    assert await stored_secret(edge) == ""
    await applied(edge.platform, asked(hook("ops", "format secret", secret=SECRET)))
    assert await stored_secret(edge) == SECRET


async def test_only_what_the_mask_names_is_managed(edge: Edge) -> None:
    """Named and absent is cleared, not named is left alone."""
    await applied(edge.platform, asked(hook(uri=HOOK, display_name="A", event_types=["cap.reached"], disabled=True)))
    await applied(edge.platform, asked(hook("ops", "event_types", display_name="B")))
    endpoint = await found(edge.platform)
    assert (endpoint.display_name, list(endpoint.event_types), endpoint.disabled) == ("B", [], True)
    assert endpoint.uri == HOOK


async def test_every_violation_is_named_at_once_by_its_place(edge: Edge) -> None:
    """What can be seen in the request; and together, what can only be seen beside what there is."""
    bad = asked(
        hook("a", secret="whsec_short", uri=HOOK),
        hook("a", uri=HOOK),
        hook("b", "managed_by", event_types=["nothing.happened"]),
    )
    failure = await edge.platform.failure("ApplyCaps", bad)
    assert sorted(failure.fields) == [
        "webhook_endpoints[0].webhook_endpoint.secret",
        "webhook_endpoints[1].webhook_endpoint.name",
        "webhook_endpoints[2].update_mask.paths[1]",
        "webhook_endpoints[2].webhook_endpoint.event_types[0]",
    ]
    assert "whsec_short" not in str(failure)
    bad = asked(
        hook("a", uri="https://127.0.0.1/x"),
        hook("b", display_name="no uri"),
        hook("c", "secret", uri=HOOK),
        hook("d", uri=HOOK, secret=SECRET, format="WEBHOOK_FORMAT_SLACK"),
        hook("e", uri="mailto:ops@example.com", format="WEBHOOK_FORMAT_MAIL"),
    )
    assert (await edge.platform.failure("ApplyCaps", bad)).fields == [
        "webhook_endpoints[0].webhook_endpoint.uri",
        "webhook_endpoints[1].webhook_endpoint.uri",
        "webhook_endpoints[2].webhook_endpoint.secret",
        "webhook_endpoints[3].webhook_endpoint.secret",
        "webhook_endpoints[4].webhook_endpoint.uri",
    ]


async def test_the_most_endpoints_are_of_one_organization(edge: Edge) -> None:
    """As many as can be made one by one, counting those that are pruned."""
    full = [hook(f"h{number}", uri=HOOK) for number in range(20)]
    await applied(edge.platform, asked(*full))
    assert (await edge.platform.failure("ApplyCaps", asked(hook("more", uri=HOOK)))).reason == "LIMIT_EXCEEDED"
    assert (await edge.platform.failure("ApplyCaps", asked(*full, hook("h20", uri=HOOK)))).fields == [
        "webhook_endpoints"
    ]
    await applied(edge.platform, asked(hook("more", uri=HOOK), prune=True, max_delete_count=20))
    listed = await edge.platform.call("ListWebhookEndpoints", admin.ListWebhookEndpointsRequest(parent=ACME))
    assert [each.name.rpartition("/")[2] for each in listed.webhook_endpoints] == ["more"]


async def test_what_nobody_or_another_keeps_is_taken_over_when_asked(edge: Edge) -> None:
    """Where it is as desired already, an endpoint that nobody keeps is no change."""
    made = admin.CreateWebhookEndpointRequest(
        parent=ACME, webhook_endpoint_id="ops", webhook_endpoint={"uri": HOOK, "secret": SECRET}
    )
    await edge.platform.call("CreateWebhookEndpoint", made)
    assert not (await plan(edge.platform, asked(hook(uri=HOOK, secret=SECRET)))).changes
    differing = asked(hook(uri=HOOK, secret=OTHER))
    assert warned(await plan(edge.platform, differing)) == [("NOT_ADOPTED", True)]
    assert refusals(await edge.platform.failure("ApplyCaps", differing)) == [("NOT_ADOPTED", "ops")]
    assert await stored_secret(edge) == SECRET
    adopted = asked(hook(uri=HOOK), adopt=True)
    assert told(await applied(edge.platform, adopted)) == {"ops": (ADOPT, {"managed_by": ("", "yaml:caps")})}
    theirs = asked(hook(uri=HOOK), manager="terraform:x")
    assert warned(await plan(edge.platform, theirs)) == [("MANAGED_ELSEWHERE", True)]
    theirs.override_manager = True
    await applied(edge.platform, theirs)
    assert (await found(edge.platform)).managed_by == "terraform:x"


async def test_what_is_no_longer_named_is_an_orphan_and_then_pruned(edge: Edge) -> None:
    """Deletions of budgets and endpoints are counted together; what others keep stays."""
    await applied(edge.platform, request(TEAM, webhook_endpoints=[OPS]))
    await applied(edge.platform, asked(hook("theirs", uri=HOOK), manager="terraform:x"))
    assert [name.rpartition("/")[2] for name in (await plan(edge.platform, request())).orphans] == ["team", "ops"]
    pruned = request(prune=True, max_delete_count=1)
    assert warned(await plan(edge.platform, pruned)) == [("TOO_MANY_DELETES", True)] * 2
    pruned.max_delete_count = 2
    done = await applied(edge.platform, pruned)
    assert [type_ for type_, _ in told(done).values()] == [DELETE, DELETE]
    assert told(done)["ops"][1]["secret"] == ("set", None)
    listed = await edge.platform.call("ListWebhookEndpoints", admin.ListWebhookEndpointsRequest(parent=ACME))
    assert [each.name.rpartition("/")[2] for each in listed.webhook_endpoints] == ["theirs"]


async def test_drift_names_who_moved_each_field(edge: Edge) -> None:
    """Also the path of a URI and a secret, of which the audit shows only that they changed; and who deleted it."""
    await applied(edge.platform, asked(OPS))
    person = await edge.client("control:webhooks")
    moved = {"name": f"{ACME}/webhookEndpoints/ops", "uri": HOOK + "/2", "disabled": True}
    await person.call(
        "UpdateWebhookEndpoint", admin.UpdateWebhookEndpointRequest(webhook_endpoint=moved, override_manager=True)
    )
    rotated = admin.RotateWebhookSecretRequest(name=f"{ACME}/webhookEndpoints/ops")
    await edge.platform.call("RotateWebhookSecret", rotated)
    ours = asked(hook(uri=HOOK, secret=SECRET, disabled=False))
    (change,) = (await plan(edge.platform, ours)).changes
    by_field = {field.path: field.outside_change.actor for field in change.fields}
    owner = by_field["uri"]
    assert by_field == {"uri": owner, "disabled": owner, "secret": "platform"}
    assert owner.startswith(f"{ACME}/apiKeys/")
    await applied(edge.platform, ours)
    assert not (await plan(edge.platform, ours)).changes
    gone = admin.DeleteWebhookEndpointRequest(name=f"{ACME}/webhookEndpoints/ops", override_manager=True)
    await person.call("DeleteWebhookEndpoint", gone)
    (change,) = (await plan(edge.platform, ours)).changes
    assert (change.type, change.outside_change.actor) == (CREATE, owner)


async def test_an_etag_or_a_plan_that_is_no_longer_true_is_refused(edge: Edge) -> None:
    """It names the endpoint that moved."""
    await applied(edge.platform, asked(OPS))
    wanted = asked(hook(uri=HOOK, display_name="B", etag=(await found(edge.platform)).etag))
    shown = await plan(edge.platform, wanted)
    await edge.platform.call(
        "RotateWebhookSecret", admin.RotateWebhookSecretRequest(name=f"{ACME}/webhookEndpoints/ops")
    )
    failure = await edge.platform.failure("ApplyCaps", wanted)
    assert (failure.reason, failure.facts["moved"]) == ("ETAG_MISMATCH", f"{ACME}/webhookEndpoints/ops")
    failure = await edge.platform.failure(
        "ApplyCaps", asked(hook(uri=HOOK, display_name="B"), plan_etag="p1." + "0" * 32)
    )
    assert failure.reason == "ETAG_MISMATCH"
    assert shown.changes


@pytest.mark.parametrize("scope", ["budgets:write", "control:read"])
async def test_a_change_takes_the_scope_of_the_endpoints_own_methods(edge: Edge, scope: str) -> None:
    """Who may read budgets may plan it; applying it takes `control:webhooks`, and both for both."""
    client = await edge.client(scope)
    before = await events(edge)
    assert list((await plan(client, asked(OPS))).required_scopes) == ["admin,control:webhooks"]
    failure = await client.failure("ApplyCaps", asked(OPS))
    assert (failure.reason, failure.facts) == ("MISSING_SCOPE", {"required_scope": "admin,control:webhooks"})
    assert await events(edge) == before
    assert (await applied(await edge.client(scope, "control:webhooks"), asked(OPS))).changes


async def test_a_request_that_is_repeated_stores_no_secret(edge: Edge) -> None:
    """It is recognized by a digest: the same request is answered, one with another secret is another request."""
    wanted = asked(OPS, request_id="once")
    done = await applied(edge.platform, wanted)
    assert await applied(edge.platform, wanted) == done
    failure = await edge.platform.failure("ApplyCaps", asked(hook(uri=HOOK, secret=OTHER), request_id="once"))
    assert failure.reason == "REQUEST_ID_REUSED"

    def remembered(connection: Any) -> str:
        # Cell by cell: a row as text is cut in the middle.
        return " ".join(str(cell) for row in connection.exec_driver_sql("SELECT * FROM requests") for cell in row)

    text = await edge.store.read(remembered)
    assert "once" in text
    assert SECRET.encode().hex() not in text
    assert SECRET not in text


async def test_names_of_another_organization_are_not_found(edge: Edge) -> None:
    await edge.organization("other")
    for organization in ("organizations/other", "organizations/ghost"):
        wanted = asked(hook(organization=organization, uri=HOOK))
        assert (await edge.platform.failure("ApplyCaps", wanted)).reason == "NOT_FOUND"


async def test_an_organization_is_made_with_its_endpoints(edge: Edge) -> None:
    """In the one transaction that makes it."""
    new = "organizations/new"
    wanted = asked(hook(organization=new, uri=HOOK, secret=SECRET), organization=new, allow_missing=True)
    done = await applied(edge.platform, wanted)
    assert [change.resource.rpartition("/")[2] for change in done.changes] == ["new", "credits", "spending", "ops"]
    assert not (await plan(edge.platform, wanted)).changes
