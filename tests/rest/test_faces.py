"""The two published faces, key by key, as calls at the seam and as answers."""

from typing import Any

import httpx2
import pytest
from google.protobuf.json_format import MessageToDict
from google.rpc import error_details_pb2

from outlay.v1 import admin_service_pb2, budget_pb2, organization_pb2
from rest.bad_bodies import NOT_AN_INTEGER, NOT_ONE_DOCUMENT, with_key
from rest.script import Script, failed

CAPS = "/v1/organizations/billing/spending-caps"
USAGE = "/v1/usage/budget"
JSON = {"content-type": "application/json"}

SPENDING = budget_pb2.Budget(
    name="organizations/acme/budgets/spending",
    unit="USD",
    budget_micros=100_000_000,
    hard_cap_micros=500_000_000,
    hard_cap_enabled=True,
    alerts_enabled=True,
    spend=budget_pb2.BudgetSpend(spent_micros=234_500_000, alerts_sent=[50, 75]),
)
CREDITS = budget_pb2.Budget(
    name="organizations/acme/budgets/credits",
    unit="CREDITS",
    hard_cap_micros=50_000_000_000,
    hard_cap_enabled=True,
    allotment_micros=100_000_000_000,
    alert_thresholds=budget_pb2.AlertThresholds(percents=[75, 90]),
)


@pytest.fixture
def script() -> Script:
    def budget(request: Any) -> budget_pb2.Budget:
        return CREDITS if request.name.endswith("credits") else SPENDING

    def updated(request: Any) -> budget_pb2.Budget:
        return budget(request.budget)

    gate = organization_pb2.Gate(gate_id="opus", enabled=False)
    return Script(
        {
            "GetBudget": budget,
            "UpdateBudget": updated,
            "GetOrganization": organization_pb2.Organization(gates=[gate]),
            "ListAlerts": admin_service_pb2.ListAlertsResponse(),
        }
    )


def update_of(script: Script) -> dict[str, Any]:
    """The one update that was asked for, without the name of its budget."""
    (update,) = [seen.message for seen in script.seen if seen.method.endswith("UpdateBudget")]
    asked: dict[str, Any] = MessageToDict(update, preserving_proto_field_name=True)
    paths = sorted(update.update_mask.paths)
    budget = {key: value for key, value in asked["budget"].items() if key != "name"}
    return {"paths": paths, **budget, **({"gates": asked["gates"]} if update.gates else {})}


# --- /v1/organizations/billing/spending-caps --------------------------------------------------------------------------

CAPS_ANSWER = {
    "current_spending_cents": 23450,
    "current_spending_usd": 234.5,
    "monthly_spending_budget": 10000,
    "monthly_spending_budget_usd": 100,
    "spending_alert_thresholds": [50, 75, 90, 100],
    "spending_alerts_enabled": True,
    "spending_alerts_sent": [50, 75],
    "hard_spending_cap": 50000,
    "hard_spending_cap_usd": 500,
    "hard_cap_enabled": True,
    "budget_percentage_used": 234.5,
}


async def test_the_caps_answer_as_published(client: httpx2.AsyncClient, script: Script) -> None:
    got = await client.get(CAPS)
    assert (got.status_code, got.json(), got.text.count("100.0")) == (200, CAPS_ANSWER, 0)
    assert script.last().name == "organizations/-/budgets/spending"
    assert (await client.post(CAPS, json={"hard_cap_enabled": True})).json() == CAPS_ANSWER


async def test_caps_that_are_not_set_are_null_and_part_cents_round_up(
    client: httpx2.AsyncClient, script: Script
) -> None:
    script.answers["GetBudget"] = budget_pb2.Budget(spend=budget_pb2.BudgetSpend(spent_micros=10_001))
    assert (await client.get(CAPS)).json() == {
        "current_spending_cents": 2,
        "current_spending_usd": 0.02,
        "monthly_spending_budget": None,
        "monthly_spending_budget_usd": None,
        "spending_alert_thresholds": [50, 75, 90, 100],
        "spending_alerts_enabled": True,
        "spending_alerts_sent": [],
        "hard_spending_cap": None,
        "hard_spending_cap_usd": None,
        "hard_cap_enabled": False,
        "budget_percentage_used": None,
    }


@pytest.mark.parametrize(
    ("spent_micros", "budget_micros", "percent"),
    [(469, 1000, 46.9), (999_999, 1_000_000, 99.9), (1, 1, 100), (0, 5, 0), (5, 0, None)],
)
async def test_the_percentage_is_rounded_down_to_a_tenth(
    client: httpx2.AsyncClient, script: Script, spent_micros: int, budget_micros: int, percent: float | None
) -> None:
    script.answers["GetBudget"] = budget_pb2.Budget(
        budget_micros=budget_micros, spend=budget_pb2.BudgetSpend(spent_micros=spent_micros)
    )
    assert (await client.get(CAPS)).json()["budget_percentage_used"] == percent


CAPS_UPDATES: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"monthly_spending_budget": 10000}, {"paths": ["budget_micros"], "budget_micros": "100000000"}),
    ({"monthly_spending_budget": 0}, {"paths": ["budget_micros"], "budget_micros": "0"}),
    ({"monthly_spending_budget": None}, {"paths": ["budget_micros"]}),
    (
        {"spending_alert_thresholds": [100, 75, 75, 0]},
        {"paths": ["alert_thresholds"], "alert_thresholds": {"percents": [0, 75, 100]}},
    ),
    ({"spending_alert_thresholds": []}, {"paths": ["alert_thresholds"], "alert_thresholds": {}}),
    ({"spending_alert_thresholds": None}, {"paths": ["alert_thresholds"]}),
    ({"spending_alerts_enabled": False}, {"paths": ["alerts_enabled"], "alerts_enabled": False}),
    ({"spending_alerts_enabled": None}, {"paths": ["alerts_enabled"], "alerts_enabled": True}),
    ({"hard_spending_cap": 50000}, {"paths": ["hard_cap_micros"], "hard_cap_micros": "500000000"}),
    ({"hard_spending_cap": 10**13}, {"paths": ["hard_cap_micros"], "hard_cap_micros": str(10**17)}),
    ({"hard_spending_cap": None}, {"paths": ["hard_cap_micros"]}),
    ({"hard_cap_enabled": True}, {"paths": ["hard_cap_enabled"], "hard_cap_enabled": True}),
    ({"hard_cap_enabled": None}, {"paths": ["hard_cap_enabled"]}),
    (
        {"monthly_spending_budget": None, "hard_spending_cap": None, "hard_cap_enabled": False},
        {"paths": ["budget_micros", "hard_cap_enabled", "hard_cap_micros"]},
    ),
]


@pytest.mark.parametrize(("body", "update"), CAPS_UPDATES, ids=[str(case[0])[:50] for case in CAPS_UPDATES])
async def test_an_update_of_caps_names_what_was_sent_and_nothing_else(
    client: httpx2.AsyncClient, script: Script, body: dict[str, Any], update: dict[str, Any]
) -> None:
    """So two callers who set different keys at once both succeed."""
    assert (await client.post(CAPS, json=body)).status_code == 200
    assert update_of(script) == update


async def test_an_empty_object_changes_no_caps(client: httpx2.AsyncClient, script: Script) -> None:
    assert (await client.post(CAPS, json={})).json() == CAPS_ANSWER
    assert script.methods == ["GetBudget"]


AMOUNT_KEYS = [(CAPS, "monthly_spending_budget"), (CAPS, "hard_spending_cap"), (USAGE, "spend_cap")]
VERB = {CAPS: "POST", USAGE: "PUT"}

BAD_VALUES = [
    *[(path, key, b"-1") for path, key in AMOUNT_KEYS],
    *[(path, key, b'"5"') for path, key in AMOUNT_KEYS],
    (CAPS, "monthly_spending_budget", b"10000000000001"),
    (USAGE, "spend_cap", b"100000000001"),
    (CAPS, "spending_alert_thresholds", b"[101]"),
    (CAPS, "spending_alert_thresholds", b"[-1]"),
    (CAPS, "spending_alert_thresholds", b"[true]"),
    (CAPS, "spending_alert_thresholds", b'["50"]'),
    (CAPS, "spending_alert_thresholds", b"[50.0]"),
    (CAPS, "spending_alert_thresholds", b"[null]"),
    (CAPS, "spending_alert_thresholds", b"50"),
    (CAPS, "spending_alert_thresholds", b"[1,2,3,4,5,6,7,8,9,10,11]"),
    (CAPS, "spending_alerts_enabled", b"1"),
    (CAPS, "spending_alerts_enabled", b'"true"'),
    (CAPS, "hard_cap_enabled", b"0"),
    (USAGE, "alert_thresholds", b"[0]"),
    (USAGE, "alert_thresholds", b"[100]"),
    (USAGE, "alert_thresholds", b"[10, 20, 30, 40]"),
    (USAGE, "alert_thresholds", b"[true]"),
    (USAGE, "alert_thresholds", b"{}"),
    (USAGE, "credits_allotment", b"5"),
    (USAGE, "credits_allotment", b"null"),
    (USAGE, "opus_enabled", b"null"),
    (USAGE, "opus_enabled", b'"true"'),
    (USAGE, "opus_enabled", b"1"),
    *[(path, key, value) for path, key in AMOUNT_KEYS for value in NOT_AN_INTEGER.values()],
]


@pytest.mark.parametrize(("path", "key", "value"), BAD_VALUES, ids=lambda part: str(part)[:24])
async def test_a_wrong_value_is_422_and_changes_nothing(
    client: httpx2.AsyncClient, script: Script, path: str, key: str, value: bytes
) -> None:
    answer = await client.request(VERB[path], path, content=b'{"%s": %s}' % (key.encode(), value), headers=JSON)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["type"]) == (422, "VALIDATION_FAILED", "invalid_request")
    assert [each["field"] for each in error["details"]["violations"]] == [key]
    assert "UpdateBudget" not in script.methods


@pytest.mark.parametrize("body", NOT_ONE_DOCUMENT.values(), ids=NOT_ONE_DOCUMENT.keys())
@pytest.mark.parametrize(("path", "key"), [(CAPS, "hard_spending_cap"), (USAGE, "spend_cap")])
async def test_a_body_that_is_not_one_strict_object_is_422(
    client: httpx2.AsyncClient, script: Script, path: str, key: str, body: bytes
) -> None:
    answer = await client.request(VERB[path], path, content=with_key(body, key), headers=JSON)
    assert (answer.status_code, answer.json()["success"]) == (422, False)
    assert "UpdateBudget" not in script.methods


async def test_one_wrong_value_spoils_the_whole_update(client: httpx2.AsyncClient, script: Script) -> None:
    body = {"spend_cap": 5, "alert_thresholds": [0], "opus_enabled": "yes"}
    answer = await client.put(USAGE, json=body)
    violations = answer.json()["error"]["details"]["violations"]
    assert [each["field"] for each in violations] == ["alert_thresholds", "opus_enabled"]
    assert "UpdateBudget" not in script.methods


# --- /v1/usage/budget -------------------------------------------------------------------------------------------------

USAGE_ANSWER = {
    "success": True,
    "data": {"spend_cap": 50000, "alert_thresholds": [75, 90], "credits_allotment": 100000, "opus_enabled": False},
}


async def test_the_usage_budget_answers_as_published(client: httpx2.AsyncClient, script: Script) -> None:
    got = await client.get(USAGE)
    assert (got.status_code, got.json()) == (200, USAGE_ANSWER)
    assert script.last().name == "organizations/-/budgets/credits"


async def test_a_cap_that_is_not_enforced_is_no_cap(client: httpx2.AsyncClient, script: Script) -> None:
    script.answers["GetBudget"] = budget_pb2.Budget(hard_cap_micros=5_000_000, alert_thresholds={})
    assert (await client.get(USAGE)).json()["data"] == {
        "spend_cap": None,
        "alert_thresholds": [],
        "credits_allotment": None,
        "opus_enabled": False,
    }


USAGE_UPDATES: list[tuple[dict[str, Any], dict[str, Any]]] = [
    (
        {"spend_cap": 50000},
        {
            "paths": ["hard_cap_enabled", "hard_cap_micros"],
            "hard_cap_micros": "50000000000",
            "hard_cap_enabled": True,
        },
    ),
    ({"spend_cap": None}, {"paths": ["hard_cap_micros"]}),
    ({"alert_thresholds": [90, 75, 90]}, {"paths": ["alert_thresholds"], "alert_thresholds": {"percents": [75, 90]}}),
    ({"alert_thresholds": []}, {"paths": ["alert_thresholds"], "alert_thresholds": {}}),
    ({"alert_thresholds": None}, {"paths": ["alert_thresholds"], "alert_thresholds": {}}),
    ({"opus_enabled": True}, {"paths": [], "gates": {"opus": True}}),
    ({"spend_cap": None, "opus_enabled": False}, {"paths": ["hard_cap_micros"], "gates": {"opus": False}}),
]


@pytest.mark.parametrize(("body", "update"), USAGE_UPDATES, ids=[str(case[0])[:50] for case in USAGE_UPDATES])
async def test_an_update_of_the_usage_budget_is_one_call(
    client: httpx2.AsyncClient, script: Script, body: dict[str, Any], update: dict[str, Any]
) -> None:
    """The cap and the gate change together or not at all, and leave one event in the audit log."""
    answer = await client.put(USAGE, json=body)
    assert (answer.status_code, answer.json()["data"]["opus_enabled"]) == (200, body.get("opus_enabled", False))
    assert update_of(script) == update


@pytest.mark.parametrize("body", [b"", b"{}"])
async def test_an_empty_body_changes_nothing_and_is_no_update(
    client: httpx2.AsyncClient, script: Script, body: bytes
) -> None:
    answer = await client.put(USAGE, content=body)
    assert (answer.status_code, answer.json()) == (200, USAGE_ANSWER)
    assert "UpdateBudget" not in script.methods


# --- who asks ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [CAPS, USAGE])
async def test_a_platform_key_names_the_organization(client: httpx2.AsyncClient, script: Script, path: str) -> None:
    await client.get(path, params={"organization": "acme"})
    assert script.last().name.startswith("organizations/acme/budgets/")
    violation = error_details_pb2.BadRequest.FieldViolation(field="name", description="must name an organization")
    bad_request = error_details_pb2.BadRequest(field_violations=[violation])
    for method in ("GetBudget", "ListAlerts"):
        script.answers[method] = failed("INVALID_ARGUMENT", "VALIDATION_FAILED", "name: …", bad_request)
    answer = await client.get(path)
    assert answer.status_code == 422
    assert answer.json()["error"]["details"]["violations"][0]["field"] == "organization"


@pytest.mark.parametrize("path", [CAPS, USAGE])
@pytest.mark.parametrize(
    "query",
    ["organization=", "organization=a/b", "organization=..", "organization=a&organization=b", "api_key=sk_test"],
)
async def test_a_query_that_is_not_one_organization_is_422(
    client: httpx2.AsyncClient, script: Script, path: str, query: str
) -> None:
    answer = await client.request(VERB[path], f"{path}?{query}", json={})
    assert (answer.status_code, script.seen) == (422, [])


async def test_caps_errors_have_their_published_shape(client: httpx2.AsyncClient, script: Script) -> None:
    script.answers["GetBudget"] = failed("PERMISSION_DENIED", "MISSING_SCOPE", "No.", required_scope="control:read")
    answer = await client.get(CAPS)
    assert (answer.status_code, answer.json()) == (
        403,
        {
            "success": False,
            "status": 403,
            "error": {
                "message": "No.",
                "type": "forbidden",
                "code": "MISSING_SCOPE",
                "details": {"required_scope": "control:read"},
            },
        },
    )


async def test_usage_errors_have_their_published_shape(client: httpx2.AsyncClient, script: Script) -> None:
    """The scope that is missing is the published one, whatever else the call would have taken."""
    script.answers["ListAlerts"] = failed(
        "PERMISSION_DENIED", "MISSING_SCOPE", "No.", required_scope="admin,control:read"
    )
    answer = await client.put(USAGE, json={"spend_cap": -1})
    request_id = answer.headers["x-request-id"]
    assert (answer.status_code, answer.json()) == (
        403,
        {
            "success": False,
            "error": {
                "code": "MISSING_SCOPE",
                "type": "forbidden",
                "message": "This API key lacks the scope control:read.",
                "param": None,
                "details": {"required_scope": "control:read"},
                "retryable": False,
                "request_id": request_id,
            },
            "meta": {"request_id": request_id},
        },
    )


@pytest.mark.parametrize("path", [CAPS, USAGE])
async def test_a_wrong_key_is_told_before_a_wrong_body(client: httpx2.AsyncClient, script: Script, path: str) -> None:
    answer = await client.request(VERB[path], path, content=b"nonsense", headers={"authorization": "Bearer sk_x"})
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["type"]) == (401, "INVALID_API_KEY", "unauthorized")
    assert "www-authenticate" in answer.headers


@pytest.mark.parametrize("path", [CAPS, USAGE])
async def test_other_failures_keep_the_shape(client: httpx2.AsyncClient, script: Script, path: str) -> None:
    assert (await client.delete(path)).json()["success"] is False
    assert (await client.delete(path)).status_code == 405
    wrong_type = {"content-type": "text/plain"}
    assert (await client.request(VERB[path], path, content=b"{}", headers=wrong_type)).status_code == 422
    large = b" " * (256 * 1024 + 1)
    assert (await client.request(VERB[path], path, content=large, headers=JSON)).status_code == 413
    for method in ("GetBudget", "ListAlerts"):
        script.answers[method] = failed("UNAVAILABLE", "STORAGE_UNAVAILABLE", "Down.")
    answer = await client.get(path)
    assert (answer.status_code, answer.json()["error"]["type"]) == (503, "internal")
    assert answer.headers["retry-after"] == "1"


async def test_a_platform_key_names_the_organization_by_id_or_by_name(
    client: httpx2.AsyncClient, script: Script
) -> None:
    """Both spellings are in use, and mean the same."""
    for named in ("acme", "organizations/acme"):
        await client.get(CAPS, params={"organization": named})
    assert [seen.message.name for seen in script.seen] == ["organizations/acme/budgets/spending"] * 2
