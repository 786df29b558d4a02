"""The real server, as a process: started, asked where it listens, killed, started again on the same data."""

import os
import re
import signal
import subprocess
import sys
import time
import weakref
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from support import reaper

START_TIMEOUT_SECONDS = 30.0
STOP_TIMEOUT_SECONDS = 20.0

OUTLAY = Path(sys.executable).with_name("outlay")
"""The command as users have it, of the environment that the tests run in."""

_LISTENING = re.compile(
    r"^(?P<what>grpc|http|metrics)\b\s.*?(?:https?://)?(?P<address>[\w.\-\[\]:]*:\d+)", re.IGNORECASE
)
_ANY_PORT = "127.0.0.1:0"

running: "weakref.WeakSet[ServerProcess]" = weakref.WeakSet()
"""Every server that was started and not closed, for the log that a failed test shows."""


class ServerProcess:
    """`outlay serve` on free ports of loopback.

    `data_dir` holds the embedded database and the key of the first start; with `database_url` the server is one replica
    on that PostgreSQL. Without `admin_key` the server makes one. After a restart the addresses are the same.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        database_url: str | None = None,
        admin_key: str | None = None,
        environment: Mapping[str, str] | None = None,
        arguments: tuple[str, ...] = (),
    ) -> None:
        data_dir.mkdir(parents=True, exist_ok=True)
        self.data_dir = data_dir
        self.database_url = database_url
        self.arguments = arguments
        self._admin_key = admin_key
        self._environment = dict(environment or {})
        self._stdout = data_dir / "server.stdout"
        self._stderr = data_dir / "server.stderr"
        self._addresses: dict[str, str] = {}
        self._process: subprocess.Popen[bytes] | None = None

    # --- where it is --------------------------------------------------------------------------------------------------

    @property
    def grpc_address(self) -> str:
        """`127.0.0.1:PORT`."""
        return self._addresses["grpc"]

    @property
    def http_url(self) -> str:
        """`http://127.0.0.1:PORT`, without a slash at the end."""
        return f"http://{self._addresses['http']}"

    @property
    def metrics_url(self) -> str:
        """`http://127.0.0.1:PORT/metrics`."""
        return f"http://{self._addresses['metrics']}/metrics"

    @property
    def admin_key(self) -> str:
        """The platform key: the one given, else the one the server made at its first start."""
        if self._admin_key is None:
            self._admin_key = (self.data_dir / "admin.key").read_text().strip()
        return self._admin_key

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    # --- its life -----------------------------------------------------------------------------------------------------

    def start(self, timeout_seconds: float = START_TIMEOUT_SECONDS) -> Self:
        """Start it and return when it has said `ready`. Raises RuntimeError with its log if it ends or takes longer."""
        self.launch()
        deadline = time.monotonic() + timeout_seconds
        while not self._is_ready():
            if not self.running:
                raise RuntimeError(
                    f"outlay serve ended with {self._returncode()} before it was ready\n{self.log_text()}"
                )
            if time.monotonic() > deadline:
                self.kill9()
                raise RuntimeError(f"outlay serve was not ready within {timeout_seconds} s\n{self.log_text()}")
            time.sleep(0.01)
        return self

    def launch(self) -> None:
        """Start it and return at once, for the tests of a start that must fail; `wait` gives its exit status."""
        assert not self.running, "it runs already"
        with self._stdout.open("wb") as stdout, self._stderr.open("ab") as stderr:
            self._process = subprocess.Popen(
                [OUTLAY, "serve", *self.arguments],
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                env=self._full_environment(),
                cwd=self.data_dir,
                start_new_session=True,
            )
        reaper.watch_group(self._process.pid)
        running.add(self)

    def wait(self, timeout_seconds: float = STOP_TIMEOUT_SECONDS) -> int:
        """Its exit status, once it has ended by itself. Raises subprocess.TimeoutExpired."""
        assert self._process is not None
        status = self._process.wait(timeout_seconds)
        reaper.forget_group(self._process.pid)
        return status

    def terminate(self, timeout_seconds: float = STOP_TIMEOUT_SECONDS) -> int:
        """SIGTERM, and its exit status. Raises subprocess.TimeoutExpired (and kills it) where it does not stop."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        try:
            return self.wait(timeout_seconds)
        except subprocess.TimeoutExpired:
            self.kill9()
            raise

    def kill9(self) -> None:
        """SIGKILL: no handler runs, nothing is flushed."""
        if self._process is None:
            return
        if self.running:
            # Its whole group, in case it ever starts helpers: none may go on writing.
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        reaper.forget_group(self._process.pid)

    def restart(self, timeout_seconds: float = START_TIMEOUT_SECONDS) -> Self:
        """Start it again on the same data and at the same addresses; it must have ended before."""
        return self.start(timeout_seconds)

    def close(self) -> None:
        """End it, however it is."""
        self.kill9()
        running.discard(self)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # --- what it said -------------------------------------------------------------------------------------------------

    def stdout_text(self) -> str:
        """What the last start printed on standard output."""
        return self._stdout.read_text(errors="replace") if self._stdout.exists() else ""

    def stderr_text(self) -> str:
        """Standard error, of all starts."""
        return self._stderr.read_text(errors="replace") if self._stderr.exists() else ""

    def log_text(self, most_characters: int = 8000) -> str:
        """The end of both, for a failure's message."""
        return f"{self.stdout_text()[-most_characters:]}{self.stderr_text()[-most_characters:]}"

    # --- inside -------------------------------------------------------------------------------------------------------

    def _full_environment(self) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("OUTLAY_")}
        own = {
            "OUTLAY_GRPC_ADDRESS": self._addresses.get("grpc", _ANY_PORT),
            "OUTLAY_HTTP_ADDRESS": self._addresses.get("http", _ANY_PORT),
            "OUTLAY_METRICS_ADDRESS": self._addresses.get("metrics", _ANY_PORT),
            "OUTLAY_DATA_DIR": str(self.data_dir),
            "PYTHONUNBUFFERED": "1",
        }
        if self.database_url is not None:
            own["OUTLAY_DATABASE_URL"] = self.database_url
        if self._admin_key is not None:
            own["OUTLAY_ADMIN_KEY"] = self._admin_key
        return inherited | own | self._environment

    def _is_ready(self) -> bool:
        lines = self.stdout_text().splitlines()
        if "ready" not in (line.strip() for line in lines):
            return False
        for line in lines:
            if (listening := _LISTENING.match(line)) is not None:
                self._addresses[listening["what"].lower()] = listening["address"]
        return True

    def _returncode(self) -> int | None:
        return self._process.poll() if self._process is not None else None
