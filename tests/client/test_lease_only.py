"""While the service is away, work goes on as far as a lease reaches, and never over the cap."""

import asyncio
from collections.abc import Iterator
from typing import Any

import grpc
import pytest

from outlay_client import (
    AsyncClient,
    AsyncGrpcLeaseTransport,
    AsyncLease,
    Client,
    ExpiryAction,
    GrpcLeaseTransport,
    LeaseOnly,
    LeaseOptions,
    ThreadLease,
    Unavailable,
)
from outlay_client.leases import CHANNEL_OPTIONS
from support.server import ServerProcess
from support.tenants import Tenant, new_tenant
from support.wire import Caller

OPTIONS = LeaseOptions(unit="USD", max_slice_micros=1_000, min_slice_micros=1_000, labels={"team": "search"})
LABELS = {"team": "search"}


@pytest.fixture
def tenant(server: ServerProcess) -> Iterator[Tenant]:
    """An organization with a cap of 1,500 on a server of the test's own."""
    with Caller(server.grpc_address, server.admin_key) as admin:
        tenant = new_tenant(admin)
        tenant.cap(1_500)
        yield tenant


def spent(tenant: Tenant) -> tuple[int, int]:
    spend = tenant.budget().spend
    return spend.spent_micros, spend.reserved_micros


def refused(client: Client, amount_micros: int, **settings: Any) -> bool:
    """Whether work is not begun."""
    try:
        with client.spend(amount_micros, **{"labels": LABELS, **settings}):
            return False
    except Unavailable:
        return True


def test_an_outage_is_bridged_by_what_the_lease_holds(server: ServerProcess, tenant: Tenant) -> None:
    """Work that cost less gives back to the lease, failed work all; afterwards the books have what was recorded."""
    key = tenant.key(["spend:check", "spend:record"]).secret
    with grpc.insecure_channel(server.grpc_address, CHANNEL_OPTIONS) as channel:
        lease = ThreadLease(GrpcLeaseTransport(channel, key), OPTIONS).start()
        with Client(server.grpc_address, key, on_unavailable=LeaseOnly(lease), timeout_seconds=0.5) as client:
            with client.spend(100, labels=LABELS) as online:
                online.record(100)
            server.kill9()
            with client.spend(700, labels=LABELS) as offline:
                offline.record(600)
            with pytest.raises(RuntimeError), client.spend(400, labels=LABELS):
                raise RuntimeError
            with client.spend(900, labels=LABELS, min_amount_micros=400) as partly:
                partly.record(partly.granted_micros)
            others = [
                refused(client, 1),  # the lease is used up
                refused(client, 0, labels={}),
                refused(client, 0, unit="TOKENS"),
                refused(client, 0, expiry_action=ExpiryAction.RECORD),
            ]
            with pytest.raises(Unavailable):
                client.check(0, labels=LABELS)
            server.restart()
            lease.close(timeout_seconds=20)
    assert (online.check.offline, offline.check.offline, partly.granted_micros, others) == (
        False,
        True,
        400,
        [True] * 4,
    )
    assert spent(tenant) == (100 + 600 + 400, 0)


async def test_asyncio_is_bridged_likewise(server: ServerProcess, tenant: Tenant) -> None:
    key = tenant.key(["spend:check", "spend:record"]).secret
    async with grpc.aio.insecure_channel(server.grpc_address, CHANNEL_OPTIONS) as channel:
        lease = AsyncLease(AsyncGrpcLeaseTransport(channel, key), OPTIONS)
        await lease.start()
        async with AsyncClient(
            server.grpc_address, key, on_unavailable=LeaseOnly(lease), timeout_seconds=0.5
        ) as client:
            server.kill9()
            async with client.spend(1_000, labels=LABELS) as offline:
                offline.record(750)
            with pytest.raises(Unavailable):
                async with client.spend(251, labels=LABELS):
                    pass
            await asyncio.to_thread(server.restart)
            await lease.close(timeout_seconds=20)
    assert (offline.check.offline, spent(tenant)) == (True, (750, 0))
