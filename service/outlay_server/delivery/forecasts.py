"""Looks every hour where budgets are heading, and has those told that will pass what they may spend."""

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from outlay_server.domain.errors import OutlayError
from outlay_server.domain.forecast import Forecast
from outlay_server.domain.instant import MICROS_PER_SECOND
from outlay_server.domain.views import BudgetView
from outlay_server.store import forecast_watch
from outlay_server.store.contract import ControlTransaction, Store

logger = logging.getLogger(__name__)

RUN_SECONDS: Final = 3_600
LOOK_SECONDS: Final = 60.0
"""How often a replica asks whether it is time. The first that asks runs, and the others find it begun."""

ORGANIZATIONS_AT_ONCE: Final = 100
ORGANIZATION_PAUSE_SECONDS: Final = 0.05
"""Forecasts read the days of every budget: callers' reads come between."""


class ForecastWatch:
    """One round through the organizations every hour, by one replica."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def run(self) -> None:
        """Look for ever."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                await self.run_if_due()
            except OutlayError as error:
                logger.debug("forecasts were not looked at", extra={"reason": error.reason.value})
            except Exception:
                logger.exception("looking at forecasts failed")

    async def run_if_due(self) -> int | None:
        """Run once, unless some replica has begun to within the hour; returns how many budgets were told of."""
        pause_micros = RUN_SECONDS * MICROS_PER_SECOND
        if not await self._store.change(lambda tx: forecast_watch.begin_run(tx.connection, tx.now, pause_micros)):
            return None
        told, after = 0, 0
        while page := await self._store.read(_page_after(after)):
            for key, organization_id in page:
                told += await self._look(key, organization_id)
                await asyncio.sleep(ORGANIZATION_PAUSE_SECONDS)
            after = page[-1][0]
        return told

    async def _look(self, organization_key: int, organization_id: str) -> int:
        now = await self._store.now()
        found = await self._store.read(
            lambda connection: forecast_watch.breaches(connection, organization_key, organization_id, now)
        )
        told = 0
        for view, forecast in found:
            told += await self._store.change(_telling(organization_key, view, forecast))
        return told


def _page_after(key: int) -> Callable[..., list[tuple[int, str]]]:
    return lambda connection: forecast_watch.organizations_that_ask(connection, key, ORGANIZATIONS_AT_ONCE)


def _telling(organization_key: int, view: BudgetView, forecast: Forecast) -> Callable[[ControlTransaction], bool]:
    return lambda tx: forecast_watch.tell(tx, organization_key, view, forecast)
