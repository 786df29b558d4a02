"""The demo's own server: `outlay serve` as a process on free ports, killed and started again on the same data."""

import asyncio
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from outlay_cli.errors import CommandFailed
from outlay_server.domain.api_key import SECRET_BYTES, assemble

START_TIMEOUT_SECONDS: Final = 30.0
STOP_TIMEOUT_SECONDS: Final = 15.0
_LOG_TAIL_CHARACTERS: Final = 2000


class DemoServer:
    """One server and what it needs to be the same server after a crash: its data, its addresses, its key."""

    def __init__(self, data_dir: Path, environment: Mapping[str, str]) -> None:
        """`environment` is this process's own; of its OUTLAY_ variables only the database is taken over."""
        self.admin_key = assemble(os.urandom(SECRET_BYTES))
        self._addresses = dict.fromkeys(("gRPC", "HTTP", "metrics"), "127.0.0.1:0")
        self._log = data_dir / "server.log"
        inherited = {name: value for name, value in environment.items() if not name.startswith("OUTLAY_")}
        self._environment = inherited | {
            "OUTLAY_DATA_DIR": str(data_dir),
            "OUTLAY_ADMIN_KEY": self.admin_key,
            "OUTLAY_SHUTDOWN_DELAY_SECONDS": "0",
            # The demo's receiver is on this machine and has no certificate.
            "OUTLAY_WEBHOOK_ALLOW_INSECURE": "true",
        }
        self.uses_postgres = environment.get("OUTLAY_DATABASE_URL", "").startswith("postgres")
        if self.uses_postgres:
            self._environment |= {"OUTLAY_DATABASE_URL": environment["OUTLAY_DATABASE_URL"], "OUTLAY_MIGRATE": "true"}
        self._process: asyncio.subprocess.Process | None = None

    @property
    def grpc_address(self) -> str:
        """`127.0.0.1:PORT`."""
        return self._addresses["gRPC"]

    @property
    def http_url(self) -> str:
        """`http://127.0.0.1:PORT`, without a slash at the end."""
        return f"http://{self._addresses['HTTP']}"

    async def start(self) -> None:
        """Start it and return when it has said `ready`. Raises `CommandFailed` with the end of its log."""
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "outlay_cli",
                "serve",
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                env=self._environment | self._address_variables(),
                # Ctrl-C on the terminal is the demo's: it ends the server in its own time.
                start_new_session=True,
            )
        try:
            async with asyncio.timeout(START_TIMEOUT_SECONDS):
                await self._read_until_ready(self._process)
        except TimeoutError as error:
            raise CommandFailed(f"The server was not ready in {START_TIMEOUT_SECONDS:g} s.\n{self._tail()}") from error

    async def kill(self) -> None:
        """SIGKILL: no handler runs, nothing is flushed."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()

    async def stop(self) -> None:
        """End it in good order, and by force where that takes too long. Safe to call twice."""
        if self._process is None or self._process.returncode is not None:
            return
        self._process.terminate()
        try:
            async with asyncio.timeout(STOP_TIMEOUT_SECONDS):
                await self._process.wait()
        except TimeoutError:
            await self.kill()

    async def wait(self) -> None:
        """Return when it has ended by itself."""
        assert self._process is not None, "it was started"
        await self._process.wait()

    def _address_variables(self) -> dict[str, str]:
        return {f"OUTLAY_{name.upper()}_ADDRESS": address for name, address in self._addresses.items()}

    async def _read_until_ready(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None, "it is a pipe"
        while line := (await process.stdout.readline()).decode(errors="replace").strip():
            if line == "ready":
                return
            what, _, address = line.partition(" ")
            if what in self._addresses:
                self._addresses[what] = address.removeprefix("http://").removesuffix("/metrics")
        raise CommandFailed(f"The server did not start.\n{self._tail()}")

    def _tail(self) -> str:
        return self._log.read_text(errors="replace")[-_LOG_TAIL_CHARACTERS:].strip()
