"""Processes of the harness: each ends with it, whatever happens to it."""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.trial import Plan, Trial

ROOT = Path(__file__).parent.parent
OUTLAY = Path(sys.executable).with_name("outlay")
START_TIMEOUT_SECONDS = 180.0
STOP_TIMEOUT_SECONDS = 20.0
_PR_SET_PDEATHSIG = 1


class ProcessFailed(Exception):
    """A process ended, or did not become ready; the text is what it said."""


def clean_environment(own: Mapping[str, str]) -> dict[str, str]:
    """This environment without settings of Outlay that happen to be in it, and with `own`."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("OUTLAY_")}
    return {**inherited, "PYTHONUNBUFFERED": "1", **own}


def die_with_parent() -> None:
    """Have the kernel kill this process when its parent is gone: `preexec_fn`, Linux only."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


@contextlib.contextmanager
def running(
    command: Sequence[str | Path],
    log: Path,
    *,
    is_ready: Callable[[str], bool],
    stop_signal: signal.Signals = signal.SIGTERM,
    **options: Any,
) -> Iterator[tuple[int, str]]:
    """Run it until the end of the block; gives its pid and what it had written to `log` when it was ready."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=die_with_parent,
            **options,
        )
    try:
        yield process.pid, _wait_until_ready(process, log, is_ready)
    finally:
        process.send_signal(stop_signal)
        try:
            process.wait(STOP_TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_until_ready(process: subprocess.Popen[bytes], log: Path, is_ready: Callable[[str], bool]) -> str:
    deadline = time.monotonic() + START_TIMEOUT_SECONDS
    while True:
        # Asked before its words are read: what it says last, it says before it ends.
        is_over = process.poll() is not None or time.monotonic() > deadline
        text = log.read_text(errors="replace")
        if is_ready(text):
            return text
        if is_over:
            raise ProcessFailed(f"{process.args!r} did not become ready:\n{text[-4000:]}")
        time.sleep(0.02)


def says_ready(text: str) -> bool:
    return "ready" in (line.strip() for line in text.splitlines())


def address_after(label: str, text: str) -> str:
    """`127.0.0.1:PORT` of the line `LABEL [http://]127.0.0.1:PORT`."""
    for line in text.splitlines():
        if line.startswith(f"{label} "):
            return line.split()[-1].rpartition("/")[2]
    raise ProcessFailed(f"no line {label!r} in:\n{text}")


def run_load(plan: Plan, python: Path | None = None) -> Trial:
    """Carry out a plan in a process of its own, of another Python where one is named."""
    done = subprocess.run(
        [python or sys.executable, "-m", f"benchmarks.loads.{plan.load}"],
        input=plan.to_json(),
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=clean_environment({}),
        preexec_fn=die_with_parent,
        timeout=START_TIMEOUT_SECONDS + plan.warm_up_seconds + plan.seconds,
        check=False,
    )
    if done.returncode != 0:
        raise ProcessFailed(f"the load {plan.load} ended with {done.returncode}:\n{done.stderr[-4000:]}")
    return Trial.from_json(done.stdout)
