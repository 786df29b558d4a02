"""A request becomes the message that its RPC's rule says, and the answer becomes JSON."""

import httpx2
import pytest
from google.protobuf import empty_pb2
from google.protobuf.json_format import MessageToDict

from outlay.v1 import admin_service_pb2, budget_pb2, budget_service_pb2, organization_pb2
from rest.script import Script

BUDGET = "/v1/organizations/acme/budgets/spending"


def as_json(message: object) -> object:
    return MessageToDict(message, preserving_proto_field_name=True)  # type: ignore[arg-type]


async def test_the_path_names_the_resource_and_the_query_the_rest(client: httpx2.AsyncClient, script: Script) -> None:
    script.answers["ListSpendRecords"] = budget_service_pb2.ListSpendRecordsResponse()
    answer = await client.get(
        "/v1/organizations/acme/spendRecords",
        params=[
            ("page_size", "5"),
            ("pageToken", "t"),
            ("start_time", "2026-01-31T12:00:00Z"),
            ("label_filters", "a=b"),
            ("label_filters", "c=*"),
        ],
    )
    assert answer.json() == {"spend_records": [], "next_page_token": ""}
    assert as_json(script.last()) == {
        "parent": "organizations/acme",
        "page_size": 5,
        "page_token": "t",
        "start_time": "2026-01-31T12:00:00Z",
        "label_filters": ["a=b", "c=*"],
    }


async def test_a_body_of_the_whole_request(client: httpx2.AsyncClient, script: Script) -> None:
    """Both spellings of a name and both forms of an integer are read."""
    script.answers["CheckSpend"] = budget_service_pb2.CheckSpendResponse(decision=1, granted_micros=250_000)
    answer = await client.post(
        "/v1/organizations/acme:checkSpend",
        json={
            "unit": "USD",
            "amountMicros": "250000",
            "min_amount_micros": 5,
            "labels": {"model": "m"},
            "mode": "CHECK_MODE_RESERVE",
            "reservation_ttl": "1.5s",
        },
    )
    assert (answer.status_code, answer.json()["granted_micros"]) == (200, "250000")
    assert as_json(script.last()) == {
        "organization": "organizations/acme",
        "unit": "USD",
        "amount_micros": "250000",
        "min_amount_micros": "5",
        "labels": {"model": "m"},
        "mode": "CHECK_MODE_RESERVE",
        "reservation_ttl": "1.500s",
    }


async def test_a_body_of_one_field(client: httpx2.AsyncClient, script: Script) -> None:
    script.answers["CreateBudget"] = budget_pb2.Budget(name="organizations/acme/budgets/b", etag="7")
    answer = await client.post(
        "/v1/organizations/acme/budgets?budget_id=b&validate_only=true",
        json={"unit": "USD", "alert_thresholds": {}, "spend": {"spent_micros": "5"}},
    )
    assert (answer.status_code, answer.headers["etag"]) == (200, '"7"')
    assert as_json(script.last()) == {
        "parent": "organizations/acme",
        "budget_id": "b",
        "budget": {"unit": "USD", "alert_thresholds": {}},
        "validate_only": True,
    }


async def test_a_delete_answers_an_empty_object(client: httpx2.AsyncClient, script: Script) -> None:
    script.answers["DeleteBudget"] = empty_pb2.Empty()
    answer = await client.delete(BUDGET, params={"force": "true"})
    assert (answer.status_code, answer.json()) == (200, {})
    assert as_json(script.last()) == {"name": "organizations/acme/budgets/spending", "force": True}


async def test_a_method_without_needed_fields_takes_no_body_for_an_empty_one(
    client: httpx2.AsyncClient, script: Script
) -> None:
    script.answers["RevokeApiKey"] = admin_service_pb2.ListApiKeysResponse()
    assert (await client.post("/v1/organizations/acme/apiKeys/k1:revoke")).status_code == 200
    assert as_json(script.last()) == {"name": "organizations/acme/apiKeys/k1"}


async def test_defaults_are_printed_and_absent_fields_left_out(client: httpx2.AsyncClient, script: Script) -> None:
    script.answers["GetBudget"] = budget_pb2.Budget(name="n", budget_micros=0)
    body = (await client.get(BUDGET)).json()
    assert {key: body[key] for key in ("hard_cap_enabled", "selector", "enforcement", "budget_micros")} == {
        "hard_cap_enabled": False,
        "selector": {},
        "enforcement": "ENFORCEMENT_UNSPECIFIED",
        "budget_micros": "0",
    }
    assert "hard_cap_micros" not in body


# --- PATCH ------------------------------------------------------------------------------------------------------------

PATCHES = [
    ({"hard_cap_micros": 5}, ["hard_cap_micros"], {"hard_cap_micros": "5"}),
    ({"hardCapMicros": None, "hard_cap_enabled": None}, ["hard_cap_micros", "hard_cap_enabled"], {}),
    ({"selector": None, "alert_thresholds": None}, ["selector", "alert_thresholds"], {}),
    ({"alert_thresholds": {}}, ["alert_thresholds"], {"alert_thresholds": {}}),
    (
        {"cycle": {"period": "PERIOD_DAY", "timeZone": None}},
        ["cycle.period", "cycle.time_zone"],
        {"cycle": {"period": "PERIOD_DAY"}},
    ),
    ({"cycle": None}, ["cycle"], {}),
    ({"cap_override": {"hard_cap_micros": "7"}}, ["cap_override"], {"cap_override": {"hard_cap_micros": "7"}}),
    (
        {"etag": "3", "name": "organizations/acme/budgets/spending", "unit": "USD"},
        ["unit"],
        {"unit": "USD", "etag": "3"},
    ),
    ({"display_name": "d", "spend": {"x": 1}, "create_time": 5}, ["display_name"], {"display_name": "d"}),
]


@pytest.mark.parametrize(("body", "paths", "budget"), PATCHES, ids=[",".join(case[1]) for case in PATCHES])
async def test_the_keys_of_a_patch_are_its_mask(
    client: httpx2.AsyncClient, script: Script, body: object, paths: list[str], budget: dict[str, object]
) -> None:
    script.answers["UpdateBudget"] = budget_pb2.Budget()
    assert (await client.patch(BUDGET, json=body)).status_code == 200
    update = script.last()
    assert list(update.update_mask.paths) == paths
    assert as_json(update.budget) == {"name": "organizations/acme/budgets/spending", **budget}


@pytest.mark.parametrize("body", [{}, {"cycle": {}}, {"etag": "3", "spend": {}}])
async def test_a_patch_that_names_nothing_sets_nothing(
    client: httpx2.AsyncClient, script: Script, body: object
) -> None:
    """A message that is present and empty would otherwise be set as a whole."""
    script.answers["UpdateBudget"] = budget_pb2.Budget()
    assert (await client.patch(BUDGET, json=body)).status_code == 200
    assert not script.last().HasField("update_mask")
    assert {field.name for field, _ in script.last().budget.ListFields()} <= {"name", "etag"}


async def test_a_mask_in_the_query_goes_before_the_keys_in_either_spelling(
    client: httpx2.AsyncClient, script: Script
) -> None:
    script.answers["UpdateBudget"] = budget_pb2.Budget()
    await client.patch(BUDGET, params={"updateMask": "hardCapMicros,cycle.timeZone,budget_micros,noSuch"}, json={})
    assert list(script.last().update_mask.paths) == ["hard_cap_micros", "cycle.time_zone", "budget_micros", "noSuch"]


async def test_a_secret_that_an_answer_left_empty_is_not_cleared_by_sending_it_back(
    client: httpx2.AsyncClient, script: Script
) -> None:
    script.answers["UpdateWebhookEndpoint"] = empty_pb2.Empty()
    await client.patch("/v1/organizations/acme/webhookEndpoints/w", json={"secret": "", "disabled": True})
    assert list(script.last().update_mask.paths) == ["disabled"]


async def test_gates_are_replaced_as_a_whole(client: httpx2.AsyncClient, script: Script) -> None:
    script.answers["UpdateOrganization"] = organization_pb2.Organization()
    gate = {"gate_id": "opus", "label": "model", "pattern": "claude-opus-*", "enabled": True}
    await client.patch("/v1/organizations/acme", json={"gates": [gate]})
    assert as_json(script.last()) == {
        "organization": {"name": "organizations/acme", "gates": [gate]},
        "update_mask": "gates",
    }


# --- etags ------------------------------------------------------------------------------------------------------------


async def test_if_match_is_the_etag_of_the_resource(client: httpx2.AsyncClient, script: Script) -> None:
    script.answers |= {"UpdateBudget": budget_pb2.Budget(), "DeleteBudget": empty_pb2.Empty()}
    await client.patch(BUDGET, json={"hard_cap_micros": 1}, headers={"if-match": '"7"'})
    assert script.last().budget.etag == "7"
    await client.delete(BUDGET, headers={"if-match": 'W/"8"'})
    assert script.last().etag == "8"
    await client.delete(BUDGET, headers={"if-match": "*"})
    assert script.last().etag == ""


@pytest.mark.parametrize("header", ["7", '"7', '"7", "8"', '"8"'])
async def test_if_match_that_is_not_the_one_etag_is_refused(
    client: httpx2.AsyncClient, script: Script, header: str
) -> None:
    answer = await client.delete(BUDGET, params={"etag": "7"}, headers={"if-match": header})
    assert (answer.status_code, script.seen) == (400, [])


# --- headers ----------------------------------------------------------------------------------------------------------


async def test_the_request_id_goes_down_and_comes_back(client: httpx2.AsyncClient, script: Script) -> None:
    script.answers["GetBudget"] = budget_pb2.Budget()
    answer = await client.get(BUDGET, headers={"x-request-id": "mine-1"})
    assert (answer.headers["x-request-id"], script.seen[-1].headers["x-request-id"]) == ("mine-1", "mine-1")
    made = (await client.get(BUDGET, headers={"x-request-id": "two words"})).headers["x-request-id"]
    assert made == script.seen[-1].headers["x-request-id"]
    assert len(made) == 32


async def test_the_deadline_is_the_callers(client: httpx2.AsyncClient, script: Script) -> None:
    script.answers["GetBudget"] = budget_pb2.Budget()
    for header in ({}, {"x-outlay-timeout": "2.5"}, {"x-outlay-timeout": "600"}):
        await client.get(BUDGET, headers=header)
    assert [seen.deadline_seconds for seen in script.seen] == [None, 2.5, 30.0]
    assert (await client.get(BUDGET, headers={"x-outlay-timeout": "-1"})).status_code == 400


async def test_head_is_get_without_its_body(client: httpx2.AsyncClient, script: Script) -> None:
    script.answers["GetBudget"] = budget_pb2.Budget(etag="7")
    got, head = await client.get(BUDGET), await client.head(BUDGET)
    assert (head.status_code, head.content, head.headers["etag"]) == (200, b"", '"7"')
    assert head.headers["content-length"] == got.headers["content-length"]


async def test_nothing_of_an_answer_may_be_stored_sniffed_or_framed(client: httpx2.AsyncClient, script: Script) -> None:
    script.answers["GetBudget"] = budget_pb2.Budget()
    headers = (await client.get(BUDGET)).headers
    assert headers["cache-control"] == "no-store"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"


async def test_a_method_override_changes_nothing(client: httpx2.AsyncClient, script: Script) -> None:
    script.answers["GetBudget"] = budget_pb2.Budget()
    names = ("x-http-method-override", "x-http-method", "x-method-override")
    await client.get(BUDGET, headers=dict.fromkeys(names, "DELETE"))
    assert script.methods == ["GetBudget"]
