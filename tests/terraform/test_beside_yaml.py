"""The same caps in YAML and in HCL are the same budgets, and each leaves alone what the other keeps."""

import subprocess
from pathlib import Path
from typing import Any

from outlay.v1.budget_pb2 import Budget
from support.server import OUTLAY, ServerProcess
from support.tenants import Tenant, new_tenant
from terraform.workspace import Body, Workspace, bare_environment

BUDGETS: dict[str, Body] = {
    "bare": {},
    "capped": {"hard_cap": "500.00"},
    "stored": {"hard_cap": "500.00", "hard_cap_enabled": False},
    "whole": {
        "display_name": "Research",
        "selector": {"team": "research-*", "model": "claude-opus-*"},
        "budget": "400.10",
        "hard_cap": "500.000001",
        "hard_cap_enabled": True,
        "allotment": "600",
        "alert_thresholds": [75, 100],
        "alerts_enabled": False,
        "cycle": {"period": "WEEK", "anchor": "2024-01-01", "time_zone": "Europe/Berlin"},
        "enforcement": "SHADOW",
    },
    "silent": {"alert_thresholds": []},
    "week": {"cycle": {"period": "WEEK"}},
}
"""The names of the settings are those of both."""


def _yaml(tenant: Tenant, budgets: dict[str, Body]) -> str:
    def written(value: Any) -> str:
        match value:
            case bool():
                return str(value).lower()
            case dict():
                return "{" + ", ".join(f"{key}: {written(each)}" for key, each in value.items()) + "}"
            case list():
                return str(value)
        return f'"{value}"'

    lines = [f"organization: {tenant.organization_id}", "budgets:"]
    for budget_id, settings in budgets.items():
        lines += [f"  - budget_id: {budget_id}", "    unit: USD"]
        lines += [f"    {name}: {written(value)}" for name, value in settings.items()]
    return "\n".join(lines) + "\n"


def _outlay(server: ServerProcess, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = bare_environment(OUTLAY_ENDPOINT=server.grpc_address, OUTLAY_API_KEY=server.admin_key)
    return subprocess.run(
        [OUTLAY, *arguments], cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False
    )


def _settings(tenant: Tenant, budget_id: str) -> bytes:
    budget: Budget = tenant.budget(budget_id)
    for field in ("name", "etag", "create_time", "update_time", "spend", "managed_by"):
        budget.ClearField(field)  # type: ignore[arg-type]  # each is a field
    return budget.SerializeToString(deterministic=True)


def test_the_same_caps_are_the_same_budgets(
    workspace: Workspace, tenant: Tenant, outlay: ServerProcess, tmp_path: Path
) -> None:
    """Byte for byte, but for who keeps them."""
    in_yaml = new_tenant(tenant.admin, "yaml")
    (tmp_path / "caps.yaml").write_text(_yaml(in_yaml, BUDGETS))
    applied = _outlay(outlay, tmp_path, "apply", "-f", "caps.yaml", "--yes", "--adopt")
    assert applied.returncode == 0, applied.stdout + applied.stderr
    workspace.budgets(
        {
            name: {"organization": tenant.organization_id, "budget_id": name, "unit": "USD", **settings}
            for name, settings in BUDGETS.items()
        }
    )
    workspace.apply()
    for name in BUDGETS:
        assert _settings(in_yaml, name) == _settings(tenant, name), name


def test_each_leaves_alone_what_the_other_keeps(
    workspace: Workspace, tenant: Tenant, outlay: ServerProcess, tmp_path: Path
) -> None:
    (tmp_path / "caps.yaml").write_text(_yaml(tenant, {"yamls": {"hard_cap": "5.00"}}))
    assert _outlay(outlay, tmp_path, "apply", "-f", "caps.yaml", "--yes", "--adopt").returncode == 0
    block = {"organization": tenant.organization_id, "unit": "USD", "hard_cap": "7.00"}
    workspace.budgets({"own": {**block, "budget_id": "own"}})
    workspace.apply()
    (tmp_path / "caps.yaml").write_text(_yaml(tenant, {"own": {"hard_cap": "5.00"}}))
    refused = _outlay(outlay, tmp_path, "apply", "-f", "caps.yaml", "--yes", "--adopt")
    assert (refused.returncode, "terraform" in refused.stdout + refused.stderr) == (1, True)
    workspace.budgets({"own": {**block, "budget_id": "own"}, "yamls": {**block, "budget_id": "yamls"}})
    workspace.ok("import", "outlay_budget.yamls", tenant.child("budgets", "yamls"))
    assert [each.summary for each in workspace.diagnose("plan")] == ["Kept as code elsewhere"]
    assert tenant.budget("own").hard_cap_micros == 7_000_000
    assert tenant.budget("yamls").hard_cap_micros == 5_000_000
