"""The provider as users have it: installed by `init` from the mirror, as a process that Terraform starts and ends."""

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from typing import Any

import psutil
import pytest

from outlay.v1 import budget_service_pb2 as pb
from support import reaper
from support.tenants import Tenant
from terraform.workspace import TERRAFORM, Workspace

WAIT_SECONDS = 60.0

MANY = 40
"""Budgets of an apply that is cut: at ten at a time it takes long enough to be met in the middle."""


def _many(tenant: Tenant, count: int = MANY, **settings: Any) -> dict[str, Any]:
    return {
        f"b{index}": {"organization": tenant.organization_id, "budget_id": f"b{index}", "unit": "USD", **settings}
        for index in range(count)
    }


def _made(tenant: Tenant) -> set[str]:
    page = tenant.admin.call("ListBudgets", pb.ListBudgetsRequest(parent=tenant.name, page_size=1000))
    return {each.name for each in page.budgets if each.managed_by == "terraform"}


def _in_state(workspace: Workspace) -> set[str]:
    return {values["id"] for values in workspace.state().values()}


def _wait(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)


@pytest.fixture
def start(installed: Workspace) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start a run in a process group of its own, as a terminal would."""
    started: list[subprocess.Popen[str]] = []

    def begin(*arguments: str) -> subprocess.Popen[str]:
        assert TERRAFORM is not None
        process = subprocess.Popen(
            [TERRAFORM, *arguments],
            cwd=installed.folder,
            env=installed.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        reaper.watch_group(process.pid)
        started.append(process)
        return process

    yield begin
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
        reaper.forget_group(process.pid)


def _providers(process: subprocess.Popen[str]) -> list[psutil.Process]:
    return [
        child for child in psutil.Process(process.pid).children(recursive=True) if "outlay_terraform" in child.cmdline()
    ]


# --- installed --------------------------------------------------------------------------------------------------------


def test_init_finds_the_provider_offline_and_its_hash_holds(installed: Workspace, tenant: Tenant) -> None:
    """Runs leave nothing in the package: a second `init` with the lock file of the first agrees."""
    lock = (installed.folder / ".terraform.lock.hcl").read_text()
    assert "registry.terraform.io/outlay/outlay" in lock
    installed.budgets(_many(tenant, 2))
    installed.ok("apply", "-auto-approve")
    installed.ok("init", "-no-color", "-lockfile=readonly")
    assert (installed.folder / ".terraform.lock.hcl").read_text() == lock


def test_terraform_test_runs(installed: Workspace, tenant: Tenant) -> None:
    """`terraform test` makes, asserts and destroys."""
    installed.budgets(_many(tenant, 1, hard_cap="500.00"))
    checks = [
        'run "makes_a_budget" {',
        "  assert {",
        '    condition     = outlay_budget.b0.hard_cap == "500.00" && outlay_budget.b0.hard_cap_enabled',
        '    error_message = "the cap is not there"',
        "  }",
        "}",
    ]
    (installed.folder / "caps.tftest.hcl").write_text("\n".join(checks))
    assert "1 passed, 0 failed" in installed.ok("test", "-no-color")
    assert _made(tenant) == set()


# --- cut --------------------------------------------------------------------------------------------------------------


def test_ctrl_c_loses_nothing(
    installed: Workspace, afterwards: Workspace, tenant: Tenant, start: Callable[..., subprocess.Popen[str]]
) -> None:
    """The signal reaches Terraform and the provider alike; what was made is in the state, and the rest is made next."""
    installed.budgets(_many(tenant))
    process = start("apply", "-auto-approve", "-no-color")
    _wait(lambda: len(_made(tenant)) >= 5, "nothing is made")
    os.killpg(process.pid, signal.SIGINT)
    output, _ = process.communicate(timeout=WAIT_SECONDS)
    assert process.returncode == 1, output
    assert 5 <= len(_made(tenant)) < MANY
    assert _in_state(afterwards) == _made(tenant)
    afterwards.apply()
    assert len(_made(tenant)) == MANY


def _adopt_what_is_there(workspace: Workspace, tenant: Tenant) -> set[str]:
    """Run on; import what the errors name, as they say; run on again. What had to be imported."""
    found = workspace.diagnose("apply", "-auto-approve")
    assert {each.summary for each in found} <= {"Already exists"}
    imports = [
        match.groups() for each in found if (match := re.search(r"terraform import (\S+)\.NAME (\S+)", each.detail))
    ]
    assert len(imports) == len(found)
    blocks = [{"to": f"{kind}.{name.rpartition('/')[2]}", "id": name} for kind, name in imports]
    workspace.budgets(_many(tenant), **({"import": blocks} if blocks else {}))
    workspace.apply()
    return {name for _, name in imports}


@pytest.mark.parametrize("victim", ["terraform", "provider"])
def test_what_a_kill_leaves_behind_is_found_again(
    installed: Workspace,
    afterwards: Workspace,
    tenant: Tenant,
    start: Callable[..., subprocess.Popen[str]],
    victim: str,
) -> None:
    """SIGKILL of either: what is in the state is there, and what is there but in no state says how to import it."""
    installed.budgets(_many(tenant))
    process = start("apply", "-auto-approve", "-no-color")
    _wait(lambda: len(_made(tenant)) >= 5, "nothing is made")
    providers = _providers(process)
    assert providers
    if victim == "terraform":
        process.kill()
    else:
        for provider in providers:
            provider.kill()
    output, _ = process.communicate(timeout=WAIT_SECONDS)
    assert process.returncode != 0, output
    _wait(lambda: not any(provider.is_running() for provider in providers), "the provider outlives Terraform")
    made, kept = _made(tenant), _in_state(afterwards)
    assert len(made) < MANY
    orphans = _adopt_what_is_there(afterwards, tenant)
    assert orphans == made - kept
    assert len(_made(tenant)) == MANY
