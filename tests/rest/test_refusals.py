"""What cannot be understood is refused with everything that is wrong with it, and no call is made for it."""

import asyncio
from typing import Any

import httpx2
import pytest
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2

from outlay.v1 import budget_service_pb2
from outlay_rest import limits
from outlay_rest.openapi.operations import path_of
from outlay_rest.rules import RULES, Rule
from rest.bad_bodies import NOT_AN_INTEGER, NOT_ONE_DOCUMENT, with_key
from rest.script import KEY, Script, failed

CHECK = "/v1/organizations/acme:checkSpend"
BUDGET = "/v1/organizations/acme/budgets/spending"
JSON = {"content-type": "application/json"}


def fields_of(answer: httpx2.Response) -> list[str]:
    """The fields of the BadRequest in an answer."""
    details = answer.json()["error"]["details"]
    return [each["field"] for detail in details for each in detail.get("field_violations", [])]


@pytest.mark.parametrize("body", NOT_ONE_DOCUMENT.values(), ids=NOT_ONE_DOCUMENT.keys())
async def test_a_body_that_is_not_one_strict_object_is_refused(
    client: httpx2.AsyncClient, script: Script, body: bytes
) -> None:
    answer = await client.post(CHECK, content=with_key(body, "amount_micros"), headers=JSON)
    assert (answer.status_code, script.seen) == (400, [])
    assert answer.json()["error"]["details"][0]["reason"] == "VALIDATION_FAILED"


@pytest.mark.parametrize("value", NOT_AN_INTEGER.values(), ids=NOT_AN_INTEGER.keys())
async def test_an_amount_has_one_grammar(client: httpx2.AsyncClient, script: Script, value: bytes) -> None:
    answer = await client.post(CHECK, content=b'{"unit": "USD", "amount_micros": %s}' % value, headers=JSON)
    assert (answer.status_code, script.seen, fields_of(answer)) == (400, [], ["amount_micros"])


async def test_null_is_no_amount(client: httpx2.AsyncClient, script: Script) -> None:
    """It would otherwise ask for nothing, which is nearly always allowed."""
    answer = await client.post(CHECK, json={"unit": "USD", "amount_micros": None, "min_amount_micros": None})
    assert (answer.status_code, fields_of(answer)) == (400, ["amount_micros"])


async def test_all_violations_are_listed_with_their_paths(client: httpx2.AsyncClient, script: Script) -> None:
    answer = await client.patch(
        f"{BUDGET}?validate_only=yes&page_size=5&api_key=sk_1",
        json={
            "hard_cap_micros": 1,
            "hardCapMicros": 1,
            "cycle": {"period": "PERIOD_HOUR", "zone": "UTC"},
            "selector": {"model": 5},
            "alert_thresholds": {"percents": [50, "x", 2**31]},
            "cap_override": {"expire_time": "2026-02-30T00:00:00Z", "hard_cap_micros": 2**63},
            "name": "organizations/other/budgets/spending",
        },
    )
    assert answer.status_code == 400
    assert fields_of(answer) == [
        "validate_only",
        '"page_size"',
        "api_key",
        "budget.hard_cap_micros",
        "budget.cycle.period",
        "budget.cycle.zone",
        'budget.selector["model"]',
        "budget.alert_thresholds.percents[1]",
        "budget.alert_thresholds.percents[2]",
        "budget.cap_override.expire_time",
        "budget.cap_override.hard_cap_micros",
        "budget.name",
    ]
    assert script.seen == []


@pytest.mark.parametrize(
    "query", ["page_size=5&page_size=6", "page_size=1_000", "page_size=", "page_size=+5", "parent=x", "no=1", "%FF=1"]
)
async def test_a_query_is_read_as_strictly(client: httpx2.AsyncClient, script: Script, query: str) -> None:
    answer = await client.get(f"/v1/organizations/acme/budgets?{query}")
    assert (answer.status_code, script.seen) == (400, [])


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", "application/json; charset=utf-16"]
)
async def test_another_content_type_is_415(client: httpx2.AsyncClient, script: Script, content_type: str) -> None:
    answer = await client.post(CHECK, content=b"{}", headers={"content-type": content_type})
    assert (answer.status_code, script.seen) == (415, [])


@pytest.mark.parametrize(("path", "limit"), [(CHECK, 256 * 1024), (f"{CHECK[:-10]}batchCheckSpend", 1024 * 1024)])
async def test_a_body_has_a_size(client: httpx2.AsyncClient, script: Script, path: str, limit: int) -> None:
    async def chunks() -> Any:
        for _ in range(limit // 1024 + 1):
            yield b" " * 1024

    for content in (b" " * (limit + 1), chunks()):
        answer = await client.post(path, content=content, headers=JSON)
        assert (answer.status_code, script.seen) == (413, [])
    assert (await client.post(path, content=b" " * limit, headers=JSON)).status_code == 400


async def test_a_body_has_to_arrive(
    client: httpx2.AsyncClient, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never() -> Any:
        yield b"{"
        await asyncio.Event().wait()

    monkeypatch.setattr(limits, "BODY_MAX_SECONDS", 0.01)
    assert (await client.post(CHECK, content=never(), headers=JSON)).status_code == 408
    assert script.seen == []


async def test_a_body_where_none_belongs_is_refused(client: httpx2.AsyncClient, script: Script) -> None:
    """A DELETE with `{"force": true}` must not be read as one without."""
    answer = await client.request("DELETE", BUDGET, json={"force": True})
    assert (answer.status_code, script.seen) == (400, [])


async def test_a_resource_needs_a_body(client: httpx2.AsyncClient, script: Script) -> None:
    assert (await client.patch(BUDGET)).status_code == 400
    assert script.seen == []


@pytest.mark.parametrize(
    "path",
    [
        "/v1/nothing",
        "/",
        "/v1/organizations/acme/",
        "/v1//organizations/acme",
        "/v1/organizations/acme/budgets/spending/%2e%2e/credits",
        "/v1/organizations/acme/budgets/%2e%2e",
        "/v1/organizations/acme%2Fbudgets%2Fspending",
        "/v1/usage%2Fbudget",
        "/v1/organizations/x/%2e%2e/billing/spending-caps",
    ],
)
async def test_an_unknown_path_is_404_in_the_same_shape(client: httpx2.AsyncClient, script: Script, path: str) -> None:
    answer = await client.get(f"http://outlay{path}")
    assert (answer.status_code, answer.json()["error"]["status"], script.seen) == (404, "NOT_FOUND", [])


async def test_a_known_path_with_another_method_says_which(client: httpx2.AsyncClient, script: Script) -> None:
    answer = await client.put(BUDGET, json={})
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD, PATCH, DELETE")
    assert answer.json()["error"]["details"][0]["reason"] == "UNIMPLEMENTED"


async def test_without_a_key_the_body_is_not_looked_at(client: httpx2.AsyncClient, script: Script) -> None:
    """Only the header counts, and two of them count as none."""
    del client.headers["authorization"]
    answer = await client.post(f"{CHECK}?api_key=sk_test", content=b"not json")
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, 'Bearer realm="outlay"')
    twice = [("authorization", KEY), ("authorization", KEY)]
    assert (await client.get(BUDGET, headers=twice)).status_code == 401


# --- failed calls -----------------------------------------------------------------------------------------------------

STATUSES = [
    ("INVALID_ARGUMENT", "REQUEST_ID_REUSED", 400),
    ("UNAUTHENTICATED", "INVALID_API_KEY", 401),
    ("PERMISSION_DENIED", "MISSING_SCOPE", 403),
    ("NOT_FOUND", "NOT_FOUND", 404),
    ("ALREADY_EXISTS", "ALREADY_EXISTS", 409),
    ("ABORTED", "ETAG_MISMATCH", 409),
    ("FAILED_PRECONDITION", "MANAGED_ELSEWHERE", 400),
    ("UNIMPLEMENTED", "UNIMPLEMENTED", 501),
    ("DEADLINE_EXCEEDED", "DEADLINE_EXCEEDED", 504),
    ("INTERNAL", "INTERNAL", 500),
    ("UNAVAILABLE", "STORAGE_UNAVAILABLE", 503),
]


@pytest.mark.parametrize(("code", "reason", "http_status"), STATUSES, ids=[each[1] for each in STATUSES])
async def test_a_failed_call_has_the_status_of_its_code(
    client: httpx2.AsyncClient, script: Script, code: str, reason: str, http_status: int
) -> None:
    script.answers["GetBudget"] = failed(code, reason, "What happened.", resource="r")
    answer = await client.get(BUDGET)
    error = answer.json()["error"]
    assert answer.status_code == http_status
    assert (error["code"], error["status"], error["message"]) == (http_status, code, "What happened.")
    assert error["details"][0] == {
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": reason,
        "domain": "outlay.dev",
        "metadata": {"resource": "r"},
    }
    assert answer.headers["x-request-id"] == "server-side-id"
    assert ("retry-after" in answer.headers) == (http_status == 503)


async def test_overload_says_when_to_come_back(client: httpx2.AsyncClient, script: Script) -> None:
    retry = error_details_pb2.RetryInfo(retry_delay=Duration(seconds=2, nanos=1))
    script.answers["GetBudget"] = failed("UNAVAILABLE", "OVERLOADED", "", retry)
    answer = await client.get(BUDGET)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "3")


async def test_violations_that_the_call_found_are_listed(client: httpx2.AsyncClient, script: Script) -> None:
    violation = error_details_pb2.BadRequest.FieldViolation(field="unit", description="must be a unit")
    bad_request = error_details_pb2.BadRequest(field_violations=[violation])
    script.answers["CheckSpend"] = failed("INVALID_ARGUMENT", "VALIDATION_FAILED", "unit: …", bad_request)
    assert fields_of(await client.post(CHECK, json={"unit": "usd"})) == ["unit"]


async def test_a_defect_tells_nothing_but_its_id(client: httpx2.AsyncClient, script: Script) -> None:
    script.answers["GetBudget"] = RuntimeError("postgresql://user:secret@host")
    answer = await client.get(BUDGET, headers={"x-request-id": "mine"})
    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert answer.json()["error"]["details"][0]["metadata"] == {"request_id": "mine"}


# --- denials ----------------------------------------------------------------------------------------------------------

pb = budget_service_pb2
DENIALS = [
    ("USD", pb.DENIAL_REASON_GATE_DISABLED, 403, "OPUS_EU_NOT_ENABLED"),
    ("USD", pb.DENIAL_REASON_FROZEN, 402, "BUDGET_FROZEN"),
    ("USD", pb.DENIAL_REASON_HARD_CAP_REACHED, 402, "SPENDING_CAP_REACHED"),
    ("CREDITS", pb.DENIAL_REASON_HARD_CAP_REACHED, 402, "AI_CREDITS_EXHAUSTED"),
    ("CREDITS", pb.DENIAL_REASON_ALLOTMENT_EXHAUSTED, 402, "AI_CREDITS_EXHAUSTED"),
    ("USD", pb.DENIAL_REASON_HELD_BY_RESERVATIONS, 402, "HELD_BY_RESERVATIONS"),
]


@pytest.mark.parametrize(("unit", "reason", "http_status", "code"), DENIALS, ids=[f"{d[0]}-{d[3]}" for d in DENIALS])
@pytest.mark.parametrize("mode", ["CHECK_MODE_RESERVE", "CHECK_MODE_CHECK_ONLY", "CHECK_MODE_RECORD"])
async def test_a_denied_check_is_402_or_403_with_the_whole_answer(
    client: httpx2.AsyncClient, script: Script, unit: str, reason: Any, http_status: int, code: str, mode: str
) -> None:
    """`curl --fail` sees the denial, and a program reads the same fields as over gRPC."""
    retryable = reason == pb.DENIAL_REASON_HELD_BY_RESERVATIONS
    script.answers["CheckSpend"] = pb.CheckSpendResponse(
        decision=pb.DECISION_DENIED,
        reason=reason,
        gate="opus-eu",
        binding_budget="organizations/acme/budgets/b",
        retryable=retryable,
        shortfall_micros=5,
    )
    answer = await client.post(CHECK, json={"unit": unit, "amount_micros": 5, "mode": mode})
    body = answer.json()
    assert (answer.status_code, body["error"]["code"]) == (http_status, code)
    assert (body["decision"], body["reason"]) == ("DECISION_DENIED", pb.DenialReason.Name(reason))
    assert (body["shortfall_micros"], body["error"]["retryable"]) == ("5", retryable)


async def test_a_denied_extension_is_told_alike(client: httpx2.AsyncClient, script: Script) -> None:
    script.answers["ExtendReservation"] = pb.CheckSpendResponse(
        decision=pb.DECISION_DENIED,
        reason=pb.DENIAL_REASON_HARD_CAP_REACHED,
        binding_budget="organizations/acme/budgets/credits",
    )
    answer = await client.post("/v1/organizations/acme/reservations/r1:extend", json={"additional_micros": "5"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (402, "AI_CREDITS_EXHAUSTED")


async def test_a_batch_is_200_whatever_its_items_are(client: httpx2.AsyncClient, script: Script) -> None:
    denied = pb.CheckSpendResponse(decision=pb.DECISION_DENIED, reason=pb.DENIAL_REASON_FROZEN)
    script.answers["BatchCheckSpend"] = pb.BatchCheckSpendResponse(responses=[denied])
    answer = await client.post("/v1/organizations/acme:batchCheckSpend", json={"requests": [{"unit": "USD"}]})
    assert (answer.status_code, answer.json()["responses"][0]["decision"]) == (200, "DECISION_DENIED")


async def test_an_item_that_failed_carries_its_error(client: httpx2.AsyncClient, script: Script) -> None:
    item = pb.BatchRecordSpendResult(status=failed("NOT_FOUND", "NOT_FOUND", "Gone.").status)
    script.answers["BatchRecordSpend"] = pb.BatchRecordSpendResponse(results=[item])
    answer = await client.post("/v1/organizations/acme:batchRecordSpend", json={"requests": [{}]})
    assert answer.json()["results"][0]["status"]["details"][0]["reason"] == "NOT_FOUND"


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.descriptor.name)
async def test_no_rpc_answers_without_a_key(client: httpx2.AsyncClient, script: Script, rule: Rule) -> None:
    del client.headers["authorization"]
    path = path_of(rule).replace("{", "").replace("}", "")
    answer = await client.request(rule.http_method, path, json={} if rule.body else None)
    assert (answer.status_code, answer.json()["error"]["status"]) == (401, "UNAUTHENTICATED")
