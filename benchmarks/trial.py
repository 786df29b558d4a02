"""What a load process is told (a `Plan`, JSON on standard input) and what it answers (a `Trial`, JSON on output)."""

import json
import sys
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import uvloop

UNBOUNDED = 10**9
"""More checks than a trial can make."""


@dataclass(frozen=True, slots=True)
class Tenant:
    """One organization to spend from, and the key to do it with."""

    organization_id: str
    key: str
    most_checks: int
    """A budget holds a limited number of open reservations, so a long trial moves on to the next tenant."""
    cap_micros: int = 10**15
    """For loads that make their own budgets; elsewhere it has been set."""


Expects = Literal["admissions", "denials", "either"]
"""What a sound trial is answered; anything else is a failure."""


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
    spread: bool = False
    """Go round the tenants check by check, instead of using up one after the other."""
    expects: Expects = "admissions"
    mock_milliseconds: int = 0
    """How long the mocked work behind a gateway takes."""
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

    reservations: int = 0
    held_micros: int = 0
    """By these reservations."""
    spent_micros: int = 0
    """Admitted and recorded at once."""
    denied: int = 0

    @property
    def micros(self) -> int:
        return self.held_micros + self.spent_micros

    def add(self, other: "Entry") -> None:
        self.reservations += other.reservations
        self.held_micros += other.held_micros
        self.spent_micros += other.spent_micros
        self.denied += other.denied


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
    """Calls that were not answered as expected, by what they were answered; a sound trial has none."""
    drift_micros: int = 0
    """By how much a rival's own count differs from what its callers were told; 0 for everything of ours."""

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
