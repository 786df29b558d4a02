"""SIGKILL at random moments under load, and afterwards every acknowledged cent.

    PYTHONPATH=tests .venv/bin/python -m proofs.kill9 --crash server|replica|postgres --cycles 100

Each cycle: callers work on an organization of the cycle; at a random moment the victim gets SIGKILL; it is started
again on the same data; the callers repeat what was not answered, and go on for a moment. Then the ledger must hold what
the callers were told, all of it, once, and nothing else; counters and `outlay verify` must agree with it; and a request
that was answered before the crash must be answered the same again. At the end the organizations of all cycles are
looked at once more, so what a later crash took from an earlier cycle is found too.

- `server`: the one server on the embedded store.
- `replica`: one of two servers on PostgreSQL, chosen by lot; the other serves on.
- `postgres`: every process of PostgreSQL; the servers stay up and must serve again by themselves.
"""

import argparse
import asyncio
import random
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from grpc_health.v1 import health_pb2, health_pb2_grpc

from outlay.v1 import admin_service_pb2 as admin_pb
from outlay.v1 import budget_service_pb2 as pb
from support.database_commands import migrate, verify
from support.journal import Journal, differences
from support.postgres import PostgresServer
from support.replicas import Replicas, start_replicas
from support.server import ServerProcess
from support.snapshot import all_of
from support.tenants import Tenant, new_id, new_tenant
from support.wire import Caller, Failure
from support.workload import Workload

CALLERS: Final = 32
CAP_MICROS: Final = 100_000_000
"""Reached by about 200 pieces of work, so long cycles end with denials."""

EARLIEST_CRASH_SECONDS: Final = 0.02
LATEST_CRASH_SECONDS: Final = 0.5
AFTER_SECONDS: Final = 0.1
"""How long the callers go on once it serves again."""

DOWN_WITHIN_SECONDS: Final = 5.0
REPEATED_PER_CYCLE: Final = 10
VERIFIED_EVERY: Final = 5
"""Cycles from one `outlay verify` to the next; it looks at the organizations of all of them."""
_NOT_SERVING: Final = health_pb2.HealthCheckResponse.NOT_SERVING


@dataclass(slots=True)
class Figures:
    """What a run found."""

    cycles: int = 0
    acknowledged: int = 0
    repeated: int = 0
    """Requests that were not answered at first, and were when they were repeated."""
    found_done: int = 0
    """Those among them that had taken effect before the crash: the answer was lost, not the deed."""
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    """Counters and repeated answers that differ, and answers that contradict earlier ones."""
    seconds_to_serve: list[float] = field(default_factory=list)
    failures: Counter[str] = field(default_factory=Counter)

    @property
    def is_clean(self) -> bool:
        return not (self.lost or self.doubled or self.wrong)

    def summary(self) -> str:
        median = statistics.median(self.seconds_to_serve) if self.seconds_to_serve else float("nan")
        slowest = max(self.seconds_to_serve, default=float("nan"))
        return (
            f"{self.cycles} crashes, {self.acknowledged} acknowledged, {len(self.lost)} lost, "
            f"{len(self.doubled)} doubled, {len(self.wrong)} wrong; {self.repeated} repeated, of which "
            f"{self.found_done} had been done; serving again after {median:.2f} s (median), {slowest:.2f} s (slowest)"
        )

    def problems(self, most_of_each: int = 8) -> str:
        kinds = (self.lost, self.doubled, self.wrong)
        return "\n".join(problem for kind in kinds for problem in kind[:most_of_each])


@dataclass(frozen=True)
class Victim:
    """What is killed and how it comes back."""

    replicas: Replicas
    crash: Callable[[random.Random], Callable[[], float]]
    """Kills, and returns what starts it again, comes back once all serve, and tells how many seconds that took."""


@contextmanager
def server_on_sqlite(folder: Path) -> Iterator[Victim]:
    """The server on the embedded store."""
    with ExitStack() as stack:
        replicas = start_replicas(_starter(folder, stack), None, 1)

        def crash(chance: random.Random) -> Callable[[], float]:
            (server,) = replicas.servers
            server.kill9()
            return lambda: _restart(server)

        yield Victim(replicas, crash)


@contextmanager
def replica_on_postgres(folder: Path, database_url: str) -> Iterator[Victim]:
    """One of two replicas."""
    with ExitStack() as stack:
        replicas = start_replicas(_starter(folder, stack), database_url, 2)

        def crash(chance: random.Random) -> Callable[[], float]:
            server = chance.choice(replicas.servers)
            server.kill9()
            return lambda: _restart(server)

        yield Victim(replicas, crash)


@contextmanager
def postgres_itself(folder: Path, postgres: PostgresServer, database_url: str) -> Iterator[Victim]:
    """The database under two servers, which must stay up."""
    with ExitStack() as stack:
        replicas = start_replicas(_starter(folder, stack), database_url, 2)

        def crash(chance: random.Random) -> Callable[[], float]:
            postgres.kill9()
            return lambda: _start_postgres(postgres, replicas)

        yield Victim(replicas, crash)


async def run(victim: Victim, cycles: int, seed: int, *, tell: Callable[[str], None] = lambda line: None) -> Figures:
    """So many crashes. The same seed gives the same work and the same moments, as far as machines repeat themselves."""
    figures, chance = Figures(), random.Random(seed)
    past: list[tuple[Tenant, Journal]] = []
    for number in range(cycles):
        tenant = new_tenant(victim.replicas.admin(), "crash")
        tenant.cap(CAP_MICROS)
        workload = Workload(
            tenant, tenant.key().secret, victim.replicas.addresses, callers=CALLERS, seed=chance.getrandbits(32)
        )
        await _cycle(victim, workload, figures, chance)
        await asyncio.to_thread(_audit, victim, tenant, workload, figures, chance)
        past.append((tenant, workload.journal))
        figures.cycles += 1
        figures.failures.update(workload.failures)
        if figures.cycles % VERIFIED_EVERY == 0 or figures.cycles == cycles:
            await asyncio.to_thread(_verify, victim, figures)
        tell(f"{number + 1}: {figures.summary()}")
    for tenant, journal in past:
        await asyncio.to_thread(_compare, tenant, journal, figures)
    return figures


async def _cycle(victim: Victim, workload: Workload, figures: Figures, chance: random.Random) -> None:
    """Work, crash, come back, work, end."""
    working = asyncio.create_task(workload.run())
    await asyncio.sleep(chance.uniform(EARLIEST_CRASH_SECONDS, LATEST_CRASH_SECONDS))
    start_again = await asyncio.to_thread(victim.crash, chance)
    crashed = time.time()
    workload.slow_down()
    before = {id(entry) for entry in workload.journal.acknowledged}
    figures.seconds_to_serve.append(await asyncio.to_thread(start_again))
    await asyncio.sleep(AFTER_SECONDS)
    workload.stop()
    await working
    for entry in workload.journal.acknowledged:
        if entry.sends > 1 and id(entry) not in before:
            figures.repeated += 1
            figures.found_done += _time_of(entry.answer) < crashed


def _audit(victim: Victim, tenant: Tenant, workload: Workload, figures: Figures, chance: random.Random) -> None:
    """Compare one cycle's journal with the books, in every way there is."""
    journal = workload.journal
    assert not journal.unanswered, "callers end only once they are answered"
    figures.acknowledged += len(journal.entries)
    figures.wrong += workload.contradictions
    _compare(tenant, journal, figures)
    effective = [entry for entry in journal.entries if _has_effect(entry.answer)]
    for entry in chance.sample(effective, min(REPEATED_PER_CYCLE, len(effective))):
        try:
            with victim.replicas.admin(chance.randrange(len(victim.replicas))) as caller:
                again = caller.call(entry.method, entry.request)
        except Failure as failure:
            again = failure
        if again != entry.answer:
            figures.wrong.append(f"{entry.method} {entry.request.request_id} was {entry.answer!r}, is {again}")
    _compare(tenant, journal, figures)


def _verify(victim: Victim, figures: Figures) -> None:
    try:
        verify(victim.replicas.servers[0])
    except AssertionError as disagreement:
        figures.wrong.append(str(disagreement))


def _compare(tenant: Tenant, journal: Journal, figures: Figures) -> None:
    lost, extra = differences(
        journal,
        all_of(tenant.admin, "ListReservations", pb.ListReservationsRequest(parent=tenant.name), "reservations"),
        all_of(tenant.admin, "ListSpendRecords", pb.ListSpendRecordsRequest(parent=tenant.name), "spend_records"),
    )
    figures.lost += lost
    figures.doubled += extra
    spend = tenant.budget().spend
    if (spend.spent_micros, spend.reserved_micros) != (journal.spent_micros, journal.held_micros):
        figures.wrong.append(
            f"{tenant.name}: spent, reserved should be {journal.spent_micros}, {journal.held_micros} "
            f"and are {spend.spent_micros}, {spend.reserved_micros}"
        )


def _has_effect(answer: Any) -> bool:
    """Whether a repetition must give this very answer: denials are decided afresh."""
    return not isinstance(answer, pb.CheckSpendResponse) or answer.decision == pb.DECISION_ALLOWED


def _time_of(answer: Any) -> float:
    """When the effect took place, as far as its answer tells."""
    match answer:
        case pb.RecordSpendResponse() | pb.RefundSpendResponse():
            stamp = answer.spend_record.create_time
        case pb.CheckSpendResponse():
            # Its reservation was made one day before it expires, by the workload's choice.
            return answer.expire_time.seconds - 86_400 if answer.reservation else float("inf")
        case _:
            stamp = answer.close_time
    return float(stamp.seconds) + stamp.nanos / 1e9


def _starter(folder: Path, stack: ExitStack) -> Callable[..., ServerProcess]:
    numbers = iter(range(100))

    def start(**options: Any) -> ServerProcess:
        return stack.enter_context(ServerProcess(folder / f"server-{next(numbers)}", **options))

    return start


def _restart(server: ServerProcess) -> float:
    """From the start of the process to its line `ready`."""
    started = time.monotonic()
    server.restart()
    return time.monotonic() - started


def _start_postgres(postgres: PostgresServer, replicas: Replicas) -> float:
    """From the moment that PostgreSQL answers again to that at which every replica does."""
    for index, server in enumerate(replicas):
        with replicas.admin(index) as caller:
            _assert_says_that_it_cannot(caller)
        assert server.running, "a server ended when its database did"
    postgres.start()
    started = time.monotonic()
    for index in range(len(replicas)):
        with replicas.admin(index) as caller:
            while not _serves(caller):
                assert time.monotonic() < started + 60, "the servers did not find their database again"
                time.sleep(0.01)
    return time.monotonic() - started


def _assert_says_that_it_cannot(caller: Caller) -> None:
    """Without its database a server answers at once, that it has none; and its health says so soon."""
    asked = time.monotonic()
    refused = caller.fails("GetOrganization", admin_pb.GetOrganizationRequest(name=f"organizations/{new_id('none')}"))
    assert refused.reason == "STORAGE_UNAVAILABLE", refused
    health = health_pb2_grpc.HealthStub(caller.channel)
    while health.Check(health_pb2.HealthCheckRequest(), timeout=5).status != _NOT_SERVING:
        assert time.monotonic() < asked + DOWN_WITHIN_SECONDS, "its health does not say that it does not serve"
        time.sleep(0.02)
    assert time.monotonic() < asked + DOWN_WITHIN_SECONDS


def _serves(caller: Caller) -> bool:
    """Whether a question that only the database can answer is answered."""
    try:
        caller.call("GetOrganization", admin_pb.GetOrganizationRequest(name=f"organizations/{new_id('none')}"))
    except Failure as failure:
        return failure.reason == "NOT_FOUND"
    raise AssertionError("nobody made this organization")


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="proofs.kill9", description="Crashes under load, and the books afterwards.")
    parser.add_argument("--crash", choices=("server", "replica", "postgres"), default="server")
    parser.add_argument("--cycles", type=int, default=100)
    parser.add_argument("--seed", type=int, default=None)
    options = parser.parse_args(arguments)
    seed = options.seed if options.seed is not None else random.SystemRandom().getrandbits(32)
    print(f"kill9: {options.crash}, {options.cycles} cycles, seed {seed}", flush=True)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="outlay-kill9-")))
        victim = stack.enter_context(_victim(options.crash, folder, stack))
        figures = asyncio.run(run(victim, options.cycles, seed, tell=lambda line: print(line, flush=True)))
    print(f"kill9: {options.crash}: {figures.summary()}; not answered: {dict(figures.failures)}")
    if not figures.is_clean:
        print(figures.problems(), file=sys.stderr)
    return 0 if figures.is_clean else 1


def _victim(crash: str, folder: Path, stack: ExitStack) -> Any:
    if crash == "server":
        return server_on_sqlite(folder)
    postgres = stack.enter_context(PostgresServer())
    url = postgres.url(postgres.create_database())
    migrate(url)
    if crash == "replica":
        return replica_on_postgres(folder, url)
    return postgres_itself(folder, postgres, url)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
