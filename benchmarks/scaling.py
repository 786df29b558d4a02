"""What more processes bring, on one PostgreSQL: `python -m benchmarks.scaling`. Its figures stand in docs/scaling.md.

Load, replicas and database share the machine's cores here, so the rate says little of machines of their own. What says
more is the processor time of a check, of the service and of the database: by it, cores are counted out.
"""

import argparse
import statistics
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.books import check_trial
from benchmarks.cpu import tree
from benchmarks.outlay import Deployment, deployment
from benchmarks.postgres import cluster, find_programs
from benchmarks.processes import OUTLAY, run_load
from benchmarks.trial import Plan, Trial

IN_FLIGHT: Final = 64
BATCH: Final = 100
ORGANIZATIONS: Final = 50
CONNECTIONS: Final = 8
"""Of the load: workers of one address are chosen connection by connection."""

_MICROSECONDS: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Shape:
    """How many processes serve, and how they share the load."""

    name: str
    replicas: int
    workers: int


@dataclass(frozen=True, slots=True)
class Load:
    """What is asked of them."""

    name: str
    batch_size: int
    spread: bool


SHAPES: Final = (Shape("1 replica", 1, 1), Shape("2 replicas", 2, 1), Shape("2 workers", 1, 2))
LOADS: Final = (
    Load("unary, one budget", 0, spread=False),
    Load(f"unary, {ORGANIZATIONS} organizations", 0, spread=True),
    Load(f"batches of {BATCH}, one budget", BATCH, spread=False),
)


def measure(service: Deployment, load: Load, seconds: float, database_pid: int) -> Trial:
    """One trial, after which the books have been compared with what the callers were told."""
    # A budget holds a limited number of open reservations: one budget at a time, and the next when it is full.
    tenants = service.crowd(ORGANIZATIONS) if load.spread else service.new_tenants(16 if load.batch_size else 2)
    addresses = [replica.grpc_address for replica in service.replicas]
    plan = Plan(
        load="grpc",
        targets=tuple(addresses * (CONNECTIONS // len(addresses))),
        in_flight=IN_FLIGHT if not load.batch_size else CONNECTIONS,
        seconds=seconds,
        warm_up_seconds=0.5,
        batch_size=load.batch_size,
        spread=load.spread,
        tenants=tenants,
        server_pids=tuple(tree(replica.pid for replica in service.replicas)),
        database_pids=(database_pid,),
    )
    trial = run_load(plan)
    service.enter(trial.journal)
    check_trial(trial, service, service.granted)
    return trial


def rows(trials: dict[tuple[str, str], list[Trial]]) -> Iterator[str]:
    """A Markdown table: the medians of each arm."""
    yield "| | | checks/s | p50 ms | service µs/check | database µs/check |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for (load, shape), found in trials.items():
        rate = statistics.median(trial.checks_per_second for trial in found)
        wait = statistics.median(trial.p50_seconds for trial in found)
        service = statistics.median(trial.server_cpu_seconds / trial.checks for trial in found)
        database = statistics.median(trial.database_cpu_seconds / trial.checks for trial in found)
        yield (
            f"| {load} | {shape} | {rate:,.0f} | {wait * 1000:.1f} | {service * _MICROSECONDS:.0f} "
            f"| {database * _MICROSECONDS:.0f} |"
        )


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scaling", description=__doc__)
    parser.add_argument("--seconds", type=float, default=4.0, help="of each trial")
    parser.add_argument("--trials", type=int, default=3, help="of each arm, in turn")
    asked = parser.parse_args(arguments)
    programs = find_programs()
    if programs is None:
        sys.stderr.write("there is no PostgreSQL on this machine\n")
        return 1
    trials: dict[tuple[str, str], list[Trial]] = {}
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        home = Path(folder)
        home.chmod(0o755)
        database = stack.enter_context(cluster(home / "postgres", programs))
        services = {
            shape: stack.enter_context(
                deployment(
                    home / f"shape-{number}",
                    database_url=database.database(f"scaling_{number}"),
                    replicas=shape.replicas,
                    command=(OUTLAY, "serve", "--workers", str(shape.workers)),
                )
            )
            for number, shape in enumerate(SHAPES)
        }
        for _ in range(asked.trials):
            for load in LOADS:
                for shape in SHAPES:
                    trial = measure(services[shape], load, asked.seconds, database.pid)
                    trials.setdefault((load.name, shape.name), []).append(trial)
                    sys.stderr.write(f"{load.name}, {shape.name}: {trial.checks_per_second:,.0f} checks/s\n")
        for service in services.values():
            if not service.verify()["agrees"]:
                sys.stderr.write("outlay verify disagrees\n")
                return 1
    sys.stdout.write("\n".join(rows(dict(sorted(trials.items(), key=lambda one: _order(one[0]))))) + "\n")
    return 0


def _order(arm: tuple[str, str]) -> tuple[int, int]:
    load, shape = arm
    return [one.name for one in LOADS].index(load), [one.name for one in SHAPES].index(shape)


if __name__ == "__main__":
    sys.exit(main())
