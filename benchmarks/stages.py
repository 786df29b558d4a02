"""What a load is put on: each target started, its budgets made, and its books checked after every trial."""

import asyncio
import contextlib
import itertools
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import asyncpg

from benchmarks import postgres
from benchmarks.books import BarePostgresBooks, BareSqliteBooks, Books, Totals, check_answers, check_ledger, check_trial
from benchmarks.outlay import HARD_CAP_MICROS, SERVE, UNGROUPED, Deployment, deployment
from benchmarks.processes import ROOT, address_after, clean_environment, running, says_ready
from benchmarks.rivals.environments import environment
from benchmarks.rivals.hardcap import Hardcap, hardcap
from benchmarks.rivals.litellm import Litellm, litellm
from benchmarks.rivals.redis import Fsync, GovernorBooks, ScriptBooks, redis_server
from benchmarks.trial import UNBOUNDED, Tenant, Trial
from benchmarks.variants import Target, Variant

CROWD = 1_000
"""Organizations of the variants that spread over many."""

CAP_MICROS = 200_000
"""Of a limited tenant: about 400 checks, some 6 for each of 64 callers."""

CAP_TOKENS = 12_000
"""The same number of mocked completions, of 28 to 30 tokens."""

_numbers = itertools.count(1)


class Stage(Protocol):
    """A running target."""

    server_pids: Sequence[int]
    """Whose processes, and their children, are the server's CPU time."""
    database_pids: Sequence[int]

    def addresses(self, variant: Variant) -> Sequence[str]:
        """Where the variant's load goes."""

    def tenants(self, variant: Variant) -> tuple[Tenant, ...]:
        """Whom it spends from."""

    def limited_tenant(self) -> Tenant:
        """One with a cap that it can reach."""

    def check(self, trial: Trial) -> None:
        """Raise `BooksDisagree` where the trial is unsound. What a rival of others miscounts is noted in the trial."""

    def counted_micros(self, tenant: Tenant) -> int:
        """What the target's own books say it admitted."""


@dataclass(slots=True)
class BareStage:
    """A target whose budgets need no administration: the load makes them, or there are none."""

    address: str
    books: Books | None = None
    server_pids: Sequence[int] = ()
    database_pids: Sequence[int] = ()

    def addresses(self, _: Variant) -> Sequence[str]:
        return (self.address,)

    def tenants(self, _: Variant) -> tuple[Tenant, ...]:
        return (self._tenant(HARD_CAP_MICROS),)

    def limited_tenant(self) -> Tenant:
        return self._tenant(CAP_MICROS)

    def _tenant(self, cap_micros: int) -> Tenant:
        # The echo gets the same bytes: a key of the same length, and a new name so that bare books start at nothing.
        return Tenant(f"bare-{next(_numbers):06d}", "sk_" + "0" * 38, UNBOUNDED, cap_micros)

    def check(self, trial: Trial) -> None:
        if self.books is None:
            check_answers(trial)
        else:
            check_trial(trial, self.books, trial.journal)

    def counted_micros(self, tenant: Tenant) -> int:
        assert self.books is not None, "the echo has no books"
        return self.books.counted_micros(tenant.organization_id)


@dataclass(slots=True)
class OneTransactionStage(BareStage):
    """The service that one writes oneself. Its budgets are rows."""

    database_url: str = ""

    def _tenant(self, cap_micros: int) -> Tenant:
        tenant = BareStage._tenant(self, cap_micros)

        async def insert() -> None:
            connection = await asyncpg.connect(self.database_url)
            await connection.execute("INSERT INTO budgets VALUES ($1, $2, 0)", tenant.organization_id, cap_micros)
            await connection.close()

        asyncio.run(insert())
        return tenant


@dataclass(slots=True)
class OutlayStage:
    """Outlay itself."""

    outlay: Deployment
    replicas: int
    server_pids: Sequence[int] = field(init=False)
    database_pids: Sequence[int] = ()

    def __post_init__(self) -> None:
        self.server_pids = [replica.pid for replica in self.outlay.replicas[: self.replicas]]

    def addresses(self, variant: Variant) -> Sequence[str]:
        replicas = self.outlay.replicas[: self.replicas]
        return [replica.http_address if variant.load == "http" else replica.grpc_address for replica in replicas]

    def tenants(self, variant: Variant) -> tuple[Tenant, ...]:
        if variant.expects == "denials":
            return (self.outlay.spent_tenant(),)
        if variant.spread:
            return self.outlay.crowd(CROWD)
        return self.outlay.new_tenants(variant.most_tenants)

    def limited_tenant(self) -> Tenant:
        (tenant,) = self.outlay.new_tenants(1, cap_micros=CAP_MICROS)
        return tenant

    def check(self, trial: Trial) -> None:
        self.outlay.enter(trial.journal)
        check_trial(trial, self.outlay, self.outlay.granted)
        check_ledger(self.outlay.verify(), Totals.of(self.outlay.granted.values()))

    def counted_micros(self, tenant: Tenant) -> int:
        return self.outlay.counted_micros(tenant.organization_id)


@dataclass(slots=True)
class HardcapStage:
    """hardcap's gateway."""

    gateway: Hardcap
    database_pids: Sequence[int] = ()
    server_pids: Sequence[int] = field(init=False)

    def __post_init__(self) -> None:
        self.server_pids = [self.gateway.pid]

    def addresses(self, _: Variant) -> Sequence[str]:
        return (self.gateway.address,)

    def tenants(self, _: Variant) -> tuple[Tenant, ...]:
        return (self.gateway.new_tenant(),)

    def limited_tenant(self) -> Tenant:
        return self.gateway.limited_tenant()

    def check(self, trial: Trial) -> None:
        check_trial(trial, self.gateway, trial.journal)

    def counted_micros(self, tenant: Tenant) -> int:
        return self.gateway.counted_micros(tenant.organization_id)


@dataclass(slots=True)
class LitellmStage:
    """LiteLLM's proxy."""

    gateway: Litellm
    database_pids: Sequence[int] = ()
    server_pids: Sequence[int] = field(init=False)

    def __post_init__(self) -> None:
        self.server_pids = [self.gateway.pid]

    def addresses(self, _: Variant) -> Sequence[str]:
        return (self.gateway.address,)

    def tenants(self, _: Variant) -> tuple[Tenant, ...]:
        return (self.gateway.new_tenant(),)

    def limited_tenant(self) -> Tenant:
        return self.gateway.limited_tenant()

    def check(self, trial: Trial) -> None:
        check_answers(trial)
        # It adds up floats after the answer: what comes of that is told, and is no fault of the run.
        trial.drift_micros = self.gateway.added_micros() - sum(entry.micros for entry in trial.journal.values())

    def counted_micros(self, tenant: Tenant) -> int:
        return self.gateway.counted_micros(tenant.organization_id)


class Stages:
    """Starts targets in `folder`; a second start of one finds the data of the first."""

    def __init__(self, folder: Path, cluster: postgres.Cluster | None, *, install: bool) -> None:
        self._folder = folder
        self._cluster = cluster
        self._install = install
        folder.mkdir(exist_ok=True)
        # PostgreSQL runs as another account where this one is root, and has to get in.
        folder.chmod(0o755)

    @contextlib.contextmanager
    def start(self, target: Target) -> Iterator[Stage]:
        """Run it until the end of the block."""
        with contextlib.ExitStack() as stack:
            yield self._start(target, stack)

    def _start(self, target: Target, stack: contextlib.ExitStack) -> Stage:
        folder = self._folder
        match target:
            case Target.ECHO:
                return stack.enter_context(_echo(folder))
            case Target.BARE_SQLITE:
                return BareStage(str(folder / "bare.db"), BareSqliteBooks(folder / "bare.db"))
            case Target.BARE_POSTGRES:
                url, pids = self._database("bare")
                return BareStage(url, BarePostgresBooks(url), database_pids=pids)
            case Target.SQLITE | Target.UNGROUPED_SQLITE:
                grouped = target is Target.SQLITE
                name = "sqlite" if grouped else "ungrouped"
                served = deployment(folder / name, command=SERVE if grouped else UNGROUPED)
                return OutlayStage(stack.enter_context(served), 1)
            case Target.POSTGRES | Target.UNGROUPED_POSTGRES | Target.TWO_REPLICAS:
                name = f"outlay_{target.name.lower()}"
                url, pids = self._database(name)
                replicas = 2 if target is Target.TWO_REPLICAS else 1
                command = UNGROUPED if target is Target.UNGROUPED_POSTGRES else SERVE
                served = deployment(folder / name, database_url=url, replicas=replicas, command=command)
                return OutlayStage(stack.enter_context(served), replicas, database_pids=pids)
            case Target.REDIS_SCRIPT_ALWAYS:
                return self._redis(stack, "always")
            case Target.REDIS_SCRIPT_EVERYSEC:
                return self._redis(stack, "everysec")
            case Target.GOVERNOR_ALWAYS:
                return self._governor(stack, "always")
            case Target.GOVERNOR_EVERYSEC:
                return self._governor(stack, "everysec")
            case Target.HARDCAP:
                redis = stack.enter_context(redis_server(folder / "hardcap-redis", "everysec"))
                found = environment("hardcap", install=self._install)
                gateway = stack.enter_context(hardcap(folder / "hardcap", found, redis, CAP_TOKENS))
                return HardcapStage(gateway, (redis.pid,))
            case Target.LITELLM:
                found = environment("litellm", install=self._install)
                return LitellmStage(stack.enter_context(litellm(folder / "litellm", found, CAP_TOKENS)))
            case Target.ONE_TRANSACTION:
                return self._one_transaction(stack)

    def _database(self, name: str) -> tuple[str, tuple[int]]:
        assert self._cluster is not None, "a PostgreSQL is looked for before its variants are chosen"
        return self._cluster.database(name), (self._cluster.pid,)

    def _redis(self, stack: contextlib.ExitStack, fsync: Fsync) -> BareStage:
        redis = stack.enter_context(redis_server(self._folder / f"redis-{fsync}", fsync))
        return BareStage(redis.address, ScriptBooks(redis), database_pids=(redis.pid,))

    def _governor(self, stack: contextlib.ExitStack, fsync: Fsync) -> BareStage:
        redis = stack.enter_context(redis_server(self._folder / f"governor-{fsync}", fsync))
        return BareStage(redis.address, GovernorBooks(redis), database_pids=(redis.pid,))

    def _one_transaction(self, stack: contextlib.ExitStack) -> OneTransactionStage:
        url, pids = self._database("one_transaction")
        python = environment("fastapi", install=self._install).python
        pid, said = stack.enter_context(
            running(
                [python, "-m", "benchmarks.rivals.one_transaction", url],
                self._folder / "one-transaction.log",
                is_ready=says_ready,
                cwd=ROOT,
                env=clean_environment({}),
            )
        )
        return OneTransactionStage(address_after("HTTP", said), BarePostgresBooks(url), (pid,), pids, url)


@contextlib.contextmanager
def _echo(folder: Path) -> Iterator[Stage]:
    with running(
        [sys.executable, "-m", "benchmarks.echo"],
        folder / "echo.log",
        is_ready=says_ready,
        cwd=ROOT,
        env=clean_environment({}),
    ) as (pid, said):
        yield BareStage(address_after("gRPC", said), server_pids=(pid,))
