"""Caps as code over HTTP, on the real server."""

from collections.abc import Iterator
from typing import Any

import pytest

from rest.live import Tenant, new_tenant
from support.server import ServerProcess


@pytest.fixture
def tenant(shared_server: ServerProcess) -> Iterator[Tenant]:
    made = new_tenant(shared_server)
    yield made
    made.platform.close()
    made.caller.close()


def desired(tenant: Tenant, budget_id: str, **values: Any) -> dict[str, Any]:
    return {"budget": {"name": f"organizations/{tenant.organization_id}/budgets/{budget_id}", **values}}


def test_caps_are_planned_and_applied_over_http(tenant: Tenant) -> None:
    """The keys count where there is no mask: `null` clears. The plan that was shown is the one that is applied."""
    path = f"{tenant.path}:applyCaps"
    body = {
        "manager": "yaml:caps",
        "budgets": [desired(tenant, "team", unit="USD", hard_cap_micros="5000000", budget_micros=4)],
    }
    with tenant.with_scopes("budgets:write") as writer:
        assert writer.post(path, json=body).status_code == 200
        body["budgets"] = [desired(tenant, "team", hard_cap_micros=None, display_name="T")]
        shown = writer.post(path, json={**body, "validate_only": True}).json()
        (change,) = shown["changes"]
        assert (change["type"], change["resource"]) == (
            "CAPS_CHANGE_TYPE_UPDATE",
            f"organizations/{tenant.organization_id}/budgets/team",
        )
        assert [(field["path"], field["before"], field["after"]) for field in change["fields"]] == [
            ("display_name", "", "T"),
            ("hard_cap_micros", "5000000", None),
        ]
        done = writer.post(path, json={**body, "plan_etag": shown["plan_etag"], "request_id": "once"})
        assert done.status_code == 200, done.text
        assert done.json()["plan_etag"] == shown["plan_etag"]
        assert writer.post(path, json={**body, "validate_only": True}).json()["changes"] == []
    budget = tenant.platform.get(f"{tenant.path}/budgets/team").json()
    assert (budget["display_name"], budget["managed_by"], "hard_cap_micros" in budget) == ("T", "yaml:caps", False)
    assert budget["budget_micros"] == "4"


def test_a_mask_names_what_is_managed(tenant: Tenant) -> None:
    """In either spelling; what stands in the resource and not in the mask is not looked at."""
    wanted = desired(tenant, "team", unit="USD", hard_cap_micros=1, display_name="x")
    body = {"manager": "yaml:caps", "validate_only": True, "budgets": [wanted | {"update_mask": "hardCapMicros"}]}
    (change,) = tenant.platform.post(f"{tenant.path}:applyCaps", json=body).json()["changes"]
    assert [field["path"] for field in change["fields"]] == ["unit", "hard_cap_micros", "managed_by"]
    for mask in ("hard_cap_micros,", ["hard_cap_micros"]):
        body["budgets"] = [wanted | {"update_mask": mask}]
        answer = tenant.platform.post(f"{tenant.path}:applyCaps", json=body)
        assert answer.json()["error"]["details"][0]["metadata"]["field"] == "budgets[0].update_mask"


def test_a_refusal_lists_every_resource_and_why(tenant: Tenant) -> None:
    """400 with a PreconditionFailure; nothing has changed."""
    before = tenant.state()
    budgets = [desired(tenant, budget_id, display_name="x") for budget_id in ("spending", "credits")]
    answer = tenant.platform.post(f"{tenant.path}:applyCaps", json={"manager": "yaml:caps", "budgets": budgets})
    details = {detail["@type"].rpartition(".")[2]: detail for detail in answer.json()["error"]["details"]}
    assert (answer.status_code, details["ErrorInfo"]["reason"]) == (400, "APPLY_REFUSED")
    assert [(each["type"], each["subject"]) for each in details["PreconditionFailure"]["violations"]] == [
        ("NOT_ADOPTED", f"organizations/{tenant.organization_id}/budgets/{budget_id}")
        for budget_id in ("credits", "spending")
    ]
    assert tenant.state() == before


def test_a_thousand_budgets_fit_into_one_request(tenant: Tenant) -> None:
    """More than other requests may have: up to 1 MiB."""
    budgets = [
        desired(tenant, f"team-{number}", unit="USD", display_name="x" * 100, selector={"team": "y" * 100})
        for number in range(990)
    ]
    body = {"manager": "yaml:caps", "budgets": budgets, "validate_only": True}
    answer = tenant.platform.post(f"{tenant.path}:applyCaps", json=body)
    assert len(answer.request.content) > 256 * 1024
    assert (answer.status_code, len(answer.json()["changes"])) == (200, 990)


def test_webhook_endpoints_are_planned_and_applied_over_http(tenant: Tenant) -> None:
    """The keys count where there is no mask. The answer shows no secret, and the next plan is empty."""
    name = f"organizations/{tenant.organization_id}/webhookEndpoints/ops"
    secret = "whsec_" + "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVo="
    endpoint = {"name": name, "uri": "https://example.com/opensesame", "secret": secret, "display_name": "Ops"}
    body = {"manager": "yaml:caps", "webhook_endpoints": [{"webhook_endpoint": endpoint}]}
    done = tenant.platform.post(f"{tenant.path}:applyCaps", json=body)
    (change,) = done.json()["changes"]
    assert (change["resource"], change["type"]) == (name, "CAPS_CHANGE_TYPE_CREATE")
    assert [field["path"] for field in change["fields"]] == ["display_name", "uri", "managed_by", "secret"]
    assert "opensesame" not in done.text
    assert secret not in done.text
    planned = tenant.platform.post(f"{tenant.path}:applyCaps", json={**body, "validate_only": True})
    assert planned.json()["changes"] == []
    endpoint["display_name"] = None
    applied = tenant.platform.post(f"{tenant.path}:applyCaps", json=body)
    assert [field["path"] for field in applied.json()["changes"][0]["fields"]] == ["display_name"]
    found = tenant.platform.get(f"{tenant.path}/webhookEndpoints/ops").json()
    assert (found["display_name"], found["managed_by"]) == ("", "yaml:caps")
