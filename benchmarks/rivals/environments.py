"""An environment for each rival, so that no rival's dependencies are ours, nor another's."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from benchmarks.processes import ROOT

FOLDER = ROOT / "build" / "rivals"
INSTALL_TIMEOUT_SECONDS = 900.0

REQUIREMENTS = {
    "redis": ("redis[hiredis]==8.1.0", "uvloop==0.23.0"),
    "governor": ("mcp-budget-governor[redis]==0.1.0", "redis[hiredis]==8.1.0", "uvloop==0.23.0"),
    "hardcap": ("hardcap==0.1.0",),
    "litellm": ("litellm[proxy]==1.80.10",),
    "fastapi": ("fastapi==0.165.0", "uvicorn[standard]==0.54.0", "sqlalchemy[asyncio]==2.1.9", "asyncpg==0.32.0"),
}
"""Pinned, so that a run can be repeated."""


class NotInstalled(Exception):
    """Why a rival is not there."""


@dataclass(frozen=True, slots=True)
class Environment:
    """Where a rival's programs are."""

    folder: Path

    @property
    def python(self) -> Path:
        return self.folder / "bin" / "python"

    def program(self, name: str) -> Path:
        return self.folder / "bin" / name


def environment(name: str, *, install: bool) -> Environment:
    """The rival's environment, made on the first use. Raises `NotInstalled`."""
    folder = FOLDER / name
    stamp = folder / "installed.txt"
    wanted = "\n".join(REQUIREMENTS[name])
    if stamp.exists() and stamp.read_text() == wanted:
        return Environment(folder)
    if not install:
        raise NotInstalled(f"{folder.relative_to(ROOT)} is not there yet, and this run installs nothing")
    found = Environment(folder)
    _run([sys.executable, "-m", "venv", folder])
    _run([found.python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *REQUIREMENTS[name]])
    stamp.write_text(wanted)
    return found


def _run(command: list[str | Path]) -> None:
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=INSTALL_TIMEOUT_SECONDS)
    except subprocess.CalledProcessError as error:
        raise NotInstalled((error.stderr or error.stdout)[-500:].strip()) from error
    except subprocess.TimeoutExpired as error:
        raise NotInstalled(f"{error.timeout:.0f} s were not enough to install it") from error
