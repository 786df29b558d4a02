"""Servers that die, replies that are lost, clients that are killed: one effect each, and no spend lost."""

import asyncio
import contextlib
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from client.books import USD, records, reservations, spent_and_held
from client.conftest import CLIENT_SCOPES
from outlay.v1 import budget_service_pb2 as pb
from outlay_client import AllowUpTo, AsyncClient, Client, ExpiryAction, Journal, Unavailable
from support.database_commands import verify
from support.reply_eater import ReplyEater
from support.server import ServerProcess
from support.tenants import Tenant, new_tenant
from support.wire import Caller

StartServer = Callable[..., ServerProcess]

WORKER = Path(__file__).with_name("worker.py")


@pytest.fixture
def server(start_server: StartServer) -> ServerProcess:
    """A server that may be killed. On the embedded store: what these tests kill and lose lies in front of it."""
    return start_server()


@pytest.fixture
def own(server: ServerProcess) -> Iterator[tuple[Tenant, str]]:
    """An organization on it, and a key of that."""
    with Caller(server.grpc_address, server.admin_key) as admin:
        tenant = new_tenant(admin)
        yield tenant, tenant.key(CLIENT_SCOPES).secret


def test_a_server_that_is_killed_under_settlements_has_each_of_them_once(
    backend: str, request: pytest.FixtureRequest, start_server: StartServer
) -> None:
    """Without a journal, on each store: callers wait while it is away, and repeat with the same request_id."""
    url = None if backend == "sqlite" else request.getfixturevalue("migrated_database_url")
    server = start_server(database_url=url)
    tenant = new_tenant(Caller(server.grpc_address, server.admin_key))
    key = tenant.key(CLIENT_SCOPES).secret
    stop = threading.Event()
    said: list[int] = []

    def work(first: int) -> None:
        with Client(server.grpc_address, key, settle_timeout_seconds=20) as client:
            number = first
            while not stop.is_set():
                said.append(client.record(number).amount_micros)
                number += 4

    workers = [threading.Thread(target=work, args=(first,)) for first in range(1, 5)]
    for worker in workers:
        worker.start()
    time.sleep(0.3)
    server.kill9()
    server.restart()
    time.sleep(0.5)
    stop.set()
    for worker in workers:
        worker.join()
    _wait_for(server, tenant)
    assert len(said) > 8
    assert spent_and_held(tenant) == (sum(said), 0)
    verify(server)


async def test_lost_requests_and_replies_are_repeated_with_one_effect(
    shared_server: ServerProcess, tenant: Tenant, key: str
) -> None:
    """Every fifth of both, and the connection with it."""
    chance = random.Random(7)
    asked = 15
    async with (
        ReplyEater(shared_server.grpc_address, lambda kind: chance.random() < 0.2) as proxy,
        AsyncClient(proxy.address, key, coalesce=False, settle_timeout_seconds=30, timeout_seconds=5) as client,
    ):
        checks: list[str] = []
        for number in range(asked):
            while True:
                with contextlib.suppress(Unavailable):
                    check = await client.check(100, request_id=f"check-{number}")
                    checks.append(check.reservation)
                    break
        for number, reservation in enumerate(checks):
            await client.record(number + 1, reservation=reservation)
        assert proxy.lost["reply"] > 0
    assert await asyncio.to_thread(reservations, tenant) == asked
    assert await asyncio.to_thread(records, tenant) == list(range(1, asked + 1))


def test_a_check_without_an_answer_is_an_error_and_may_be_asked_again(
    server: ServerProcess, own: tuple[Tenant, str]
) -> None:
    tenant, key = own
    with Client(server.grpc_address, key) as client:
        client.check(0)
        server.kill9()
        with pytest.raises(Unavailable) as away:
            client.check(USD, request_id="asked-twice")
        assert away.value.request_id == "asked-twice"
        server.restart()
        _wait_for(server, tenant)
        answers = [_until_it_answers(client, "asked-twice") for _ in range(2)]
        assert answers[0] == answers[1]
    assert spent_and_held(tenant) == (0, USD)


def test_a_settlement_that_cannot_be_delivered_is_raised_and_stays_held(
    server: ServerProcess, own: tuple[Tenant, str]
) -> None:
    tenant, key = own

    def work(client: Client) -> None:
        with client.spend(USD) as spend:
            server.kill9()
            spend.record(5)

    with Client(server.grpc_address, key, settle_timeout_seconds=0.2) as client:
        with pytest.raises(Unavailable) as away:
            work(client)
        server.restart()
        _wait_for(server, tenant)
        assert spent_and_held(tenant) == (0, USD)
        assert away.value.request_id


def test_a_killed_client_loses_nothing_that_was_acknowledged(
    server: ServerProcess, own: tuple[Tenant, str], tmp_path: Path
) -> None:
    """The server dies first, so what is acknowledged after that is in the journal only; then the client is killed."""
    tenant, key = own
    journal = tmp_path / "journal"
    said: list[int] = []
    for _ in range(2):
        command = [sys.executable, WORKER, server.grpc_address, key, journal]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as worker:
            assert worker.stdout is not None
            said.append(int(worker.stdout.readline()))
            server.kill9()
            said += [int(worker.stdout.readline()) for _ in range(3)]
            worker.send_signal(signal.SIGKILL)
            # Of a line that was cut, the digits would be another number.
            said += [int(line) for line in worker.stdout.read().splitlines(keepends=True) if line.endswith("\n")]
        server.restart()
    _wait_for(server, tenant)
    with Client(server.grpc_address, key, journal=journal) as client:
        assert client.flush(20)
    written = records(tenant)
    for amount in said:
        written.remove(amount)
    # What was killed between the record and its acknowledgement to the worker: at most one each time.
    assert len(written) <= 2
    verify(server)


async def test_a_journal_delivers_in_the_background(
    server: ServerProcess, own: tuple[Tenant, str], tmp_path: Path
) -> None:
    tenant, key = own
    async with AsyncClient(server.grpc_address, key, journal=tmp_path / "journal", timeout_seconds=0.5) as client:
        async with client.spend(USD) as spend:
            await asyncio.to_thread(server.kill9)
            spend.record(5)
        answer = await client.record(7)
        assert (answer.delivered, answer.spend_record, client.undelivered) == (False, "", 2)
        await asyncio.to_thread(server.restart)
        assert await client.flush(20)
    await asyncio.to_thread(_wait_for, server, tenant)
    assert (records(tenant), spent_and_held(tenant)) == ([5, 7], (12, 0))


def test_what_would_expire_as_spent_is_released_when_the_service_is_back(
    server: ServerProcess, own: tuple[Tenant, str], tmp_path: Path
) -> None:
    tenant, key = own

    def fail(client: Client) -> None:
        with client.spend(USD, expiry_action=ExpiryAction.RECORD):
            server.kill9()
            raise ValueError("failed")

    with Client(server.grpc_address, key, journal=tmp_path / "journal") as client:
        with pytest.raises(ValueError, match="failed"):
            fail(client)
        assert client.undelivered == 1
        server.restart()
        assert client.flush(20)
    _wait_for(server, tenant)
    assert spent_and_held(tenant) == (0, 0)


def test_what_the_service_will_never_take_is_kept_for_people(client: Client, key: str, tmp_path: Path) -> None:
    """A record that names a reservation which is not there, left by a client of another organization."""
    journal = Journal(tmp_path / "journal")
    journal.append(
        "RecordSpend",
        pb.RecordSpendRequest(reservation="organizations/x/reservations/y", amount_micros=1, request_id="r"),
    )
    journal.close()
    endpoint = client._core.options.connection.target
    with Client(endpoint, key, journal=tmp_path / "journal") as other:
        assert other.flush(10)
    assert b"NOT_FOUND" in journal.refused_path.read_bytes()


def test_an_outage_is_bridged_up_to_an_amount_and_recorded_afterwards(
    server: ServerProcess, own: tuple[Tenant, str], tmp_path: Path
) -> None:
    """10 micros: 6 and 4 are allowed, no more; what was released may be spent again; the books get all of it."""
    tenant, key = own
    settings: Any = {"journal": tmp_path / "journal", "on_unavailable": AllowUpTo(10), "timeout_seconds": 0.5}
    server.kill9()
    with Client(server.grpc_address, key, **settings) as client:
        with client.spend(6, labels={"team": "core"}) as spend:
            assert (spend.check.offline, spend.check.reservation) == (True, "")
            spend.record(5)
        with pytest.raises(Unavailable):
            client.check(6)
        with pytest.raises(Unavailable):
            client.check(1, unit="TOKENS")
        with client.spend(5) as nothing:
            nothing.record(0)
        assert client.check(9, min_amount_micros=1).granted_micros == 5
    with Client(server.grpc_address, key, **settings) as client:
        # A new process; what its predecessor has not delivered still counts.
        with pytest.raises(Unavailable):
            client.check(6)
        server.restart()
        assert client.flush(20)
        assert client._core.allowance.taken_micros == 0
    _wait_for(server, tenant)
    assert (records(tenant), spent_and_held(tenant)) == ([5], (5, 0))


def _until_it_answers(client: Client, request_id: str) -> Any:
    for _ in range(100):
        with contextlib.suppress(Unavailable):
            return client.check(USD, request_id=request_id)
        time.sleep(0.05)
    raise AssertionError("it does not answer")


def _wait_for(server: ServerProcess, tenant: Tenant) -> None:
    """Until the platform key's own connection is back after a restart."""
    for _ in range(200):
        with contextlib.suppress(Exception):
            tenant.budget()
            return
        time.sleep(0.05)
    raise AssertionError(server.log_text())
