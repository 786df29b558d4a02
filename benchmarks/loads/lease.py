"""A lease of the SDK: admissions in this process from a slice that the service holds, reported in the background.

Its latency is that of one admission in a hundred, each timed by itself; the clock alone takes a third of what one does.
"""

import asyncio
import time

import grpc

from benchmarks.loads.closed_loop import AMOUNT_STEPS, Journal, Meter
from benchmarks.messages import LABELS, UNIT
from benchmarks.trial import Plan, Trial, serve_plan
from outlay_client.leases import CHANNEL_OPTIONS, AsyncGrpcLeaseTransport, AsyncLease, LeaseOptions

ADMISSIONS_PER_TURN = 1_000
"""Between turns of the event loop, in which the lease asks for more and reports: a third of a millisecond."""

SLICE_MICROS = 10**10
"""Twenty million admissions: what a second of this needs, and far more than 20 ms of it."""


async def run(plan: Plan) -> Trial:
    (tenant,) = plan.tenants
    journal = Journal(plan.expects)
    options = LeaseOptions(unit=UNIT, max_slice_micros=SLICE_MICROS, min_slice_micros=SLICE_MICROS, labels=LABELS)
    async with grpc.aio.insecure_channel(plan.targets[0], CHANNEL_OPTIONS) as channel:
        lease = AsyncLease(AsyncGrpcLeaseTransport(channel, tenant.key), options)
        async with lease:
            warm_up = await _admit(lease, plan.warm_up_seconds, plan.most_calls)
            meter = Meter(plan)
            measured = await _admit(lease, plan.seconds, plan.most_calls)
            trial = meter.stop(measured.latencies, measured.admitted, journal, calls=measured.admitted)
        journal.spent(tenant.organization_id, warm_up.micros + measured.micros)
    return trial


class _Run:
    def __init__(self) -> None:
        self.admitted = 0
        self.micros = 0
        self.latencies: list[float] = []


async def _admit(lease: AsyncLease, seconds: float, most_calls: int | None) -> _Run:
    run = _Run()
    admit = lease.admit
    turn = min(ADMISSIONS_PER_TURN, most_calls or ADMISSIONS_PER_TURN)
    amount_micros = 0
    deadline = time.perf_counter() + seconds
    while time.perf_counter() < deadline and (most_calls is None or run.admitted < most_calls):
        for number in range(turn):
            amount_micros = amount_micros % AMOUNT_STEPS + 1
            if number % 100:
                admitted = admit(amount_micros)
            else:
                started = time.perf_counter()
                admitted = admit(amount_micros)
                run.latencies.append(time.perf_counter() - started)
            if admitted:
                run.admitted += 1
                run.micros += amount_micros
            else:
                break
        # Also where the slice is dry: the lease gets the next one in these turns.
        await asyncio.sleep(0)
    return run


if __name__ == "__main__":
    serve_plan(run)
