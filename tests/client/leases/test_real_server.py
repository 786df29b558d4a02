"""Leases against the real server, on each store: the books are exact, and no crash breaks the cap."""

import asyncio
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc

from outlay.v1 import budget_pb2, spend_record_pb2
from outlay.v1 import budget_service_pb2 as pb
from outlay_client.leases import (
    CHANNEL_OPTIONS,
    AsyncGrpcLeaseTransport,
    AsyncLease,
    GrpcLeaseTransport,
    LeaseOptions,
    Reserve,
    ThreadLease,
)
from support import reaper
from support.server import ServerProcess
from support.snapshot import all_of
from support.tenants import Tenant, new_tenant
from support.wire import Caller

CAP_MICROS = 5_000_000
OPTIONS: dict[str, Any] = {"unit": "USD", "max_slice_micros": 400_000, "min_slice_micros": 50_000}
HOLDER = Path(__file__).with_name("holder.py")
WAIT_SECONDS = 20.0


@contextmanager
def leased(server: ServerProcess, key: str, **options: Any) -> Iterator[ThreadLease]:
    with (
        grpc.insecure_channel(server.grpc_address, options=CHANNEL_OPTIONS) as channel,
        ThreadLease(GrpcLeaseTransport(channel, key), LeaseOptions(**{**OPTIONS, **options})) as lease,
    ):
        yield lease


def books(tenant: Tenant) -> tuple[int, int]:
    """What is spent and what is held."""
    spend = tenant.budget().spend
    return spend.spent_micros, spend.reserved_micros


def records(tenant: Tenant) -> list[spend_record_pb2.SpendRecord]:
    request = pb.ListSpendRecordsRequest(parent=tenant.name)
    return all_of(tenant.admin, "ListSpendRecords", request, "spend_records")


def until(condition: Callable[[], bool]) -> None:
    ends_at = time.monotonic() + WAIT_SECONDS
    while not condition():
        assert time.monotonic() < ends_at, "it did not happen in time"
        time.sleep(0.01)


def spend_all(lease: ThreadLease, amount_micros: int) -> int:
    """Admit until the server says that the cap is reached, and nothing is left; what was admitted."""
    admitted = 0
    ends_at = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < ends_at:
        if lease.admit(amount_micros):
            admitted += amount_micros
        elif lease.state.last_denial is not None and lease.state.left_micros < amount_micros:
            return admitted
        else:
            time.sleep(0.001)
    raise AssertionError(f"the cap was not reached: {lease.state}")


def test_many_threads_spend_the_cap_to_the_last_and_the_books_are_exact(
    shared_server: ServerProcess, tenant: Tenant, key: str
) -> None:
    """With work of known cost, labelled work, and work that costs less than was admitted."""
    tenant.cap(CAP_MICROS)
    totals: list[int] = []
    with leased(shared_server, key, labels={"team": "search"}) as lease:

        def work(number: int) -> None:
            total = 0
            for turn in range(600):
                if lease.admit(300 + number):
                    total += 300 + number
                if lease.admit(200, {"model": f"m{turn % 3}"}):
                    total += 200
                if (admission := lease.hold(900)) is not None:
                    admission.settle(turn)
                    total += turn
                if turn % 50 == 0:
                    time.sleep(0.005)
            totals.append(total)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        totals.append(spend_all(lease, 1_000))
        spent, held = books(tenant)
        assert sum(totals) <= spent + held <= CAP_MICROS
    assert books(tenant) == (sum(totals), 0)
    assert sum(totals) > CAP_MICROS - 1_000
    written = records(tenant)
    assert len(written) < sum(totals) / 300 / 10, "admissions are reported together"
    assert {one.labels["team"] for one in written} == {"search"}
    assert {one.labels["model"] for one in written} == {"", "m0", "m1", "m2"}
    assert sum(one.overrun_micros for one in written) == 0


async def test_two_holders_in_asyncio_never_exceed_one_cap(
    shared_server: ServerProcess, tenant: Tenant, key: str
) -> None:
    tenant.cap(CAP_MICROS)

    async def spend(lease: AsyncLease) -> int:
        admitted = 0
        while lease.state.last_denial is None or lease.state.left_micros >= 1_000:
            admitted += 1_000 * lease.admit(1_000)
            await asyncio.sleep(0)
        return admitted

    async with (
        grpc.aio.insecure_channel(shared_server.grpc_address) as channel,
        AsyncLease(AsyncGrpcLeaseTransport(channel, key), LeaseOptions(**OPTIONS)) as first,
        AsyncLease(AsyncGrpcLeaseTransport(channel, key), LeaseOptions(**OPTIONS)) as second,
    ):
        async with asyncio.timeout(WAIT_SECONDS):
            admitted = await asyncio.gather(spend(first), spend(second))
    assert books(tenant) == (sum(admitted), 0)
    assert 0 < sum(admitted) <= CAP_MICROS
    assert min(admitted) > 0


def test_a_slice_knows_when_the_first_of_its_cycles_ends(
    shared_server: ServerProcess, tenant: Tenant, key: str
) -> None:
    """To the moment: of a month and a day that count it, the day."""
    day = budget_pb2.Cycle(period=budget_pb2.PERIOD_DAY)
    daily = tenant.create_budget("daily", unit="USD", cycle=day).spend
    request = Reserve("a-slice", "USD", (), 1_000, 60.0, record_on_expiry=True)
    with grpc.insecure_channel(shared_server.grpc_address) as channel:
        grant = GrpcLeaseTransport(channel, key).reserve(request)
    assert grant.cycle_seconds is not None
    assert abs(time.time() + grant.cycle_seconds - daily.cycle_end.ToSeconds()) < 5


def test_a_platform_key_names_the_organization(shared_server: ServerProcess, tenant: Tenant) -> None:
    with grpc.insecure_channel(shared_server.grpc_address) as channel:
        transport = GrpcLeaseTransport(channel, shared_server.admin_key, organization=tenant.name)
        with ThreadLease(transport, LeaseOptions(**OPTIONS)) as lease:
            assert lease.admit(1_000) is True
    assert books(tenant) == (1_000, 0)


def test_a_holder_without_the_scopes_admits_nothing(shared_server: ServerProcess, tenant: Tenant) -> None:
    with leased(shared_server, tenant.key(["budgets:read"]).secret) as lease:
        assert lease.admit(1) is False
        error = lease.state.last_error
        assert error is not None
        assert (error.code, error.reason) == ("PERMISSION_DENIED", "MISSING_SCOPE")


def test_a_lease_goes_on_with_a_new_reservation_when_its_own_was_settled_by_another(
    shared_server: ServerProcess, tenant: Tenant, key: str
) -> None:
    """And what it had admitted and not reported is recorded without a reservation: the money is gone."""
    with leased(shared_server, key, draw_interval_seconds=1.0) as lease:
        time.sleep(0.05)
        assert lease.admit(1_000)
        request = pb.ListReservationsRequest(parent=tenant.name)
        (taken,) = tenant.admin.call("ListReservations", request).reservations
        tenant.admin.call("RecordSpend", tenant.record(5, reservation=taken.name))
        admitted = 1_000
        for _ in range(2):
            until(lambda: lease.admit(49_000))
            admitted += 49_000
        until(lambda: lease.state.unreported_micros == 0)
    assert books(tenant) == (admitted + 5, 0)


# --- crashes ----------------------------------------------------------------------------------------------------------


@contextmanager
def holder(server: ServerProcess, key: str, journal: Path, **options: Any) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, HOLDER, server.grpc_address, journal, json.dumps({**OPTIONS, **options})]
    process = subprocess.Popen(command, env={**os.environ, "OUTLAY_API_KEY": key}, start_new_session=True)
    reaper.watch_group(process.pid)
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        reaper.forget_group(process.pid)


def journaled(*journals: Path) -> int:
    """What was admitted, by the callers' own account. The last line may have been cut off: it is not counted."""
    total = 0
    for journal in journals:
        lines = journal.read_bytes().split(b"\n") if journal.exists() else []
        total += sum(int(line) for line in lines[:-1])
    return total


def test_what_two_killed_holders_admitted_is_spent_or_held_and_counted_at_expiry(
    shared_server: ServerProcess, tenant: Tenant, key: str, tmp_path: Path
) -> None:
    """SIGKILL under way. At any moment, and after expiry, the books have all that was admitted and stay below the cap.

    After expiry nothing is held: what the slices still held is recorded.
    """
    tenant.cap(CAP_MICROS)
    journals = tmp_path / "first", tmp_path / "second"
    options = {"ttl_seconds": 1.5, "max_slice_micros": 100_000}
    with (
        holder(shared_server, key, journals[0], **options) as first,
        holder(shared_server, key, journals[1], **options) as second,
    ):
        until(lambda: min(journaled(one) for one in journals) > 200_000)
        first.kill()
        second.kill()
        first.wait()
        second.wait()
    admitted = journaled(*journals)
    spent, held = books(tenant)
    assert admitted <= spent + held <= CAP_MICROS
    until(lambda: books(tenant)[1] == 0)
    spent, _ = books(tenant)
    assert admitted <= spent <= CAP_MICROS
    assert spent - admitted <= 2 * (100_000 + 200), "a crash costs no more than the largest slice"


def test_leases_outlive_a_server_that_is_killed(server: ServerProcess) -> None:
    """SIGKILL of the server under way: admission goes on from the slice, and the books are exact in the end."""
    tenant = new_tenant(Caller(server.grpc_address, server.admin_key), "lease")
    tenant.cap(1_500_000)
    key = tenant.key(["spend:check", "spend:record"]).secret
    admitted = 0
    with (
        leased(server, key, min_slice_micros=200_000) as first,
        leased(server, key, min_slice_micros=200_000) as second,
    ):
        for lease in (first, second):
            until(lambda lease=lease: lease.state.left_micros >= 200_000)  # type: ignore[misc]
            admitted += 150_000 * lease.admit(150_000)
        server.kill9()
        while_down = sum(lease.admit(10_000) for lease in (first, second))
        assert while_down == 2, "what is held is admitted without a server"
        admitted += 20_000
        for lease in (first, second):
            while lease.admit(10_000):
                admitted += 10_000
            assert lease.state.left_micros < 10_000
        server.restart()
        admitted += spend_all(first, 10_000)
        admitted += spend_all(second, 10_000)
        spent, held = books(tenant)
        assert admitted <= spent + held <= 1_500_000
    assert books(tenant) == (admitted, 0)
