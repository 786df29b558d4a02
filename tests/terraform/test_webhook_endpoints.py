"""`outlay_webhook_endpoint`: its settings as any other's, its secret written and never read."""

import base64
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from outlay.v1 import admin_service_pb2 as pb
from outlay.v1.webhook_endpoint_pb2 import WebhookEndpoint
from outlay_server.domain.event import EventType
from outlay_terraform.resources.webhook_endpoint import EVENT_TYPES
from support.server import ServerProcess
from support.tenants import Tenant
from terraform.workspace import Body, Workspace

URI = "https://hooks.example.com/outlay"

SETTINGS: dict[str, dict[str, Any]] = {
    "bare": {},
    "nulls": dict.fromkeys(("display_name", "format", "event_types", "disabled", "secret_wo", "secret_wo_version")),
    "empty": {"display_name": "", "event_types": []},
    "set": {"display_name": "Pager", "event_types": ["cap.reached", "alert.crossed"], "disabled": True},
    "slack": {"format": "slack"},
}


def _endpoint(tenant: Tenant, endpoint_id: str, **settings: Any) -> Body:
    return {"organization": tenant.organization_id, "webhook_endpoint_id": endpoint_id, "uri": URI, **settings}


def _found(tenant: Tenant, endpoint_id: str) -> WebhookEndpoint:
    name = tenant.child("webhookEndpoints", endpoint_id)
    found: WebhookEndpoint = tenant.admin.call("GetWebhookEndpoint", pb.GetWebhookEndpointRequest(name=name))
    return found


def _secret(character: str) -> str:
    return "whsec_" + base64.b64encode(character.encode() * 32).decode()


def test_every_way_to_write_a_setting_leaves_an_empty_plan(
    workspace: Workspace, tenant: Tenant, tmp_path: Path
) -> None:
    """After the apply, and in another state after an import."""
    endpoints = {name: _endpoint(tenant, name, **settings) for name, settings in SETTINGS.items()}
    workspace.write(resource={"outlay_webhook_endpoint": endpoints})
    workspace.apply()
    made = _found(tenant, "set")
    assert (made.display_name, list(made.event_types), made.disabled) == (
        "Pager",
        ["alert.crossed", "cap.reached"],
        True,
    )
    assert made.managed_by == "terraform"
    other = Workspace(tmp_path, workspace.environment)
    names = [
        {"to": f"outlay_webhook_endpoint.{name}", "id": tenant.child("webhookEndpoints", name)} for name in endpoints
    ]
    other.write(resource={"outlay_webhook_endpoint": endpoints}, **{"import": names})
    assert {each["change"]["actions"][0] for each in other.plan()["resource_changes"]} == {"no-op"}
    other.ok("apply", "plan")
    other.settled()


def test_lines_that_are_removed_clear_their_settings_and_what_is_unknown_comes_later(
    workspace: Workspace, tenant: Tenant
) -> None:
    later = {
        name: f"${{terraform_data.source.output.{name}}}" for name in ("uri", "display_name", "format", "disabled")
    }
    later["event_types"] = ["${terraform_data.source.output.event}"]  # type: ignore[assignment]
    source = {"uri": URI, "display_name": "x", "format": "STANDARD", "disabled": True, "event": "cap.reached"}
    declared = {"outlay_webhook_endpoint": {"x": _endpoint(tenant, "x") | later}}
    workspace.write(resource={"terraform_data": {"source": {"input": source}}, **declared})
    workspace.apply()
    assert (_found(tenant, "x").disabled, list(_found(tenant, "x").event_types)) == (True, ["cap.reached"])
    workspace.write(resource={"outlay_webhook_endpoint": {"x": _endpoint(tenant, "x")}})
    workspace.apply()
    bare = _found(tenant, "x")
    assert (bare.display_name, bare.disabled, list(bare.event_types)) == ("", False, [])


def test_what_others_changed_is_put_back_and_what_they_deleted_is_made_again(
    workspace: Workspace, tenant: Tenant
) -> None:
    workspace.write(resource={"outlay_webhook_endpoint": {"x": _endpoint(tenant, "x"), "y": _endpoint(tenant, "y")}})
    workspace.apply()
    name = tenant.child("webhookEndpoints", "x")
    tenant.admin.call(
        "UpdateWebhookEndpoint",
        pb.UpdateWebhookEndpointRequest(
            webhook_endpoint=WebhookEndpoint(name=name, disabled=True),
            update_mask=FieldMask(paths=["disabled"]),
            override_manager=True,
        ),
    )
    gone = pb.DeleteWebhookEndpointRequest(name=tenant.child("webhookEndpoints", "y"), override_manager=True)
    tenant.admin.call("DeleteWebhookEndpoint", gone)
    assert workspace.changes() == {
        "outlay_webhook_endpoint.x": ["update"],
        "outlay_webhook_endpoint.y": ["create"],
    }
    workspace.apply()
    workspace.write(resource={"outlay_webhook_endpoint": {"x": _endpoint(tenant, "z"), "y": _endpoint(tenant, "y")}})
    assert workspace.changes() == {"outlay_webhook_endpoint.x": ["delete", "create"]}
    workspace.ok("destroy", "-auto-approve")
    listed = tenant.admin.call("ListWebhookEndpoints", pb.ListWebhookEndpointsRequest(parent=tenant.name))
    assert len(listed.webhook_endpoints) == 0


def test_a_secret_is_in_no_state_no_plan_and_no_trace(
    installed: Workspace, afterwards: Workspace, tenant: Tenant, outlay: ServerProcess
) -> None:
    """Neither it nor the API key. It reaches the service when its version changes, and only then."""
    trace = installed.folder / "trace.log"
    logged = {"TF_LOG": "TRACE", "TF_LOG_PATH": str(trace)}
    first, second = _secret("a"), _secret("b")
    etags = []
    for secret, version, space in ((first, 1, installed), (second, 1, afterwards), (second, 2, installed)):
        declared = _endpoint(tenant, "x", secret_wo="${var.secret}", secret_wo_version=version)
        space.write(
            variable={"secret": {"type": "string", "ephemeral": True}},
            resource={"outlay_webhook_endpoint": {"x": declared}},
        )
        space.ok("plan", "-out=plan", TF_VAR_secret=secret, **logged)
        shown = afterwards.ok("show", "-json", "plan")
        space.ok("apply", "plan", TF_VAR_secret=secret, **logged)
        etags.append(_found(tenant, "x").etag)
        texts = [shown, trace.read_text(), (installed.folder / "terraform.tfstate").read_text()]
        texts.append((installed.folder / "plan").read_bytes().decode("latin-1"))
        for text in texts:
            assert [each for each in (first, second, outlay.admin_key) if each in text] == []
    assert "ApplyResourceChange" in trace.read_text()
    assert etags[0] == etags[1] != etags[2]


def test_another_change_does_not_send_the_secret(workspace: Workspace, tenant: Tenant) -> None:
    """A rotation that others have begun goes on: a secret that is sent would end it."""
    for display_name in ("", "Pager"):
        declared = _endpoint(tenant, "x", display_name=display_name, secret_wo=_secret("a"), secret_wo_version=1)
        workspace.write(resource={"outlay_webhook_endpoint": {"x": declared}})
        workspace.apply()
        if not display_name:
            name = tenant.child("webhookEndpoints", "x")
            tenant.admin.call("RotateWebhookSecret", pb.RotateWebhookSecretRequest(name=name))
    found = _found(tenant, "x")
    assert (found.display_name, found.HasField("previous_secret_expire_time")) == ("Pager", True)


@pytest.mark.parametrize(
    ("settings", "summary", "line"),
    [
        ({"secret_wo": "whsec_short", "secret_wo_version": 1}, "Invalid secret_wo", '"secret_wo"'),
        ({"secret_wo": _secret("a")}, "secret_wo_version is missing", '"secret_wo"'),
        ({"secret_wo_version": 1}, "secret_wo is missing", '"secret_wo_version"'),
        (
            {"format": "SLACK", "secret_wo": _secret("a"), "secret_wo_version": 1},
            "There is nothing to sign",
            '"secret_wo"',
        ),
        ({"format": "MAIL"}, "Invalid uri", '"uri"'),
        ({"uri": "mailto:a@example.com"}, "Invalid uri", '"uri"'),
        ({"uri": "ftp://x"}, "Invalid uri", '"uri"'),
        ({"event_types": ["cap.reached", "nothing"]}, "Invalid event_types", '"event_types"'),
        ({"format": "XML"}, "Invalid format", '"format"'),
    ],
)
def test_a_wrong_setting_is_found_at_its_line(
    workspace: Workspace, tenant: Tenant, settings: Body, summary: str, line: str
) -> None:
    workspace.write(resource={"outlay_webhook_endpoint": {"x": _endpoint(tenant, "x", **settings)}})
    (found,) = workspace.validate()
    assert (found.summary, found.snippet.partition(":")[0]) == (summary, line)
    assert "short" not in found.detail


def test_a_secret_that_nobody_will_know_is_warned_of(workspace: Workspace, tenant: Tenant) -> None:
    workspace.write(resource={"outlay_webhook_endpoint": {"x": _endpoint(tenant, "x")}})
    assert [each.summary for each in workspace.diagnose("plan")] == ["The signing secret will be known to nobody"]


def test_the_types_of_events_are_the_services() -> None:
    assert set(EVENT_TYPES) == {each.value for each in EventType}
