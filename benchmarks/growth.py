"""What a check costs as the ledger grows, and what open reservations hold in memory: `python -m benchmarks.growth`.

In process and on SQLite, without a wire: the ledger is handed batches of 100 checks that hold, eight in flight, with
random request ids, until it has as many as asked; at each size the last 8,000 are timed. Every reservation stays open,
9,000 to an organization. Then the books are recomputed.
"""

import argparse
import asyncio
import gc
import os
import resource
import sys
import tempfile
import time
from pathlib import Path

import uvloop

from outlay_server.control import Origin, organizations
from outlay_server.domain.commands import CheckMode, CheckOutcome, CheckSpend
from outlay_server.domain.instant import MICROS_PER_SECOND
from outlay_server.domain.reservation import ExpiryAction
from outlay_server.domain.settings import OrganizationSettings
from outlay_server.ledger import Ledger
from outlay_server.store import verify
from outlay_server.store.sqlite import SqliteStore

BATCH = 100
IN_FLIGHT = 8
TIMED = 8_000
PER_ORGANIZATION = 9_000
LABELS = (("model", "large-2"), ("team", "search"))
DAY_MICROS = 86_400 * MICROS_PER_SECOND
ORIGIN = Origin("platform", "grpc", "growth", is_platform=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.growth", description=__doc__)
    parser.add_argument("--checks", type=int, nargs="+", default=[10_000, 100_000, 1_000_000], help="sizes to time at")
    options = parser.parse_args()
    uvloop.run(_measure(sorted(options.checks)))
    return 0


async def _measure(sizes: list[int]) -> None:
    with tempfile.TemporaryDirectory(prefix="outlay-growth-") as folder:
        store = SqliteStore(Path(folder) / "outlay.db")
        await store.open()
        await store.migrate()
        ledger = Ledger(store)
        await ledger.start()
        gc.collect()
        gc.freeze()
        before = _resident_bytes()
        print("| open reservations | µs CPU a check | resident MB | file MB |\n| ---: | ---: | ---: | ---: |")
        growth = _Growth(store, ledger)
        for size in sizes:
            await growth.grow_to(size - TIMED)
            started = time.process_time()
            await growth.grow_to(size)
            micros = (time.process_time() - started) / TIMED * 1e6
            resident = (_resident_bytes() - before) / 1e6
            file = (Path(folder) / "outlay.db").stat().st_size / 1e6
            print(f"| {growth.made:,} | {micros:.1f} | {resident:.0f} | {file:.0f} |", flush=True)
        await ledger.stop()
        found = (await store.read(verify.verify)).disagreement
        await store.close()
        print(f"The books differ: {found}" if found else "The books are exact.", file=sys.stderr)


class _Growth:
    """Fills the ledger, one organization after the other."""

    def __init__(self, store: SqliteStore, ledger: Ledger) -> None:
        self._store = store
        self._ledger = ledger
        self._organization_id = ""
        self._organizations = 0
        self.made = 0

    async def grow_to(self, size: int) -> None:
        while self.made < size:
            if self.made >= self._organizations * PER_ORGANIZATION:
                await self._new_organization()
            room = min(size, self._organizations * PER_ORGANIZATION) - self.made
            rounds = max(1, min(IN_FLIGHT, room // BATCH))
            await asyncio.gather(*(self._batch(min(BATCH, room)) for _ in range(rounds)))

    async def _batch(self, count: int) -> None:
        answers = await self._ledger.submit_all([_check(self._organization_id) for _ in range(count)])
        assert all(isinstance(answer, CheckOutcome) and answer.allowed for answer in answers)
        self.made += count

    async def _new_organization(self) -> None:
        self._organizations += 1
        self._organization_id = f"growth-{self._organizations:06d}"
        id_, settings = self._organization_id, OrganizationSettings(self._organization_id, ())
        await self._store.change(lambda transaction: organizations.create(transaction, ORIGIN, id_, settings))


def _check(organization_id: str) -> CheckSpend:
    return CheckSpend(
        organization_id=organization_id,
        unit="USD",
        amount_micros=1,
        min_amount_micros=None,
        labels=LABELS,
        mode=CheckMode.RESERVE,
        reservation_ttl_micros=DAY_MICROS,
        expiry_action=ExpiryAction.RELEASE,
        full_view=False,
        request_id=os.urandom(16).hex(),
        api_key_id="",
    )


def _resident_bytes() -> int:
    """What this process holds in memory now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


if __name__ == "__main__":
    sys.exit(main())
