"""What one local admission costs.

    PYTHONPATH=tests .venv/bin/python -m client.leases.cost

The slice is large enough that nothing is asked meanwhile; the server is the tests' own. It is the processor time of the
calling thread, the least of several runs, for what the machine does beside can only add.
"""

import asyncio
import time
import timeit
from collections.abc import Callable
from typing import Any, Final

from client.leases.fake import AsyncFakeTransport, FakeClock, FakeServer, FakeTransport
from outlay_client.leases import AsyncLease, LeaseOptions, ThreadLease

ADMISSIONS: Final = 200_000
RUNS: Final = 7
OPTIONS: Final = LeaseOptions(unit="USD", max_slice_micros=10**14, min_slice_micros=10**14)


def nanoseconds(admit: Callable[[int], Any]) -> float:
    """Of one admission."""
    assert admit(5)
    seconds = min(
        timeit.repeat("admit(5)", globals={"admit": admit}, timer=time.thread_time, number=ADMISSIONS, repeat=RUNS)
    )
    return seconds / ADMISSIONS * 1e9


def server() -> FakeServer:
    return FakeServer(FakeClock(), cap_micros=10**15)


async def of_asyncio() -> float:
    async with AsyncLease(AsyncFakeTransport(server()), OPTIONS) as lease:
        return nanoseconds(lease.admit)


def of_threads() -> float:
    with ThreadLease(FakeTransport(server()), OPTIONS) as lease:
        return nanoseconds(lease.admit)


def main() -> None:
    print(f"AsyncLease.admit   {asyncio.run(of_asyncio()):6.0f} ns")
    print(f"ThreadLease.admit  {of_threads():6.0f} ns")


if __name__ == "__main__":
    main()
