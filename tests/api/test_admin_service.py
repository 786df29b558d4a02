"""AdminService over gRPC on a real ledger: what each method answers."""

import grpc

from api.edge import UNIT, Client, Edge
from outlay.v1 import admin_service_pb2 as admin
from outlay.v1 import alert_pb2, budget_pb2, organization_pb2
from outlay.v1 import budget_service_pb2 as pb

ACME = "organizations/acme"
SPENDING = "organizations/acme/budgets/spending"


async def test_an_organization_is_born_with_two_budgets_and_a_gate(edge: Edge) -> None:
    organization = await edge.platform.call("GetOrganization", admin.GetOrganizationRequest(name=ACME))
    assert [(gate.gate_id, gate.enabled) for gate in organization.gates] == [("opus", False)]
    budgets = (await edge.platform.call("ListBudgets", pb.ListBudgetsRequest(parent=ACME))).budgets
    assert [budget.name.rpartition("/")[2] for budget in budgets] == ["credits", "spending"]


async def test_an_organization_is_created_once_for_a_request_id(edge: Edge) -> None:
    request = admin.CreateOrganizationRequest(organization_id="new", request_id="q")
    first = await edge.platform.call("CreateOrganization", request)
    assert await edge.platform.call("CreateOrganization", request) == first
    request.request_id = ""
    failure = await edge.platform.failure("CreateOrganization", request)
    assert (failure.code, failure.reason) == (grpc.StatusCode.ALREADY_EXISTS, "ALREADY_EXISTS")


async def test_an_organization_reads_itself_and_changes_nothing_of_itself(edge: Edge) -> None:
    for scope in ("control:read", "budgets:read"):
        client = await edge.client(scope)
        await client.call("GetOrganization", admin.GetOrganizationRequest(name="organizations/-"))
        request = admin.UpdateOrganizationRequest(organization={"name": ACME, "display_name": "x"})
        failure = await client.failure("UpdateOrganization", request)
        assert (failure.reason, failure.facts) == ("MISSING_SCOPE", {"required_scope": "admin"})


async def test_an_organizations_settings_are_changed_as_the_mask_says(edge: Edge) -> None:
    gate = organization_pb2.Gate(gate_id="big", label="model", pattern="big-*", enabled=True)
    organization = organization_pb2.Organization(name=ACME, display_name="Acme", gates=[gate])
    request = admin.UpdateOrganizationRequest(organization=organization, update_mask={"paths": ["gates"]})
    changed = await edge.platform.call("UpdateOrganization", request)
    assert (changed.display_name, list(changed.gates)) == ("", [gate])


async def test_an_organization_is_made_by_an_update_where_that_is_asked_for(edge: Edge) -> None:
    request = admin.UpdateOrganizationRequest(organization={"name": "organizations/new"}, allow_missing=True)
    assert (await edge.platform.call("UpdateOrganization", request)).name == "organizations/new"


async def test_organizations_are_listed_in_pages(edge: Edge) -> None:
    await edge.organization("beta")
    page = await edge.platform.call("ListOrganizations", admin.ListOrganizationsRequest(page_size=1))
    assert [found.name for found in page.organizations] == [ACME]
    request = admin.ListOrganizationsRequest(page_size=1, page_token=page.next_page_token)
    page = await edge.platform.call("ListOrganizations", request)
    assert ([found.name for found in page.organizations], page.next_page_token) == (["organizations/beta"], "")


async def test_the_keys_of_a_deleted_organization_stop_working_at_once(edge: Edge) -> None:
    client = await edge.client("budgets:read")
    request = pb.GetBudgetRequest(name="organizations/-/budgets/spending")
    await client.call("GetBudget", request)
    await edge.platform.call("DeleteOrganization", admin.DeleteOrganizationRequest(name=ACME))
    assert (await client.failure("GetBudget", request)).reason == "INVALID_API_KEY"
    failure = await edge.platform.failure("GetOrganization", admin.GetOrganizationRequest(name=ACME))
    assert failure.reason == "NOT_FOUND"


# Keys


async def test_a_keys_secret_is_shown_once(edge: Edge) -> None:
    request = admin.CreateApiKeyRequest(
        parent=ACME, api_key={"scopes": ["spend:record", "spend:check"]}, request_id="k"
    )
    first = await edge.platform.call("CreateApiKey", request)
    assert first.secret.endswith(first.last_four)
    assert list(first.scopes) == ["spend:check", "spend:record"]
    again = await edge.platform.call("CreateApiKey", request)
    first.ClearField("secret")
    assert again == first
    listed = await edge.platform.call("ListApiKeys", admin.ListApiKeysRequest(parent=ACME))
    assert list(listed.api_keys) == [first]


async def test_a_revoked_key_is_refused_at_once_and_for_good(edge: Edge) -> None:
    client = await edge.client("budgets:read")
    read = pb.GetBudgetRequest(name=SPENDING)
    await client.call("GetBudget", read)
    (key,) = (await edge.platform.call("ListApiKeys", admin.ListApiKeysRequest(parent=ACME))).api_keys
    revoke = admin.RevokeApiKeyRequest(name=key.name, etag=key.etag)
    revoked = await edge.platform.call("RevokeApiKey", revoke)
    assert revoked.HasField("revoke_time")
    assert (await client.failure("GetBudget", read)).reason == "INVALID_API_KEY"
    assert await edge.platform.call("RevokeApiKey", admin.RevokeApiKeyRequest(name=key.name)) == revoked


async def test_a_key_stops_working_when_it_expires(edge: Edge) -> None:
    key = {"scopes": ["budgets:read"], "expire_time": {"seconds": edge.clock.now // UNIT + 60}}
    made = await edge.platform.call("CreateApiKey", admin.CreateApiKeyRequest(parent=ACME, api_key=key))
    client, read = Client(edge.channel, made.secret), pb.GetBudgetRequest(name=SPENDING)
    await client.call("GetBudget", read)
    edge.clock.advance(60)
    assert (await client.failure("GetBudget", read)).reason == "INVALID_API_KEY"


async def test_a_key_that_would_have_expired_is_not_made(edge: Edge) -> None:
    key = {"scopes": ["budgets:read"], "expire_time": {"seconds": edge.clock.now // UNIT}}
    failure = await edge.platform.failure("CreateApiKey", admin.CreateApiKeyRequest(parent=ACME, api_key=key))
    assert failure.fields == ["api_key.expire_time"]


async def test_the_last_use_of_a_key_is_shown(edge: Edge) -> None:
    client = await edge.client("control:read")
    edge.clock.advance(5)
    await client.call("ListApiKeys", admin.ListApiKeysRequest(parent=ACME))
    await edge.authenticator.stop()
    (key,) = (await client.call("ListApiKeys", admin.ListApiKeysRequest(parent=ACME))).api_keys
    assert key.last_used_time.seconds == edge.clock.now // UNIT


# What happened


async def test_alerts_are_listed_newest_first(edge: Edge) -> None:
    budget = budget_pb2.Budget(name=SPENDING, budget_micros=4 * UNIT)
    await edge.platform.call("UpdateBudget", pb.UpdateBudgetRequest(budget=budget))
    for number in (2, 1):
        request = pb.RecordSpendRequest(
            organization=ACME, unit="USD", amount_micros=number * UNIT, request_id=f"r{number}"
        )
        await edge.platform.call("RecordSpend", request)
    client = await edge.client("control:read")
    alerts = (await client.call("ListAlerts", admin.ListAlertsRequest(parent=ACME, budget=SPENDING))).alerts
    assert [(alert.threshold_percent, alert.spent_micros) for alert in alerts] == [(75, 3 * UNIT), (50, 2 * UNIT)]
    assert {(alert.budget, alert.basis, alert.basis_micros) for alert in alerts} == {
        (SPENDING, alert_pb2.ALERT_BASIS_BUDGET, 4 * UNIT)
    }
    none = await client.call("ListAlerts", admin.ListAlertsRequest(parent=ACME, budget=f"{ACME}/budgets/credits"))
    assert not none.alerts


async def events(client: Client, **filters: object) -> list[tuple[int, str]]:
    """All audit events that are listed, page by page."""
    request, found = admin.ListAuditEventsRequest(parent=ACME, page_size=2, **filters), []
    while True:
        page = await client.call("ListAuditEvents", request)
        found += [(event.sequence, event.action) for event in page.audit_events]
        request.page_token = page.next_page_token
        if not page.next_page_token:
            return found


async def test_audit_events_are_listed_newest_first_and_filtered(edge: Edge) -> None:
    client = await edge.client("control:read")
    created = [(3, "budget.created"), (2, "budget.created")]
    assert await events(client) == [(4, "api_key.created"), *created, (1, "organization.created")]
    assert await events(client, action="budget.created") == created
    assert await events(client, resource="organizations/-/budgets/spending") == [(2, "budget.created")]
    assert await events(client, resource=ACME) == [(1, "organization.created")]
    assert await events(client, end_time={"seconds": edge.clock.now // UNIT - 1}) == []


async def test_an_event_tells_who_did_what_by_which_way(edge: Edge) -> None:
    client = await edge.client("control:read")
    client.more = [("outlay-source", "terraform"), ("x-request-id", "trace-1")]
    budget = budget_pb2.Budget(name=SPENDING, hard_cap_micros=10**17, cap_override={"hard_cap_micros": 5})
    await client.call("UpdateBudget", pb.UpdateBudgetRequest(budget=budget))
    page = await client.call("ListAuditEvents", admin.ListAuditEventsRequest(parent=ACME, page_size=1))
    (event,) = page.audit_events
    assert event.actor.startswith(f"{ACME}/apiKeys/")
    assert (event.source, event.request_id, event.resource) == ("terraform", "trace-1", SPENDING)
    assert event.before["hard_cap_micros"] is None
    # Exactly: a number of JSON could not hold it.
    assert event.after["hard_cap_micros"] == "100000000000000000"
    assert event.after["cap_override"]["expire_time"] == "2026-02-01T00:00:00Z"
    assert len(event.hash) == len(event.previous_hash) == 64


async def test_an_event_carries_the_request_id_that_the_caller_sent(edge: Edge) -> None:
    request = pb.UpdateBudgetRequest(budget={"name": SPENDING, "display_name": "x"}, request_id="mine")
    await edge.platform.call("UpdateBudget", request)
    page = await edge.platform.call("ListAuditEvents", admin.ListAuditEventsRequest(parent=ACME, page_size=1))
    assert (page.audit_events[0].request_id, page.audit_events[0].actor) == ("mine", "platform")
