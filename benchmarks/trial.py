"""What a load process is told (a `Plan`, JSON on standard input) and what it answers (a `Trial`, JSON on output)."""

import json
import sys
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, field
from typing import Any

import uvloop


@dataclass(frozen=True, slots=True)
class Tenant:
    """One organization to spend from, and the key to do it with."""

    organization_id: str
    key: str
    most_checks: int
    """A budget holds a limited number of open reservations, so a long trial moves on to the next tenant."""


@dataclass(frozen=True, slots=True)
class Plan:
    """One trial."""

    load: str
    """Which module of `benchmarks.loads` carries it out."""
    targets: tuple[str, ...]
    """Addresses, one a replica, or the database; calls take them in turn."""
    in_flight: int
    """Callers, each of which waits for its answer before it calls again."""
    seconds: float
    warm_up_seconds: float
    most_calls: int | None = None
    """Stop earlier after so many measured calls, for runs that only prove that the harness works."""
    batch_size: int = 0
    """Checks in one call; 0 for the unary method."""
    tenants: tuple[Tenant, ...] = ()
    server_pids: tuple[int, ...] = ()
    database_pids: tuple[int, ...] = ()
    """Roots of the process trees whose CPU time is the database's."""

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Plan":
        fields: dict[str, Any] = json.loads(text)
        fields["tenants"] = tuple(Tenant(**tenant) for tenant in fields["tenants"])
        for name in ("targets", "server_pids", "database_pids"):
            fields[name] = tuple(fields[name])
        return cls(**fields)


@dataclass(slots=True)
class Entry:
    """What one organization was granted, as its callers were told."""

    admitted: int = 0
    micros: int = 0


@dataclass(slots=True)
class Trial:
    """What one trial measured. Times and counts are of the measured part; the journal has the warm-up in it too."""

    calls: int
    checks: int
    seconds: float
    p50_seconds: float
    p99_seconds: float
    client_cpu_seconds: float
    server_cpu_seconds: float
    database_cpu_seconds: float
    journal: dict[str, Entry] = field(default_factory=dict)
    """By organization id."""
    failures: dict[str, int] = field(default_factory=dict)
    """Calls that were not admitted, by what they were answered; a sound trial has none."""

    @property
    def checks_per_second(self) -> float:
        return self.checks / self.seconds

    @property
    def server_cpu_per_check_seconds(self) -> float:
        return self.server_cpu_seconds / self.checks

    @classmethod
    def from_json(cls, text: str) -> "Trial":
        fields: dict[str, Any] = json.loads(text)
        fields["journal"] = {name: Entry(**entry) for name, entry in fields["journal"].items()}
        return cls(**fields)


def serve_plan(run: Callable[[Plan], Awaitable[Trial]]) -> None:
    """Be a load process: read the plan, carry it out on uvloop, print the trial."""

    async def main() -> Trial:
        return await run(Plan.from_json(sys.stdin.read()))

    print(json.dumps(asdict(uvloop.run(main()))), flush=True)
