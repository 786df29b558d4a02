"""The same caps, written in YAML and in HCL: the same budgets to the byte, and neither touches the other's."""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from support.server import OUTLAY, ServerProcess
from support.tenants import Tenant, new_tenant
from support.wire import Caller
from terraform.workspace import Workspace

CAPS: Final[Mapping[str, Mapping[str, Any]]] = {
    "bare": {"unit": "USD"},
    "capped": {"unit": "USD", "display_name": "Cäps “quoted”", "budget": "400.00", "hard_cap": "500.000001"},
    "stored": {"unit": "USD", "hard_cap": "7", "hard_cap_enabled": False, "alerts_enabled": False},
    "nothing": {"unit": "REQUESTS", "budget": "0", "hard_cap": "0", "alert_thresholds": []},
    "granted": {"unit": "CREDITS", "allotment": "1000", "alert_thresholds": [0, 1, 999, 1000]},
    "picked": {
        "unit": "TOKENS",
        "selector": {"team": "search", "model": "claude-*"},
        "cycle": {"period": "WEEK", "anchor": "2026-01-05", "time_zone": "Europe/Berlin"},
        "enforcement": "SHADOW",
    },
    "largest": {"unit": "USD", "hard_cap": "100000000000.00", "enforcement": "FREEZE"},
}
"""By the names that YAML and HCL share; both take an amount as text."""

_OF_THE_RESOURCE: Final = ("name", "etag", "create_time", "update_time", "managed_by", "spend")
"""What differs because they are two resources with two keepers."""


@pytest.fixture
def pair(admin: Caller) -> tuple[Tenant, Tenant]:
    """Two organizations: one for YAML, one for HCL."""
    return new_tenant(admin, "yaml"), new_tenant(admin, "hcl")


def sync(server: ServerProcess, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `outlay` with the platform key."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("OUTLAY_")}
    environment = {**inherited, "OUTLAY_ENDPOINT": server.grpc_address, "OUTLAY_API_KEY": server.admin_key}
    return subprocess.run(
        [OUTLAY, *arguments], cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False
    )


def write_yaml(folder: Path, tenant: Tenant, caps: Mapping[str, Mapping[str, Any]]) -> None:
    (folder / "caps").mkdir(exist_ok=True)
    budgets = [{"budget_id": budget_id, **settings} for budget_id, settings in caps.items()]
    document = {"organization": tenant.organization_id, "budgets": budgets}
    (folder / "caps" / "caps.yaml").write_text(yaml.safe_dump(document, allow_unicode=True, sort_keys=False))


def in_hcl(tenant: Tenant, caps: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    return {
        budget_id: {"organization": tenant.organization_id, "budget_id": budget_id, **settings}
        for budget_id, settings in caps.items()
    }


def settings_of(tenant: Tenant, budget_id: str) -> bytes:
    """A budget's settings as the service has them, on the wire."""
    budget = tenant.budget(budget_id)
    for field in _OF_THE_RESOURCE:
        budget.ClearField(field)  # type: ignore[arg-type]
    return budget.SerializeToString(deterministic=True)


def test_the_same_caps_are_the_same_budgets(
    workspace: Workspace, outlay: ServerProcess, pair: tuple[Tenant, Tenant], tmp_path: Path
) -> None:
    """Every field, set, empty and absent: what the service keeps is equal to the byte."""
    by_yaml, by_hcl = pair
    write_yaml(tmp_path, by_yaml, CAPS)
    applied = sync(outlay, tmp_path, "apply", "-f", "caps", "--yes")
    assert applied.returncode == 0, applied.stderr
    workspace.budgets(in_hcl(by_hcl, CAPS))
    workspace.apply()
    assert {id: settings_of(by_hcl, id) for id in CAPS} == {id: settings_of(by_yaml, id) for id in CAPS}
    keepers = {tenant.budget(id).managed_by for tenant in pair for id in CAPS}
    assert keepers == {"yaml:caps", "terraform"}


def test_yaml_refuses_what_terraform_keeps(
    workspace: Workspace, outlay: ServerProcess, tenant: Tenant, tmp_path: Path
) -> None:
    """Named and left alone; with --force it is taken over."""
    workspace.budgets(in_hcl(tenant, {"capped": CAPS["capped"]}))
    workspace.apply()
    write_yaml(tmp_path, tenant, {"capped": {"unit": "USD", "hard_cap": "1.00"}})
    before = tenant.budget("capped")
    refused = sync(outlay, tmp_path, "apply", "-f", "caps", "--yes")
    assert (refused.returncode, "terraform" in refused.stderr + refused.stdout) == (1, True)
    assert tenant.budget("capped") == before
    forced = sync(outlay, tmp_path, "apply", "-f", "caps", "--yes", "--force")
    assert forced.returncode == 0, forced.stderr
    assert (tenant.budget("capped").hard_cap_micros, tenant.budget("capped").managed_by) == (1_000_000, "yaml:caps")


def test_terraform_refuses_what_yaml_keeps(
    workspace: Workspace, outlay: ServerProcess, tenant: Tenant, tmp_path: Path
) -> None:
    """An import shows who keeps it, and an apply changes nothing."""
    write_yaml(tmp_path, tenant, {"capped": CAPS["capped"]})
    assert sync(outlay, tmp_path, "apply", "-f", "caps", "--yes").returncode == 0
    before = tenant.budget("capped")
    block = {"to": "outlay_budget.capped", "id": f"{tenant.organization_id}/capped"}
    workspace.budgets(in_hcl(tenant, {"capped": {"unit": "USD", "hard_cap": "1.00"}}), **{"import": [block]})
    refused = workspace.run("apply", "-auto-approve", "-no-color")
    assert (refused.returncode, "yaml:caps" in refused.stderr) == (1, True)
    assert tenant.budget("capped") == before
