"""Requests are read whole: one value, or every violation at once and nothing else."""

from collections.abc import Callable
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.timestamp_pb2 import Timestamp

from outlay.v1 import admin_service_pb2 as admin
from outlay.v1 import budget_pb2, organization_pb2
from outlay.v1 import budget_service_pb2 as pb
from outlay_server.api import from_wire
from outlay_server.api.caller import PLATFORM, Caller
from outlay_server.domain.cycle import Period
from outlay_server.domain.errors import NotFound, ValidationFailed
from outlay_server.domain.limits import AMOUNT_MICROS_MAX, CAP_MICROS_MAX, LABELS_MAX
from outlay_server.domain.settings import BUDGET_PATHS

OWNER = Caller("acme", "01a20025-b91c-7786-ad2d-07414a6fd9cc", frozenset({"spend:check"}), None)
UUID = "01a20025-b938-72c4-b924-c826233b688f"
RESERVATION = f"organizations/acme/reservations/{UUID}"
RECORD = f"organizations/acme/spendRecords/{UUID}"
ACME = "organizations/acme"
BUDGET = "organizations/acme/budgets/spending"
SECOND, DAY = Duration(seconds=1), Duration(seconds=86_400)


def check(**values: Any) -> pb.CheckSpendRequest:
    return pb.CheckSpendRequest(**{"unit": "USD", "amount_micros": 1, **values})


def record(**values: Any) -> pb.RecordSpendRequest:
    return pb.RecordSpendRequest(**{"unit": "USD", "amount_micros": 1, "request_id": "r", **values})


def update(paths: list[str] | None = None, **values: Any) -> pb.UpdateBudgetRequest:
    mask = None if paths is None else FieldMask(paths=paths)
    return pb.UpdateBudgetRequest(budget=budget_pb2.Budget(**{"name": BUDGET, **values}), update_mask=mask)


def create(**values: Any) -> pb.CreateBudgetRequest:
    return pb.CreateBudgetRequest(
        parent="organizations/acme", budget_id="b", budget=budget_pb2.Budget(**{"unit": "USD", **values})
    )


def query(**values: Any) -> pb.QuerySpendRequest:
    return pb.QuerySpendRequest(
        **{"unit": "USD", "start_time": Timestamp(seconds=0), "end_time": Timestamp(seconds=60), **values}
    )


def key(**values: Any) -> admin.CreateApiKeyRequest:
    return admin.CreateApiKeyRequest(
        **{"parent": "organizations/acme", "api_key": {"scopes": ["spend:check"]}, **values}
    )


def violations(read: Callable[[Any, Caller], object], request: Any, caller: Caller = OWNER) -> list[str]:
    """The fields that are refused, in order."""
    with pytest.raises(ValidationFailed) as caught:
        read(request, caller)
    return [violation.field for violation in caught.value.violations]


SPEND = from_wire.spend
BUDGETS = from_wire.budgets
ORGANIZATIONS = from_wire.organizations
QUERIES = from_wire.queries

REFUSED: list[tuple[Callable[[Any, Caller], object], Any, list[str]]] = [
    # Amounts
    (SPEND.check, check(amount_micros=-1), ["amount_micros"]),
    (SPEND.check, check(amount_micros=AMOUNT_MICROS_MAX + 1), ["amount_micros"]),
    (SPEND.check, check(amount_micros=2**63 - 1), ["amount_micros"]),
    (SPEND.check, check(min_amount_micros=-1), ["min_amount_micros"]),
    (SPEND.check, check(min_amount_micros=2), ["min_amount_micros"]),
    (SPEND.record, record(amount_micros=0), ["amount_micros"]),
    (SPEND.record, record(amount_micros=-(2**63)), ["amount_micros"]),
    (SPEND.refund, pb.RefundSpendRequest(spend_record=RECORD, request_id="r", amount_micros=0), ["amount_micros"]),
    (SPEND.extend, pb.ExtendReservationRequest(name=RESERVATION, additional_micros=-1), ["additional_micros"]),
    (
        SPEND.extend,
        pb.ExtendReservationRequest(name=RESERVATION, additional_micros=4, min_additional_micros=5),
        ["min_additional_micros"],
    ),
    (BUDGETS.create, create(hard_cap_micros=-1), ["budget.hard_cap_micros"]),
    (BUDGETS.create, create(budget_micros=CAP_MICROS_MAX + 1), ["budget.budget_micros"]),
    (BUDGETS.create, create(allotment_micros=2**63 - 1), ["budget.allotment_micros"]),
    # Units
    *((SPEND.check, check(unit=unit), ["unit"]) for unit in ("", "usd", "US", "USD ", "U$D", "1SD", "U" * 33, "USD\0")),
    (SPEND.record, record(unit=""), ["unit"]),
    (QUERIES.spend, query(unit="us"), ["unit"]),
    # Labels
    (SPEND.check, check(labels={"": "x"}), ['labels[""]']),
    (SPEND.check, check(labels={"model": "a\0b"}), ['labels["model"]']),
    (SPEND.check, check(labels={"k": "v" * 256}), ['labels["k"]']),
    (SPEND.check, check(labels={"k" * 64: "v"}), [f'labels["{"k" * 64}"]']),
    (SPEND.check, check(labels={str(i): "" for i in range(LABELS_MAX + 1)}), ["labels"]),
    # Enums
    (SPEND.check, check(mode=99), ["mode"]),
    (SPEND.check, check(expiry_action=99), ["expiry_action"]),
    (SPEND.check, check(view=-1), ["view"]),
    (BUDGETS.create, create(enforcement=99), ["budget.enforcement"]),
    (BUDGETS.create, create(cycle={"period": 99}), ["budget.cycle.period"]),
    (QUERIES.reservations, pb.ListReservationsRequest(parent="organizations/acme", state=99), ["state"]),
    (QUERIES.spend, query(granularity=99), ["granularity"]),
    # Time
    (SPEND.check, check(reservation_ttl=Duration(seconds=-1)), ["reservation_ttl"]),
    (SPEND.check, check(reservation_ttl=Duration(seconds=0, nanos=999_999_999)), ["reservation_ttl"]),
    (SPEND.check, check(reservation_ttl=Duration(seconds=86_400, nanos=1)), ["reservation_ttl"]),
    (SPEND.check, check(reservation_ttl=Duration(seconds=10**9)), ["reservation_ttl"]),
    (SPEND.check, check(reservation_ttl=Duration(seconds=2, nanos=-1)), ["reservation_ttl"]),
    (SPEND.check, check(reservation_ttl=Duration(seconds=2, nanos=10**9)), ["reservation_ttl"]),
    (SPEND.check, check(reservation_ttl=Duration(seconds=2**63 - 1)), ["reservation_ttl"]),
    (SPEND.record, record(usage_time=Timestamp(seconds=-62_135_596_801)), ["usage_time"]),
    (SPEND.record, record(usage_time=Timestamp(seconds=253_402_300_800)), ["usage_time"]),
    (SPEND.record, record(usage_time=Timestamp(seconds=1, nanos=-1)), ["usage_time"]),
    (SPEND.record, record(usage_time=Timestamp(seconds=1, nanos=10**9)), ["usage_time"]),
    (QUERIES.spend, query(end_time=Timestamp(seconds=0)), ["end_time"]),
    (QUERIES.spend, query(end_time=Timestamp(seconds=366 * 86_400 + 1)), ["end_time"]),
    (QUERIES.spend, pb.QuerySpendRequest(unit="USD"), ["start_time", "end_time"]),
    # Ids and text
    (SPEND.check, check(request_id="é"), ["request_id"]),
    (SPEND.check, check(request_id="x" * 129), ["request_id"]),
    (SPEND.check, check(request_id="a\nb"), ["request_id"]),
    (SPEND.record, record(request_id=""), ["request_id"]),
    (SPEND.refund, pb.RefundSpendRequest(spend_record=RECORD), ["request_id"]),
    (BUDGETS.create, pb.CreateBudgetRequest(parent=ACME, budget_id="B", budget={"unit": "USD"}), ["budget_id"]),
    (BUDGETS.create, pb.CreateBudgetRequest(parent=ACME, budget_id="b"), ["budget.unit"]),
    (BUDGETS.create, create(display_name="x" * 129), ["budget.display_name"]),
    (BUDGETS.create, create(display_name="a\0"), ["budget.display_name"]),
    (BUDGETS.create, create(managed_by="x" * 129), ["budget.managed_by"]),
    (BUDGETS.delete, pb.DeleteBudgetRequest(name=BUDGET, manager="\0"), ["manager"]),
    # Budgets
    (BUDGETS.create, create(selector={"model": "a*b"}), ['budget.selector["model"]']),
    (BUDGETS.create, create(cycle={"anchor": "20260101"}), ["budget.cycle.anchor"]),
    (BUDGETS.create, create(cycle={"anchor": "2026-02-30"}), ["budget.cycle.anchor"]),
    (BUDGETS.create, create(cycle={"anchor": "2026-W01-1"}), ["budget.cycle.anchor"]),
    (BUDGETS.create, create(cycle={"anchor": "٢٠٢٦-٠١-٠١"}), ["budget.cycle.anchor"]),
    (BUDGETS.create, create(cycle={"time_zone": "Mars/Olympus"}), ["budget.cycle.time_zone"]),
    (BUDGETS.create, create(cycle={"time_zone": "../../etc/passwd"}), ["budget.cycle.time_zone"]),
    (BUDGETS.create, create(alert_thresholds={"percents": [-1]}), ["budget.alert_thresholds.percents[0]"]),
    (BUDGETS.create, create(alert_thresholds={"percents": [1_001]}), ["budget.alert_thresholds.percents[0]"]),
    (BUDGETS.create, create(alert_thresholds={"percents": [50, 50]}), ["budget.alert_thresholds.percents[1]"]),
    (BUDGETS.create, create(alert_thresholds={"percents": [75, 50]}), ["budget.alert_thresholds.percents[1]"]),
    (BUDGETS.create, create(alert_thresholds={"percents": range(11)}), ["budget.alert_thresholds.percents"]),
    (BUDGETS.create, create(cap_override={"reason": "x"}), ["budget.cap_override.hard_cap_micros"]),
    (
        BUDGETS.create,
        create(cap_override={"hard_cap_micros": -1, "reason": "x" * 513, "expire_time": Timestamp(nanos=-1)}),
        ["budget.cap_override.hard_cap_micros", "budget.cap_override.expire_time", "budget.cap_override.reason"],
    ),
    # Masks
    (BUDGETS.update, update(["spend"]), ["update_mask.paths[0]"]),
    (BUDGETS.update, update(["display_name", "colour"]), ["update_mask.paths[1]"]),
    (BUDGETS.update, update(["cycle.colour"]), ["update_mask.paths[0]"]),
    (BUDGETS.update, update(["create_time"]), ["update_mask.paths[0]"]),
    (BUDGETS.update, update(["*", "unit"]), ["update_mask"]),
    (BUDGETS.update, update(["x"] * 200), [f"update_mask.paths[{i}]" for i in range(100)]),
    (BUDGETS.update, pb.UpdateBudgetRequest(budget={}), ["budget.name"]),
    (BUDGETS.update, pb.UpdateBudgetRequest(budget={"name": BUDGET}, gates={"Opus": True}), ["gates"]),
    (
        BUDGETS.update,
        pb.UpdateBudgetRequest(budget={"name": BUDGET}, allow_missing=True, update_mask={"paths": ["display_name"]}),
        ["budget.unit"],
    ),
    # Organizations and keys
    (ORGANIZATIONS.create, admin.CreateOrganizationRequest(organization_id="-"), ["organization_id"]),
    (
        ORGANIZATIONS.create,
        admin.CreateOrganizationRequest(organization_id="a", organization={"gates": [{"gate_id": "A"}]}),
        ["organization.gates[0].gate_id", "organization.gates[0].label", "organization.gates[0].pattern"],
    ),
    (ORGANIZATIONS.create_key, key(api_key={}), ["api_key.scopes"]),
    (ORGANIZATIONS.create_key, key(api_key={"scopes": ["admin"]}), ["api_key.scopes[0]"]),
    (ORGANIZATIONS.create_key, key(api_key={"scopes": ["spend:check"] * 3}), [f"api_key.scopes[{i}]" for i in (1, 2)]),
    (ORGANIZATIONS.create_key, key(api_key={"scopes": ["spend:free"]}), ["api_key.scopes[0]"]),
    # Lists
    (BUDGETS.listing, pb.ListBudgetsRequest(parent="organizations/acme", page_size=-1), ["page_size"]),
    (BUDGETS.listing, pb.ListBudgetsRequest(parent="organizations/acme", page_token="x"), ["page_token"]),
    (BUDGETS.listing, pb.ListBudgetsRequest(), ["parent"]),
    (
        QUERIES.records,
        pb.ListSpendRecordsRequest(parent="organizations/acme", label_filters=["team", "=x", "a=b*c", "k=1", "k=2"]),
        [f"label_filters[{i}]" for i in (0, 1, 2, 4)],
    ),
    (QUERIES.spend, query(group_by=["a", "a"]), ["group_by[1]"]),
    (QUERIES.spend, query(group_by=["a", "b", "c", "d", "e"]), ["group_by"]),
    (QUERIES.spend, query(time_zone="Mars/Olympus"), ["time_zone"]),
    (QUERIES.audit_events, admin.ListAuditEventsRequest(parent="organizations/acme", action="\0"), ["action"]),
    # Batches
    (SPEND.check_batch, pb.BatchCheckSpendRequest(), ["requests"]),
    (SPEND.record_batch, pb.BatchRecordSpendRequest(requests=[record()] * 1_001), ["requests"]),
]  # fmt: skip


@pytest.mark.parametrize(("read", "request_", "fields"), REFUSED, ids=lambda value: None)
def test_a_request_that_breaks_a_bound_is_refused_naming_the_field(
    read: Callable[[Any, Caller], object], request_: Any, fields: list[str]
) -> None:
    assert violations(read, request_) == fields


def test_all_violations_are_told_at_once() -> None:
    request = check(unit="usd", amount_micros=-1, labels={"": "x"}, mode=99, request_id="\n", view=9)
    assert violations(SPEND.check, request) == ["amount_micros", "unit", 'labels[""]', "mode", "view", "request_id"]


ACCEPTED: list[Any] = [
    check(amount_micros=0, min_amount_micros=0),
    check(amount_micros=AMOUNT_MICROS_MAX, min_amount_micros=AMOUNT_MICROS_MAX),
    check(labels={"k" * 63: "v" * 255, "empty": ""}),
    check(labels={str(i): "" for i in range(LABELS_MAX)}),
    check(request_id="x" * 128),
    check(reservation_ttl=SECOND),
    check(reservation_ttl=DAY),
    check(unit="TOKENS_2"),
]


@pytest.mark.parametrize("request_", ACCEPTED, ids=lambda value: None)
def test_a_request_at_its_bounds_is_taken(request_: Any) -> None:
    assert SPEND.check(request_, OWNER).amount_micros == request_.amount_micros


def test_lengths_of_time_are_whole_microseconds() -> None:
    command = SPEND.check(check(reservation_ttl=Duration(seconds=1, nanos=500_000_999)), OWNER)
    assert command.reservation_ttl_micros == 1_500_000


def test_instants_are_whole_microseconds() -> None:
    command = SPEND.record(record(usage_time=Timestamp(seconds=-1, nanos=999_999_999)), OWNER)
    assert command.usage_time == -1


def test_a_check_holds_for_five_minutes_where_it_does_not_say() -> None:
    assert SPEND.check(check(), OWNER).reservation_ttl_micros == 300_000_000


def test_a_record_of_a_reservation_may_leave_the_unit_to_it() -> None:
    command = SPEND.record(record(unit="", reservation=RESERVATION), OWNER)
    assert (command.unit, command.reservation_id) == ("", UUID)


# Names


@pytest.mark.parametrize("name", ["", "organizations/-", "organizations/acme"])
def test_an_organizations_key_need_not_name_its_organization(name: str) -> None:
    assert SPEND.check(check(organization=name), OWNER).organization_id == "acme"


@pytest.mark.parametrize("name", ["", "organizations/-"])
def test_a_platform_key_must_name_an_organization(name: str) -> None:
    assert violations(SPEND.check, check(organization=name), PLATFORM) == ["organization"]


def test_a_platform_key_must_name_the_organization_of_a_resource() -> None:
    request = pb.GetBudgetRequest(name="organizations/-/budgets/spending")
    assert violations(BUDGETS.get, request, PLATFORM) == ["name"]


def test_a_dash_in_a_name_stands_for_the_keys_organization() -> None:
    assert str(BUDGETS.get(pb.GetBudgetRequest(name="organizations/-/budgets/spending"), OWNER)) == BUDGET


@pytest.mark.parametrize(
    ("read", "request_", "resource"),
    [
        (SPEND.check, check(organization="organizations/other"), "organizations/other"),
        (SPEND.check, check(organization="acme"), "acme"),
        (BUDGETS.get, pb.GetBudgetRequest(name="organizations/other/budgets/b"), "organizations/other/budgets/b"),
        (BUDGETS.get, pb.GetBudgetRequest(name="organizations/acme/budgets/B"), "organizations/acme/budgets/B"),
        (BUDGETS.get, pb.GetBudgetRequest(name=RESERVATION), RESERVATION),
        (SPEND.release, pb.ReleaseReservationRequest(name="organizations/acme/reservations/1"), None),
        (SPEND.record, record(reservation=RESERVATION.replace("acme", "other")), None),
        (
            QUERIES.alerts,
            admin.ListAlertsRequest(parent="organizations/acme", budget="organizations/other/budgets/b"),
            "organizations/other/budgets/b",
        ),
        (
            QUERIES.audit_events,
            admin.ListAuditEventsRequest(parent="organizations/acme", resource="organizations/acme2/budgets/b"),
            "organizations/acme2/budgets/b",
        ),
    ],
)
def test_a_name_that_reaches_nothing_is_not_found_as_it_was_asked(
    read: Callable[[Any, Caller], object], request_: Any, resource: str | None
) -> None:
    with pytest.raises(NotFound) as caught:
        read(request_, OWNER)
    assert resource is None or caught.value.resource == resource


def test_a_platform_key_cannot_mix_organizations_in_one_request() -> None:
    request = record(organization="organizations/other", reservation=RESERVATION)
    with pytest.raises(NotFound) as caught:
        SPEND.record(request, PLATFORM)
    assert caught.value.resource == RESERVATION


def test_violations_are_told_before_names_that_reach_nothing() -> None:
    """As for a missing resource of the caller's own, whose request is read before it is looked for."""
    assert violations(SPEND.check, check(organization="organizations/other", amount_micros=-1)) == ["amount_micros"]


def test_an_audit_filter_may_name_any_resource_of_the_organization() -> None:
    parent = "organizations/acme"
    for resource in (parent, BUDGET, "organizations/-", "organizations/-/budgets/spending"):
        asked = QUERIES.audit_events(admin.ListAuditEventsRequest(parent=parent, resource=resource), OWNER)
        assert asked.resource in (parent, BUDGET)


# Batches


def test_an_item_of_a_batch_fails_alone() -> None:
    request = pb.BatchCheckSpendRequest(
        requests=[check(), check(amount_micros=-1), check(organization="organizations/x")]
    )
    organization_id, (first, second, third) = SPEND.check_batch(request, OWNER)
    assert organization_id == "acme"
    assert (first.organization_id, type(second), type(third)) == ("acme", ValidationFailed, NotFound)


def test_items_of_a_platforms_batch_are_of_the_batchs_organization() -> None:
    items = [check(), check(organization="organizations/acme"), check(organization="organizations/other")]
    request = pb.BatchCheckSpendRequest(organization="organizations/acme", requests=items)
    _, (first, second, third) = SPEND.check_batch(request, PLATFORM)
    assert (first.organization_id, second.organization_id, type(third)) == ("acme", "acme", ValidationFailed)


# Masks


def paths(request: pb.UpdateBudgetRequest) -> frozenset[str]:
    return BUDGETS.update(request, OWNER).paths


def test_without_a_mask_what_is_present_is_set() -> None:
    request = update(hard_cap_micros=0, hard_cap_enabled=False, display_name="x", selector={"a": "b"})
    assert paths(request) == {"hard_cap_micros", "display_name", "selector"}


def test_without_a_mask_only_the_parts_of_a_cycle_that_are_present_are_set() -> None:
    assert paths(update(cycle={"time_zone": "Europe/Berlin"})) == {"cycle.time_zone"}


def test_a_mask_that_names_all_sets_all_but_a_unit_that_was_left_out() -> None:
    whole = {path for path in BUDGET_PATHS if "." not in path}
    assert paths(update(["*"])) == whole - {"unit"}
    assert paths(update(["*"], unit="USD")) == whole


def test_a_field_that_a_mask_names_and_the_budget_leaves_out_is_cleared() -> None:
    change = BUDGETS.update(update(["hard_cap_micros", "alert_thresholds", "cap_override", "cycle"]), OWNER)
    assert change.paths == {"hard_cap_micros", "alert_thresholds", "cap_override", "cycle"}
    settings = change.settings
    assert (settings.hard_cap_micros, settings.alert_thresholds, settings.cap_override) == (None, None, None)
    assert settings.cycle.period is Period.MONTH


def test_names_and_etags_may_stand_in_a_mask_and_set_nothing() -> None:
    assert paths(update(["name", "etag", "display_name"], etag="r1")) == {"display_name"}


def test_what_a_mask_does_not_name_is_not_looked_at() -> None:
    """So that a resource may be sent back as it was read."""
    assert paths(update(["display_name"], display_name="x", hard_cap_micros=-1)) == {"display_name"}


def test_no_thresholds_and_the_default_ones_differ() -> None:
    none = BUDGETS.create(create(alert_thresholds={}), OWNER).settings.alert_thresholds
    default = BUDGETS.create(create(), OWNER).settings.alert_thresholds
    assert (none, default) == ((), None)


def test_a_budget_that_says_nothing_about_alerts_raises_them() -> None:
    assert BUDGETS.create(create(), OWNER).settings.alerts_enabled is True
    assert BUDGETS.create(create(alerts_enabled=False), OWNER).settings.alerts_enabled is False


def test_weeks_begin_on_a_monday_where_no_anchor_is_given() -> None:
    cycle = BUDGETS.create(create(cycle={"period": budget_pb2.PERIOD_WEEK}), OWNER).settings.cycle
    assert cycle.anchor.isoformat() == "1970-01-05"


def test_gates_are_kept_in_order() -> None:
    gates = [organization_pb2.Gate(gate_id=gate_id, label="m", pattern="x") for gate_id in ("b", "a")]
    request = admin.CreateOrganizationRequest(organization_id="o", organization={"gates": gates})
    assert [gate.gate_id for gate in ORGANIZATIONS.create(request, PLATFORM).settings.gates] == ["a", "b"]


# Pages


@pytest.mark.parametrize(("asked", "size"), [(0, 50), (1, 1), (1_000, 1_000), (1_001, 1_000), (2**31 - 1, 1_000)])
def test_page_sizes_are_held_to_the_largest(asked: int, size: int) -> None:
    _, page = BUDGETS.listing(pb.ListBudgetsRequest(parent="organizations/acme", page_size=asked), OWNER)
    assert page.size == size


@pytest.mark.parametrize(("asked", "size"), [(0, 1_000), (10_000, 10_000), (10_001, 10_000)])
def test_queries_have_larger_pages(asked: int, size: int) -> None:
    assert QUERIES.spend(query(page_size=asked), OWNER).page.size == size
