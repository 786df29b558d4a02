"""What every store promises, asked of every store."""

from ledger.stores import CENT, DAY_MICROS, SettableClock, admitted, budget, cap, check, disagreement, record
from outlay_server.domain.instant import Instant
from outlay_server.ledger import Ledger
from outlay_server.store.contract import Store


async def test_time_moves_with_the_database(timed_store: Store, timed_ledger: Ledger, clock: SettableClock) -> None:
    """The test's own clock is the one that decides."""
    await cap(timed_store, 3 * CENT)
    outcome = await admitted(timed_ledger, check(CENT))
    assert outcome.expire_time == clock.now + 300_000_000
    await clock.advance(40 * DAY_MICROS)
    await timed_ledger.submit(record(CENT))
    assert (await budget(timed_store)).counter.spent_micros == CENT
    assert await timed_store.now() == Instant(clock.now)
    assert await disagreement(timed_store) is None
