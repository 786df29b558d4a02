"""A plan of a thousand budgets, and the start of the provider, measured: the figures of `docs/terraform.md`."""

import os
import resource
import statistics
import subprocess
import time

import pytest

from support.tenants import Tenant
from terraform.test_wire import PROGRAM, STARTED_BY_TERRAFORM
from terraform.workspace import Workspace, bare_environment

BUDGETS = 1_000
BORN = 2
STARTS = 10


@pytest.mark.deep
def test_a_thousand_budgets_are_planned(installed: Workspace, afterwards: Workspace, tenant: Tenant) -> None:
    """Nothing to do for any of them; with the provider as a process of its own, and in this one to see its share."""
    block = {
        "count": BUDGETS - BORN,
        "organization": tenant.organization_id,
        "budget_id": "team-${count.index}",
        "unit": "USD",
        "selector": {"team": "team-${count.index}"},
        "hard_cap": "500.00",
        "alert_thresholds": [75, 100],
    }
    born = {
        name: {"organization": tenant.organization_id, "budget_id": name, "unit": unit}
        for name, unit in (("spending", "USD"), ("credits", "CREDITS"))
    }
    installed.budgets({"team": block, **born})
    started = time.perf_counter()
    first = installed.ok("plan", "-no-color")
    creation_seconds = time.perf_counter() - started
    assert f"Plan: {BUDGETS} to add" in first
    afterwards.ok("apply", "-auto-approve")
    started = time.perf_counter()
    assert "No changes" in installed.ok("plan", "-no-color")
    plan_seconds = time.perf_counter() - started
    before = resource.getrusage(resource.RUSAGE_SELF)
    assert "No changes" in afterwards.ok("plan", "-no-color")
    after = resource.getrusage(resource.RUSAGE_SELF)
    cpu_seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(f"\n{BUDGETS} budgets to make, planned in {creation_seconds:.1f} s")
    print(f"{BUDGETS} budgets that are there, planned in {plan_seconds:.1f} s")
    print(f"CPU of the provider for each: {cpu_seconds / BUDGETS * 1000:.1f} ms")
    print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")


@pytest.mark.deep
def test_the_provider_starts() -> None:
    seconds = []
    for _ in range(STARTS):
        started = time.perf_counter()
        with subprocess.Popen(
            PROGRAM, env=bare_environment(**STARTED_BY_TERRAFORM), stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as process:
            assert process.stdout is not None
            assert process.stdout.readline().startswith(b"1|6|unix|")
            seconds.append(time.perf_counter() - started)
            process.kill()
    print(f"\nfrom start to the handshake: {statistics.median(seconds):.2f} s, median of {STARTS}")
