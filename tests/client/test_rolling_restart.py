"""Replicas behind one list of addresses are restarted one after another, and callers of the SDK notice nothing."""

import asyncio
from collections.abc import Callable

import pytest

from outlay_client import AsyncClient
from support.database_commands import migrate, verify
from support.postgres import PostgresServer
from support.replicas import Replicas, start_replicas
from support.server import ServerProcess
from support.tenants import new_tenant

CALLERS = 16


@pytest.fixture
def replicas(postgres_server: PostgresServer, start_server: Callable[..., ServerProcess]) -> Replicas:
    """Two on one PostgreSQL, of the test's own."""
    name = postgres_server.create_database()
    migrate(postgres_server.url(name))
    return start_replicas(start_server, postgres_server.url(name), 2)


async def test_a_rolling_restart_is_seen_by_no_caller(replicas: Replicas) -> None:
    """Under load: no call fails, each is counted once, and both processes end with 0."""
    with replicas.admin() as admin:
        tenant = new_tenant(admin)
        key = tenant.key(["spend:check", "spend:record"]).secret
        stop, done = asyncio.Event(), 0
        async with AsyncClient(",".join(replicas.addresses), key, coalesce=False, timeout_seconds=10) as client:

            async def work() -> None:
                nonlocal done
                while not stop.is_set():
                    async with client.spend(5) as spend:
                        spend.record(3)
                    done += 1

            working = [asyncio.create_task(work()) for _ in range(CALLERS)]
            statuses = []
            for server in replicas:
                await asyncio.sleep(0.5)
                statuses.append(await asyncio.to_thread(server.terminate))
                await asyncio.to_thread(server.restart)
            await asyncio.sleep(1.5)  # the channel has found the last one again
            stop.set()
            await asyncio.gather(*working)
        spend = tenant.budget().spend
        assert (statuses, spend.spent_micros, spend.reserved_micros) == ([0, 0], 3 * done, 0)
    assert verify(replicas.servers[0])
