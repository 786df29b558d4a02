"""Callers that each wait for their answer before they call again, and what they measured."""

import asyncio
import math
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator

from benchmarks.cpu import cpu_seconds, own_cpu_seconds, tree
from benchmarks.trial import Entry, Plan, Tenant, Trial

AMOUNT_STEPS = 997
"""Amounts go round in 1 to this many micros, so that a lost and a doubled check never cancel out."""


class Journal:
    """What the callers were told, kept by them and not by the service."""

    def __init__(self) -> None:
        self.entries: dict[str, Entry] = {}
        self.failures: Counter[str] = Counter()

    def admitted(self, organization_id: str, micros: int) -> None:
        entry = self.entries.setdefault(organization_id, Entry())
        entry.admitted += 1
        entry.micros += micros

    def failed(self, what: str) -> None:
        self.failures[what] += 1


class Turns:
    """Hands out what the next call spends: tenant and amount, until the tenants are used up."""

    def __init__(self, tenants: tuple[Tenant, ...]) -> None:
        self._turns = _turns(tenants)

    def take(self, count: int) -> list[tuple[Tenant, int]]:
        """The next `count` checks, all of one tenant; fewer where it has fewer left, none at the end."""
        taken: list[tuple[Tenant, int]] = []
        for tenant, amount_micros, last in self._turns:
            taken.append((tenant, amount_micros))
            if last or len(taken) == count:
                break
        return taken


def _turns(tenants: tuple[Tenant, ...]) -> Iterator[tuple[Tenant, int, bool]]:
    number = 0
    for tenant in tenants:
        for left in reversed(range(tenant.most_checks)):
            yield tenant, 1 + number % AMOUNT_STEPS, left == 0
            number += 1


Call = Callable[[int], Awaitable[int]]
"""Makes one call for the caller with this number and returns how many checks it carried; 0 when there are none left."""


async def measure(plan: Plan, call: Call, journal: Journal) -> Trial:
    """Warm up, measure for as long as the plan says, and let every call that was begun end."""
    await _run(plan.in_flight, call, plan.warm_up_seconds, None)
    database_pids = tree(plan.database_pids)
    before = (own_cpu_seconds(), cpu_seconds(plan.server_pids), cpu_seconds(database_pids))
    started = time.perf_counter()
    latencies, checks = await _run(plan.in_flight, call, plan.seconds, plan.most_calls)
    seconds = time.perf_counter() - started
    after = (own_cpu_seconds(), cpu_seconds(plan.server_pids), cpu_seconds(database_pids))
    client_cpu, server_cpu, database_cpu = (late - early for early, late in zip(before, after, strict=True))
    latencies.sort()
    return Trial(
        calls=len(latencies),
        checks=checks,
        seconds=seconds,
        p50_seconds=percentile(latencies, 50),
        p99_seconds=percentile(latencies, 99),
        client_cpu_seconds=client_cpu,
        server_cpu_seconds=server_cpu,
        database_cpu_seconds=database_cpu,
        journal=journal.entries,
        failures=dict(journal.failures),
    )


async def _run(in_flight: int, call: Call, seconds: float, most_calls: int | None) -> tuple[list[float], int]:
    latencies: list[float] = []
    checks = 0
    begun = 0
    deadline = time.perf_counter() + seconds

    async def caller(number: int) -> None:
        nonlocal checks, begun
        while (started := time.perf_counter()) < deadline and (most_calls is None or begun < most_calls):
            begun += 1
            done = await call(number)
            if done == 0:
                return
            latencies.append(time.perf_counter() - started)
            checks += done

    await asyncio.gather(*(caller(number) for number in range(in_flight)))
    return latencies, checks


def percentile(ascending: list[float], percent: float) -> float:
    """The nearest-rank percentile: the smallest value that at least `percent` of the values do not exceed."""
    return ascending[max(0, math.ceil(len(ascending) * percent / 100) - 1)]
