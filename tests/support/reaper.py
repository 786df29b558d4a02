"""Ends what the tests started when the tests themselves are killed.

A `finally` does not run when pytest gets SIGKILL, and Linux's parent-death signal follows the thread that started the
child, not the process. So one small process holds the reading end of a pipe: when this process is gone, by whatever
way, the pipe closes and everything still registered is killed.
"""

import subprocess
import sys
import threading

_PROGRAM = """
import os, shutil, signal, sys
signal.signal(signal.SIGINT, signal.SIG_IGN)
groups, folders = set(), set()
for line in sys.stdin:
    sign, kind, value = line.rstrip("\\n").split(" ", 2)
    kept = groups if kind == "group" else folders
    kept.add(value) if sign == "+" else kept.discard(value)
for group in groups:
    try:
        os.killpg(int(group), signal.SIGKILL)
    except ProcessLookupError:
        pass
for folder in folders:
    shutil.rmtree(folder, ignore_errors=True)
"""

_lock = threading.Lock()
_reaper: subprocess.Popen[str] | None = None


def _tell(line: str) -> None:
    global _reaper
    with _lock:
        if _reaper is None:
            _reaper = subprocess.Popen(
                [sys.executable, "-S", "-c", _PROGRAM],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                text=True,
                start_new_session=True,
            )
        assert _reaper.stdin is not None
        _reaper.stdin.write(line + "\n")
        _reaper.stdin.flush()


def watch_group(process_group: int) -> None:
    """Kill this process group if the tests die without having called `forget_group`."""
    _tell(f"+ group {process_group}")


def forget_group(process_group: int) -> None:
    _tell(f"- group {process_group}")


def watch_folder(path: str) -> None:
    """Remove this folder if the tests die without having called `forget_folder`."""
    _tell(f"+ folder {path}")


def forget_folder(path: str) -> None:
    _tell(f"- folder {path}")
