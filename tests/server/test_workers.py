"""Several workers at one set of addresses are one server: exact, replaced when they die, and gone with their parent."""

import asyncio
import os
import re
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import httpx2
import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families

from docs import tables
from outlay.v1 import budget_service_pb2 as pb
from support.database_commands import migrate, verify
from support.postgres import PostgresServer
from support.server import ServerProcess
from support.tenants import Tenant, new_tenant
from support.wire import AsyncCaller, Caller
from support.workload import Workload

WORKERS = 2
CONNECTIONS = 12
"""So many that all of them at one worker would be a defect: the kernel chooses for each."""

StartServer = Callable[..., ServerProcess]


@pytest.fixture
def database(postgres_server: PostgresServer) -> Iterator[str]:
    """A migrated PostgreSQL with no rows."""
    name = postgres_server.create_database()
    migrate(postgres_server.url(name))
    yield postgres_server.url(name)
    postgres_server.drop_database(name)


@pytest.fixture
def server(database: str, start_server: StartServer) -> ServerProcess:
    """Two workers behind one parent."""
    return start_server(database_url=database, arguments=("--workers", str(WORKERS)))


@pytest.fixture
def tenant(server: ServerProcess) -> Iterator[Tenant]:
    with Caller(server.grpc_address, server.admin_key) as admin:
        yield new_tenant(admin)


def workers_of(server: ServerProcess) -> list[psutil.Process]:
    return psutil.Process(server.pid).children()


def eventually(holds: Callable[[], bool], within_seconds: float = 20.0) -> None:
    """Wait until something holds; fail where it does not."""
    deadline = time.monotonic() + within_seconds
    while not holds():
        assert time.monotonic() < deadline, "it never came about"
        time.sleep(0.02)


def samples(server: ServerProcess, name: str) -> dict[str, float]:
    """The sum of a metric's samples by the worker that has them; of the parent's own by an empty name."""
    found: Counter[str] = Counter()
    for family in text_string_to_metric_families(httpx2.get(server.metrics_url).text):
        for sample in family.samples:
            if sample.name == name:
                found[sample.labels.get("worker", "")] += sample.value
    return dict(found)


def gone(processes: list[psutil.Process]) -> Callable[[], bool]:
    return lambda: not any(one.is_running() and one.status() != psutil.STATUS_ZOMBIE for one in processes)


async def test_a_cap_is_exact_over_all_workers(server: ServerProcess, tenant: Tenant) -> None:
    """1,200 checks of 1 against a cap of 700 over a dozen connections: 700 admitted, at every worker some."""
    tenant.cap(700)
    attempts = iter(range(1_200))
    key = tenant.key(["spend:check"]).secret

    async def ask(caller: AsyncCaller) -> int:
        admitted = 0
        for number in attempts:
            answer = await caller.call("CheckSpend", tenant.check(1, request_id=f"attempt-{number}"))
            admitted += answer.decision == pb.DECISION_ALLOWED
        return admitted

    async with AsyncExitStack() as stack:
        callers = [await stack.enter_async_context(AsyncCaller(server.grpc_address, key)) for _ in range(CONNECTIONS)]
        admitted = await asyncio.gather(*(ask(caller) for caller in callers for _ in range(3)))
    decided = samples(server, "outlay_decisions_total")
    assert (sum(admitted), tenant.budget().spend.reserved_micros) == (700, 700)
    assert (decided.keys(), sum(decided.values()), min(decided.values()) > 0) == ({"0", "1"}, 1_200, True)
    assert verify(server)


async def test_a_killed_worker_loses_nothing_and_is_replaced(server: ServerProcess, tenant: Tenant) -> None:
    """While callers work, its connections break, their requests are repeated, and the books are what they were told."""
    workload = Workload(tenant, tenant.key().secret, [server.grpc_address] * 8, callers=16, seed=4)
    working = asyncio.create_task(workload.run())
    await asyncio.sleep(0.5)
    before = {worker.pid for worker in workers_of(server)}
    victim = min(before)
    os.kill(victim, signal.SIGKILL)
    await asyncio.to_thread(eventually, lambda: samples(server, "outlay_workers").get("") == WORKERS - 1)
    await asyncio.to_thread(eventually, lambda: samples(server, "outlay_workers").get("") == WORKERS)
    await asyncio.sleep(0.2)
    workload.stop()
    await working
    after = {worker.pid for worker in workers_of(server)}
    assert (len(after), len(after & before), victim in after) == (WORKERS, WORKERS - 1, False)
    assert samples(server, "outlay_worker_restarts_total") == {"": 1}
    spend = tenant.budget().spend
    expected = (workload.journal.spent_micros, workload.journal.held_micros)
    assert (workload.contradictions, (spend.spent_micros, spend.reserved_micros)) == ([], expected)
    assert verify(server)


async def test_sigterm_drains_all_workers(server: ServerProcess, tenant: Tenant) -> None:
    """Under load: what was acknowledged is in the books, all have ended, and the status is 0."""
    workload = Workload(tenant, tenant.key().secret, [server.grpc_address] * 8, callers=16, seed=5)
    working = asyncio.create_task(workload.run())
    await asyncio.sleep(0.5)
    workers = workers_of(server)
    status = await asyncio.to_thread(server.terminate)
    alive = [worker.pid for worker in workers if worker.is_running()]
    workload.slow_down()
    await asyncio.to_thread(server.restart)
    workload.stop()
    await working
    spend = tenant.budget().spend
    assert (status, alive, workload.contradictions) == (0, [], [])
    assert workload.failures.keys() <= {"UNAVAILABLE", "OVERLOADED"}
    expected = (workload.journal.spent_micros, workload.journal.held_micros)
    assert (spend.spent_micros, spend.reserved_micros) == expected


def test_no_worker_outlives_its_parent(server: ServerProcess) -> None:
    """Not one whose parent was killed; and another server finds the addresses free."""
    workers = workers_of(server)
    server.kill9()
    eventually(gone(workers))
    server.restart()
    assert httpx2.get(f"{server.http_url}/readyz").status_code == 200


def test_the_addresses_are_one_servers(server: ServerProcess, database: str, start_server: StartServer) -> None:
    """A second parent is refused at the gRPC address, though its workers could share the port."""
    with pytest.raises(RuntimeError, match=r"OUTLAY_GRPC_ADDRESS: .* cannot be listened at"):
        start_server(
            database_url=database,
            arguments=("--workers", str(WORKERS)),
            environment={"OUTLAY_GRPC_ADDRESS": server.grpc_address},
        )


def test_http_and_probes_are_served_by_the_workers(server: ServerProcess) -> None:
    """REST at one address, `ready` said once and last, and the platform key shown once."""
    answer = httpx2.get(f"{server.http_url}/v1/organizations", headers={"Authorization": f"Bearer {server.admin_key}"})
    probes = [httpx2.get(server.metrics_url.replace("/metrics", path)).status_code for path in ("/healthz", "/readyz")]
    lines = [line.partition(" ")[0] for line in server.stdout_text().splitlines()]
    assert (answer.status_code, probes, lines) == (200, [200, 200], ["admin", "gRPC", "HTTP", "metrics", "ready"])


def test_a_worker_that_cannot_start_keeps_the_server_from_starting(
    postgres_server: PostgresServer, start_server: StartServer
) -> None:
    """It says why, here that the schema is missing, and nothing is left behind."""
    name = postgres_server.create_database()
    with pytest.raises(RuntimeError, match=r"outlay migrate[\s\S]*a worker could not be started"):
        start_server(database_url=postgres_server.url(name), environment={"OUTLAY_WORKERS": "2"})
    postgres_server.drop_database(name)


def test_several_workers_on_sqlite_are_refused(tmp_path: Path) -> None:
    """One file has one process: the refusal says what to set, and nothing is started."""
    server = ServerProcess(tmp_path / "server", arguments=("--workers", "2"))
    server.launch()
    assert server.wait() == 1
    assert "OUTLAY_WORKERS: 2 workers need PostgreSQL" in server.stderr_text()
    server.close()


def test_the_metrics_of_the_parent_are_stated(server: ServerProcess) -> None:
    """`docs/operations.md` names what only a parent has; all else is a worker's, and says which one's."""
    page = httpx2.get(server.metrics_url).text
    own = dict(re.findall(r"^# TYPE (outlay_worker\w*?)(?:_total)? (\w+)$", page, re.MULTILINE))
    stated = {tables.code(row[0]): row[1] for row in tables.rows("operations.md", "Several workers")}
    unlabelled = [
        sample.name
        for family in text_string_to_metric_families(page)
        for sample in family.samples
        if "worker" not in sample.labels
    ]
    assert (stated, sorted(unlabelled)) == (own, ["outlay_worker_restarts_total", "outlay_workers"])


def test_a_terminal_stops_workers_once(server: ServerProcess) -> None:
    """Ctrl-C reaches every process of the terminal's group: the workers are in none, and drain as by SIGTERM."""
    assert all(os.getpgid(worker.pid) != os.getpgid(server.pid) for worker in workers_of(server))
    subprocess.run(["kill", "-INT", str(server.pid)], check=True)
    assert server.wait() == 0
