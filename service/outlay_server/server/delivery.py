"""Delivery, made from the settings: who sends, by which rules, and what is counted of it."""

import asyncio
import logging
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from prometheus_client import Metric
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from outlay_server.api.webhook_methods import Webhooks
from outlay_server.control.webhook_endpoints import disable_by_server
from outlay_server.delivery import DeliveryWorker, ForecastWatch, Mailer, MailRelay, Poster, Sender
from outlay_server.delivery.addresses import SystemResolver
from outlay_server.domain.destination import DestinationRules
from outlay_server.domain.errors import OutlayError
from outlay_server.domain.instant import MICROS_PER_SECOND
from outlay_server.server.settings import Settings
from outlay_server.store import outbox
from outlay_server.store.contract import Store
from outlay_server.store.sealing import FernetSealer, PlainSealer, Sealer

logger = logging.getLogger(__name__)

BACKLOG_SECONDS: Final = 10.0
"""How old the gauges are at most: to count what waits reads all of it."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """All that delivers, as yet unstarted."""

    webhooks: Webhooks
    worker: DeliveryWorker
    forecasts: ForecastWatch
    metrics: "DeliveryMetrics"
    poster: Poster
    resolver: SystemResolver

    async def close(self) -> None:
        """Close what is open, after the worker has ended."""
        await self.poster.close()
        self.resolver.close()


def build_delivery(settings: Settings, store: Store, version: str) -> Delivery:
    """Return everything that delivers."""
    relay = create_relay(settings)
    rules = DestinationRules(
        allow_insecure=settings.webhook_allow_insecure,
        mail=relay is not None,
        mail_domains=settings.smtp_allowed_domains,
    )
    resolver = SystemResolver()
    poster = Poster(resolver, allow_private=settings.webhook_allow_insecure)
    sealer = create_sealer(settings)
    mailer = None if relay is None else Mailer(relay)
    sender = Sender(rules, sealer, poster, mailer, user_agent=f"Outlay/{version}")
    metrics = DeliveryMetrics(store)
    return Delivery(
        webhooks=Webhooks(rules, sealer, sender),
        worker=DeliveryWorker(store, sender, disable_by_server, metrics),
        forecasts=ForecastWatch(store),
        metrics=metrics,
        poster=poster,
        resolver=resolver,
    )


def create_sealer(settings: Settings) -> Sealer:
    """What keeps signing secrets in the database."""
    keys = settings.webhook_secret_keys
    return FernetSealer([key.get_secret_value() for key in keys]) if keys else PlainSealer()


def create_relay(settings: Settings) -> MailRelay | None:
    """Where mail is handed in; None where the settings name no relay."""
    if settings.smtp_host is None:
        return None
    assert settings.smtp_from is not None, "the settings are checked together"
    password = settings.smtp_password
    return MailRelay(
        host=settings.smtp_host,
        port=settings.smtp_port,
        tls=settings.smtp_tls,
        sender=settings.smtp_from,
        username=settings.smtp_username,
        password=None if password is None else password.get_secret_value(),
    )


class DeliveryMetrics(Collector):
    """Counts attempts, and looks at the backlog now and then."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._attempts = dict.fromkeys(("delivered", "failed", "dead"), 0)
        self._backlog = outbox.Backlog(0, 0, None)
        self._oldest_at = 0.0

    def delivery_attempted(self, result: str) -> None:
        self._attempts[result] += 1

    async def run(self) -> None:
        """Look for ever."""
        while True:
            try:
                await self.look()
            except OutlayError as error:
                logger.debug("the backlog was not counted", extra={"reason": error.reason.value})
            except Exception:
                logger.exception("counting the backlog failed")
            await asyncio.sleep(BACKLOG_SECONDS)

    async def look(self) -> None:
        """Look once."""
        now = await self._store.now()
        self._backlog = await self._store.read(outbox.backlog)
        oldest = self._backlog.oldest_create_time
        age_seconds = 0.0 if oldest is None else max(0, now - oldest) / MICROS_PER_SECOND
        self._oldest_at = 0.0 if oldest is None else time.monotonic() - age_seconds

    def collect(self) -> Iterable[Metric]:
        attempts = CounterMetricFamily(
            "outlay_delivery_attempts",
            "Attempts to deliver an event to a webhook endpoint: delivered, failed (to be repeated), dead (given up).",
            labels=("result",),
        )
        for result, count in self._attempts.items():
            attempts.add_metric((result,), count)
        yield attempts
        age_seconds = max(0.0, time.monotonic() - self._oldest_at) if self._oldest_at else 0.0
        yield GaugeMetricFamily(
            "outlay_events_new", "Events whose deliveries have not been written yet.", value=self._backlog.new_events
        )
        yield GaugeMetricFamily(
            "outlay_deliveries_waiting", "Deliveries that are to be tried, now or later.", value=self._backlog.waiting
        )
        yield GaugeMetricFamily(
            "outlay_delivery_oldest_seconds",
            "Age of the oldest event that is still to be delivered.",
            value=age_seconds,
        )
