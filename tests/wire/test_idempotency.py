"""One request_id, one effect, one answer: among callers at once, over replicas, over lost replies, after a restart."""

import asyncio
import random
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message_factory import GetMessageClass
from google.protobuf.timestamp_pb2 import Timestamp

from outlay.v1 import admin_service_pb2 as admin_pb
from outlay.v1 import budget_service_pb2 as pb
from outlay.v1 import reservation_pb2
from support.database_commands import verify
from support.examples import Examples
from support.journal import differences
from support.replicas import Replicas
from support.reply_eater import Lost, ReplyEater
from support.server import ServerProcess
from support.snapshot import all_of, snapshot_of
from support.tenants import MICROS_PER_CENT, Tenant, new_id, new_tenant
from support.wire import METHODS, AsyncCaller, Caller
from support.workload import Workload

CALLERS = 64
LOST_REPLIES = 80

EFFECTS = {
    "CreateBudget": {"events": 1},
    "UpdateBudget": {"events": 1},
    "DeleteBudget": {"events": 1},
    "CheckSpend": {"reservations": 1, "granted_micros": 3 * MICROS_PER_CENT},
    "RecordSpend": {"records": 1, "closed": 1},
    "RefundSpend": {"records": 1},
    "ReleaseReservation": {"closed": 1},
    "ExtendReservation": {"granted_micros": 500},
    "CreateOrganization": {"organizations": 1},
    "UpdateOrganization": {"events": 1},
    "DeleteOrganization": {"organizations": -1},
    "CreateApiKey": {"events": 1},
    "RevokeApiKey": {"events": 1},
    "ApplyCaps": {"events": 1},
    "CreateWebhookEndpoint": {"events": 1},
    "UpdateWebhookEndpoint": {"events": 1},
    "DeleteWebhookEndpoint": {"events": 1},
    "RotateWebhookSecret": {"events": 1},
    "ReplayDelivery": {},
    "ReplayDeadDeliveries": {},
}
"""What the example of each RPC with a request_id does, once, to what can be counted from outside."""


def test_every_rpc_that_changes_something_takes_a_request_id() -> None:
    """Batches carry one for each item; what is only sent as a test changes nothing."""
    with_id = {name for name, method in METHODS.items() if "request_id" in method.input_type.fields_by_name}
    reading = ("Get", "List", "Query", "Watch", "Test")
    changing = {name for name in METHODS if not name.startswith(reading)} - {"BatchCheckSpend", "BatchRecordSpend"}
    assert changing == with_id
    assert with_id == EFFECTS.keys()


def _effective(examples: Examples, name: str) -> Any:
    """The example of an RPC, so that it has its effect."""
    request = examples.request(name)
    if name == "ApplyCaps":
        request.validate_only = False
    return request


@pytest.mark.parametrize("name", EFFECTS)
async def test_64_callers_with_one_id_cause_one_effect_and_get_one_answer(name: str, replicas: Replicas) -> None:
    """At once, at every replica: byte for byte the same answer, and the books show one effect."""
    admin = replicas.admin()
    tenant = new_tenant(admin)
    body = _without_maps(_effective(Examples(tenant), name)).SerializeToString()
    before = _counts(tenant)
    async with AsyncExitStack() as stack:
        connections = [
            await stack.enter_async_context(AsyncCaller(address, replicas.admin_key))
            for address in (*replicas.addresses, *replicas.addresses)
        ]
        answers = await asyncio.gather(*(connections[n % len(connections)].raw(name, body) for n in range(CALLERS)))
    after = _counts(tenant)
    assert {key: after[key] - before[key] for key in after if after[key] != before[key]} == EFFECTS[name]
    again = [admin.raw(name, body) for _ in range(2)]
    if name == "CreateApiKey":
        # The secret is stored nowhere, so only the answer that made it tells it.
        assert sum(bool(_secret(one)) for one in answers) <= 1
        answers, again = [_without_secret(one) for one in answers], [_without_secret(one) for one in again]
    assert {*answers, *again} == {answers[0]}
    assert _counts(tenant) == after


_STAMP = Timestamp(seconds=1_790_000_000)

OTHER_CHECKS: dict[str, dict[str, Any]] = {
    "unit": {"unit": "EUR"},
    "amount_micros": {"amount_micros": 2_000},
    "min_amount_micros": {"min_amount_micros": 0},
    "labels": {"labels": {"team": "b"}},
    "mode": {"mode": pb.CHECK_MODE_RECORD},
    "reservation_ttl": {"reservation_ttl": Duration(seconds=61)},
    "expiry_action": {"expiry_action": reservation_pb2.EXPIRY_ACTION_RECORD},
    "view": {"view": pb.CHECK_VIEW_FULL},
}
OTHER_RECORDS: dict[str, dict[str, Any]] = {
    "unit": {"unit": "EUR"},
    "amount_micros": {"amount_micros": 2_000},
    "labels": {"labels": {"team": "a", "job": "1"}},
    "usage_time": {"usage_time": _STAMP},
    "keep_open": {"keep_open": True},
}


@pytest.mark.parametrize("field", OTHER_CHECKS)
def test_a_check_with_a_used_id_and_another_field_is_refused_by_that_field(field: str, tenant: Tenant) -> None:
    request_id, common = new_id(), {"labels": {"team": "a"}, "reservation_ttl": Duration(seconds=60)}
    tenant.admin.call("CheckSpend", tenant.check(1_000, request_id=request_id, **common))
    other = tenant.check(**{"amount_micros": 1_000, "request_id": request_id, **common, **OTHER_CHECKS[field]})
    _assert_reused(tenant, "CheckSpend", other, field)


@pytest.mark.parametrize("field", OTHER_RECORDS)
def test_a_record_with_a_used_id_and_another_field_is_refused_by_that_field(field: str, tenant: Tenant) -> None:
    request_id = new_id()
    tenant.admin.call("RecordSpend", tenant.record(1_000, request_id=request_id, labels={"team": "a"}))
    common = {"amount_micros": 1_000, "request_id": request_id, "labels": {"team": "a"}}
    _assert_reused(tenant, "RecordSpend", tenant.record(**{**common, **OTHER_RECORDS[field]}), field)


@pytest.mark.parametrize(
    ("name", "field", "change"),
    [
        ("RecordSpend", "reservation", lambda e, r: setattr(r, "reservation", e.reservation())),
        ("RefundSpend", "spend_record", lambda e, r: setattr(r, "spend_record", e.record())),
        ("RefundSpend", "amount_micros", lambda e, r: setattr(r, "amount_micros", 299)),
        ("RefundSpend", "amount_micros", lambda e, r: r.ClearField("amount_micros")),
        ("ReleaseReservation", "name", lambda e, r: setattr(r, "name", e.reservation())),
        ("ExtendReservation", "name", lambda e, r: setattr(r, "name", e.reservation())),
        ("ExtendReservation", "reservation_ttl", lambda e, r: r.reservation_ttl.FromSeconds(7_200)),
        ("ExtendReservation", "additional_micros", lambda e, r: setattr(r, "additional_micros", 501)),
        ("CreateBudget", "budget_id", lambda e, r: setattr(r, "budget_id", new_id())),
        ("CreateBudget", "budget", lambda e, r: setattr(r.budget, "hard_cap_micros", 1)),
        ("UpdateBudget", "budget", lambda e, r: setattr(r.budget, "budget_micros", 1)),
        ("UpdateBudget", "update_mask", lambda e, r: r.update_mask.paths.pop()),
        ("DeleteBudget", "name", lambda e, r: setattr(r, "name", e.spare_budget())),
        ("DeleteBudget", "force", lambda e, r: setattr(r, "force", True)),
        ("CreateOrganization", "organization", lambda e, r: setattr(r.organization, "display_name", "B")),
        ("UpdateOrganization", "organization", lambda e, r: setattr(r.organization, "display_name", "B")),
        ("CreateApiKey", "api_key", lambda e, r: r.api_key.scopes.append("budgets:write")),
        ("RevokeApiKey", "name", lambda e, r: setattr(r, "name", e.tenant.key().name)),
        ("ApplyCaps", "budgets", lambda e, r: setattr(r.budgets[0].budget, "hard_cap_micros", 1)),
        (
            "ApplyCaps",
            "webhook_endpoints",
            lambda e, r: setattr(r.webhook_endpoints.add().webhook_endpoint, "name", e.hook()),
        ),
    ],
)
def test_a_used_id_with_other_content_is_refused_by_the_field_that_differs(
    name: str, field: str, change: Callable[[Examples, Any], None], tenant: Tenant
) -> None:
    """Every RPC that takes a request_id; a field inside a resource may be named by its path."""
    examples = Examples(tenant)
    request = _effective(examples, name)
    tenant.admin.call(name, request)
    change(examples, request)
    _assert_reused(tenant, name, request, field)


def test_the_id_of_one_method_is_refused_by_every_other(tenant: Tenant) -> None:
    """The scope of an id is the organization, not the method; the first effect stands."""
    examples = Examples(tenant)
    request_id = new_id()
    tenant.admin.call("RecordSpend", tenant.record(1_000, request_id=request_id))
    for name in EFFECTS.keys() - {"RecordSpend", "CreateOrganization", "DeleteOrganization"}:
        request = _effective(examples, name)
        request.request_id = request_id
        _assert_reused(tenant, name, request, "method")


def test_each_item_of_a_batch_has_an_id_of_its_own(tenant: Tenant) -> None:
    """An id that was used by a single call answers the item as it answered the call; twice in a batch acts once."""
    first = tenant.record(1_000, request_id="single")
    single = tenant.admin.call("RecordSpend", first).spend_record
    twice, reused = tenant.record(5, request_id="twice"), tenant.record(6, request_id="single")
    batch = pb.BatchRecordSpendRequest(organization=tenant.name, requests=[first, twice, twice, reused])
    results = tenant.admin.call("BatchRecordSpend", batch).results
    assert results[0].record == single
    assert results[1].record == results[2].record
    assert results[3].HasField("status")
    assert tenant.budget().spend.spent_micros == 1_005


def test_what_was_denied_is_decided_afresh(tenant: Tenant) -> None:
    """The same request is denied at a cap of nothing, and allowed once the cap is raised: then for good."""
    request = tenant.check(1_000, request_id=new_id())
    tenant.cap(0)
    assert tenant.admin.call("CheckSpend", request).decision == pb.DECISION_DENIED
    tenant.cap(1_000)
    allowed = tenant.admin.call("CheckSpend", request)
    assert allowed.decision == pb.DECISION_ALLOWED
    tenant.cap(0)
    assert tenant.admin.call("CheckSpend", request) == allowed


def test_what_failed_is_decided_afresh(tenant: Tenant) -> None:
    request_id = new_id()
    tenant.admin.fails("RecordSpend", tenant.record(-1, request_id=request_id))
    assert tenant.admin.call("RecordSpend", tenant.record(1, request_id=request_id)).spend_record.amount_micros == 1


async def test_replies_and_requests_that_are_lost_on_the_way_do_no_harm(replicas: Replicas) -> None:
    """Every eighth reply is eaten and some requests too, each with its connection: the ledger is what was told."""
    tenant = new_tenant(replicas.admin())
    chance = random.Random(8)

    def loses(kind: Lost) -> bool:
        return chance.random() < (0.12 if kind == "reply" else 0.03)

    async with AsyncExitStack() as stack:
        proxies = [await stack.enter_async_context(ReplyEater(address, loses)) for address in replicas.addresses]
        addresses = [proxy.address for proxy in proxies] * 8
        workload = Workload(tenant, tenant.key().secret, addresses, callers=16, seed=8)
        working = asyncio.create_task(workload.run())
        while sum(proxy.lost["reply"] for proxy in proxies) < LOST_REPLIES:
            assert not working.done(), working.exception()
            await asyncio.sleep(0.05)
        workload.stop()
        await working
    assert sum(proxy.lost["request"] for proxy in proxies) > 0
    assert workload.failures.keys() == {"UNAVAILABLE"}
    assert workload.contradictions == []

    journal = workload.journal
    reservations = all_of(
        tenant.admin, "ListReservations", pb.ListReservationsRequest(parent=tenant.name), "reservations"
    )
    records = all_of(tenant.admin, "ListSpendRecords", pb.ListSpendRecordsRequest(parent=tenant.name), "spend_records")
    assert differences(journal, reservations, records) == ([], [])
    spend = tenant.budget().spend
    assert (spend.spent_micros, spend.reserved_micros) == (journal.spent_micros, journal.held_micros)
    verify(replicas.servers[0])


def test_after_a_restart_the_first_answers_are_given_again(server: ServerProcess) -> None:
    """Every RPC with a request_id: killed with -9 and started again, it answers as it did, and acts no more."""
    with Caller(server.grpc_address, server.admin_key) as admin:
        tenant = new_tenant(admin)
        examples = Examples(tenant)
        asked = {name: _without_maps(_effective(examples, name)).SerializeToString() for name in EFFECTS}
        answered = {name: admin.raw(name, body) for name, body in asked.items()}
        counts = _counts(tenant)
        server.kill9()
        server.restart()
    with Caller(server.grpc_address, server.admin_key) as admin:
        tenant = Tenant(admin, tenant.organization_id)
        again = {name: admin.raw(name, body) for name, body in asked.items()}
        answered["CreateApiKey"] = _without_secret(answered["CreateApiKey"])
        assert again == answered
        assert _counts(tenant) == counts


def _assert_reused(tenant: Tenant, name: str, request: Any, field: str) -> None:
    """It is refused by that field (or one inside it), and nothing happens."""
    before = snapshot_of(tenant.admin, tenant.name)
    refused = tenant.admin.fails(name, request)
    assert (refused.code, refused.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "REQUEST_ID_REUSED"), refused
    assert refused.metadata["field"].split(".")[0] == field
    assert refused.metadata["request_id"] == request.request_id
    assert snapshot_of(tenant.admin, tenant.name) == before


def _counts(tenant: Tenant) -> dict[str, int]:
    """What of an organization can be counted from outside, and how many organizations there are."""
    listed = all_of(tenant.admin, "ListOrganizations", admin_pb.ListOrganizationsRequest(), "organizations")
    seen = snapshot_of(tenant.admin, tenant.name)
    reservations = seen[f"{tenant.name}/reservations"]
    return {
        "organizations": len(listed),
        "events": len(seen[f"{tenant.name}/auditEvents"]),
        "records": len(seen[f"{tenant.name}/spendRecords"]),
        "reservations": len(reservations),
        "closed": sum(one.state != reservation_pb2.RESERVATION_STATE_OPEN for one in reservations),
        "granted_micros": sum(one.granted_micros for one in reservations),
    }


def _without_maps(request: Any) -> Any:
    """The request without labels and selectors: in which order the entries of a map are sent is nobody's promise."""
    for field, value in request.ListFields():
        if field.message_type is None:
            continue
        if field.message_type.GetOptions().map_entry:
            request.ClearField(field.name)
        elif not field.is_repeated and field.message_type.file.package == "outlay.v1":
            _without_maps(value)
    return request


def _secret(answer: bytes) -> str:
    secret: str = GetMessageClass(METHODS["CreateApiKey"].output_type).FromString(answer).secret
    return secret


def _without_secret(answer: bytes) -> bytes:
    key = GetMessageClass(METHODS["CreateApiKey"].output_type).FromString(answer)
    key.ClearField("secret")
    body: bytes = key.SerializeToString(deterministic=True)
    return body
