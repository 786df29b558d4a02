"""`docs/operations.md` names the metrics that a server has, and its commands bring back what they saved."""

import os
import re
import subprocess
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from docs import tables
from docs.calls import call
from support.server import OUTLAY, ServerProcess


def test_the_metrics_are_those_of_a_live_server(shared_server: ServerProcess) -> None:
    with urllib.request.urlopen(shared_server.metrics_url) as answer:
        text = answer.read().decode()
    families = dict(re.findall(r"^# TYPE (outlay_\w+?)(?:_total)? (\w+)$", text, re.MULTILINE))
    # The times at which series began are families of their own in this format.
    live = {name: kind for name, kind in families.items() if not name.endswith("_created")}
    stated = {tables.code(row[0]): row[1] for row in tables.rows("operations.md", "Metrics")}
    assert stated == live


def test_a_backup_of_a_running_server_is_restored_and_verified(
    start_server: Callable[..., ServerProcess], tmp_path: Path
) -> None:
    """What was recorded before the backup is there, what came after it is not, and the books agree."""
    backup, restore = _commands("Backup and restore")
    server = start_server()
    call(server, "POST", "organizations?organization_id=acme", {})
    _record(server, "before", 5_000_000)
    (tmp_path / "data").symlink_to(server.data_dir)
    subprocess.run(["bash", "-ec", backup], cwd=tmp_path, check=True)
    _record(server, "after", 7_000_000)
    server.terminate()
    subprocess.run(["bash", "-ec", restore], cwd=tmp_path, check=True)
    server.restart()
    again = _record(server, "before", 5_000_000)
    assert (again["spend_record"]["request_id"], _spent_micros(server)) == ("before", 5_000_000)
    environment = {**os.environ, "OUTLAY_DATA_DIR": str(server.data_dir)}
    subprocess.run([OUTLAY, "verify"], env=environment, check=True, capture_output=True)


def _commands(heading: str) -> list[str]:
    section = (tables.DOCS / "operations.md").read_text().partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    return re.findall(r"^```sh\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)


def _record(server: ServerProcess, request_id: str, amount_micros: int) -> Any:
    body = {"unit": "USD", "amount_micros": amount_micros, "request_id": request_id}
    return call(server, "POST", "organizations/acme:recordSpend", body)


def _spent_micros(server: ServerProcess) -> int:
    return int(call(server, "GET", "organizations/acme/budgets/spending")["spend"]["spent_micros"])
