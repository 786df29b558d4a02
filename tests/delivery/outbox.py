"""The outbox of a store for the tests: endpoints, events, workers, and what became of deliveries."""

import asyncio
import contextlib
import itertools
import json
from collections.abc import AsyncIterator
from typing import Any

from sqlalchemy import Connection, select

from delivery.senders import SECRET, sending
from ledger.stores import PLATFORM, set_budget
from outlay_server.control import webhook_endpoints
from outlay_server.control.webhook_endpoints import Secret, disable_by_server
from outlay_server.delivery import DeliveryWorker, Sender
from outlay_server.domain.destination import DestinationRules
from outlay_server.domain.webhook import ENDPOINT_PATHS, Delivery, Endpoint, EndpointSettings, RetryPolicy
from outlay_server.store import tables, webhook_rows
from outlay_server.store.contract import Store
from outlay_server.store.sealing import PlainSealer

RULES = DestinationRules(allow_insecure=True, mail=True)
_numbers = itertools.count(1)


class Counts:
    """An observer that remembers."""

    def __init__(self) -> None:
        self.results: list[str] = []

    def delivery_attempted(self, result: str) -> None:
        self.results.append(result)


async def endpoint(store: Store, uri: str, endpoint_id: str = "hooks", **settings: Any) -> Endpoint:
    """A new endpoint of `acme`, which signs with `SECRET`."""
    secret = Secret(PlainSealer().seal(SECRET), is_given=False)
    wanted = EndpointSettings(uri=uri, **settings)
    written = await store.change(
        lambda tx: webhook_endpoints.create(tx, PLATFORM, "acme", endpoint_id, wanted, secret, RULES)
    )
    return written.endpoint


async def change_endpoint(store: Store, endpoint_id: str = "hooks", **settings: Any) -> Endpoint:
    """Update the settings that are named, and only those."""
    assert settings.keys() <= ENDPOINT_PATHS
    secret = Secret(PlainSealer().seal(SECRET), is_given=False)
    wanted, paths = EndpointSettings(**settings), frozenset(settings)
    written = await store.change(
        lambda tx: webhook_endpoints.update(tx, PLATFORM, "acme", endpoint_id, wanted, paths, secret, RULES)
    )
    return written.endpoint


async def found_endpoint(store: Store, endpoint_id: str = "hooks") -> Endpoint:
    return await store.read(lambda connection: webhook_rows.endpoint(connection, "acme", endpoint_id))


async def happen(store: Store, count: int = 1) -> None:
    """So many events: each is a change of a budget's name."""
    for _ in range(count):
        await set_budget(store, display_name=f"Number {next(_numbers)}")


async def events(store: Store) -> list[dict[str, Any]]:
    """The payloads of all events, oldest first."""

    def read(connection: Connection) -> list[str]:
        table = tables.events
        return list(connection.execute(select(table.c.payload).order_by(table.c.id)).scalars())

    return [json.loads(payload) for payload in await store.read(read)]


async def deliveries(store: Store, endpoint_id: str = "hooks") -> list[Delivery]:
    """Oldest event first."""
    found = await store.read(lambda c: webhook_rows.deliveries(c, "acme", endpoint_id, "", 100_000, None))
    return found[::-1]


async def states(store: Store, endpoint_id: str = "hooks") -> list[str]:
    return [found.state.value for found in await deliveries(store, endpoint_id)]


@contextlib.asynccontextmanager
async def worker_of(store: Store, sender: Sender | None = None, **options: Any) -> AsyncIterator[DeliveryWorker]:
    """A worker that does what it is told, round by round; not running."""
    async with contextlib.AsyncExitStack() as stack:
        sender = sender or await stack.enter_async_context(sending())
        yield DeliveryWorker(store, sender, disable_by_server, options.pop("observer", Counts()), **options)


@contextlib.asynccontextmanager
async def working(store: Store, **options: Any) -> AsyncIterator[DeliveryWorker]:
    """A worker that runs, and is stopped at the end of the block."""
    async with worker_of(store, **options) as worker:
        task = asyncio.create_task(worker.run())
        try:
            yield worker
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


async def work(worker: DeliveryWorker) -> None:
    """Rounds until nothing is left that is due."""
    while True:
        has_more = await worker.round()
        if worker._attempts:
            await asyncio.wait(list(worker._attempts))
        elif not has_more and not worker._results:
            return


async def all_delivered(store: Store, endpoint_id: str = "hooks", timeout_seconds: float = 30) -> None:
    """Wait until nothing is left to be delivered to an endpoint."""
    async with asyncio.timeout(timeout_seconds):
        while set(await states(store, endpoint_id)) != {"DELIVERED"}:  # noqa: ASYNC110  # nobody tells it
            await asyncio.sleep(0.05)


QUICK = RetryPolicy(delays_seconds=(0.05, 0.1, 0.2), give_up_seconds=60)
"""For what runs on the time of the world."""
