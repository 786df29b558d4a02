"""How soon watchers are told: `python -m benchmarks.watch [--watchers N] [--changes N] [--per-second N] [--postgres]`.

A real server, one organization, N streams of WatchBudgets in one client process, and records one by one at a steady
rate. The lag of a change is from the moment its record was answered until a watcher has read it; on PostgreSQL the
records go to one replica and the watchers read at the other. Every watcher must have read every change, in order.
"""

import argparse
import asyncio
import math
import tempfile
import time
from pathlib import Path

import grpc
import grpc.aio

from benchmarks.messages import UNIT, metadata_of
from benchmarks.outlay import Deployment, deployment
from benchmarks.postgres import cluster, find_programs
from outlay.v1 import budget_service_pb2 as pb
from outlay.v1 import budget_service_pb2_grpc as budget_grpc

STREAMS_PER_CHANNEL = 100
"""As many as one connection carries comfortably."""


async def _watch(
    stub: "budget_grpc.BudgetServiceAsyncStub", parent: str, key: str, changes: int, at: list[float]
) -> int:
    """Read one stream to its last change; notes when each was read, and returns how many came in the wrong order."""
    disordered, last = 0, 0
    stream = stub.WatchBudgets(pb.WatchBudgetsRequest(parent=parent), metadata=metadata_of(key))
    async for answer in stream:
        if answer.type != pb.BUDGET_CHANGE_TYPE_CHANGED:
            last = max(last, answer.sequence)
            if answer.sequence:
                at.append(math.nan)
            continue
        disordered += answer.sequence != last + 1
        last = answer.sequence
        at.append(time.perf_counter())
        if len(at) > changes:
            break
    return disordered


async def _measure(service: Deployment, watchers: int, changes: int, per_second: float) -> None:
    (tenant,) = service.new_tenants(1)
    parent = f"organizations/{tenant.organization_id}"
    channels = [
        grpc.aio.insecure_channel(service.replicas[-1].grpc_address, options=(("grpc.use_local_subchannel_pool", 1),))
        for _ in range(math.ceil(watchers / STREAMS_PER_CHANNEL))
    ]
    read_at: list[list[float]] = [[] for _ in range(watchers)]
    tasks = [
        asyncio.create_task(
            _watch(
                budget_grpc.BudgetServiceStub(channels[number // STREAMS_PER_CHANNEL]),
                parent,
                service.admin_key,
                changes,
                read_at[number],
            )
        )
        for number in range(watchers)
    ]
    started = time.perf_counter()
    while not all(read_at):  # noqa: ASYNC110 a benchmark may look
        await asyncio.sleep(0.05)
    print(f"{watchers} watchers have the state after {time.perf_counter() - started:.2f} s")

    answered_at = []
    async with grpc.aio.insecure_channel(service.replicas[0].grpc_address) as channel:
        recorder = budget_grpc.BudgetServiceStub(channel)
        for number in range(changes):
            await recorder.RecordSpend(
                pb.RecordSpendRequest(unit=UNIT, amount_micros=1, request_id=f"watch-{number}"),
                metadata=metadata_of(tenant.key),
            )
            answered_at.append(time.perf_counter())
            await asyncio.sleep(1 / per_second)
    disordered = sum(await asyncio.gather(*tasks))
    for open_channel in channels:
        await open_channel.close()
    lags = sorted(
        (read - answered) * 1_000 for at in read_at for read, answered in zip(at[1:], answered_at, strict=True)
    )
    assert len(lags) == watchers * changes, "a change did not reach a watcher"
    assert not disordered, f"{disordered} changes were told out of order"

    def percentile(share: float) -> float:
        return lags[min(len(lags) - 1, int(share * len(lags)))]

    print(
        f"{len(lags)} changes told, all in order; lag p50 {percentile(0.5):.1f} ms, p99 {percentile(0.99):.1f} ms, "
        f"most {lags[-1]:.1f} ms"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--watchers", type=int, default=1_000)
    parser.add_argument("--changes", type=int, default=60)
    parser.add_argument("--per-second", type=float, default=2.0)
    parser.add_argument("--postgres", action="store_true", help="two replicas on PostgreSQL instead of one on SQLite")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="outlay-watch-") as folder:
        # PostgreSQL runs as somebody else, who has to get in.
        Path(folder).chmod(0o755)
        if not arguments.postgres:
            with deployment(Path(folder)) as service:
                asyncio.run(_measure(service, arguments.watchers, arguments.changes, arguments.per_second))
            return
        programs = find_programs()
        if programs is None:
            raise SystemExit("there is no PostgreSQL on this machine")
        with (
            cluster(Path(folder) / "postgres", programs) as database,
            deployment(Path(folder) / "servers", database_url=database.database("watch"), replicas=2) as service,
        ):
            asyncio.run(_measure(service, arguments.watchers, arguments.changes, arguments.per_second))


if __name__ == "__main__":
    main()
