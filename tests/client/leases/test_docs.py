"""The examples of docs/leases.md run as they stand, and the books show what they spent."""

import os
import re
import subprocess
import sys

import pytest

from client.leases import cost
from docs.tables import ROOT
from outlay_client.leases import LeaseOptions
from support.server import ServerProcess
from support.tenants import Tenant

PAGE = ROOT / "docs" / "leases.md"
EXAMPLES = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize(
    ("example", "printed", "spent_micros"),
    [
        (0, ["cost known: recorded as 1,500 micros", "cost unknown: at most 80,000 micros"], 32_500),
        (1, ["True True"], 1_500),
        (2, [], 1_500),
    ],
)
def test_an_example_runs_and_is_recorded(
    shared_server: ServerProcess, tenant: Tenant, key: str, example: int, printed: list[str], spent_micros: int
) -> None:
    environment = {**os.environ, "OUTLAY_ENDPOINT": shared_server.grpc_address, "OUTLAY_API_KEY": key}
    command = [sys.executable, "-c", EXAMPLES[example]]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == printed
    spend = tenant.budget().spend
    assert (spend.spent_micros, spend.reserved_micros) == (spent_micros, 0)


def test_every_example_is_run() -> None:
    assert len(EXAMPLES) == 3


def test_the_options_and_their_defaults_are_those_of_the_page() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*?) \|", PAGE.read_text(), re.MULTILINE))
    options = LeaseOptions(unit="USD", max_slice_micros=1_000)
    assert list(rows) == list(vars(options))
    shown = {name: rows[name] for name in ("ttl_seconds", "horizon_seconds", "draw_interval_seconds")}
    assert {name: float(text) for name, text in shown.items()} == {name: getattr(options, name) for name in shown}
    assert rows["record_on_expiry"] == f"`{options.record_on_expiry}`"
    assert options.smallest_slice_micros == 10


def test_the_cost_is_measured(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(cost, "ADMISSIONS", 100)
    cost.main()
    assert re.findall(r"^(\w+)\.admit +\d+ ns$", capsys.readouterr().out, re.MULTILINE) == ["AsyncLease", "ThreadLease"]
