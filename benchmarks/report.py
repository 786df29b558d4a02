"""The results as tables and as JSON."""

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
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


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two variants of one run beside each other: medians over the rounds."""

    first: str
    second: str
    ratio: float
    """Checks per second of the first over those of the second."""
    service_cpu_ratio: float | None
    """CPU time per check of service and database; None where one of them has no process of its own."""
    client_cpu_ratio: float | None


_FASTAPI = "rival: FastAPI + SQLAlchemy + PostgreSQL, 64"
COMPARED = (
    ("check, PostgreSQL, 64 in flight", "bare UPDATE + INSERT, PostgreSQL, 64"),
    ("check, SQLite, 64 in flight", "bare UPDATE + INSERT, SQLite"),
    ("check, SQLite, 64 in flight", "one transaction a check, SQLite, 64"),
    ("check, SQLite, 256 in flight", "one transaction a check, SQLite, 256"),
    ("check, PostgreSQL, 64 in flight", "one transaction a check, PostgreSQL, 64"),
    ("batches of 1,000, SQLite, 4 in flight", "bare UPDATE + INSERT, SQLite"),
    ("batches of 1,000, PostgreSQL, 4 in flight", "bare UPDATE + INSERT, PostgreSQL, 64"),
    ("batches of 100, SQLite, 8 in flight", "check, SQLite, 64 in flight"),
    ("coalescing SDK, SQLite, 64 tasks", "check, SQLite, 64 in flight"),
    ("coalescing SDK, PostgreSQL, 64 tasks", "check, PostgreSQL, 64 in flight"),
    ("coalescing SDK, SQLite, 64 tasks", "rival: redis-py script, AOF always, 64"),
    ("lease of the SDK, SQLite, 1 task", "check, SQLite, 64 in flight"),
    ("denial, SQLite, 64", "check, SQLite, 64 in flight"),
    ("denial, PostgreSQL, 64", "check, PostgreSQL, 64 in flight"),
    ("check, SQLite, 1,000 organizations, 64", "check, SQLite, 64 in flight"),
    ("check, PostgreSQL, 1,000 organizations, 64", "check, PostgreSQL, 64 in flight"),
    ("check, two replicas, 64 in flight", "check, PostgreSQL, 64 in flight"),
    ("check, two replicas, 256 in flight", "check, PostgreSQL, 256 in flight"),
    ("check, SQLite, 64 in flight", _FASTAPI),
    ("check, PostgreSQL, 64 in flight", _FASTAPI),
    ("check, SQLite, 64 in flight", "rival: redis-py script, AOF always, 64"),
    ("check, SQLite, 64 in flight", "rival: mcp-budget-governor, AOF always, 64"),
    ("check, SQLite, 64 in flight", "rival: hardcap gateway, 64"),
    ("check, SQLite, 64 in flight", "rival: LiteLLM proxy, 64"),
)
"""Pairs that say something beside each other, where both were measured."""


def comparisons(results: Results) -> list[Comparison]:
    return [
        _comparison(first, second, results[first], results[second])
        for first, second in COMPARED
        if first in results and second in results
    ]


def _comparison(first: str, second: str, trials: list[Trial], others: list[Trial]) -> Comparison:
    pairs = list(zip(trials, others, strict=True))
    return Comparison(
        first,
        second,
        ratio=median(trial.checks_per_second / other.checks_per_second for trial, other in pairs),
        service_cpu_ratio=_quotient([(_service_cpu(trial), _service_cpu(other)) for trial, other in pairs]),
        client_cpu_ratio=_quotient([(_client_cpu(trial), _client_cpu(other)) for trial, other in pairs]),
    )


def _service_cpu(trial: Trial) -> float:
    # Without a server the load does its work, and the two cannot be told apart.
    return (trial.server_cpu_seconds + trial.database_cpu_seconds) / trial.checks if trial.server_cpu_seconds else 0.0


def _client_cpu(trial: Trial) -> float:
    return trial.client_cpu_seconds / trial.checks if trial.server_cpu_seconds else 0.0


def _quotient(pairs: Sequence[tuple[float, float]]) -> float | None:
    quotients = [first / second for first, second in pairs if first > 0 and second > 0]
    return median(quotients) if quotients else None


def lines(variants: Sequence[Variant], results: Results) -> list[Line]:
    return [_line(variant, results[variant.name], results[variant.beside]) for variant in variants]


def _line(variant: Variant, trials: list[Trial], beside: list[Trial]) -> Line:
    pairs = list(zip(trials, beside, strict=True))
    return Line(
        name=variant.name,
        ratio=median(trial.checks_per_second / other.checks_per_second for trial, other in pairs),
        cpu_ratio=_quotient(
            [(trial.server_cpu_per_check_seconds, other.server_cpu_per_check_seconds) for trial, other in pairs]
        ),
        checks_per_second=median(trial.checks_per_second for trial in trials),
        p50_milliseconds=median(trial.p50_seconds for trial in trials) * 1e3,
        p99_milliseconds=median(trial.p99_seconds for trial in trials) * 1e3,
        server_microseconds=median(trial.server_cpu_seconds / trial.checks for trial in trials) * 1e6,
        database_microseconds=median(trial.database_cpu_seconds / trial.checks for trial in trials) * 1e6,
        client_microseconds=median(trial.client_cpu_seconds / trial.checks for trial in trials) * 1e6,
    )


_HEADER = (
    "| variant | × echo | checks/s | p50 ms | p99 ms | server CPU × echo | server µs | database µs | client µs |\n"
    "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
)
_COMPARISON_HEADER = (
    "| | over | checks/s | CPU of service and database | CPU of client |\n| --- | --- | ---: | ---: | ---: |"
)


def table(found: Sequence[Line]) -> str:
    """A Markdown table; the µs are CPU time per check."""
    return "\n".join([_HEADER, *(_row(line) for line in found)])


def _row(line: Line) -> str:
    cells = [
        line.name,
        _ratio(line.ratio),
        f"{line.checks_per_second:,.0f}",
        _digits(line.p50_milliseconds),
        _digits(line.p99_milliseconds),
        "–" if line.cpu_ratio is None else _ratio(line.cpu_ratio),
        *(
            _digits(microseconds) if microseconds else "–"
            for microseconds in (line.server_microseconds, line.database_microseconds, line.client_microseconds)
        ),
    ]
    return f"| {' | '.join(cells)} |"


def comparison_table(found: Sequence[Comparison]) -> str:
    rows = (
        f"| {one.first} | {one.second} | {_ratio(one.ratio)} | {_optional(one.service_cpu_ratio)} "
        f"| {_optional(one.client_cpu_ratio)} |"
        for one in found
    )
    return "\n".join([_COMPARISON_HEADER, *rows])


def _optional(ratio: float | None) -> str:
    return "–" if ratio is None else _ratio(ratio)


def _ratio(value: float) -> str:
    if value >= 100:
        return f"{value:,.0f}"
    if value >= 10:
        return f"{value:.1f}"
    return f"{value:.2f}" if value >= 0.01 else f"{value:.1g}"


def _digits(value: float) -> str:
    """Three digits are more than a shared machine repeats."""
    if value >= 100:
        return f"{value:,.0f}"
    if value >= 0.1:
        return f"{value:.1f}"
    return f"{value:.2g}" if value >= 0.001 else f"{value:.1g}"


def as_json(
    variants: Sequence[Variant], results: Results, pace: Pace, machine: Mapping[str, str], caps: list[dict[str, Any]]
) -> dict[str, Any]:
    """Everything, for comparing runs: the lines, every trial, and what it ran on."""
    return {
        "taken": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "machine": dict(machine),
        "pace": asdict(pace),
        "lines": [asdict(line) for line in lines(variants, results)],
        "comparisons": [asdict(comparison) for comparison in comparisons(results)],
        "caps": caps,
        "trials": {name: [_without_accounts(trial) for trial in trials] for name, trials in results.items()},
    }


def _without_accounts(trial: Trial) -> dict[str, Any]:
    """A journal of a thousand organizations as its sum; that each is exact has been checked."""
    fields = asdict(trial)
    journal = fields.pop("journal")
    names = ("reservations", "held_micros", "spent_micros", "denied")
    return fields | {"organizations": len(journal)} | {name: sum(e[name] for e in journal.values()) for name in names}
