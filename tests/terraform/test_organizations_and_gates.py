"""`outlay_organization` and `outlay_gate`: two resources of one list, which do not fight over it."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from google.protobuf.field_mask_pb2 import FieldMask

from outlay.v1 import admin_service_pb2
from outlay.v1.organization_pb2 import Gate, Organization
from support.tenants import Tenant, new_id
from support.wire import Caller
from terraform.workspace import Body, Workspace

OPUS = Gate(gate_id="opus", label="model", pattern="claude-opus-*", enabled=False)


def _organization(admin: Caller, organization_id: str) -> Organization:
    name = f"organizations/{organization_id}"
    found: Organization = admin.call("GetOrganization", admin_service_pb2.GetOrganizationRequest(name=name))
    return found


def _update(admin: Caller, organization_id: str, *paths: str, **settings: Any) -> None:
    organization = Organization(name=f"organizations/{organization_id}", **settings)
    request = admin_service_pb2.UpdateOrganizationRequest(
        organization=organization, update_mask=FieldMask(paths=paths), override_manager=True
    )
    admin.call("UpdateOrganization", request)


def _gate(organization: str, gate_id: str, **settings: Any) -> Body:
    default = {"label": "model", "pattern": f"{gate_id}-*", "enabled": False}
    return {"organization": organization, "gate_id": gate_id, **default, **settings}


def _gates(admin: Caller, organization_id: str) -> dict[str, Gate]:
    return {gate.gate_id: gate for gate in _organization(admin, organization_id).gates}


# --- organizations ----------------------------------------------------------------------------------------------------


def test_an_organization_with_all_it_is_born_with_in_one_apply(workspace: Workspace, admin: Caller) -> None:
    """Its budgets and its gate are taken over as they are born; display names are absent, null, empty and set."""
    ids = {name: new_id("org") for name in ("absent", "null", "empty", "set")}
    names: dict[str, Body] = {
        "absent": {},
        "null": {"display_name": None},
        "empty": {"display_name": ""},
        "set": {"display_name": "Acme"},
    }
    reference = "${outlay_organization.set.id}"
    workspace.write(
        resource={
            "outlay_organization": {name: {"organization_id": ids[name], **names[name]} for name in ids},
            "outlay_budget": {"spending": {"organization": reference, "budget_id": "spending", "unit": "USD"}},
            "outlay_gate": {"opus": _gate(reference, "opus", pattern="claude-opus-*", enabled=True)},
        }
    )
    workspace.apply()
    made = _organization(admin, ids["set"])
    assert (made.display_name, made.managed_by, made.gates[0].enabled) == ("Acme", "terraform", True)
    workspace.write(resource={"outlay_organization": {name: {"organization_id": ids[name]} for name in ids}})
    workspace.apply()
    assert _organization(admin, ids["set"]).display_name == ""


def test_an_organization_is_imported_by_its_name_or_by_its_id(workspace: Workspace, tenant: Tenant) -> None:
    for import_id in (tenant.name, tenant.organization_id):
        workspace.write(resource={"outlay_organization": {"acme": {"organization_id": tenant.organization_id}}})
        workspace.ok("import", "outlay_organization.acme", import_id)
        workspace.settled()
        workspace.ok("state", "rm", "outlay_organization.acme")


def test_the_id_of_a_deleted_organization_is_not_given_again(workspace: Workspace, admin: Caller) -> None:
    organization_id = new_id("org")
    workspace.write(resource={"outlay_organization": {"acme": {"organization_id": organization_id}}})
    workspace.apply()
    warned = workspace.diagnose("destroy", "-auto-approve")
    assert [each.severity for each in warned] == ["warning"]
    assert "is not given again" in warned[0].detail
    (found,) = workspace.diagnose("apply", "-auto-approve")
    assert (found.summary, found.snippet) == ("The id is taken", f'"organization_id": "{organization_id}"')
    assert "was deleted" in found.detail


def test_an_organization_that_is_there_is_imported(workspace: Workspace, tenant: Tenant) -> None:
    workspace.write(resource={"outlay_organization": {"acme": {"organization_id": tenant.organization_id}}})
    (found,) = workspace.diagnose("apply", "-auto-approve")
    assert found.summary == "Already exists"
    assert f"terraform import outlay_organization.NAME {tenant.name}" in found.detail


def test_what_others_changed_of_an_organization_is_put_back_unless_they_did_after_the_plan(
    workspace: Workspace, admin: Caller
) -> None:
    organization_id = new_id("org")
    block = {"organization_id": organization_id, "display_name": "Acme"}
    workspace.write(resource={"outlay_organization": {"acme": block}})
    workspace.apply()
    _update(admin, organization_id, "display_name", display_name="Others")
    assert workspace.changes() == {"outlay_organization.acme": ["update"]}
    workspace.ok("apply", "plan")
    assert _organization(admin, organization_id).display_name == "Acme"
    workspace.write(resource={"outlay_organization": {"acme": {**block, "display_name": "Acme Inc"}}})
    workspace.plan()
    _update(admin, organization_id, "display_name", display_name="Others")
    assert [each.summary for each in workspace.diagnose("apply", "plan")] == ["Changed outside Terraform"]


def test_another_id_is_another_organization(workspace: Workspace, admin: Caller) -> None:
    for organization_id in (new_id("org"), new_id("org")):
        workspace.write(resource={"outlay_organization": {"acme": {"organization_id": organization_id}}})
        workspace.apply()
        assert _organization(admin, organization_id).name == workspace.state()["outlay_organization.acme"]["id"]


# --- gates ------------------------------------------------------------------------------------------------------------


def test_gates_come_change_and_go_together(workspace: Workspace, tenant: Tenant) -> None:
    """Twelve gates of one organization, changed in parallel, beside the organization itself and a gate of others."""
    admin, organization_id = tenant.admin, tenant.organization_id
    names = [f"gate-{index}" for index in range(12)]

    def configure(enabled: bool, display_name: str, count: int) -> None:
        workspace.write(
            resource={
                "outlay_organization": {"acme": {"organization_id": organization_id, "display_name": display_name}},
                # By the id and not by a reference: nothing says which of them comes first.
                "outlay_gate": {name: _gate(organization_id, name, enabled=enabled) for name in names[:count]},
            }
        )

    configure(False, "", 12)
    workspace.ok("import", "outlay_organization.acme", organization_id)
    workspace.apply()
    assert [gate.gate_id for gate in _organization(admin, organization_id).gates] == sorted([*names, "opus"])
    configure(True, "Acme", 12)
    workspace.apply()
    found = _organization(admin, organization_id)
    assert {gate.gate_id for gate in found.gates if gate.enabled} == set(names)
    assert found.display_name == "Acme"
    configure(True, "Acme Inc", 3)
    workspace.apply()
    assert sorted(_gates(admin, organization_id)) == [*names[:3], "opus"]
    assert _gates(admin, organization_id)["opus"] == OPUS


def test_two_runs_at_once_lose_no_gate(workspace: Workspace, tenant: Tenant, tmp_path: Any) -> None:
    """Each in a state of its own: the etag lets nobody overwrite what the other wrote."""
    spaces = []
    for run in ("a", "b"):
        folder = tmp_path / run
        folder.mkdir()
        spaces.append(Workspace(folder, workspace.environment))
        gates = {f"{run}{index}": _gate(tenant.organization_id, f"{run}{index}") for index in range(8)}
        spaces[-1].write(resource={"outlay_gate": gates})
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda space: space.apply(), spaces))
    assert len(_gates(tenant.admin, tenant.organization_id)) == 8 + 8 + 1


def test_a_gate_that_others_changed_is_put_back_and_one_they_deleted_is_made_again(
    workspace: Workspace, tenant: Tenant
) -> None:
    workspace.write(
        resource={"outlay_gate": {name: _gate(tenant.organization_id, name) for name in ("changed", "deleted")}}
    )
    workspace.apply()
    gates = _gates(tenant.admin, tenant.organization_id)
    gates["changed"].enabled = True
    del gates["deleted"]
    _update(tenant.admin, tenant.organization_id, "gates", gates=gates.values())
    assert workspace.changes() == {"outlay_gate.changed": ["update"], "outlay_gate.deleted": ["create"]}
    workspace.apply()
    assert sorted(_gates(tenant.admin, tenant.organization_id)) == ["changed", "deleted", "opus"]


def test_a_gate_that_others_changed_after_the_plan_is_left(workspace: Workspace, tenant: Tenant) -> None:
    block = _gate(tenant.organization_id, "video")
    workspace.write(resource={"outlay_gate": {"video": block}})
    workspace.apply()
    for arguments, enabled in (((), True), (("-destroy",), False)):
        workspace.write(resource={"outlay_gate": {"video": {**block, "pattern": "film-*"}}})
        workspace.plan(*arguments)
        gates = _gates(tenant.admin, tenant.organization_id)
        gates["video"].label = f"other-{enabled}"
        _update(tenant.admin, tenant.organization_id, "gates", gates=gates.values())
        assert "Changed outside Terraform" in [each.summary for each in workspace.diagnose("apply", "plan")]


def test_a_gate_is_imported_by_its_name_or_by_its_ids(workspace: Workspace, tenant: Tenant) -> None:
    block = _gate(tenant.organization_id, "opus", pattern="claude-opus-*")
    for import_id in (f"{tenant.name}/gates/opus", f"{tenant.organization_id}/opus"):
        workspace.write(resource={"outlay_gate": {"opus": block}})
        workspace.ok("import", "outlay_gate.opus", import_id)
        workspace.settled()
        workspace.ok("state", "rm", "outlay_gate.opus")
    done = workspace.run("import", "-no-color", "outlay_gate.opus", f"{tenant.organization_id}/none")
    assert "has no gate 'none'" in done.stderr


def test_a_gate_that_is_there_is_imported_unless_it_was_born_so(workspace: Workspace, tenant: Tenant) -> None:
    gates = [Gate(gate_id="opus", label="model", pattern="other", enabled=True)]
    _update(tenant.admin, tenant.organization_id, "gates", gates=gates)
    workspace.write(resource={"outlay_gate": {"opus": _gate(tenant.organization_id, "opus")}})
    (found,) = workspace.diagnose("apply", "-auto-approve")
    assert found.summary == "Already exists"
    assert f"terraform import outlay_gate.NAME {tenant.name}/gates/opus" in found.detail


def test_a_gate_that_is_off_is_not_removed_without_a_word(workspace: Workspace, tenant: Tenant) -> None:
    gates = {name: _gate(tenant.organization_id, name, enabled=name == "on") for name in ("on", "off")}
    workspace.write(resource={"outlay_gate": gates})
    workspace.apply()
    found = workspace.diagnose("destroy", "-auto-approve")
    assert [each.summary for each in found] == [f"{tenant.name}/gates/off is off, and is deleted"]
    assert sorted(_gates(tenant.admin, tenant.organization_id)) == ["opus"]


def test_a_gate_with_another_id_is_another_gate(workspace: Workspace, tenant: Tenant) -> None:
    workspace.write(resource={"outlay_gate": {"x": _gate(tenant.organization_id, "one")}})
    workspace.apply()
    workspace.write(resource={"outlay_gate": {"x": _gate(tenant.organization_id, "two")}})
    assert workspace.changes() == {"outlay_gate.x": ["delete", "create"]}
    workspace.apply()
    assert sorted(_gates(tenant.admin, tenant.organization_id)) == ["opus", "two"]
