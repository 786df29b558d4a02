"""One run: everything is started once, the variants are measured round by round, and each trial's books are checked."""

import contextlib
import itertools
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import postgres
from benchmarks.books import BarePostgresBooks, BareSqliteBooks, Books, check_ledger, check_trial
from benchmarks.outlay import Deployment, deployment
from benchmarks.processes import ROOT, address_after, clean_environment, run_load, running, says_ready
from benchmarks.trial import Plan, Tenant, Trial
from benchmarks.variants import Target, Variant

UNBOUNDED = 10**9

_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Pace:
    """How long a run takes."""

    rounds: int
    seconds: float
    warm_up_seconds: float
    most_calls: int | None


@dataclass(frozen=True, slots=True)
class Stage:
    """Where one target is, and how its books are read."""

    grpc_addresses: tuple[str, ...] = ()
    http_addresses: tuple[str, ...] = ()
    server_pids: tuple[int, ...] = ()
    database: str = ""
    database_pids: tuple[int, ...] = ()
    books: Books | None = None
    outlay: Deployment | None = None

    def addresses(self, variant: Variant) -> tuple[str, ...]:
        match variant.load:
            case "grpc":
                return self.grpc_addresses[: variant.replicas]
            case "http":
                return self.http_addresses[: variant.replicas]
            case _:
                return (self.database,)


Results = dict[str, list[Trial]]
"""By variant, one trial a round."""


def measure(variants: Sequence[Variant], pace: Pace, folder: Path, say: Callable[[str], None]) -> Results:
    """Measure them in turn, `pace.rounds` times. Raises `BooksDisagree` at the first trial whose books are wrong."""
    results: Results = {variant.name: [] for variant in variants}
    with _stages({variant.target for variant in variants}, folder) as stages:
        for number in range(pace.rounds):
            # Back and forth, so that a machine that gets slower or faster does not favour those at one end.
            for variant in variants if number % 2 == 0 else reversed(variants):
                trial = _trial(variant, stages[variant.target], pace)
                results[variant.name].append(trial)
                say(f"{number + 1}/{pace.rounds}  {variant.name}: {trial.checks_per_second:,.0f} checks/s")
    return results


def _trial(variant: Variant, stage: Stage, pace: Pace) -> Trial:
    trial = run_load(
        Plan(
            load=variant.load,
            targets=stage.addresses(variant),
            in_flight=variant.in_flight,
            seconds=pace.seconds,
            warm_up_seconds=pace.warm_up_seconds,
            most_calls=pace.most_calls,
            batch_size=variant.batch_size,
            tenants=_tenants(variant, stage),
            server_pids=stage.server_pids[: variant.replicas],
            database_pids=stage.database_pids,
        )
    )
    if stage.books is not None:
        check_trial(trial, stage.books)
    if stage.outlay is not None:
        stage.outlay.granted.add(trial.journal)
        check_ledger(stage.outlay.verify(), stage.outlay.granted)
    return trial


def _tenants(variant: Variant, stage: Stage) -> tuple[Tenant, ...]:
    if stage.outlay is not None:
        return stage.outlay.new_tenants(variant.most_tenants)
    # The echo gets the same bytes: a key of the same length, and a new name so that bare books start at nothing.
    return (Tenant(f"bare-{next(_numbers):06d}", "sk_" + "0" * 38, UNBOUNDED),)


@contextlib.contextmanager
def _stages(targets: set[Target], folder: Path) -> Iterator[dict[Target, Stage]]:
    with contextlib.ExitStack() as stack:
        cluster = None
        if any(target.needs_postgres for target in targets):
            programs = postgres.find_programs()
            assert programs is not None, "a PostgreSQL is looked for before its variants are chosen"
            cluster = stack.enter_context(postgres.cluster(folder / "postgres", programs))
        stages: dict[Target, Stage] = {}
        for target in targets:
            match target:
                case Target.ECHO:
                    stages[target] = stack.enter_context(_echo(folder))
                case Target.BARE_SQLITE:
                    file = folder / "bare.db"
                    stages[target] = Stage(database=str(file), books=BareSqliteBooks(file))
                case Target.BARE_POSTGRES:
                    assert cluster is not None
                    url = cluster.create_database("bare")
                    stages[target] = Stage(database=url, database_pids=(cluster.pid,), books=BarePostgresBooks(url))
                case Target.SQLITE:
                    stages[target] = _stage(stack.enter_context(deployment(folder / "sqlite")))
                case Target.POSTGRES:
                    assert cluster is not None
                    url = cluster.create_database("outlay")
                    served = deployment(folder / "replicas", database_url=url, replicas=2)
                    stages[target] = _stage(stack.enter_context(served), cluster.pid)
        yield stages


def _stage(outlay: Deployment, *database_pids: int) -> Stage:
    return Stage(
        grpc_addresses=tuple(replica.grpc_address for replica in outlay.replicas),
        http_addresses=tuple(replica.http_address for replica in outlay.replicas),
        server_pids=tuple(replica.pid for replica in outlay.replicas),
        database_pids=database_pids,
        books=outlay,
        outlay=outlay,
    )


@contextlib.contextmanager
def _echo(folder: Path) -> Iterator[Stage]:
    with running(
        [sys.executable, "-m", "benchmarks.echo"],
        folder / "echo.log",
        is_ready=says_ready,
        cwd=ROOT,
        env=clean_environment({}),
    ) as (pid, said):
        yield Stage(grpc_addresses=(address_after("gRPC", said),), server_pids=(pid,))
