"""Forgetting request ids after their retention, beside the calls and in small bites."""

import asyncio
import logging
from typing import Final

from outlay_server.domain.errors import OutlayError
from outlay_server.domain.instant import MICROS_PER_SECOND, Instant
from outlay_server.store import request_ids
from outlay_server.store.contract import ControlTransaction, Store

logger = logging.getLogger(__name__)

PAGE_PAUSE_SECONDS: Final = 0.2
"""5,000 rows a second are looked at: every row of a billion once in two and a half days."""

PASS_PAUSE_SECONDS: Final = 600.0
"""After the table's end."""

SECONDS_PER_DAY: Final = 86_400


class RequestIdPruning:
    """Walks all request ids, again and again. Replicas each walk: what one has deleted the others do not find."""

    def __init__(self, store: Store, retention_days: float) -> None:
        self._store = store
        self._retention_micros = round(retention_days * SECONDS_PER_DAY * MICROS_PER_SECOND)
        self._after = request_ids.BEFORE_ALL

    async def run(self) -> None:
        """Prune for ever."""
        while True:
            at_end = False
            try:
                at_end = await self.step()
            except OutlayError as error:
                logger.debug("pruned in vain", extra={"reason": error.reason.value})
            except Exception:
                logger.exception("the pruning of request ids failed")
                at_end = True
            await asyncio.sleep(PASS_PAUSE_SECONDS if at_end else PAGE_PAUSE_SECONDS)

    async def step(self) -> bool:
        """Look at one page, delete what is too old on it, and say whether the table ended with it."""
        cutoff = Instant(await self._store.now() - self._retention_micros)
        after = self._after
        last, old = await self._store.read(lambda connection: request_ids.page_after(connection, after, cutoff))

        def forget(transaction: ControlTransaction) -> None:
            request_ids.forget(transaction.connection, old, cutoff)

        if old:
            await self._store.change(forget)
        self._after = request_ids.BEFORE_ALL if last is None else last
        return last is None
