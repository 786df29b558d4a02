"""Deletes what is older than the retention, a little at a time, beside the calls."""

import asyncio
import logging
from typing import Final

from outlay_server.domain.errors import OutlayError
from outlay_server.store import retention
from outlay_server.store.contract import Store

logger = logging.getLogger(__name__)

ROUND_SECONDS: Final = 3_600.0
"""Between the end of one round through all organizations and the next."""

FIRST_ROUND_SECONDS: Final = 60.0
"""After the start, which has other things to do."""

PAUSE_SECONDS: Final = 0.1
"""After each step that deleted something: checks go on between them."""

ORGANIZATIONS_AT_ONCE: Final = 200
"""Organizations whose names are read at a time."""


class Retention:
    """Rounds through all organizations. Replicas may go round at once: each step holds the organization's lock."""

    def __init__(self, store: Store, retention_seconds: int | None, *, pause_seconds: float = PAUSE_SECONDS) -> None:
        """`retention_seconds` None keeps everything for ever."""
        self._store = store
        self._retention_seconds = retention_seconds
        self._pause_seconds = pause_seconds

    async def run(self) -> None:
        """Go round for ever; ends at once where everything is kept."""
        if self._retention_seconds is None:
            return
        await asyncio.sleep(FIRST_ROUND_SECONDS)
        while True:
            try:
                deleted = await self.round()
            except OutlayError as error:
                logger.warning("pruning was put off", extra={"reason": error.reason.value})
            except Exception:
                logger.exception("pruning failed")
            else:
                logger.info("pruned", extra=deleted)
            await asyncio.sleep(ROUND_SECONDS)

    async def round(self) -> dict[str, int]:
        """Delete all that is due now; the answer is how many rows of each kind."""
        deleted = dict.fromkeys((stage.name for stage in retention.STAGES), 0)
        if self._retention_seconds is None:
            return deleted
        key = 0
        while found := await self._organizations_after(key):
            for organization in found:
                for stage in retention.STAGES:
                    deleted[stage.name] += await self._prune(organization, stage, self._retention_seconds)
            key = found[-1].key
        return deleted

    async def _organizations_after(self, key: int) -> list[retention.Organization]:
        return await self._store.read(
            lambda connection: retention.organizations_after(connection, key, ORGANIZATIONS_AT_ONCE)
        )

    async def _prune(self, organization: retention.Organization, stage: retention.Stage, seconds: int) -> int:
        """Delete what is due of one kind in one organization."""
        deleted, after = 0, _BEGINNING
        while True:
            step = await self._look(organization, stage, seconds, after)
            if step.deletable:
                step = await self._take(organization, stage, seconds, after)
                deleted += len(step.deletable)
                await asyncio.sleep(self._pause_seconds)
            if step.next is None:
                return deleted
            after = step.next

    async def _look(
        self, organization: retention.Organization, stage: retention.Stage, seconds: int, after: retention.Cursor
    ) -> retention.Step:
        now = await self._store.now()
        return await self._store.read(
            lambda connection: retention.look(connection, organization, stage, now, seconds, after)
        )

    async def _take(
        self, organization: retention.Organization, stage: retention.Stage, seconds: int, after: retention.Cursor
    ) -> retention.Step:
        return await self._store.change(
            lambda transaction: retention.prune(transaction, organization, stage, seconds, after)
        )


_BEGINNING: Final[retention.Cursor] = ()
