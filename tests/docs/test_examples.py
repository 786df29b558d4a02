"""The examples run, and leave the books as they say."""

import os
import subprocess
import sys
import uuid

from docs.calls import call
from docs.tables import ROOT
from support.server import ServerProcess


def test_metered_work_is_recorded_and_what_fails_is_given_back(shared_server: ServerProcess) -> None:
    """0.25 USD are held twice; 0.18 are spent in the end, and nothing is held."""
    budget, key = _new_organization(shared_server)
    assert _run("metered_work.py", shared_server, key) == [
        "answer_a_prompt: recorded 0.18 USD",
        "fail_half_way: the model did not answer; what was held is given back",
    ]
    spend = call(shared_server, "GET", budget)["spend"]
    assert (spend["spent_micros"], spend["reserved_micros"]) == ("180000", "0")


def test_metered_work_is_not_done_where_it_is_denied(shared_server: ServerProcess) -> None:
    budget, key = _new_organization(shared_server)
    call(shared_server, "PATCH", budget, {"hard_cap_micros": "200000", "hard_cap_enabled": True})
    assert _run("metered_work.py", shared_server, key) == [
        "answer_a_prompt: denied, HARD_CAP_REACHED",
        "fail_half_way: denied, HARD_CAP_REACHED",
    ]


def _run(example: str, server: ServerProcess, key: str) -> list[str]:
    environment = {**os.environ, "OUTLAY_ENDPOINT": server.grpc_address, "OUTLAY_API_KEY": key}
    command = [sys.executable, ROOT / "examples" / example]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def _new_organization(server: ServerProcess) -> tuple[str, str]:
    """The name of its budget `spending`, and a key with the scopes that the examples name."""
    organization_id = f"example-{uuid.uuid4().hex[:12]}"
    call(server, "POST", f"organizations?organization_id={organization_id}", {})
    name = f"organizations/{organization_id}"
    key = call(server, "POST", f"{name}/apiKeys", {"scopes": ["spend:check", "spend:record"]})
    return f"{name}/budgets/spending", key["secret"]
