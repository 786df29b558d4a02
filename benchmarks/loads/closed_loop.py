"""Callers that each wait for their answer before they call again, and what they measured."""

import asyncio
import math
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator

from benchmarks.cpu import cpu_seconds, own_cpu_seconds, tree
from benchmarks.trial import Entry, Expects, Plan, Tenant, Trial

AMOUNT_STEPS = 997
"""Amounts go round in 1 to this many micros, so that a lost and a doubled check never cancel out."""


WARM_UP_MAX_SECONDS = 30.0


class Journal:
    """What the callers were told, kept by them and not by the service."""

    def __init__(self, expects: Expects = "admissions") -> None:
        self.entries: dict[str, Entry] = {}
        self.failures: Counter[str] = Counter()
        self._expects = expects

    def admitted(self, organization_id: str, micros: int) -> None:
        """A reservation of so much."""
        if self._expects == "denials":
            self.failed("ADMITTED")
        entry = self._entry(organization_id)
        entry.reservations += 1
        entry.held_micros += micros

    def spent(self, organization_id: str, micros: int) -> None:
        """Admitted and recorded at once."""
        self._entry(organization_id).spent_micros += micros

    def denied(self, organization_id: str, reason: str) -> None:
        self._entry(organization_id).denied += 1
        if self._expects == "admissions":
            self.failed(reason)

    def failed(self, what: str) -> None:
        self.failures[what] += 1

    def _entry(self, organization_id: str) -> Entry:
        return self.entries.setdefault(organization_id, Entry())


class Turns:
    """Hands out what the next call spends: tenant and amount, until the tenants are used up."""

    def __init__(self, tenants: tuple[Tenant, ...], *, spread: bool = False) -> None:
        self._turns = _in_turn(tenants) if spread else _one_after_the_other(tenants)

    def take(self, count: int) -> list[tuple[Tenant, int]]:
        """The next `count` checks, all of one tenant; fewer where it has fewer left, none at the end."""
        taken: list[tuple[Tenant, int]] = []
        for tenant, amount_micros, last in self._turns:
            taken.append((tenant, amount_micros))
            if last or len(taken) == count:
                break
        return taken


def _one_after_the_other(tenants: tuple[Tenant, ...]) -> Iterator[tuple[Tenant, int, bool]]:
    number = 0
    for tenant in tenants:
        for left in reversed(range(tenant.most_checks)):
            yield tenant, 1 + number % AMOUNT_STEPS, left == 0
            number += 1


def _in_turn(tenants: tuple[Tenant, ...]) -> Iterator[tuple[Tenant, int, bool]]:
    number = 0
    for _ in range(min(tenant.most_checks for tenant in tenants)):
        for tenant in tenants:
            # Each is the last of its tenant for now: no call is of two.
            yield tenant, 1 + number % AMOUNT_STEPS, True
            number += 1


Call = Callable[[int], Awaitable[int]]
"""Makes one call for the caller with this number and returns how many checks it carried; 0 when there are none left."""


class Meter:
    """The measured part of a trial: time, and CPU time on each side."""

    def __init__(self, plan: Plan) -> None:
        self._server_pids = tree(plan.server_pids)
        self._database_pids = tree(plan.database_pids)
        self._before = self._cpu()
        self._started = time.perf_counter()

    def _cpu(self) -> tuple[float, float, float]:
        return own_cpu_seconds(), cpu_seconds(self._server_pids), cpu_seconds(self._database_pids)

    def stop(self, latencies: list[float], checks: int, journal: Journal, *, calls: int | None = None) -> Trial:
        """The trial; `latencies` are of all calls, or of a sample where `calls` says how many there were."""
        seconds = time.perf_counter() - self._started
        client_cpu, server_cpu, database_cpu = (
            late - early for early, late in zip(self._before, self._cpu(), strict=True)
        )
        latencies.sort()
        return Trial(
            calls=len(latencies) if calls is None else calls,
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


async def measure(plan: Plan, call: Call, journal: Journal) -> Trial:
    """Warm up, measure for as long as the plan says, and let every call that was begun end."""
    if plan.spread:
        # Every organization once: its first check loads its key and its budgets, and is not the one that is meant.
        await _run(plan.in_flight, call, WARM_UP_MAX_SECONDS, len(plan.tenants))
    await _run(plan.in_flight, call, plan.warm_up_seconds, None)
    meter = Meter(plan)
    latencies, checks = await _run(plan.in_flight, call, plan.seconds, plan.most_calls)
    return meter.stop(latencies, checks, journal)


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
