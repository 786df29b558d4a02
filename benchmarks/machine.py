"""What a run ran on."""

import os
import platform
import shutil
import sqlite3
import statistics
import subprocess
import tempfile
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from benchmarks import postgres
from benchmarks.variants import Variant

_SYNCS = 50


def facts(variants: Sequence[Variant]) -> dict[str, str]:
    """For people: name and value of each, without anything that names the machine."""
    found = {
        "processor": f"{_processor()}, {os.cpu_count()} cores",
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.release()}",
        "load average before and after": "",
        "sync of 4 KiB": f"{_sync_milliseconds():.2f} ms (median of {_SYNCS} fdatasync)",
        "Python": platform.python_version(),
        **{name: version(name) for name in ("grpcio", "protobuf", "uvloop", "SQLAlchemy", "asyncpg")},
        "SQLite": sqlite3.sqlite_version,
    }
    programs = postgres.find_programs()
    if programs is not None and any(variant.target.needs_postgres for variant in variants):
        found["PostgreSQL"] = _said(str(programs / "postgres"), "--version")
    if any(variant.target.needs_redis for variant in variants):
        found["Redis"] = _said("redis-server", "--version").partition("v=")[2].split()[0]
    if any(variant.load == "h2load" for variant in variants):
        found["h2load"] = _said("h2load", "--version")
    return found


def load_average() -> str:
    return ", ".join(f"{load:.1f}" for load in os.getloadavg())


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _sync_milliseconds() -> float:
    """What one durable write costs at least, where the runs keep their data."""
    took = []
    with tempfile.NamedTemporaryFile() as file:
        for _ in range(_SYNCS):
            file.write(os.urandom(4096))
            file.flush()
            started = time.perf_counter()
            os.fdatasync(file.fileno())
            took.append(time.perf_counter() - started)
    return statistics.median(took) * 1e3


def _said(*command: str) -> str:
    program = shutil.which(command[0]) or command[0]
    try:
        return subprocess.run([program, *command[1:]], capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
