"""A process that prunes, for tests that kill it: `python prune_worker.py URL NOW_MICROS RETENTION_SECONDS`."""

import asyncio
import sys

from ledger.stores import SettableClock, opened
from outlay_server.domain.instant import Instant
from outlay_server.server.retention import Retention


async def main(url: str, now: int, seconds: int) -> None:
    async with opened(url, SettableClock(url, Instant(now))) as store:
        print("pruning", flush=True)
        await Retention(store, seconds, pause_seconds=0).round()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
