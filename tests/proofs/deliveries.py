"""Crossings under kill -9, and every event of them at a receiver that fails three times in ten.

    PYTHONPATH=tests .venv/bin/python -m proofs.deliveries --events 10000

Spend crosses so many alert thresholds, one record each, while the server gets SIGKILL again and again; callers repeat
what was not answered. Then there must be one alert row for each crossing and one event that names it. All the while the
server sends the events as signed webhooks to a receiver that fails 30 % of the time in every way there is. What is left
when the callers are done is delivered by the same code in this process, on a clock that jumps to the next attempt, so
that three days of retries take minutes. Then every event must have been accepted, under its own id, with a signature
that the `standardwebhooks` package verifies.
"""

import argparse
import asyncio
import json
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import grpc
from sqlalchemy import Connection, func, select

from delivery.outbox import work, worker_of
from delivery.receiver import Behaviour, Receiver, receiving
from outlay.v1 import admin_service_pb2 as admin_pb
from outlay.v1 import budget_pb2, webhook_endpoint_pb2
from outlay_server.domain.event import EventType
from outlay_server.domain.instant import MICROS_PER_SECOND, Instant
from outlay_server.domain.webhook import DeliveryState
from outlay_server.store import tables
from outlay_server.store.contract import Store
from outlay_server.store.ids import wall_clock
from outlay_server.store.sqlite import SqliteStore
from support.server import ServerProcess
from support.snapshot import all_of
from support.tenants import Tenant, new_tenant
from support.wire import AsyncCaller, Caller, Failure

THRESHOLDS_PERCENT: Final = tuple(range(10, 101, 10))
BUDGETS_PER_ORGANIZATION: Final = 50
CALLERS: Final = 32
UNIT: Final = 1_000_000
FAILING_SHARE: Final = 0.3
FAILURES: Final = (
    "500",
    "hang",
    "reset",
    "301 Location: /elsewhere",
    "429 Retry-After: 2",
    "503 Retry-After: 2",
    "cut",
    "garbage",
    "slow 500",
)
SLOW_BODY_SHARE: Final = 0.02
"""Accepted, with a body that never ends."""

EARLIEST_KILL_SECONDS: Final = 0.5
LATEST_KILL_SECONDS: Final = 2.5
HANG_SECONDS: Final = 1.0
"""What an attempt may take in this process; the server's own limit is 15 s."""


@dataclass(slots=True)
class Figures:
    """What a run found."""

    crossings: int = 0
    kills: int = 0
    missing: list[str] = field(default_factory=list)
    """Crossings without their alert row, and alert rows that no event names."""
    doubled: list[str] = field(default_factory=list)
    events: int = 0
    attempts: int = 0
    failed_by_us: int = 0
    lost: list[str] = field(default_factory=list)
    """Events that no receiver accepted, and deliveries that are not DELIVERED."""
    unverified: int = 0
    sent_again: int = 0
    """Events that were accepted more than once: at least once is what is promised."""

    @property
    def is_clean(self) -> bool:
        return not (self.missing or self.doubled or self.lost or self.unverified)

    def summary(self) -> str:
        verified = 100.0 * (self.attempts - self.unverified) / self.attempts if self.attempts else 0.0
        return (
            f"{self.crossings} crossings under {self.kills} kills: {len(self.missing)} missing, "
            f"{len(self.doubled)} doubled; {self.events} events in {self.attempts} attempts of which the receiver "
            f"failed {self.failed_by_us}: {len(self.lost)} lost, {self.sent_again} accepted more than once, "
            f"{verified:g} % verified"
        )


class JumpingClock:
    """The world's time and what was skipped of it."""

    def __init__(self) -> None:
        self._skipped = 0

    def __call__(self) -> Instant:
        return Instant(wall_clock() + self._skipped)

    def jump_to(self, instant: Instant) -> None:
        self._skipped = max(self._skipped, instant - wall_clock())


async def run(folder: Path, crossings: int, seed: int, *, tell: Callable[[str], None] = lambda line: None) -> Figures:
    """So many crossings, and their events."""
    chance, figures = random.Random(seed), Figures()
    environment = {"OUTLAY_WEBHOOK_ALLOW_INSECURE": "true"}
    async with receiving(_failing(chance)) as receiver:
        with ServerProcess(folder, environment=environment) as server:
            admin = await asyncio.to_thread(Caller, server.grpc_address, server.admin_key)
            tenants, secrets = await asyncio.to_thread(_prepare, admin, receiver, crossings)
            receiver.secrets = secrets
            tell(f"{len(tenants)} organizations are ready")
            await _cross(server, tenants, figures, chance)
            tell(f"recorded under {figures.kills} kills; {len(receiver.received)} attempts so far")
            await asyncio.to_thread(_audit_alerts, admin, tenants, figures)
            admin.close()
        await _deliver_the_rest(folder / "outlay.db", figures, tell)
        _audit_deliveries(receiver, figures)
    return figures


def _failing(chance: random.Random) -> Callable[[int, str], Behaviour]:
    def behaviour(_number: int, _path: str) -> Behaviour:
        if chance.random() < FAILING_SHARE:
            return chance.choice(FAILURES)
        return "slow body" if chance.random() < SLOW_BODY_SHARE else "200"

    return behaviour


def _prepare(admin: Caller, receiver: Receiver, crossings: int) -> tuple[list[tuple[Tenant, int]], dict[str, str]]:
    """Organizations with so many budgets each, and the secret of each one's endpoint, by its path."""
    left, tenants, secrets = crossings // len(THRESHOLDS_PERCENT), [], {}
    while left > 0:
        tenant, budgets = new_tenant(admin, "crossing"), min(left, BUDGETS_PER_ORGANIZATION)
        for number in range(budgets):
            tenant.create_budget(
                f"job-{number}",
                unit="USD",
                selector={"job": str(number)},
                budget_micros=len(THRESHOLDS_PERCENT) * UNIT,
                alert_thresholds=budget_pb2.AlertThresholds(percents=THRESHOLDS_PERCENT),
            )
        path = f"/{tenant.organization_id}"
        hook = webhook_endpoint_pb2.WebhookEndpoint(uri=receiver.url(path), event_types=[EventType.ALERT_CROSSED.value])
        request = admin_pb.CreateWebhookEndpointRequest(
            parent=tenant.name, webhook_endpoint_id="hook", webhook_endpoint=hook
        )
        secrets[path] = admin.call("CreateWebhookEndpoint", request).secret
        tenants.append((tenant, budgets))
        left -= budgets
    return tenants, secrets


# Crossings


async def _cross(
    server: ServerProcess, tenants: list[tuple[Tenant, int]], figures: Figures, chance: random.Random
) -> None:
    """Every caller records its share, again until it is answered, while the server is killed and started again."""
    requests = [
        tenant.record(UNIT, labels={"job": str(number)}, request_id=f"{number}-{step}")
        for step in range(len(THRESHOLDS_PERCENT))
        for tenant, budgets in tenants
        for number in range(budgets)
    ]
    figures.crossings = len(requests)
    queue = iter(requests)
    async with AsyncCaller(server.grpc_address, server.admin_key) as caller:
        recording = [asyncio.create_task(_record_all(caller, queue)) for _ in range(CALLERS)]
        everything = asyncio.gather(*recording)
        while not everything.done():
            await asyncio.wait([everything], timeout=chance.uniform(EARLIEST_KILL_SECONDS, LATEST_KILL_SECONDS))
            if figures.kills and everything.done():
                break
            await asyncio.to_thread(server.kill9)
            figures.kills += 1
            await asyncio.to_thread(server.start)
        await everything


async def _record_all(caller: AsyncCaller, queue: Any) -> None:
    for request in queue:
        while True:
            try:
                await caller.call("RecordSpend", request)
                break
            except Failure as failure:
                if failure.code not in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
                    raise
                await asyncio.sleep(0.05)


def _audit_alerts(admin: Caller, tenants: list[tuple[Tenant, int]], figures: Figures) -> None:
    for tenant, budgets in tenants:
        found = Counter(
            (alert.budget, alert.threshold_percent)
            for alert in all_of(admin, "ListAlerts", admin_pb.ListAlertsRequest(parent=tenant.name), "alerts")
        )
        expected = {
            (tenant.child("budgets", f"job-{number}"), percent)
            for number in range(budgets)
            for percent in THRESHOLDS_PERCENT
        }
        figures.missing += [f"no alert: {one}" for one in sorted(expected - found.keys())]
        figures.doubled += [f"{count} alerts: {one}" for one, count in found.items() if count > 1]


# Deliveries


async def _deliver_the_rest(database: Path, figures: Figures, tell: Callable[[str], None]) -> None:
    clock = JumpingClock()
    store = SqliteStore(database, clock=clock)
    await store.open()
    try:
        async with worker_of(store, attempt_seconds=HANG_SECONDS) as worker:
            while True:
                await work(worker)
                waiting, due = await store.read(_waiting)
                tell(f"{waiting} wait to be tried again")
                if waiting == 0:
                    break
                clock.jump_to(Instant(due + MICROS_PER_SECOND))
        await _audit_store(store, figures)
    finally:
        await store.close()


def _waiting(connection: Connection) -> tuple[int, int]:
    """How many deliveries wait, and when the last of them will be due."""
    table = tables.deliveries
    waiting = table.c.state == DeliveryState.WAITING.value
    count, latest = connection.execute(select(func.count(), func.max(table.c.due_time)).where(waiting)).one()
    return count, latest or 0


async def _audit_store(store: Store, figures: Figures) -> None:
    def read(connection: Connection) -> tuple[list[str], list[str], list[tuple[str, str, int]]]:
        events, deliveries = tables.events, tables.deliveries
        crossed = events.c.event_type == EventType.ALERT_CROSSED.value
        payloads = connection.execute(select(events.c.payload).where(crossed)).scalars().all()
        alerts = connection.execute(select(tables.alerts.c.id)).scalars().all()
        states = connection.execute(select(deliveries.c.event_id, deliveries.c.state, deliveries.c.attempts)).all()
        return list(payloads), list(alerts), [(one[0], one[1], one[2]) for one in states]

    payloads, alerts, deliveries = await store.read(read)
    named = Counter(name.rpartition("/")[2] for one in payloads for name in json.loads(one)["data"]["alerts"])
    figures.events = len(payloads)
    figures.missing += [f"no event names alert {alert}" for alert in alerts if named[alert] == 0]
    figures.doubled += [f"{count} events name alert {alert}" for alert, count in named.items() if count > 1]
    if len(deliveries) != len(payloads):
        figures.lost.append(f"{len(payloads)} events have {len(deliveries)} deliveries")
    delivered = DeliveryState.DELIVERED.value
    figures.lost += [f"{event_id} is {state}" for event_id, state, _ in deliveries if state != delivered]


def _audit_deliveries(receiver: Receiver, figures: Figures) -> None:
    """The receiver's own journal: what it accepted, and whether it was genuine."""
    figures.attempts = len(receiver.received)
    figures.failed_by_us = sum(one.behaviour in FAILURES for one in receiver.received)
    figures.unverified = len(receiver.received) - receiver.genuine
    accepted = Counter(one.message_id for one in receiver.received if one.behaviour in ("200", "slow body"))
    figures.sent_again = sum(count > 1 for count in accepted.values())
    if len(accepted) != figures.events:
        figures.lost.append(f"{figures.events} events, and {len(accepted)} were accepted")


def main() -> int:
    """Run it, and tell what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=10_000, help="crossings, and so events; a multiple of ten")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="outlay-deliveries-") as folder:
        figures = asyncio.run(
            run(Path(folder), options.events, options.seed, tell=lambda line: print(line, flush=True))
        )
    print(f"{figures.summary()}; {time.monotonic() - started:.0f} s")
    for problem in (*figures.missing, *figures.doubled, *figures.lost)[:20]:
        print(problem)
    return 0 if figures.is_clean else 1


if __name__ == "__main__":
    sys.exit(main())
