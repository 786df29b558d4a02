"""BudgetService over gRPC on a real ledger: what each method answers."""

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.timestamp_pb2 import Timestamp

from api.edge import NOON, UNIT, Client, Edge
from outlay.v1 import admin_service_pb2 as admin
from outlay.v1 import budget_pb2, reservation_pb2, spend_record_pb2
from outlay.v1 import budget_service_pb2 as pb

ACME = "organizations/acme"
SPENDING = "organizations/acme/budgets/spending"
NOON_SECONDS = NOON // 1_000_000
DAY = 86_400


@pytest.fixture
async def owner(edge: Edge) -> Client:
    """A key with every scope of its organization."""
    return await edge.client(
        "control:read", "budgets:read", "budgets:write", "spend:check", "spend:record", "control:webhooks"
    )


async def cap(client: Client, units: int, **more: object) -> budget_pb2.Budget:
    budget = budget_pb2.Budget(name=SPENDING, hard_cap_micros=units * UNIT, hard_cap_enabled=True, **more)
    return await client.call("UpdateBudget", pb.UpdateBudgetRequest(budget=budget))


async def check(client: Client, units: float, **more: object) -> pb.CheckSpendResponse:
    return await client.call("CheckSpend", pb.CheckSpendRequest(unit="USD", amount_micros=int(units * UNIT), **more))


async def record(client: Client, units: float, request_id: str, **more: object) -> spend_record_pb2.SpendRecord:
    request = pb.RecordSpendRequest(unit="USD", amount_micros=int(units * UNIT), request_id=request_id, **more)
    return (await client.call("RecordSpend", request)).spend_record


async def spending(client: Client) -> budget_pb2.Budget:
    return await client.call("GetBudget", pb.GetBudgetRequest(name=SPENDING))


def at(seconds: int) -> Timestamp:
    return Timestamp(seconds=NOON_SECONDS + seconds)


# Checks


async def test_a_check_holds_what_it_was_granted(owner: Client) -> None:
    await cap(owner, 10)
    answer = await check(owner, 6, request_id="c")
    assert (answer.decision, answer.granted_micros) == (pb.DECISION_ALLOWED, 6 * UNIT)
    assert answer.reservation.startswith(f"{ACME}/reservations/")
    assert answer.expire_time == at(300)
    assert (answer.binding_budget, answer.affordable_micros) == (SPENDING, 10 * UNIT)
    assert not answer.budgets
    assert (await spending(owner)).spend.reserved_micros == 6 * UNIT


async def test_the_same_check_again_is_answered_again_and_holds_once(owner: Client) -> None:
    await cap(owner, 10)
    answers = [await check(owner, 6, request_id="c") for _ in range(3)]
    assert answers[0] == answers[1] == answers[2]
    assert (await spending(owner)).spend.reserved_micros == 6 * UNIT


async def test_a_request_id_with_other_content_names_the_field_that_differs(owner: Client) -> None:
    await check(owner, 1, request_id="c")
    failure = await owner.failure("CheckSpend", pb.CheckSpendRequest(unit="USD", amount_micros=2, request_id="c"))
    assert (failure.code, failure.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "REQUEST_ID_REUSED")
    assert failure.facts["field"] == "amount_micros"


async def test_a_denial_is_an_answer_that_tells_of_every_budget(owner: Client) -> None:
    await cap(owner, 10)
    await check(owner, 6)
    answer = await check(owner, 5)
    assert (answer.decision, answer.reason) == (pb.DECISION_DENIED, pb.DENIAL_REASON_HELD_BY_RESERVATIONS)
    assert (answer.granted_micros, answer.shortfall_micros, answer.affordable_micros) == (0, UNIT, 4 * UNIT)
    assert (answer.retryable, answer.retry_time) == (True, at(300))
    (verdict,) = answer.budgets
    assert (verdict.budget, verdict.admitted, verdict.available_micros) == (SPENDING, False, 4 * UNIT)
    assert verdict.reason == pb.DENIAL_REASON_HELD_BY_RESERVATIONS


async def test_a_check_without_a_limit_has_no_affordable_amount(owner: Client) -> None:
    answer = await check(owner, 5)
    assert not answer.HasField("affordable_micros")
    assert answer.binding_budget == ""


async def test_a_full_view_shows_the_budgets_of_an_admission_too(owner: Client) -> None:
    answer = await check(owner, 5, view=pb.CHECK_VIEW_FULL)
    (verdict,) = answer.budgets
    assert (verdict.admitted, verdict.reserved_micros, verdict.HasField("limit_micros")) == (True, 0, False)


async def test_a_check_that_only_asks_holds_nothing(owner: Client) -> None:
    answer = await check(owner, 5, mode=pb.CHECK_MODE_CHECK_ONLY)
    assert (answer.decision, answer.reservation) == (pb.DECISION_ALLOWED, "")
    assert (await spending(owner)).spend.reserved_micros == 0


async def test_a_check_that_records_names_its_record(owner: Client) -> None:
    answer = await check(owner, 5, mode=pb.CHECK_MODE_RECORD)
    listed = await owner.call("ListSpendRecords", pb.ListSpendRecordsRequest(parent=ACME))
    assert [entry.name for entry in listed.spend_records] == [answer.spend_record]


async def test_a_closed_gate_is_named(owner: Client) -> None:
    answer = await check(owner, 1, labels={"model": "claude-opus-4"})
    assert (answer.reason, answer.gate) == (pb.DENIAL_REASON_GATE_DISABLED, "opus")


async def test_a_budget_in_shadow_warns_and_lets_pass(owner: Client) -> None:
    await cap(owner, 1, enforcement=budget_pb2.ENFORCEMENT_SHADOW)
    answer = await check(owner, 5, view=pb.CHECK_VIEW_FULL)
    assert answer.decision == pb.DECISION_ALLOWED
    (warning,) = answer.warnings
    assert warning.type == pb.CHECK_WARNING_TYPE_SHADOW_DENIAL
    assert (warning.budget, warning.reason) == (SPENDING, pb.DENIAL_REASON_HARD_CAP_REACHED)
    assert "spending" in warning.message
    assert answer.budgets[0].admitted


async def test_a_passed_soft_budget_warns(owner: Client) -> None:
    await owner.call(
        "UpdateBudget", pb.UpdateBudgetRequest(budget=budget_pb2.Budget(name=SPENDING, budget_micros=UNIT))
    )
    (warning,) = (await check(owner, 2)).warnings
    assert warning.type == pb.CHECK_WARNING_TYPE_SOFT_BUDGET_PASSED


async def test_items_of_a_batch_are_decided_alone_and_in_order(owner: Client) -> None:
    await cap(owner, 10)
    items = [
        pb.CheckSpendRequest(unit="USD", amount_micros=6 * UNIT),
        pb.CheckSpendRequest(unit="usd", amount_micros=1),
        pb.CheckSpendRequest(unit="USD", amount_micros=6 * UNIT),
        pb.CheckSpendRequest(unit="USD", amount_micros=4 * UNIT),
    ]
    answer = await owner.call("BatchCheckSpend", pb.BatchCheckSpendRequest(requests=items))
    allowed, denied = pb.DECISION_ALLOWED, pb.DECISION_DENIED
    assert [response.decision for response in answer.responses] == [allowed, denied, denied, allowed]
    assert [response.HasField("error") for response in answer.responses] == [False, True, False, False]
    assert answer.responses[1].reason == pb.DENIAL_REASON_UNSPECIFIED
    assert answer.responses[1].error.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]


async def test_a_batch_for_an_organization_that_is_not_there_fails_as_a_whole(edge: Edge) -> None:
    items = [pb.CheckSpendRequest(unit="USD", amount_micros=1)]
    request = pb.BatchCheckSpendRequest(organization="organizations/none", requests=items)
    failure = await edge.platform.failure("BatchCheckSpend", request)
    assert (failure.reason, failure.facts) == ("NOT_FOUND", {"resource": "organizations/none"})


# Records


async def test_a_record_settles_its_reservation(edge: Edge, owner: Client) -> None:
    held = (await check(owner, 6, labels={"team": "search"})).reservation
    edge.clock.advance(10)
    entry = await record(owner, 2, "r", reservation=held)
    assert (entry.reservation, entry.amount_micros, dict(entry.labels)) == (held, 2 * UNIT, {"team": "search"})
    assert (entry.charge_time, entry.create_time) == (at(0), at(10))
    now = await owner.call("GetReservation", pb.GetReservationRequest(name=held))
    assert now.state == reservation_pb2.RESERVATION_STATE_SETTLED
    assert (now.held_micros, now.recorded_micros, now.close_time) == (0, 2 * UNIT, at(10))


async def test_more_than_was_held_is_shown(owner: Client) -> None:
    held = (await check(owner, 1)).reservation
    request = pb.RecordSpendRequest(reservation=held, amount_micros=3 * UNIT, request_id="r")
    answer = await owner.call("RecordSpend", request)
    assert answer.overrun_micros == answer.spend_record.overrun_micros == 2 * UNIT


async def test_each_item_of_a_batch_of_records_has_its_result(owner: Client) -> None:
    items = [
        pb.RecordSpendRequest(unit="USD", amount_micros=1, request_id="a"),
        pb.RecordSpendRequest(unit="USD", amount_micros=1),
        pb.RecordSpendRequest(unit="USD", amount_micros=2, request_id="a"),
    ]
    answer = await owner.call("BatchRecordSpend", pb.BatchRecordSpendRequest(requests=items))
    assert [result.WhichOneof("outcome") for result in answer.results] == ["record", "status", "status"]


async def test_a_refund_names_what_it_refunds(owner: Client) -> None:
    entry = await record(owner, 5, "r")
    request = pb.RefundSpendRequest(spend_record=entry.name, amount_micros=2 * UNIT, request_id="refund")
    refund = (await owner.call("RefundSpend", request)).spend_record
    assert (refund.kind, refund.refunded_record) == (spend_record_pb2.SPEND_RECORD_KIND_REFUND, entry.name)
    listed = (await owner.call("ListSpendRecords", pb.ListSpendRecordsRequest(parent=ACME))).spend_records
    assert [(found.name, found.refunded_micros) for found in listed] == [(refund.name, 0), (entry.name, 2 * UNIT)]
    assert (await spending(owner)).spend.spent_micros == 3 * UNIT


# Reservations


async def test_a_released_reservation_is_shown_as_it_is_then(owner: Client) -> None:
    held = (await check(owner, 6, request_id="c")).reservation
    released = await owner.call("ReleaseReservation", pb.ReleaseReservationRequest(name=held))
    assert (released.state, released.held_micros) == (reservation_pb2.RESERVATION_STATE_RELEASED, 0)
    assert released.api_key.startswith(f"{ACME}/apiKeys/")
    failure = await owner.failure("ReleaseReservation", pb.ReleaseReservationRequest(name=held))
    assert (failure.code, failure.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "RESERVATION_CLOSED")


async def test_an_extension_tells_the_reservations_new_expiry(edge: Edge, owner: Client) -> None:
    await cap(owner, 10)
    held = (await check(owner, 6)).reservation
    edge.clock.advance(100)
    request = pb.ExtendReservationRequest(name=held, reservation_ttl=Duration(seconds=600), additional_micros=2 * UNIT)
    answer = await owner.call("ExtendReservation", request)
    assert (answer.granted_micros, answer.reservation, answer.expire_time) == (2 * UNIT, held, at(700))


async def test_an_extension_that_is_denied_leaves_the_expiry(owner: Client) -> None:
    await cap(owner, 10)
    held = (await check(owner, 6)).reservation
    request = pb.ExtendReservationRequest(name=held, reservation_ttl=Duration(seconds=600), additional_micros=5 * UNIT)
    answer = await owner.call("ExtendReservation", request)
    assert (answer.decision, answer.expire_time) == (pb.DECISION_DENIED, at(300))


async def test_an_extension_without_a_length_keeps_the_expiry(owner: Client) -> None:
    held = (await check(owner, 6)).reservation
    answer = await owner.call("ExtendReservation", pb.ExtendReservationRequest(name=held, additional_micros=UNIT))
    assert answer.expire_time == at(300)


async def test_reservations_are_listed_newest_first_by_state(edge: Edge, owner: Client) -> None:
    names = []
    for _ in range(3):
        names.insert(0, (await check(owner, 1)).reservation)
        edge.clock.advance(200)
    every, still_open = pb.ListReservationsRequest(parent=ACME), reservation_pb2.RESERVATION_STATE_OPEN
    assert [r.name for r in (await owner.call("ListReservations", every)).reservations] == names
    request = pb.ListReservationsRequest(parent=ACME, state=still_open)
    assert [r.name for r in (await owner.call("ListReservations", request)).reservations] == names[:1]


# Budgets


async def test_a_budget_shows_where_it_stands(edge: Edge, owner: Client) -> None:
    await cap(owner, 10, budget_micros=4 * UNIT)
    await record(owner, 3, "r")
    await check(owner, 2)
    await check(owner, 20)
    spend = (await spending(owner)).spend
    assert (spend.spent_micros, spend.reserved_micros, spend.available_micros) == (3 * UNIT, 2 * UNIT, 5 * UNIT)
    assert (spend.percent_used, list(spend.alerts_sent), spend.denied_count) == (75.0, [50, 75], 1)
    assert spend.cycle_start.ToJsonString() == "2026-01-01T00:00:00Z"
    assert spend.cycle_end.ToJsonString() == "2026-02-01T00:00:00Z"
    # 3 of 10 in 14.5 days: all of it after 48 and a third.
    assert not spend.HasField("projected_exhaustion_time")
    await record(owner, 6, "r2")
    assert (await spending(owner)).spend.projected_exhaustion_time.ToJsonString() == "2026-01-17T02:40:00Z"


async def test_a_budget_tells_where_its_spend_goes(edge: Edge, owner: Client) -> None:
    """Ten days of 10 from the 5th on: 265 by the end of the month. The list, which may be long, does not look ahead."""
    for number in range(10):
        moment = Timestamp(seconds=NOON_SECONDS + (number - 10) * DAY)
        await record(owner, 10, f"r{number}", usage_time=moment, labels={"team": "a"})
    await cap(owner, 125)
    spend = (await spending(owner)).spend
    assert spend.forecast == budget_pb2.Forecast(
        projected_spend_micros=265 * UNIT,
        low_micros=265 * UNIT,
        high_micros=265 * UNIT,
        # Nothing was spent today until noon: half of a day of 10 is left of it, and two more days.
        exhaustion_time=Timestamp(seconds=NOON_SECONDS + 5 * DAY // 2),
        day_count=10,
    )
    assert spend.projected_exhaustion_time == spend.forecast.exhaustion_time
    (_, listed) = (await owner.call("ListBudgets", pb.ListBudgetsRequest(parent=ACME))).budgets
    assert not listed.spend.HasField("forecast")
    # In a straight line from the beginning of the month: 100 in 14.5 days.
    assert listed.spend.projected_exhaustion_time.ToJsonString() == "2026-01-19T03:00:00Z"


async def test_a_budget_with_a_selector_forecasts_what_it_counts(edge: Edge, owner: Client) -> None:
    """And one of three days of spend has a forecast, while one of two has none."""
    for number in range(3):
        moment = Timestamp(seconds=NOON_SECONDS - (number + 1) * DAY)
        await record(owner, number + 1, f"a{number}", usage_time=moment, labels={"team": "a"})
        if number < 2:
            await record(owner, 7, f"b{number}", usage_time=moment, labels={"team": "b"})
    forecasts = []
    for team in "ab":
        budget = budget_pb2.Budget(unit="USD", selector={"team": team})
        await owner.call("CreateBudget", pb.CreateBudgetRequest(parent=ACME, budget_id=team, budget=budget))
        found = await owner.call("GetBudget", pb.GetBudgetRequest(name=f"{ACME}/budgets/{team}"))
        forecasts.append(found.spend.forecast if found.spend.HasField("forecast") else None)
    assert forecasts[1] is None
    assert forecasts[0] is not None
    # Six in three days, 2 a day, for half of today and sixteen days.
    assert (forecasts[0].projected_spend_micros, forecasts[0].day_count) == (39 * UNIT, 3)
    assert forecasts[0].low_micros < 39 * UNIT < forecasts[0].high_micros


async def test_a_percentage_is_cut_to_a_tenth_and_never_rounded_up(owner: Client) -> None:
    await cap(owner, 3)
    await record(owner, 2, "r")
    assert (await spending(owner)).spend.percent_used == 66.6


async def test_a_budget_over_its_limit_shows_the_overrun(owner: Client) -> None:
    await cap(owner, 1)
    await record(owner, 3, "r")
    spend = (await spending(owner)).spend
    assert (spend.overrun_micros, spend.available_micros, spend.percent_used) == (2 * UNIT, 0, 300.0)


async def test_a_budget_without_limits_has_no_figures_of_them(owner: Client) -> None:
    await record(owner, 3, "r")
    spend = (await spending(owner)).spend
    assert not spend.HasField("available_micros")
    assert not spend.HasField("percent_used")
    assert not spend.HasField("projected_exhaustion_time")


async def test_a_lifetime_has_no_end(owner: Client) -> None:
    budget = budget_pb2.Budget(unit="USD", cycle={"period": budget_pb2.PERIOD_LIFETIME})
    created = await owner.call("CreateBudget", pb.CreateBudgetRequest(parent=ACME, budget_id="life", budget=budget))
    assert not created.spend.HasField("cycle_end")
    assert created.cycle.anchor == "1970-01-01"


async def test_a_budget_is_created_once_for_a_request_id(owner: Client) -> None:
    request = pb.CreateBudgetRequest(
        parent=ACME, budget_id="team", budget={"unit": "USD", "selector": {"team": "a*"}}, request_id="q"
    )
    first, again = await owner.call("CreateBudget", request), await owner.call("CreateBudget", request)
    assert first == again
    assert (first.name, dict(first.selector)) == (f"{ACME}/budgets/team", {"team": "a*"})
    request.request_id = "other"
    assert (await owner.failure("CreateBudget", request)).reason == "ALREADY_EXISTS"
    request.request_id, request.budget.display_name = "q", "changed"
    assert (await owner.failure("CreateBudget", request)).reason == "REQUEST_ID_REUSED"


async def test_what_is_only_validated_leaves_nothing_and_its_request_id_is_free(owner: Client) -> None:
    request = pb.CreateBudgetRequest(
        parent=ACME, budget_id="team", budget={"unit": "USD"}, request_id="q", validate_only=True
    )
    await owner.call("CreateBudget", request)
    assert (await owner.failure("GetBudget", pb.GetBudgetRequest(name=f"{ACME}/budgets/team"))).reason == "NOT_FOUND"
    request.validate_only = False
    await owner.call("CreateBudget", request)


async def test_budgets_are_listed_in_pages(owner: Client) -> None:
    for budget_id in ("a", "b", "c"):
        request = pb.CreateBudgetRequest(parent=ACME, budget_id=budget_id, budget={"unit": "USD"})
        await owner.call("CreateBudget", request)
    request, found = pb.ListBudgetsRequest(parent=ACME, page_size=2), []
    while True:
        page = await owner.call("ListBudgets", request)
        found.append([budget.name.rpartition("/")[2] for budget in page.budgets])
        request.page_token = page.next_page_token
        if not request.page_token:
            break
    assert found == [["a", "b"], ["c", "credits"], ["spending"]]


async def test_a_bit_flipped_page_token_is_a_violation(owner: Client) -> None:
    page = await owner.call("ListBudgets", pb.ListBudgetsRequest(parent=ACME, page_size=1))
    token = page.next_page_token
    flipped = token[:5] + chr(ord(token[5]) ^ 1) + token[6:]
    failure = await owner.failure("ListBudgets", pb.ListBudgetsRequest(parent=ACME, page_size=1, page_token=flipped))
    assert failure.fields == ["page_token"]


async def test_an_etag_of_the_past_is_refused(owner: Client) -> None:
    old = (await spending(owner)).etag
    await cap(owner, 5)
    failure = await owner.failure(
        "UpdateBudget", pb.UpdateBudgetRequest(budget={"name": SPENDING, "etag": old, "display_name": "x"})
    )
    assert (failure.code, failure.reason) == (grpc.StatusCode.ABORTED, "ETAG_MISMATCH")


async def test_a_budget_sent_back_whole_changes_nothing(edge: Edge, owner: Client) -> None:
    await cap(owner, 5)
    budget = await spending(owner)
    edge.clock.advance(60)
    request = pb.UpdateBudgetRequest(budget=budget, update_mask=FieldMask(paths=["*"]))
    assert await owner.call("UpdateBudget", request) == budget


async def test_part_of_a_cycle_is_changed_alone(owner: Client) -> None:
    request = pb.UpdateBudgetRequest(
        budget={"name": SPENDING, "cycle": {"time_zone": "Europe/Berlin", "period": budget_pb2.PERIOD_DAY}},
        update_mask=FieldMask(paths=["cycle.time_zone"]),
    )
    cycle = (await owner.call("UpdateBudget", request)).cycle
    assert (cycle.period, cycle.time_zone) == (budget_pb2.PERIOD_MONTH, "Europe/Berlin")


async def test_a_temporary_cap_is_shown_while_it_lasts(edge: Edge, owner: Client) -> None:
    override = budget_pb2.CapOverride(hard_cap_micros=UNIT, expire_time=at(60), reason="launch")
    await owner.call("UpdateBudget", pb.UpdateBudgetRequest(budget={"name": SPENDING, "cap_override": override}))
    budget = await spending(owner)
    assert (budget.cap_override, budget.spend.available_micros) == (override, UNIT)
    edge.clock.advance(60)
    budget = await spending(owner)
    assert (budget.HasField("cap_override"), budget.spend.HasField("available_micros")) == (False, False)


async def test_gates_are_switched_with_the_budget_in_one_event(edge: Edge, owner: Client) -> None:
    request = pb.UpdateBudgetRequest(budget={"name": SPENDING, "display_name": "All"}, gates={"opus": True})
    await owner.call("UpdateBudget", request)
    assert (await check(owner, 1, labels={"model": "claude-opus-4"})).decision == pb.DECISION_ALLOWED
    events = (await edge.platform.call("ListAuditEvents", admin.ListAuditEventsRequest(parent=ACME))).audit_events
    assert [event.action for event in events[:2]] == ["budget.updated", "api_key.created"]
    assert events[0].after["gates"]["opus"] is True


async def test_only_a_key_that_may_create_creates_by_updating(edge: Edge, owner: Client) -> None:
    request = pb.UpdateBudgetRequest(budget={"name": f"{ACME}/budgets/new", "unit": "USD"}, allow_missing=True)
    reader = await edge.client("control:read")
    failure = await reader.failure("UpdateBudget", request)
    assert (failure.reason, failure.facts) == ("MISSING_SCOPE", {"required_scope": "budgets:write"})
    assert (await owner.call("UpdateBudget", request)).unit == "USD"


async def test_an_organization_cannot_grant_itself_an_allotment(edge: Edge, owner: Client) -> None:
    request = pb.UpdateBudgetRequest(budget={"name": SPENDING, "allotment_micros": UNIT})
    assert (await owner.failure("UpdateBudget", request)).reason == "MISSING_SCOPE"
    assert (await edge.platform.call("UpdateBudget", request)).allotment_micros == UNIT


async def test_a_budget_that_is_kept_elsewhere_is_changed_by_its_manager_alone(owner: Client) -> None:
    budget = budget_pb2.Budget(name=SPENDING, managed_by="terraform")
    await owner.call("UpdateBudget", pb.UpdateBudgetRequest(budget=budget))
    request = pb.UpdateBudgetRequest(budget={"name": SPENDING, "display_name": "x"})
    failure = await owner.failure("UpdateBudget", request)
    assert (failure.code, failure.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "MANAGED_ELSEWHERE")
    request.manager = "terraform"
    await owner.call("UpdateBudget", request)


async def test_a_budget_with_open_reservations_is_deleted_by_force_only(owner: Client) -> None:
    await check(owner, 1)
    request = pb.DeleteBudgetRequest(name=SPENDING, request_id="d")
    assert (await owner.failure("DeleteBudget", request)).reason == "OPEN_RESERVATIONS"
    request.force = True
    await owner.call("DeleteBudget", request)
    await owner.call("DeleteBudget", request)
    request.request_id = ""
    assert (await owner.failure("DeleteBudget", request)).reason == "NOT_FOUND"


# The ledger


@pytest.fixture
async def ledger_rows(edge: Edge, owner: Client) -> list[str]:
    """Names of five records, an hour apart, newest first."""
    names = []
    for number, (team, model) in enumerate(
        [("a", "claude-3"), ("a", "gpt-4"), ("b", "claude-4"), ("", "claude-4"), ("b", "claude-3")]
    ):
        labels = {"model": model} | ({"team": team} if team else {})
        names.insert(0, (await record(owner, number + 1, f"r{number}", labels=labels)).name)
        edge.clock.advance(3_600)
    return names


async def records(owner: Client, **filters: object) -> list[str]:
    """Names of all records that are listed, page by page."""
    request, found = pb.ListSpendRecordsRequest(parent=ACME, page_size=2, **filters), []
    while True:
        page = await owner.call("ListSpendRecords", request)
        found += [entry.name for entry in page.spend_records]
        request.page_token = page.next_page_token
        if not page.next_page_token:
            return found


async def test_records_are_listed_newest_first(owner: Client, ledger_rows: list[str]) -> None:
    assert await records(owner) == ledger_rows


async def test_records_are_filtered_by_labels_exactly_and_by_prefix(owner: Client, ledger_rows: list[str]) -> None:
    assert await records(owner, label_filters=["team=b"]) == [ledger_rows[0], ledger_rows[2]]
    assert await records(owner, label_filters=["model=claude-*"]) == [ledger_rows[i] for i in (0, 1, 2, 4)]
    assert await records(owner, label_filters=["model=claude-*", "team=a"]) == [ledger_rows[4]]
    assert await records(owner, label_filters=["team=*"]) == [ledger_rows[i] for i in (0, 2, 3, 4)]


async def test_records_are_filtered_by_time_and_unit(owner: Client, ledger_rows: list[str]) -> None:
    assert await records(owner, start_time=at(3_600), end_time=at(10_800)) == ledger_rows[2:4]
    assert await records(owner, unit="EUR") == []


async def rows(owner: Client, **question: object) -> list[tuple[str, dict[str, str], int]]:
    """All rows of a query, page by page: when, which labels, how many units."""
    defaults = {"unit": "USD", "start_time": at(-DAY), "end_time": at(DAY), "page_size": 2}
    request, found = pb.QuerySpendRequest(**{**defaults, **question}), []
    while True:
        page = await owner.call("QuerySpend", request)
        found += [
            (row.start_time.ToJsonString()[8:16], dict(row.labels), row.spent_micros // UNIT) for row in page.rows
        ]
        request.page_token = page.next_page_token
        if not page.next_page_token:
            return found


async def test_spend_is_summed_by_day_and_label(owner: Client, ledger_rows: list[str]) -> None:
    assert await rows(owner) == [("15T00:00", {}, 15)]
    assert await rows(owner, group_by=["team"]) == [
        ("15T00:00", {"team": ""}, 4),
        ("15T00:00", {"team": "a"}, 3),
        ("15T00:00", {"team": "b"}, 8),
    ]


async def test_spend_is_summed_by_the_hour(owner: Client, ledger_rows: list[str]) -> None:
    by_hour = await rows(owner, granularity=pb.GRANULARITY_HOUR)
    assert by_hour == [(f"15T{12 + i}:00", {}, i + 1) for i in range(5)]


async def test_rows_begin_at_the_days_of_the_zone(owner: Client, ledger_rows: list[str]) -> None:
    found = await rows(owner, time_zone="Pacific/Auckland")
    # It is one in the morning there.
    assert found == [("15T11:00", {}, 15)]


async def test_a_stretch_that_cuts_an_hour_counts_the_quarters_of_it_that_it_touches(
    owner: Client, ledger_rows: list[str]
) -> None:
    """Records stand at each full hour. The quarter that `start_time` lies in counts whole, the hour's others not."""
    found = await rows(owner, granularity=pb.GRANULARITY_HOUR, start_time=at(1), end_time=at(7_201))
    assert found == [("15T12:00", {}, 1), ("15T13:00", {}, 2), ("15T14:00", {}, 3)]
    found = await rows(owner, granularity=pb.GRANULARITY_HOUR, start_time=at(900), end_time=at(7_200))
    assert found == [("15T13:00", {}, 2)]


async def test_sums_are_filtered_by_labels_that_are_not_grouped_by(owner: Client, ledger_rows: list[str]) -> None:
    found = await rows(owner, group_by=["team"], label_filters=["model=claude-*"])
    assert [(labels["team"], units) for _, labels, units in found] == [("", 4), ("a", 1), ("b", 8)]


async def test_refunds_are_taken_off_and_told(owner: Client, ledger_rows: list[str]) -> None:
    await owner.call("RefundSpend", pb.RefundSpendRequest(spend_record=ledger_rows[0], request_id="x"))
    request = pb.QuerySpendRequest(unit="USD", start_time=at(-DAY), end_time=at(DAY))
    (row,) = (await owner.call("QuerySpend", request)).rows
    assert (row.spent_micros, row.refunded_micros) == (10 * UNIT, 5 * UNIT)
