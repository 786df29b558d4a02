"""Bad inputs one by one: the documented error, the field that it names, nothing changed, within a second."""

import time
from collections.abc import Callable
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.timestamp_pb2 import Timestamp

from outlay.v1 import admin_service_pb2 as admin_pb
from outlay.v1 import budget_pb2, organization_pb2, reservation_pb2
from outlay.v1 import budget_service_pb2 as pb
from support.examples import Examples
from support.snapshot import newest_of
from support.tenants import Tenant, new_id, new_tenant
from support.wire import METHODS, Caller, new_request

SLOWEST_SECONDS = 3.0
"""The promise is one second on a machine of its own; here others may run beside it."""

YEAR_0, YEAR_10000 = -62_135_596_801, 253_402_300_800
NOT_ENUMERATED = 99

Change = Callable[[Any], object]


@pytest.fixture(scope="module")
def examples(admin: Caller) -> Examples:
    """The example requests of one organization, none of which is ever let through."""
    return Examples(new_tenant(admin, "bad"))


# What is no message at all

NO_MESSAGES = {
    "text that is not UTF-8": b"\x12\x03\xff\xfe\xfd",
    "a number that does not end": b"\x18\xff\xff",
    "a number of eleven bytes": b"\x18" + b"\xff" * 10 + b"\x01",
    "a text longer than the message": b"\x12\xff\xff\xff\xff\x0f" + b"USD",
    "field number 0": b"\x02\x01x",
    "an unknown wire type": b"\x17",
    "groups 200 deep": b"\x7b" * 200 + b"\x7c" * 200,
    "a group that is not closed": b"\x7b",
    "300 KiB": b"\x7a\x80\xe0\x12" + b"x" * 307_200,
    "noise": bytes(range(256)),
}


@pytest.mark.parametrize("what", NO_MESSAGES)
@pytest.mark.parametrize("name", ["CheckSpend", "RecordSpend", "UpdateBudget", "CreateOrganization"])
def test_what_is_no_message_is_refused_as_a_whole(name: str, what: str, examples: Examples) -> None:
    """VALIDATION_FAILED with one violation, of no field: not UNKNOWN, as gRPC would answer by itself."""
    _assert_refused(examples.tenant, name, NO_MESSAGES[what], "VALIDATION_FAILED", [""])


@pytest.mark.parametrize("bytes_sent", [1_200_000, 4_300_000])
def test_a_message_beyond_every_bound_is_not_read(bytes_sent: int, examples: Examples) -> None:
    """GRPC itself refuses what is larger than the largest batch, before it is in memory as a whole."""
    check = examples.tenant.check(1, labels={"a": "x" * bytes_sent})
    refused = _refused(examples.tenant, "CheckSpend", check.SerializeToString())
    assert refused.code == grpc.StatusCode.RESOURCE_EXHAUSTED


def test_200_thousand_labels_are_refused(examples: Examples) -> None:
    check = examples.tenant.check(1, labels={f"l{number}": "" for number in range(200_000)})
    assert _refused(examples.tenant, "CheckSpend", check.SerializeToString()).code == grpc.StatusCode.RESOURCE_EXHAUSTED


# One field, one violation: the request is valid but for it


def _set(path: str, value: Any) -> Change:
    def change(request: Any) -> None:
        *heads, last = path.split(".")
        for head in heads:
            request = getattr(request, head)
        if isinstance(value, list):
            request.ClearField(last)
            getattr(request, last).extend(value)
        elif hasattr(value, "DESCRIPTOR"):
            getattr(request, last).CopyFrom(value)
        else:
            setattr(request, last, value)

    return change


def _map(path: str, entries: dict[str, Any]) -> Change:
    def change(request: Any) -> None:
        *heads, last = path.split(".")
        for head in heads:
            request = getattr(request, head)
        request.ClearField(last)
        getattr(request, last).update(entries)

    return change


def _budget(mask: str, **settings: Any) -> Change:
    """An update of the budget with this mask alone."""

    def change(request: Any) -> None:
        name = request.budget.name
        request.budget.Clear()
        request.budget.MergeFrom(budget_pb2.Budget(name=name, **settings))
        request.ClearField("update_mask")
        request.update_mask.paths.append(mask)

    return change


def _ago(days: float) -> Timestamp:
    return Timestamp(seconds=int(time.time() - days * 86_400))


_LONG = "x" * 256
_THRESHOLDS = "budget.alert_thresholds.percents"

REFUSED: list[tuple[str, str, Change, str]] = [
    # amounts
    ("an amount of -1", "ExtendReservation", _set("additional_micros", -1), "additional_micros"),
    ("an amount of 2^63-1", "CheckSpend", _set("amount_micros", 2**63 - 1), "amount_micros"),
    ("an amount of 10^15+1", "CheckSpend", _set("amount_micros", 10**15 + 1), "amount_micros"),
    ("a record of nothing", "RecordSpend", _set("amount_micros", 0), "amount_micros"),
    ("a record of -1", "RecordSpend", _set("amount_micros", -1), "amount_micros"),
    ("a record of 2^63-1", "RecordSpend", _set("amount_micros", 2**63 - 1), "amount_micros"),
    ("a refund of 0", "RefundSpend", _set("amount_micros", 0), "amount_micros"),
    ("a refund of more than the record", "RefundSpend", _set("amount_micros", 10_001), "amount_micros"),
    ("a minimum above the amount", "CheckSpend", _set("min_amount_micros", 30_001), "min_amount_micros"),
    ("a minimum of -1", "CheckSpend", _set("min_amount_micros", -1), "min_amount_micros"),
    ("a cap of -1", "UpdateBudget", _budget("hard_cap_micros", hard_cap_micros=-1), "budget.hard_cap_micros"),
    ("a cap of 10^17+1", "UpdateBudget", _budget("*", hard_cap_micros=10**17 + 1), "budget.hard_cap_micros"),
    ("a soft budget of -1", "UpdateBudget", _budget("budget_micros", budget_micros=-1), "budget.budget_micros"),
    # units
    *(
        (f"the unit {unit!r}", "CheckSpend", _set("unit", unit), "unit")
        for unit in ("", "usd", "US", "USD ", "U-D", "ÜSD", "1SD", "U" * 33, "US\0")
    ),
    ("a budget's unit usd", "CreateBudget", _set("budget.unit", "usd"), "budget.unit"),
    ("a budget without a unit", "CreateBudget", _set("budget.unit", ""), "budget.unit"),
    # labels and selectors
    ("17 labels", "CheckSpend", _map("labels", {f"l{n}": "" for n in range(17)}), "labels"),
    ("15,000 labels", "CheckSpend", _map("labels", {f"l{n}": "" for n in range(15_000)}), "labels"),
    ("a label without a key", "CheckSpend", _map("labels", {"": "x"}), "labels"),
    ("a key of 64 bytes", "CheckSpend", _map("labels", {"k" * 64: "x"}), "labels"),
    ("a value of 256 bytes", "CheckSpend", _map("labels", {"k": _LONG}), "labels"),
    ("128 letters of two bytes", "CheckSpend", _map("labels", {"k": "é" * 128}), "labels"),
    ("a NUL in a label's value", "CheckSpend", _map("labels", {"k": "a\0b"}), "labels"),
    ("a NUL in a label's key", "RecordSpend", _map("labels", {"k\0": "a"}), "labels"),
    ("a line break in a label", "RecordSpend", _map("labels", {"k": "a\nb"}), "labels"),
    ("a star in the middle", "CreateBudget", _map("budget.selector", {"k": "a*b"}), "budget.selector"),
    ("two stars", "CreateBudget", _map("budget.selector", {"k": "a**"}), "budget.selector"),
    ("17 selectors", "CreateBudget", _map("budget.selector", {f"l{n}": "" for n in range(17)}), "budget.selector"),
    # ids
    *(
        (f"the budget id {shown[:12]!r}", "CreateBudget", _set("budget_id", shown), "budget_id")
        for shown in ("", "Spend", "1st", "a_b", "-a", "a" * 64, "a/b", "é", "a\0")
    ),
    ("the organization id Acme", "CreateOrganization", _set("organization_id", "Acme"), "organization_id"),
    ("no organization id", "CreateOrganization", _set("organization_id", ""), "organization_id"),
    *(
        (f"the request_id {shown[:12]!r}", "RecordSpend", _set("request_id", shown), "request_id")
        for shown in ("", "x" * 129, "é", "a\nb", "\x7f")
    ),
    ("a request_id of 129 characters", "UpdateBudget", _set("request_id", "x" * 129), "request_id"),
    # durations and times
    ("a ttl of -1 s", "CheckSpend", _set("reservation_ttl", Duration(seconds=-1)), "reservation_ttl"),
    ("a ttl of 0 s", "CheckSpend", _set("reservation_ttl", Duration()), "reservation_ttl"),
    ("a ttl of 10^9 s", "CheckSpend", _set("reservation_ttl", Duration(seconds=10**9)), "reservation_ttl"),
    ("a ttl of 24 h and a bit", "CheckSpend", _set("reservation_ttl", Duration(seconds=86_401)), "reservation_ttl"),
    (
        "a ttl that is no duration",
        "CheckSpend",
        _set("reservation_ttl", Duration(seconds=5, nanos=-5)),
        "reservation_ttl",
    ),
    (
        "an extension by 10^9 s",
        "ExtendReservation",
        _set("reservation_ttl", Duration(seconds=10**9)),
        "reservation_ttl",
    ),
    ("usage in the year 0", "RecordSpend", _set("usage_time", Timestamp(seconds=YEAR_0)), "usage_time"),
    ("usage in the year 10000", "RecordSpend", _set("usage_time", Timestamp(seconds=YEAR_10000)), "usage_time"),
    (
        "usage with nanos of a second",
        "RecordSpend",
        _set("usage_time", Timestamp(seconds=1, nanos=10**9)),
        "usage_time",
    ),
    ("usage 36 days ago", "RecordSpend", _set("usage_time", _ago(36)), "usage_time"),
    ("usage in an hour", "RecordSpend", _set("usage_time", _ago(-1 / 24)), "usage_time"),
    ("a query to the year 10000", "QuerySpend", _set("end_time", Timestamp(seconds=YEAR_10000)), "end_time"),
    ("a query that ends before it starts", "QuerySpend", _set("end_time", Timestamp(seconds=1)), "end_time"),
    ("a query over two years", "QuerySpend", _set("start_time", _ago(800)), "end_time"),
    ("a key that expired", "CreateApiKey", _set("api_key.expire_time", _ago(1)), "api_key.expire_time"),
    # pages
    ("a page of -1", "ListBudgets", _set("page_size", -1), "page_size"),
    ("a page of -1 records", "ListSpendRecords", _set("page_size", -1), "page_size"),
    (
        "a page token of ours for another list",
        "ListBudgets",
        _set("page_token", "AAAAAAAAAAAAAAAAWyJhIl0"),
        "page_token",
    ),
    ("a page token that is noise", "ListAuditEvents", _set("page_token", "\x00\xff"), "page_token"),
    # masks
    ("a mask of an output-only field", "UpdateBudget", _budget("spend"), "update_mask"),
    ("a mask inside an output-only field", "UpdateBudget", _budget("spend.spent_micros"), "update_mask"),
    ("a mask of create_time", "UpdateBudget", _budget("create_time"), "update_mask"),
    ("a mask of an unknown field", "UpdateBudget", _budget("colour"), "update_mask"),
    ("a mask of nothing", "UpdateBudget", _budget(""), "update_mask"),
    ("a mask of a map's entry", "UpdateBudget", _budget("selector.team"), "update_mask"),
    ("a mask that ends in a dot", "UpdateBudget", _budget("cycle."), "update_mask"),
    # enums
    ("mode 99", "CheckSpend", _set("mode", NOT_ENUMERATED), "mode"),
    ("expiry action 99", "CheckSpend", _set("expiry_action", NOT_ENUMERATED), "expiry_action"),
    ("view 99", "CheckSpend", _set("view", NOT_ENUMERATED), "view"),
    ("granularity 99", "QuerySpend", _set("granularity", NOT_ENUMERATED), "granularity"),
    ("state 99", "ListReservations", _set("state", NOT_ENUMERATED), "state"),
    ("period 99", "CreateBudget", _set("budget.cycle.period", NOT_ENUMERATED), "budget.cycle.period"),
    ("enforcement 99", "CreateBudget", _set("budget.enforcement", NOT_ENUMERATED), "budget.enforcement"),
    ("enforcement -1", "CreateBudget", _set("budget.enforcement", -1), "budget.enforcement"),
    # zones and dates
    *(
        (f"the zone {zone[:20]!r}", "CreateBudget", _set("budget.cycle.time_zone", zone), "budget.cycle.time_zone")
        for zone in (
            "Mars/Olympus",
            "../../etc/passwd",
            "/etc/passwd",
            "europe/berlin",
            "UTC\0",
            "posixrules",
            "x" * 999,
        )
    ),
    ("a query in Mars/Olympus", "QuerySpend", _set("time_zone", "Mars/Olympus"), "time_zone"),
    *(
        (f"the anchor {anchor!r}", "CreateBudget", _set("budget.cycle.anchor", anchor), "budget.cycle.anchor")
        for anchor in ("2023-02-29", "2024-1-1", "20240101", "tomorrow", "0000-01-01", "२०२४-०१-०१", "2024-01-01T00:00")
    ),
    # thresholds, overrides, texts
    *(
        (f"the thresholds {shown}", "CreateBudget", _set(_THRESHOLDS, percents), f"{_THRESHOLDS}{where}")
        for shown, percents, where in (
            ("90, 50", [90, 50], "[1]"),
            ("50, 50", [50, 50], "[1]"),
            ("-1", [-1], "[0]"),
            ("1001", [1_001], "[0]"),
            ("1 to 11", list(range(1, 12)), ""),
        )
    ),
    (
        "an override without a cap",
        "UpdateBudget",
        _budget("cap_override", cap_override=budget_pb2.CapOverride(reason="none")),
        "budget.cap_override.hard_cap_micros",
    ),
    (
        "an override that is over",
        "UpdateBudget",
        _budget("cap_override", cap_override=budget_pb2.CapOverride(hard_cap_micros=1, expire_time=_ago(1))),
        "budget.cap_override.expire_time",
    ),
    ("a display name of 129", "CreateBudget", _set("budget.display_name", "x" * 129), "budget.display_name"),
    ("a NUL in a display name", "CreateBudget", _set("budget.display_name", "a\0"), "budget.display_name"),
    ("a manager of 129", "CreateBudget", _set("budget.managed_by", "x" * 129), "budget.managed_by"),
    # keys, gates, batches
    ("a scope that there is not", "CreateApiKey", _set("api_key.scopes", ["spend:all"]), "api_key.scopes[0]"),
    ("a scope twice", "CreateApiKey", _set("api_key.scopes", ["spend:check"] * 2), "api_key.scopes[1]"),
    ("no scope", "CreateApiKey", _set("api_key.scopes", []), "api_key.scopes"),
    ("a batch of none", "BatchCheckSpend", _set("requests", []), "requests"),
    ("a batch of none to record", "BatchRecordSpend", _set("requests", []), "requests"),
    (
        "a batch of 1,001",
        "BatchCheckSpend",
        _set("requests", [pb.CheckSpendRequest(unit="USD")] * 1_001),
        "requests",
    ),
    (
        "two gates of one id",
        "CreateOrganization",
        _set("organization.gates", [organization_pb2.Gate(gate_id="a", label="l", pattern="p")] * 2),
        "organization.gates[1].gate_id",
    ),
    (
        "a gate without a label",
        "CreateOrganization",
        _set("organization.gates", [organization_pb2.Gate(gate_id="a", pattern="p")]),
        "organization.gates[0].label",
    ),
    ("five labels to group by", "QuerySpend", _set("group_by", list("abcde")), "group_by"),
    ("a filter without =", "ListSpendRecords", _set("label_filters", ["team"]), "label_filters[0]"),
    # what must be set
    ("no name", "GetBudget", _set("name", ""), "name"),
    ("no parent", "ListBudgets", _set("parent", ""), "parent"),
    ("no budget name", "UpdateBudget", _set("budget.name", ""), "budget.name"),
    ("no record to refund", "RefundSpend", _set("spend_record", ""), "spend_record"),
    ("no organization of a platform key", "CheckSpend", _set("organization", ""), "organization"),
    ("the platform's own organization", "CheckSpend", _set("organization", "organizations/-"), "organization"),
]


@pytest.mark.parametrize(
    ("name", "change", "field"), [case[1:] for case in REFUSED], ids=[f"{case[1]}: {case[0]}" for case in REFUSED]
)
def test_one_bad_field_is_refused_by_its_name(name: str, change: Change, field: str, examples: Examples) -> None:
    """VALIDATION_FAILED naming that field: itself, or the entry of a map or list within it where the case says so."""
    request = examples.request(name)
    change(request)
    refused = _assert_refused(examples.tenant, name, request.SerializeToString(), "VALIDATION_FAILED", None)
    assert [_matches(found, field) for found in refused.fields] == [True], (refused.fields, refused.message)
    assert refused.metadata["field"] == refused.fields[0]


def _matches(found: str, field: str) -> bool:
    """Maps are named as a whole or by an entry, masks as a whole or by a path."""
    return found == field or (field in ("labels", "budget.selector", "update_mask") and found.startswith(field))


def test_every_violation_is_listed_at_once(examples: Examples) -> None:
    check = examples.tenant.check(
        -1, unit="usd", mode=NOT_ENUMERATED, reservation_ttl=Duration(seconds=-1), request_id="é", labels={"": ""}
    )
    refused = _assert_refused(examples.tenant, "CheckSpend", check.SerializeToString(), "VALIDATION_FAILED", None)
    named = {field.partition("[")[0].partition(".")[0] for field in refused.fields}
    assert named == {"amount_micros", "unit", "mode", "reservation_ttl", "request_id", "labels"}


def test_a_caller_is_never_told_more_than_a_little_of_what_it_sent(examples: Examples) -> None:
    """At most 64 characters of it, in the message and in every detail, and none of them a control character."""
    for name, change in (
        ("CheckSpend", _set("unit", "U" * 5_000)),
        ("GetBudget", _set("name", "organizations/" + "z" * 5_000)),
        ("CreateApiKey", _set("api_key.scopes", ["z" * 5_000])),
        ("UpdateBudget", _budget("z" * 5_000)),
        ("CheckSpend", _map("labels", {"z" * 5_000: "z" * 5_000})),
    ):
        request = examples.request(name)
        change(request)
        refused = examples.tenant.admin.fails(name, request)
        assert refused.status is not None
        assert b"z" * 65 not in refused.status.SerializeToString()
        assert b"U" * 65 not in refused.status.SerializeToString()
        assert "z" * 65 not in refused.message
        assert refused.message.isprintable()


# Names of nothing


@pytest.mark.parametrize(
    "shown",
    [
        "spending",
        "/",
        "organizations",
        "organizations/",
        "organizations//budgets/spending",
        "organizations/{0}/budgets/",
        "organizations/{0}/budgets/SPENDING",
        "organizations/{0}/budgets/spending/",
        "organizations/{0}/budgets/spending\0",
        "organizations/{0}/budgets/../budgets/spending",
        "organizations/{0}/reservations/spending",
        " organizations/{0}/budgets/spending",
        "organizations/%2e%2e/budgets/spending",
        "x" * 100_000,
    ],
)
def test_a_name_that_is_none_is_not_found(shown: str, examples: Examples) -> None:
    name = shown.replace("{0}", examples.tenant.organization_id)
    body = pb.GetBudgetRequest(name=name).SerializeToString()
    _assert_refused(examples.tenant, "GetBudget", body, "NOT_FOUND", ())


# Pages


def test_a_huge_page_is_a_full_one_and_a_bit_of_a_token_is_not_one(examples: Examples) -> None:
    """page_size 10^9 is answered with at most 1,000 rows; no flipped bit of a page token is taken for one."""
    tenant = examples.tenant
    assert (
        len(tenant.admin.call("ListBudgets", pb.ListBudgetsRequest(parent=tenant.name, page_size=10**9)).budgets) == 2
    )
    request = pb.ListBudgetsRequest(parent=tenant.name, page_size=1)
    token = tenant.admin.call("ListBudgets", request).next_page_token
    for position in range(len(token)):
        for bit in (1, 2, 4, 8, 16, 32, 64):
            flipped = token[:position] + chr(ord(token[position]) ^ bit) + token[position + 1 :]
            request.page_token = flipped
            refused = tenant.admin.fails("ListBudgets", request)
            assert (refused.reason, refused.fields) == ("VALIDATION_FAILED", ("page_token",)), flipped
    other = admin_pb.ListAlertsRequest(parent=tenant.name, page_token=token)
    assert tenant.admin.fails("ListAlerts", other).fields == ("page_token",)


# What depends on what was before


def test_a_reservation_is_released_once_and_recorded_late(tenant: Tenant) -> None:
    """Release after release is RESERVATION_CLOSED; a record after it is taken, and marked late."""
    examples = Examples(tenant)
    reservation = examples.reservation()
    release = pb.ReleaseReservationRequest(name=reservation)
    tenant.admin.call("ReleaseReservation", release)
    for name, request in (
        ("ReleaseReservation", release),
        ("ExtendReservation", pb.ExtendReservationRequest(name=reservation, additional_micros=1)),
    ):
        closed = _assert_refused(tenant, name, request.SerializeToString(), "RESERVATION_CLOSED", ())
        assert closed.metadata == {"resource": reservation, "state": "RELEASED"}
    late = tenant.admin.call("RecordSpend", tenant.record(5, reservation=reservation)).spend_record
    assert (late.late, late.amount_micros) == (True, 5)


def test_a_settled_reservation_takes_no_second_record(tenant: Tenant) -> None:
    """That would be the same work twice."""
    reservation = Examples(tenant).reservation()
    tenant.admin.call("RecordSpend", tenant.record(5, reservation=reservation))
    again = tenant.record(5, reservation=reservation).SerializeToString()
    closed = _assert_refused(tenant, "RecordSpend", again, "RESERVATION_CLOSED", ())
    assert closed.metadata == {"resource": reservation, "state": "SETTLED"}


def test_a_record_after_expiry_is_late_and_counts_in_full(tenant: Tenant) -> None:
    check = tenant.check(10, reservation_ttl=Duration(seconds=1))
    answer = tenant.admin.call("CheckSpend", check)
    get = pb.GetReservationRequest(name=answer.reservation)
    while tenant.admin.call("GetReservation", get).state != reservation_pb2.RESERVATION_STATE_EXPIRED:
        assert time.time() < answer.expire_time.seconds + 3
    late = tenant.admin.call("RecordSpend", tenant.record(25, reservation=answer.reservation)).spend_record
    spend = tenant.budget().spend
    assert (late.late, spend.spent_micros, spend.reserved_micros) == (True, 25, 0)


def test_a_refund_is_no_record_to_refund_and_never_more_than_is_left(tenant: Tenant) -> None:
    record = Examples(tenant).record()
    first = pb.RefundSpendRequest(
        organization=tenant.name, spend_record=record, amount_micros=9_000, request_id=new_id()
    )
    refund = tenant.admin.call("RefundSpend", first).spend_record
    more = pb.RefundSpendRequest(spend_record=record, amount_micros=1_001)
    of_a_refund = pb.RefundSpendRequest(spend_record=refund.name)
    for request, field in ((more, "amount_micros"), (of_a_refund, "spend_record")):
        request.organization, request.request_id = tenant.name, new_id()
        _assert_refused(tenant, "RefundSpend", request.SerializeToString(), "VALIDATION_FAILED", [field])


def test_an_immutable_field_does_not_change(tenant: Tenant) -> None:
    """A mask may name it as long as its value stays; another one is refused by that field."""
    budget = budget_pb2.Budget(name=tenant.child("budgets", "spending"), unit="USD")
    request = pb.UpdateBudgetRequest(budget=budget, update_mask=FieldMask(paths=["unit"]))
    tenant.admin.call("UpdateBudget", request)
    request.budget.unit = "EUR"
    _assert_refused(tenant, "UpdateBudget", request.SerializeToString(), "VALIDATION_FAILED", ["budget.unit"])


def test_an_etag_that_is_not_current_stops_the_change(tenant: Tenant) -> None:
    budget = budget_pb2.Budget(name=tenant.child("budgets", "spending"), display_name="A", etag=tenant.budget().etag)
    request = pb.UpdateBudgetRequest(budget=budget, update_mask=FieldMask(paths=["display_name"]))
    tenant.admin.call("UpdateBudget", request)
    refused = _assert_refused(tenant, "UpdateBudget", request.SerializeToString(), "ETAG_MISMATCH", ())
    assert refused.code == grpc.StatusCode.ABORTED


def test_what_is_there_is_not_made_again(tenant: Tenant) -> None:
    """ALREADY_EXISTS names it; the id of a deleted organization stays taken too."""
    create = pb.CreateBudgetRequest(parent=tenant.name, budget_id="spending", budget=budget_pb2.Budget(unit="USD"))
    refused = _assert_refused(tenant, "CreateBudget", create.SerializeToString(), "ALREADY_EXISTS", ())
    assert refused.metadata == {"resource": tenant.child("budgets", "spending")}
    again = admin_pb.CreateOrganizationRequest(organization_id=tenant.organization_id)
    again.organization.SetInParent()
    _assert_refused(tenant, "CreateOrganization", again.SerializeToString(), "ALREADY_EXISTS", ())
    tenant.admin.call("DeleteOrganization", admin_pb.DeleteOrganizationRequest(name=tenant.name))
    assert tenant.admin.fails("CreateOrganization", again).reason == "ALREADY_EXISTS"


def test_an_empty_request_of_every_method_is_answered(admin: Caller) -> None:
    """What is not there at all is a violation, not a crash."""
    reasons = {name: admin.fails(name, new_request(name)).reason for name in METHODS.keys() - {"ListOrganizations"}}
    assert reasons == dict.fromkeys(reasons, "VALIDATION_FAILED")


def _refused(tenant: Tenant, name: str, body: bytes) -> Any:
    """The failure of a call, which came in time and left everything as it was."""
    before = newest_of(tenant.admin, tenant.name)
    started = time.monotonic()
    refused = tenant.admin.fails(name, body)
    assert time.monotonic() - started < SLOWEST_SECONDS
    assert newest_of(tenant.admin, tenant.name) == before
    return refused


def _assert_refused(tenant: Tenant, name: str, body: bytes, reason: str, fields: Any) -> Any:
    refused = _refused(tenant, name, body)
    assert (refused.reason, refused.info.domain) == (reason, "outlay.dev"), refused
    if fields is not None:
        assert refused.fields == tuple(fields), refused
    return refused
