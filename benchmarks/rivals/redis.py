"""A Redis of the run's own with an append-only file, and the books of what is kept in it."""

import contextlib
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from benchmarks.books import same_micros
from benchmarks.postgres import free_port
from benchmarks.processes import running

Fsync = Literal["always", "everysec"]
"""When the append-only file is synced: before an answer, or once a second."""


def is_installed() -> bool:
    """Whether Debian's redis-server is here, and its client."""
    return shutil.which("redis-server") is not None and shutil.which("redis-cli") is not None


@dataclass(frozen=True, slots=True)
class RedisServer:
    """A running Redis."""

    address: str
    pid: int

    def command(self, *words: str) -> str:
        port = self.address.rpartition(":")[2]
        done = subprocess.run(["redis-cli", "-p", port, *words], check=True, capture_output=True, text=True, timeout=30)
        return done.stdout.strip()


@contextlib.contextmanager
def redis_server(folder: Path, fsync: Fsync) -> Iterator[RedisServer]:
    """Run one on the data in `folder`, which are made or found."""
    folder.mkdir(exist_ok=True)
    port = free_port()
    options = {"port": str(port), "bind": "127.0.0.1", "dir": str(folder), "appendonly": "yes", "appendfsync": fsync}
    # Only the append-only file: a snapshot beside it would be written in the middle of a trial.
    options["save"] = ""
    with running(
        ["redis-server", *(word for name, value in options.items() for word in (f"--{name}", value))],
        folder / "log",
        is_ready=lambda text: "Ready to accept connections" in text,
        cwd=folder,
    ) as (pid, _):
        yield RedisServer(f"127.0.0.1:{port}", pid)


@dataclass(frozen=True, slots=True)
class ScriptBooks:
    """The hashes of `loads.redis_script`; counter and rows must agree as well."""

    redis: RedisServer

    def counted_micros(self, organization_id: str) -> int:
        counter = self.redis.command("HGET", f"budget:{organization_id}", "reserved")
        rows = self.redis.command("HVALS", f"reservations:{organization_id}")
        return same_micros(organization_id, int(counter or 0), sum(int(row) for row in rows.split()))


@dataclass(frozen=True, slots=True)
class GovernorBooks:
    """mcp-budget-governor's counters, one a day: a run may see midnight."""

    redis: RedisServer

    def counted_micros(self, organization_id: str) -> int:
        keys = self.redis.command("KEYS", f"*{organization_id}*").split()
        return sum(int(self.redis.command("GET", key)) for key in keys)
