"""What goes on beside the calls: watching the storage, and settling reservations whose time has passed."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Coroutine
from typing import Final

from outlay_server.domain.commands import SettleExpired
from outlay_server.domain.errors import OutlayError
from outlay_server.ledger import Ledger
from outlay_server.store import reads
from outlay_server.store.contract import Store

logger = logging.getLogger(__name__)

PING_SECONDS: Final = 0.5
"""While the storage answers."""

PING_AGAIN_SECONDS: Final = 0.2
"""While it does not: serving again within a second of its return is promised."""

PING_TIMEOUT_SECONDS: Final = 2.0
"""Storage that takes longer is down for every caller whose deadline is the usual one."""

SWEEP_SECONDS: Final = 1.0
SWEEP_ORGANIZATIONS_MAX: Final = 200
"""Settled in one go; the next sweep finds the rest."""


class StorageWatch:
    """Asks the store whether it answers, and tells of every change."""

    def __init__(self, store: Store, tell: Callable[[bool], None]) -> None:
        self._store = store
        self._tell = tell
        self._answers: bool | None = None

    async def run(self) -> None:
        """Ask for ever."""
        while True:
            await self.ask()
            await asyncio.sleep(PING_SECONDS if self._answers else PING_AGAIN_SECONDS)

    async def ask(self) -> None:
        """Ask once."""
        started = time.monotonic()
        try:
            async with asyncio.timeout(PING_TIMEOUT_SECONDS):
                await self._store.ping()
        except (OutlayError, TimeoutError) as error:
            self._note(False, type(error).__name__, time.monotonic() - started)
        except Exception:
            logger.exception("the storage could not be asked")
            self._note(False, "defect", time.monotonic() - started)
        else:
            self._note(True, "", time.monotonic() - started)

    def _note(self, answers: bool, error: str, seconds: float) -> None:
        if answers == self._answers:
            return
        first, self._answers = self._answers is None, answers
        self._tell(answers)
        if not answers:
            logger.error("storage is down", extra={"error": error, "seconds": round(seconds, 3)})
        elif not first:
            logger.warning("storage answers again")


class Sweep:
    """Has expired reservations written down where no decision meets them, so that alerts and readers see them.

    Nothing depends on it for correctness: a decision settles what it meets.
    """

    def __init__(self, store: Store, ledger: Ledger) -> None:
        self._store = store
        self._ledger = ledger

    async def run(self) -> None:
        """Sweep for ever."""
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            try:
                await self.sweep()
            except OutlayError as error:
                logger.debug("swept in vain", extra={"reason": error.reason.value})
            except Exception:
                logger.exception("the sweep failed")

    async def sweep(self) -> None:
        """Sweep once."""
        now = await self._store.now()
        due = await self._store.read(
            lambda connection: reads.organizations_with_expired(connection, now, SWEEP_ORGANIZATIONS_MAX)
        )
        for organization_id in due:
            await self._ledger.submit(SettleExpired(organization_id))


class Background:
    """Tasks that run until they are stopped."""

    def __init__(self) -> None:
        self._tasks: list[asyncio.Task[None]] = []

    def start(self, name: str, work: Coroutine[None, None, None]) -> None:
        self._tasks.append(asyncio.create_task(work, name=f"outlay-{name}"))

    async def stop(self) -> None:
        """Cancel them and wait until they have ended."""
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task
        self._tasks.clear()
