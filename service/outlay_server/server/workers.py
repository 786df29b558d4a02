"""`outlay serve --workers N`: a parent that keeps N workers alive, which share its addresses.

Each worker is a whole service on the same PostgreSQL, as a replica is. The kernel spreads connections over them: the
gRPC address by SO_REUSEPORT, the HTTP address by one listening socket that all accept from. The parent answers no
calls; it starts workers, starts them again, shows their metrics together, and ends them.
"""

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
from dataclasses import dataclass, field
from typing import Final

from outlay_server.server.address import Address
from outlay_server.server.settings import Settings

logger = logging.getLogger(__name__)

BACKOFF_FIRST_SECONDS: Final = 0.1
BACKOFF_MAX_SECONDS: Final = 5.0
"""Before a worker that ended is started again: doubled each time, so that one that cannot start costs little."""

STEADY_SECONDS: Final = 30.0
"""A worker that lived so long starts without the waits that its predecessors had earned."""

KILL_AFTER_SECONDS: Final = 5.0
"""Beyond its own time to drain: a worker that has not ended by then never will."""

_METRICS_ADDRESS: Final = "127.0.0.1:0"
"""Of one worker: only the parent asks there."""


class WorkersFailed(Exception):
    """A worker ended before all were ready. It has said why on standard error."""


@dataclass(slots=True)
class Worker:
    """One place in the pool, and the process that has it."""

    number: int
    process: asyncio.subprocess.Process | None = None
    metrics_url: str | None = None
    """Where it shows its metrics and probes; None while it is not ready."""
    exit_status: int | None = None
    """Of the process that ended last."""
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    """Set by the first process that was ready, for good."""


class WorkerPool:
    """Processes that are started again when they end, until `stop`."""

    def __init__(
        self, settings: Settings, grpc_address: Address, http_listener: socket.socket, http_address: Address
    ) -> None:
        self._settings = settings
        self._grpc_address = grpc_address
        self._http_listener = http_listener
        self._http_address = http_address
        self._lifeline, self._lifeline_end = os.pipe()
        self.workers = tuple(Worker(number) for number in range(settings.workers))
        self.restarts = 0
        self._stopping = asyncio.Event()
        self._keepers: list[asyncio.Task[None]] = []
        self._failed = asyncio.Event()
        self._serving = False

    async def start(self) -> None:
        """Return when all are ready. Raises `WorkersFailed` where one ends before that; then the others are ended."""
        self._keepers = [asyncio.create_task(self._keep(worker)) for worker in self.workers]
        all_ready = asyncio.create_task(self._all_ready())
        failed = asyncio.create_task(self._failed.wait())
        await asyncio.wait([all_ready, failed], return_when=asyncio.FIRST_COMPLETED)
        for waiting in (all_ready, failed):
            waiting.cancel()
        if self._failed.is_set():
            await self.stop()
            raise WorkersFailed("a worker could not be started.")
        self._serving = True

    async def stop(self) -> None:
        """Ask all to drain, wait until they have, and kill those that do not."""
        self._stopping.set()
        self._signal_all(signal.SIGTERM)
        seconds = self._settings.shutdown_delay_seconds + self._settings.drain_seconds + KILL_AFTER_SECONDS
        _, late = await asyncio.wait(self._keepers, timeout=seconds)
        if late:
            logger.error("workers did not end and are killed", extra={"workers": len(late)})
            self._signal_all(signal.SIGKILL)
            await asyncio.wait(late)
        os.close(self._lifeline)
        os.close(self._lifeline_end)

    @property
    def ended_well(self) -> bool:
        """After `stop`: whether every worker ended by itself, with nothing left undone."""
        return all(worker.exit_status == 0 for worker in self.workers)

    async def _all_ready(self) -> None:
        for worker in self.workers:
            await worker.ready.wait()

    def _signal_all(self, number: signal.Signals) -> None:
        for worker in self.workers:
            if worker.process is not None:
                with contextlib.suppress(ProcessLookupError):
                    worker.process.send_signal(number)

    async def _keep(self, worker: Worker) -> None:
        loop, failures = asyncio.get_running_loop(), 0
        while not self._stopping.is_set():
            started = loop.time()
            await self._live(worker)
            if self._stopping.is_set():
                return
            if not self._serving:
                self._failed.set()
                return
            failures = 0 if loop.time() - started >= STEADY_SECONDS else failures + 1
            pause_seconds = min(BACKOFF_MAX_SECONDS, BACKOFF_FIRST_SECONDS * 2**failures)
            logger.error(
                "a worker ended and is started again",
                extra={"worker": worker.number, "status": worker.exit_status, "after_seconds": pause_seconds},
            )
            self.restarts += 1
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause_seconds):
                    await self._stopping.wait()

    async def _live(self, worker: Worker) -> None:
        """Start one process and return when it has ended."""
        fds = (self._http_listener.fileno(), self._lifeline)
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "outlay_server.server.worker",
            *map(str, fds),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            env=self._environment(),
            pass_fds=fds,
            # Ctrl-C reaches the whole group of a terminal: the parent passes it on, once.
            start_new_session=True,
        )
        worker.process = process
        if self._stopping.is_set():
            process.terminate()
        assert process.stdout is not None
        metrics_url = ""
        async for line in process.stdout:
            what, _, rest = line.decode(errors="replace").strip().partition(" ")
            if what == "metrics":
                metrics_url = rest
            elif what == "ready":
                worker.metrics_url = metrics_url
                worker.ready.set()
        worker.exit_status = await process.wait()
        worker.process = worker.metrics_url = None

    def _environment(self) -> dict[str, str]:
        return os.environ | {
            "OUTLAY_WORKERS": "1",
            "OUTLAY_GRPC_ADDRESS": str(self._grpc_address),
            "OUTLAY_HTTP_ADDRESS": str(self._http_address),
            "OUTLAY_METRICS_ADDRESS": _METRICS_ADDRESS,
        }
