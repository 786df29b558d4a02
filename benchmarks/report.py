"""The results as a table and as JSON."""

import datetime
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from statistics import median
from typing import Any

from benchmarks.bench import Pace, Results
from benchmarks.trial import Trial
from benchmarks.variants import Variant


@dataclass(frozen=True, slots=True)
class Line:
    """One variant: medians of its trials."""

    name: str
    ratio: float
    """Checks per second over those of the variant it is measured beside: the median over the rounds."""
    cpu_ratio: float | None
    """The server's CPU time per check over that of the same variant; None where there is no server."""
    checks_per_second: float
    p50_milliseconds: float
    p99_milliseconds: float
    server_microseconds: float
    """CPU time per check of all replicas."""
    database_microseconds: float
    client_microseconds: float


COMPARED = (
    ("check, PostgreSQL, 64 in flight", "bare UPDATE + INSERT, PostgreSQL, 64"),
    ("check, SQLite, 64 in flight", "bare UPDATE + INSERT, SQLite"),
    ("check, PostgreSQL, two replicas, 64", "check, PostgreSQL, 64 in flight"),
    ("batches of 100, SQLite, 8 in flight", "check, SQLite, 64 in flight"),
)
"""Pairs that say something beside each other, where both were measured."""


def comparisons(results: Results) -> list[tuple[str, str, float]]:
    """Checks per second of the first over those of the second: the median over the rounds."""
    return [
        (first, second, _ratio(results[first], results[second]))
        for first, second in COMPARED
        if first in results and second in results
    ]


def _ratio(trials: list[Trial], beside: list[Trial]) -> float:
    pairs = zip(trials, beside, strict=True)
    return median(trial.checks_per_second / other.checks_per_second for trial, other in pairs)


def lines(variants: Sequence[Variant], results: Results) -> list[Line]:
    return [_line(variant, results[variant.name], results[variant.beside]) for variant in variants]


def _line(variant: Variant, trials: list[Trial], beside: list[Trial]) -> Line:
    pairs = list(zip(trials, beside, strict=True))
    return Line(
        name=variant.name,
        ratio=_ratio(trials, beside),
        cpu_ratio=_cpu_ratio(pairs),
        checks_per_second=median(trial.checks_per_second for trial in trials),
        p50_milliseconds=median(trial.p50_seconds for trial in trials) * 1e3,
        p99_milliseconds=median(trial.p99_seconds for trial in trials) * 1e3,
        server_microseconds=median(trial.server_cpu_seconds / trial.checks for trial in trials) * 1e6,
        database_microseconds=median(trial.database_cpu_seconds / trial.checks for trial in trials) * 1e6,
        client_microseconds=median(trial.client_cpu_seconds / trial.checks for trial in trials) * 1e6,
    )


def _cpu_ratio(pairs: list[tuple[Trial, Trial]]) -> float | None:
    ratios = [
        trial.server_cpu_per_check_seconds / other.server_cpu_per_check_seconds
        for trial, other in pairs
        if trial.server_cpu_seconds > 0 and other.server_cpu_seconds > 0
    ]
    return median(ratios) if ratios else None


_HEADER = (
    "| variant | × echo | checks/s | p50 ms | p99 ms | server CPU × echo | server µs | database µs | client µs |\n"
    "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
)


def table(found: Sequence[Line]) -> str:
    """A Markdown table; the µs are CPU time per check."""
    return "\n".join([_HEADER, *(_row(line) for line in found)])


def comparison_lines(results: Results) -> str:
    return "\n".join(f"- {first} / {second}: {ratio:.2f}" for first, second, ratio in comparisons(results))


def _row(line: Line) -> str:
    cells = [
        line.name,
        f"{line.ratio:.2f}",
        f"{line.checks_per_second:,.0f}",
        f"{line.p50_milliseconds:.1f}",
        f"{line.p99_milliseconds:.1f}",
        "–" if line.cpu_ratio is None else f"{line.cpu_ratio:.2f}",
        *(
            f"{microseconds:,.0f}" if microseconds else "–"
            for microseconds in (line.server_microseconds, line.database_microseconds, line.client_microseconds)
        ),
    ]
    return f"| {' | '.join(cells)} |"


def as_json(variants: Sequence[Variant], results: Results, pace: Pace) -> dict[str, Any]:
    """Everything, for comparing runs: the lines, every trial, and what it ran on."""
    return {
        "taken": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "machine": _machine(),
        "pace": asdict(pace),
        "lines": [asdict(line) for line in lines(variants, results)],
        "comparisons": [list(comparison) for comparison in comparisons(results)],
        "trials": {name: [asdict(trial) for trial in trials] for name, trials in results.items()},
    }


def _machine() -> dict[str, Any]:
    return {
        "cores": os.cpu_count(),
        "load_average": os.getloadavg(),
        "python": platform.python_version(),
        **{name: version(name) for name in ("grpcio", "protobuf", "uvloop")},
    }
