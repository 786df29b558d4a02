"""The demo, whole."""

import os
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import psutil
import pytest

from outlay_cli.demo import by_hand
from support import reaper
from support.server import OUTLAY

TIMEOUT_SECONDS = 90


@contextmanager
def demo(*arguments: str, folder: Path, **environment: str) -> Iterator["subprocess.Popen[str]"]:
    """The demo as a process of its own, without a terminal; whatever it started is ended with it."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("OUTLAY_")}
    process = subprocess.Popen(
        [OUTLAY, "demo", *arguments],
        env=inherited | environment | {"TMPDIR": str(folder), "PYTHONUNBUFFERED": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    reaper.watch_group(process.pid)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()
        reaper.forget_group(process.pid)


@pytest.fixture(scope="session", params=["sqlite", "postgres"])
def backend(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


def test_the_demo_shows_everything_and_its_books_agree(
    backend: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    variables = {}
    if backend == "postgres":
        # Empty and without a schema, as a newcomer's is.
        variables["OUTLAY_DATABASE_URL"] = request.getfixturevalue("database_url")
    with demo(folder=tmp_path, **variables) as process:
        out, err = process.communicate(timeout=TIMEOUT_SECONDS)
    assert (process.returncode, err) == (0, "")
    shown = [
        "ALERT 75 %:",
        "ALERT 100 %:",
        "kill -9, with",
        "VERIFIED alert.crossed 75 %",
        "VERIFIED alert.crossed 100 %",
        "acknowledged records",
        "decision        DENIED",
        "reason          HARD_CAP_REACHED",
        "GetBudget         500,000,000 micros (500.00 USD) spent, 0.00 held",
        "The books agree to the micro.",
        "sign in with  sk_",
        "one cent without limits: ALLOWED; with them again: DENIED",
    ]
    assert [line for line in shown if line not in out] == []
    assert "\x1b" not in out
    assert list(tmp_path.iterdir()) == []


def test_the_lines_to_do_it_by_hand_do_it(tmp_path: Path) -> None:
    """Every line that the demo prints is run as it was printed, in one shell."""
    with demo("--keep", folder=tmp_path) as process:
        lines = _lines_until_it_serves(process)
        _look_at_the_console(lines)
        commands = "\n".join(lines[lines.index("By hand, while `outlay demo --keep` runs") + 1 :])
        ran = subprocess.run(["bash", "-c", commands], capture_output=True, text=True, timeout=60, check=False)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=TIMEOUT_SECONDS)
        assert process.returncode == 0
    assert '"hard_spending_cap":50000' in ran.stdout.replace(" ", "")
    assert ran.stdout.count("DECISION_DENIED") == 2, ran.stderr
    assert "decision        DENIED" in ran.stdout
    assert ran.stderr == ""
    assert list(tmp_path.iterdir()) == []


def _look_at_the_console(lines: list[str]) -> None:
    """With the address and the key as they were printed: everything that a console can show is there."""
    address = next(line.split()[-1] for line in lines if line.startswith("  open "))
    key = next(line.split()[-1] for line in lines if line.startswith("  sign in with "))
    with httpx2.Client(follow_redirects=True) as client:
        origin = {"sec-fetch-site": "same-origin"}
        root, _, organization = address.partition("/organizations/")
        assert client.post(f"{root}/sign-in", data={"api_key": key}, headers=origin).status_code == 200
        research = client.get(f"{root}/organizations/{organization}/budgets/research").text
        pages = {path: client.get(f"{address}{path}").text for path in ("", "/alerts", "/audit", "/keys", "/webhooks")}
    for shown in ('class="forecast"', "<dt>Denied</dt><dd>1</dd>", "large-3", "(raised)", '<h2 id="audit-title">'):
        assert shown in research, shown
    assert "<dt>Held</dt><dd>0.00</dd>" not in research
    assert [path for path, text in pages.items() if "<table" not in text] == []


def test_a_demo_that_is_interrupted_takes_its_server_with_it(tmp_path: Path) -> None:
    with demo(folder=tmp_path) as process:
        assert process.stdout is not None
        while "64 callers" not in (line := process.stdout.readline()):
            assert line, "it ended before its callers began"
        children = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=TIMEOUT_SECONDS)
    assert (process.returncode, err) == (130, "Interrupted.\n")
    assert [child for child in children if child.is_running()] == []
    assert list(tmp_path.iterdir()) == []


def test_what_is_to_be_pasted_holds_no_line_that_a_shell_would_read_otherwise() -> None:
    """Addresses and keys have no quotes; the rest is fixed."""
    lines = by_hand.lines(grpc_address="127.0.0.1:1", http_url="http://127.0.0.1:2", api_key="sk_x")
    checked = subprocess.run(["bash", "-n"], input="\n".join(lines), text=True, capture_output=True, check=False)
    assert (checked.returncode, checked.stderr) == (0, "")


def _lines_until_it_serves(process: "subprocess.Popen[str]") -> list[str]:
    assert process.stdout is not None
    lines: list[str] = []
    while not re.match("Serving until", line := process.stdout.readline()):
        assert line, "it ended before it served"
        lines.append(line.rstrip("\n"))
    return lines
