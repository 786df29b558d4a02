"""Whether caps hold: 64 callers fill one, and then everything is killed.

`python -m benchmarks caps` measures no speed. For each system, 64 callers try three times as many checks as fit under a
cap; what they were granted is compared with the cap. Then service and store are killed with SIGKILL and started again
on their data: what the books still count is compared with what was acknowledged.
"""

import os
import shutil
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.bench import Pace, environment_of, plan_of, shared_cluster
from benchmarks.cpu import tree
from benchmarks.processes import ProcessFailed, run_load
from benchmarks.stages import Stage, Stages
from benchmarks.trial import Tenant, Trial
from benchmarks.variants import ECHO_64, Target, Variant

CALLERS = 64
ATTEMPTS = 1_200
"""About 400 of them fit under the cap."""

MOCK_MILLISECONDS = 50
"""What the mocked work behind a gateway takes; a model takes longer, and more are under way at once."""

LONGEST_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class System:
    """One line of the table."""

    name: str
    target: Target
    load: str
    synced: str
    """When what it answers is on disk, from how it is set here."""

    @property
    def variant(self) -> Variant:
        return Variant(self.name, self.target, self.load, CALLERS, ECHO_64, expects="either")


SYSTEMS = (
    System("Outlay, SQLite", Target.SQLITE, "grpc", "before the answer"),
    System("Outlay, SQLite, coalescing SDK", Target.SQLITE, "sdk", "before the answer"),
    System("Outlay, PostgreSQL", Target.POSTGRES, "grpc", "before the answer"),
    System("Outlay, PostgreSQL, two replicas", Target.TWO_REPLICAS, "grpc", "before the answer"),
    System(
        "FastAPI + SQLAlchemy + PostgreSQL, row lock", Target.ONE_TRANSACTION, "one_transaction", "before the answer"
    ),
    System("the same, read, compare, add", Target.ONE_TRANSACTION, "unlocked", "before the answer"),
    System("redis-py script, AOF always", Target.REDIS_SCRIPT_ALWAYS, "redis_script", "before the answer"),
    System("redis-py script, AOF everysec", Target.REDIS_SCRIPT_EVERYSEC, "redis_script", "once a second"),
    System("mcp-budget-governor, AOF always", Target.GOVERNOR_ALWAYS, "governor", "before the answer"),
    System("mcp-budget-governor, AOF everysec", Target.GOVERNOR_EVERYSEC, "governor", "once a second"),
    System("hardcap, AOF everysec", Target.HARDCAP, "completion", "once a second"),
    System("LiteLLM proxy, budget on a model", Target.LITELLM, "completion", "never: in memory"),
)


@dataclass(frozen=True, slots=True)
class Proof:
    """What came of it. Micros are tokens for the gateways."""

    name: str
    synced: str
    attempts: int
    admitted_micros: int
    """What the callers were told they may spend, or have spent."""
    cap_micros: int
    denied: int
    counted_micros: int
    """By its own books, before the kill."""
    remembered_micros: int
    """By its own books, afterwards."""

    @property
    def overshoot_percent(self) -> float:
        return max(0.0, 100 * (self.admitted_micros / self.cap_micros - 1))

    @property
    def remembered(self) -> str:
        """Of what was acknowledged."""
        if self.remembered_micros == self.admitted_micros:
            return "all"
        return f"{100 * self.remembered_micros / self.admitted_micros:.1f} %" if self.remembered_micros else "nothing"


def prove(systems: Sequence[System], folder: Path, say: Callable[[str], None]) -> list[Proof]:
    """One proof for each. Raises `BooksDisagree` where a system miscounts before the kill.

    A rival that does not start is left out, with a word.
    """
    proofs = []
    for number, system in enumerate(systems):
        own = folder / f"caps-{number}"
        own.mkdir()
        own.chmod(0o755)
        try:
            proofs.append(_prove(system, own))
        except ProcessFailed as failed:
            if not system.target.environment:
                raise
            say(f"Left out: {system.name}. {failed}")
        else:
            say(line(proofs[-1]))
        shutil.rmtree(own, ignore_errors=True)
    return proofs


def _prove(system: System, folder: Path) -> Proof:
    with _started(system, folder) as stage:
        tenant = stage.limited_tenant()
        trial = _fill(system, stage, tenant)
        counted_micros = stage.counted_micros(tenant)
        _kill([*stage.server_pids, *stage.database_pids])
    with _started(system, folder) as stage:
        remembered_micros = stage.counted_micros(tenant)
    return Proof(
        name=system.name,
        synced=system.synced,
        attempts=trial.calls,
        admitted_micros=sum(entry.micros for entry in trial.journal.values()),
        cap_micros=tenant.cap_micros,
        denied=sum(entry.denied for entry in trial.journal.values()),
        counted_micros=counted_micros,
        remembered_micros=remembered_micros,
    )


@contextmanager
def _started(system: System, folder: Path) -> Iterator[Stage]:
    """The system with a database of its own, so that all of it can be killed; found again by a second start."""
    with (
        shared_cluster({system.target}, folder) as cluster,
        Stages(folder / "stage", cluster, install=False).start(system.target) as stage,
    ):
        yield stage


def _fill(system: System, stage: Stage, tenant: Tenant) -> Trial:
    pace = Pace(1, LONGEST_SECONDS, 0, ATTEMPTS)
    plan = replace(plan_of(system.variant, stage, pace), tenants=(tenant,))
    if system.load == "completion":
        plan = replace(plan, mock_milliseconds=MOCK_MILLISECONDS)
    trial = run_load(plan, environment_of(system.variant))
    stage.check(trial)
    return trial


def _kill(roots: Sequence[int]) -> None:
    for pid in tree(roots):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


_HEADER = (
    "| system | granted, of the cap | overshoot | refused | still counted after kill -9 | synced to disk |\n"
    "| --- | ---: | ---: | ---: | ---: | --- |"
)


def table(proofs: Sequence[Proof]) -> str:
    return "\n".join([_HEADER, *(line(proof) for proof in proofs)])


def line(proof: Proof) -> str:
    cells = [
        proof.name,
        f"{proof.admitted_micros:,} of {proof.cap_micros:,}",
        f"{proof.overshoot_percent:.1f} %",
        f"{proof.denied:,} of {proof.attempts:,}",
        proof.remembered,
        proof.synced,
    ]
    return f"| {' | '.join(cells)} |"


def as_json(proofs: Sequence[Proof]) -> list[dict[str, Any]]:
    return [asdict(proof) for proof in proofs]
