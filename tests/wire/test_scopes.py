"""Who may call what: every RPC of the descriptors with every single scope, against the contract's table.

The table below is written down again from the contract on purpose: read from the server's own it could only agree.
"""

from collections.abc import Iterator

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from outlay.v1 import budget_pb2
from outlay.v1 import budget_service_pb2 as pb
from support.examples import Examples
from support.snapshot import snapshot_of
from support.tenants import SCOPES, Tenant, new_tenant
from support.wire import METHODS, Caller, Failure

READ = {"budgets:read", "control:read"}
PLATFORM: set[str] = set()
"""The platform key alone."""

ACCEPTED = {
    "GetBudget": READ,
    "ListBudgets": READ,
    "CreateBudget": {"budgets:write"},
    "UpdateBudget": {"control:read", "budgets:write"},
    "DeleteBudget": {"budgets:write"},
    "CheckSpend": {"spend:check"},
    "BatchCheckSpend": {"spend:check"},
    "RecordSpend": {"spend:record"},
    "BatchRecordSpend": {"spend:record"},
    "RefundSpend": {"spend:record"},
    "ReleaseReservation": {"spend:check"},
    "ExtendReservation": {"spend:check"},
    "GetReservation": READ,
    "ListReservations": READ,
    "ListSpendRecords": READ,
    "QuerySpend": READ,
    "WatchBudgets": READ,
    # The one addition to the contract's table: the credits face shows and switches a gate, and gates stand in here.
    "GetOrganization": READ,
    "ListOrganizations": PLATFORM,
    "CreateOrganization": PLATFORM,
    "UpdateOrganization": PLATFORM,
    "DeleteOrganization": PLATFORM,
    "ApplyCaps": {"control:read", "budgets:read", "budgets:write"},
    "CreateApiKey": PLATFORM,
    "ListApiKeys": {"control:read"},
    "RevokeApiKey": PLATFORM,
    "GetWebhookEndpoint": {"control:webhooks"},
    "ListWebhookEndpoints": {"control:webhooks"},
    "CreateWebhookEndpoint": {"control:webhooks"},
    "UpdateWebhookEndpoint": {"control:webhooks"},
    "DeleteWebhookEndpoint": {"control:webhooks"},
    "TestWebhookEndpoint": {"control:webhooks"},
    "RotateWebhookSecret": {"control:webhooks"},
    "ListDeliveries": {"control:webhooks"},
    "ReplayDelivery": {"control:webhooks"},
    "ReplayDeadDeliveries": {"control:webhooks"},
    "ListAlerts": {"control:read"},
    "ListAuditEvents": {"control:read"},
}


@pytest.fixture(scope="module")
def examples(admin: Caller) -> Examples:
    return Examples(new_tenant(admin, "scopes"))


@pytest.fixture(scope="module")
def by_scope(examples: Examples) -> Iterator[dict[str, Caller]]:
    """For each scope a caller whose key holds that one alone."""
    made = {scope: examples.tenant.caller([scope]) for scope in SCOPES}
    yield made
    for caller in made.values():
        caller.close()


def test_the_table_names_every_rpc_of_the_contract() -> None:
    assert ACCEPTED.keys() == METHODS.keys()


@pytest.mark.parametrize("name", METHODS)
def test_an_rpc_is_open_to_the_scopes_of_the_contract_and_to_no_other(
    name: str, examples: Examples, by_scope: dict[str, Caller]
) -> None:
    """Refused with MISSING_SCOPE, which names what would do, before anything happens; else answered."""
    request = examples.request(name)
    before = snapshot_of(examples.tenant.admin, examples.tenant.name)
    refusals = {scope: caller.fails(name, request) for scope, caller in by_scope.items() if scope not in ACCEPTED[name]}
    after = snapshot_of(examples.tenant.admin, examples.tenant.name)

    assert {scope: (refusal.code, refusal.reason) for scope, refusal in refusals.items()} == dict.fromkeys(
        refusals, (grpc.StatusCode.PERMISSION_DENIED, "MISSING_SCOPE")
    )
    named = {frozenset(refusal.metadata["required_scope"].split(",")) for refusal in refusals.values()}
    assert {one - {"admin"} for one in named} == {frozenset(ACCEPTED[name])}
    assert after == before

    for scope in ACCEPTED[name]:
        outcome = _code(by_scope[scope], name, examples)
        assert outcome == "OK", f"{name} with {scope}"


@pytest.mark.parametrize("name", METHODS)
def test_the_platform_key_may_call_every_rpc(name: str, examples: Examples) -> None:
    assert _code(examples.tenant.admin, name, examples) == "OK"


@pytest.mark.parametrize("name", METHODS)
def test_an_rpc_asks_for_the_scope_before_it_looks_at_the_request(name: str, by_scope: dict[str, Caller]) -> None:
    """Bytes that are no message do not tell a caller without the scope anything."""
    outsider = next(scope for scope in SCOPES if scope not in ACCEPTED[name])
    assert by_scope[outsider].fails(name, b"\xff\xff\xff").reason == "MISSING_SCOPE"


def test_a_key_of_an_organization_cannot_hold_the_scope_of_the_platform(tenant: Tenant) -> None:
    with pytest.raises(Failure) as refused:
        tenant.key(["admin"])
    assert (refused.value.reason, refused.value.fields) == ("VALIDATION_FAILED", ("api_key.scopes[0]",))


@pytest.mark.parametrize("scope", ["control:read", "budgets:write"])
def test_only_the_platform_key_changes_an_allotment(scope: str, tenant: Tenant) -> None:
    """Whatever else a key may do to a budget, it cannot grant its own organization more."""
    budget = budget_pb2.Budget(name=tenant.child("budgets", "credits"), allotment_micros=10**15)
    request = pb.UpdateBudgetRequest(budget=budget, update_mask=FieldMask(paths=["allotment_micros"]))
    with tenant.caller([scope]) as caller:
        refused = caller.fails("UpdateBudget", request)
    assert (refused.reason, refused.metadata) == ("MISSING_SCOPE", {"required_scope": "admin"})
    assert not tenant.budget("credits").HasField("allotment_micros")


def test_a_key_that_may_only_update_does_not_create_by_allow_missing(tenant: Tenant) -> None:
    request = pb.UpdateBudgetRequest(
        budget=budget_pb2.Budget(name=tenant.child("budgets", "made"), unit="USD"), allow_missing=True
    )
    with tenant.caller(["control:read"]) as caller:
        refused = caller.fails("UpdateBudget", request)
    assert (refused.reason, refused.metadata) == ("MISSING_SCOPE", {"required_scope": "budgets:write"})
    missing = tenant.admin.fails("GetBudget", pb.GetBudgetRequest(name=tenant.child("budgets", "made")))
    assert missing.reason == "NOT_FOUND"


def _code(caller: Caller, name: str, examples: Examples) -> str:
    """OK, or the reason of the failure."""
    try:
        caller.raw(name, examples.request(name).SerializeToString())
    except Failure as failure:
        return failure.reason or failure.code.name
    return "OK"
