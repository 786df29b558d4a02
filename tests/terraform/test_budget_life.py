"""`outlay_budget` over its life: taken over, changed by others, renamed, replaced, lost, deleted."""

import json
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from outlay.v1 import budget_pb2
from outlay.v1 import budget_service_pb2 as pb
from support.tenants import Tenant
from support.wire import Failure
from terraform.workspace import Body, Workspace

ADDRESS = "outlay_budget.caps"


def _caps(tenant: Tenant, budget_id: str = "caps", **settings: Any) -> dict[str, Body]:
    return {"caps": {"organization": tenant.organization_id, "budget_id": budget_id, "unit": "USD", **settings}}


def _change(tenant: Tenant, *paths: str, budget_id: str = "caps", **settings: Any) -> None:
    """Change a budget behind Terraform's back."""
    tenant.admin.call(
        "UpdateBudget",
        pb.UpdateBudgetRequest(
            budget=budget_pb2.Budget(name=tenant.child("budgets", budget_id), **settings),
            update_mask=FieldMask(paths=paths),
            override_manager=True,
        ),
    )


def _is_gone(tenant: Tenant, budget_id: str) -> bool:
    try:
        tenant.budget(budget_id)
    except Failure as failure:
        return failure.reason == "NOT_FOUND"
    return False


# --- changes by others ------------------------------------------------------------------------------------------------


def test_what_others_changed_is_seen_and_put_back(workspace: Workspace, tenant: Tenant) -> None:
    workspace.budgets(_caps(tenant, hard_cap="500.00", alert_thresholds=[75]))
    workspace.apply()
    _change(tenant, "hard_cap_micros", "alert_thresholds", hard_cap_micros=900_000_000)
    assert workspace.changes() == {ADDRESS: ["update"]}
    assert workspace.drifted == [ADDRESS]
    workspace.apply()
    budget = tenant.budget("caps")
    assert (budget.hard_cap_micros, list(budget.alert_thresholds.percents)) == (500_000_000, [75])


def test_what_others_set_where_nothing_is_written_is_cleared(workspace: Workspace, tenant: Tenant) -> None:
    workspace.budgets(_caps(tenant))
    workspace.apply()
    _change(
        tenant, "display_name", "budget_micros", "selector", display_name="x", budget_micros=1, selector={"team": "a"}
    )
    assert workspace.changes() == {ADDRESS: ["update"]}
    workspace.apply()
    budget = tenant.budget("caps")
    assert (budget.display_name, budget.HasField("budget_micros"), dict(budget.selector)) == ("", False, {})


def test_a_budget_that_others_deleted_is_made_again(workspace: Workspace, tenant: Tenant) -> None:
    workspace.budgets(_caps(tenant, hard_cap="500.00"))
    workspace.apply()
    tenant.admin.call(
        "DeleteBudget", pb.DeleteBudgetRequest(name=tenant.child("budgets", "caps"), override_manager=True)
    )
    assert workspace.changes() == {ADDRESS: ["create"]}
    workspace.apply()
    assert tenant.budget("caps").hard_cap_micros == 500_000_000


def test_a_budget_that_others_deleted_is_well_deleted(workspace: Workspace, tenant: Tenant) -> None:
    """Also where it went after the plan was made."""
    workspace.budgets(_caps(tenant))
    workspace.apply()
    workspace.plan("-destroy")
    tenant.admin.call(
        "DeleteBudget", pb.DeleteBudgetRequest(name=tenant.child("budgets", "caps"), override_manager=True)
    )
    workspace.ok("apply", "plan")
    assert workspace.state() == {}


def test_a_change_after_the_plan_is_not_overwritten(workspace: Workspace, tenant: Tenant) -> None:
    """The etag of the plan decides, for updates and deletions alike, and nothing is lost from the state."""
    workspace.budgets(_caps(tenant, hard_cap="500.00"))
    workspace.apply()
    for arguments, cap in (((), 700_000_000), (("-destroy",), 800_000_000)):
        workspace.budgets(_caps(tenant, hard_cap="600.00"))
        workspace.plan(*arguments)
        _change(tenant, "hard_cap_micros", hard_cap_micros=cap)
        (found,) = workspace.diagnose("apply", "plan")
        assert found.summary == "Changed outside Terraform"
        assert "Plan again" in found.detail
        assert tenant.budget("caps").hard_cap_micros == cap
        assert ADDRESS in workspace.state()


def test_spend_and_a_temporary_cap_are_no_change(workspace: Workspace, tenant: Tenant) -> None:
    """What is live is not part of the resource, and the switch for an incident is not undone by the next apply."""
    workspace.budgets(_caps(tenant, hard_cap="500.00"))
    workspace.apply()
    tenant.admin.call("RecordSpend", tenant.record(5_000_000))
    _change(tenant, "cap_override", cap_override=budget_pb2.CapOverride(hard_cap_micros=900_000_000, reason="launch"))
    workspace.settled()
    workspace.budgets(_caps(tenant, hard_cap="600.00"))
    workspace.apply()
    assert tenant.budget("caps").cap_override.hard_cap_micros == 900_000_000


def test_what_another_manager_keeps_is_not_planned_to_change(workspace: Workspace, tenant: Tenant) -> None:
    """Neither changed nor deleted; read it is all the same."""
    workspace.budgets(_caps(tenant, hard_cap="500.00"))
    workspace.apply()
    _change(tenant, "managed_by", managed_by="yaml:platform/caps")
    assert workspace.changes() == {}
    workspace.budgets(_caps(tenant, hard_cap="600.00"))
    for arguments in ((), ("-destroy",)):
        found = workspace.diagnose("plan", *arguments)
        assert [(each.severity, each.summary) for each in found] == [("error", "Kept as code elsewhere")]
        assert "yaml:platform/caps" in found[0].detail


# --- adoption ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("short", [False, True])
def test_a_budget_is_imported_by_its_name_or_by_its_ids(workspace: Workspace, tenant: Tenant, short: bool) -> None:
    """With `terraform import`, and the plan after it is empty. Its manager is Terraform from the first change on."""
    tenant.create_budget("caps", unit="USD", hard_cap_micros=500_000_000, hard_cap_enabled=True)
    workspace.budgets(_caps(tenant, hard_cap="500.00"))
    import_id = f"{tenant.organization_id}/caps" if short else tenant.child("budgets", "caps")
    workspace.ok("import", ADDRESS, import_id)
    workspace.settled()
    assert workspace.state()[ADDRESS]["managed_by"] == ""
    workspace.budgets(_caps(tenant, hard_cap="600.00"))
    workspace.apply()
    assert tenant.budget("caps").managed_by == "terraform"


def test_terraform_writes_the_configuration_of_what_it_imports(workspace: Workspace, tenant: Tenant) -> None:
    """`-generate-config-out` gives a configuration that is valid and whose plan is empty."""
    tenant.create_budget("caps", unit="USD", budget_micros=1, selector={"team": "a"}, display_name="Caps")
    workspace.write(**{"import": [{"to": ADDRESS, "id": tenant.child("budgets", "caps")}]})
    workspace.ok("plan", "-generate-config-out=generated.tf")
    workspace.ok("apply", "-auto-approve")
    workspace.settled()


@pytest.mark.parametrize(
    ("import_id", "summary"),
    [
        ("caps", "Invalid import id"),
        ("organizations/acme/gates/caps", "Invalid import id"),
        ("nowhere-at-all/caps", "Not found"),
    ],
)
def test_what_cannot_be_imported_is_said(workspace: Workspace, tenant: Tenant, import_id: str, summary: str) -> None:
    workspace.budgets(_caps(tenant))
    done = workspace.run("import", "-no-color", ADDRESS, import_id)
    assert (done.returncode, f"Error: {summary}" in done.stderr) == (1, True), done.stderr


def test_what_is_there_already_is_not_made_again(workspace: Workspace, tenant: Tenant) -> None:
    """The error has the command that imports it, and that command leads to an empty plan."""
    tenant.create_budget("caps", unit="USD")
    workspace.budgets(_caps(tenant))
    (found,) = workspace.diagnose("apply", "-auto-approve")
    assert found.summary == "Already exists"
    assert f"terraform import outlay_budget.NAME {tenant.child('budgets', 'caps')}" in found.detail
    assert workspace.state() == {}
    workspace.ok("import", ADDRESS, tenant.child("budgets", "caps"))
    workspace.settled()


def test_a_budget_that_its_organization_was_born_with_needs_no_import(workspace: Workspace, tenant: Tenant) -> None:
    """As long as nobody has touched it: it is made what is written, whole, and kept as code from then on."""
    credits_caps = {"organization": tenant.organization_id, "budget_id": "credits", "unit": "CREDITS", "hard_cap": "50"}
    workspace.budgets({**_caps(tenant, "spending", hard_cap="500.00"), "credits": credits_caps})
    workspace.apply()
    assert tenant.budget("spending").hard_cap_micros == 500_000_000
    assert (tenant.budget("credits").managed_by, tenant.budget("credits").display_name) == ("terraform", "")


def test_a_born_budget_that_somebody_has_set_is_not_taken_over(workspace: Workspace, tenant: Tenant) -> None:
    tenant.cap(100_000_000)
    workspace.budgets(_caps(tenant, "spending", hard_cap="500.00"))
    (found,) = workspace.diagnose("apply", "-auto-approve")
    assert found.summary == "Already exists"
    assert tenant.budget("spending").hard_cap_micros == 100_000_000


# --- identity ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("changed", [{"unit": "CREDITS"}, {"budget_id": "other"}])
def test_another_identity_is_another_budget(workspace: Workspace, tenant: Tenant, changed: Body) -> None:
    workspace.budgets(_caps(tenant, hard_cap="500.00"))
    workspace.apply()
    workspace.budgets({"caps": {**_caps(tenant, hard_cap="500.00")["caps"], **changed}})
    assert workspace.changes() == {ADDRESS: ["delete", "create"]}
    assert [each["change"]["replace_paths"] for each in workspace.shown["resource_changes"]] == [[[*changed]]]
    workspace.apply()
    assert tenant.budget(changed.get("budget_id", "caps")).unit == changed.get("unit", "USD")
    assert _is_gone(tenant, "caps") == ("budget_id" in changed)


def test_another_address_is_the_same_budget(workspace: Workspace, tenant: Tenant) -> None:
    """A `moved` block changes nothing on the service."""
    workspace.budgets(_caps(tenant, hard_cap="500.00"))
    workspace.apply()
    before = tenant.budget("caps").etag
    workspace.budgets(
        {"renamed": _caps(tenant, hard_cap="500.00")["caps"]}, moved=[{"from": ADDRESS, "to": "outlay_budget.renamed"}]
    )
    assert workspace.changes() == {}
    workspace.ok("apply", "-auto-approve")
    assert list(workspace.state()) == ["outlay_budget.renamed"]
    assert tenant.budget("caps").etag == before


def test_state_of_another_version_is_read(workspace: Workspace, tenant: Tenant) -> None:
    """An attribute that this version does not have is dropped, and one that is missing is read from the service."""
    workspace.budgets(_caps(tenant, hard_cap="500.00"))
    workspace.apply()
    file = Path(workspace.folder / "terraform.tfstate")
    state = json.loads(file.read_text())
    attributes = state["resources"][0]["instances"][0]["attributes"]
    attributes["colour"] = {"of": ["another", "day"]}
    del attributes["enforcement"], attributes["cycle"]["time_zone"]
    file.write_text(json.dumps(state))
    assert workspace.changes() == {}
    assert workspace.changes("-refresh=false") == {ADDRESS: ["update"]}
    workspace.ok("apply", "-auto-approve")
    assert workspace.state()[ADDRESS]["enforcement"] == "ENFORCE"


# --- the end ----------------------------------------------------------------------------------------------------------


def test_a_destroyed_budget_is_gone(workspace: Workspace, tenant: Tenant) -> None:
    workspace.budgets(_caps(tenant))
    workspace.apply()
    workspace.ok("destroy", "-auto-approve")
    assert _is_gone(tenant, "caps")


def test_a_budget_with_open_reservations_stays(workspace: Workspace, tenant: Tenant) -> None:
    """The plan warns, the service refuses, and the state still has it."""
    workspace.budgets(_caps(tenant, hard_cap="500.00"))
    workspace.apply()
    tenant.admin.call("CheckSpend", tenant.check(2_500_000))
    tenant.admin.call("RecordSpend", tenant.record(1_250_000))
    found = workspace.diagnose("destroy", "-auto-approve")
    assert [(each.severity, each.summary) for each in found] == [
        ("warning", f"{tenant.child('budgets', 'caps')} holds reservations"),
        ("warning", f"{tenant.child('budgets', 'caps')} has spend"),
        ("error", "Reservations are open"),
    ]
    assert "2.50 USD" in found[0].detail
    assert "1.25 USD" in found[1].detail
    assert ADDRESS in workspace.state()
