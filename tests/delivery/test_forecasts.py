"""Budgets that head past what they may spend are told of, once a cycle, by one replica."""

from typing import Any

from delivery.outbox import endpoint, events
from ledger.stores import DAY_MICROS, UNIT, SettableClock, cap, record, set_budget
from outlay_server.delivery import ForecastWatch
from outlay_server.domain.instant import Instant
from outlay_server.ledger import Ledger
from outlay_server.store.contract import Store

FIRST = Instant(1_769_904_000_000_000 + DAY_MICROS // 2)
"""Noon of 1 February 2026, after the time that the stores have seen."""


async def spend_daily(ledger: Ledger, clock: SettableClock, days: int, amount: int) -> None:
    """So much on each of so many days from now on; it ends on the day after."""
    for _ in range(days):
        await ledger.submit(record(amount))
        await clock.advance(DAY_MICROS)


async def breached(store: Store) -> list[Any]:
    return [event["data"] for event in await events(store) if event["type"] == "forecast.breached"]


async def test_a_budget_that_will_pass_its_limit_is_told_of_once_a_cycle(
    timed_store: Store, timed_ledger: Ledger, clock: SettableClock
) -> None:
    await clock.set(FIRST)
    await endpoint(timed_store, "https://example.com/")
    await cap(timed_store, 200 * UNIT)
    await spend_daily(timed_ledger, clock, 8, 10 * UNIT)
    watch = ForecastWatch(timed_store)
    assert await watch.run_if_due() == 1
    await clock.advance(DAY_MICROS // 24)
    assert await watch.run_if_due() == 0
    (data,) = await breached(timed_store)
    assert (data["basis"], data["limit"], data["days"]) == ("LIMIT", "200.00", 8)
    assert data["low_micros"] <= data["projected_micros"] <= data["high_micros"]
    assert data["projected_micros"] > 200 * UNIT
    assert data["exhaustion_time"].startswith("2026-02-2")


async def test_a_budget_that_will_pass_its_soft_budget_is_told_of(
    timed_store: Store, timed_ledger: Ledger, clock: SettableClock
) -> None:
    await clock.set(FIRST)
    await endpoint(timed_store, "https://example.com/")
    await set_budget(timed_store, budget_micros=200 * UNIT)
    await spend_daily(timed_ledger, clock, 8, 10 * UNIT)
    assert await ForecastWatch(timed_store).run_if_due() == 1
    (data,) = await breached(timed_store)
    assert (data["basis"], data["soft_budget"], data["exhaustion_time"]) == ("BUDGET", "200.00", None)


async def test_a_budget_that_stays_within_is_not_told_of(
    timed_store: Store, timed_ledger: Ledger, clock: SettableClock
) -> None:
    await clock.set(FIRST)
    await endpoint(timed_store, "https://example.com/")
    await cap(timed_store, 500 * UNIT, budget_micros=400 * UNIT)
    await spend_daily(timed_ledger, clock, 8, 10 * UNIT)
    assert await ForecastWatch(timed_store).run_if_due() == 0


async def test_nobody_looks_where_nobody_asks(timed_store: Store, timed_ledger: Ledger, clock: SettableClock) -> None:
    await clock.set(FIRST)
    await endpoint(timed_store, "https://example.com/", event_types=("cap.reached",))
    await cap(timed_store, 200 * UNIT)
    await spend_daily(timed_ledger, clock, 8, 10 * UNIT)
    assert await ForecastWatch(timed_store).run_if_due() == 0


async def test_one_replica_looks_in_an_hour(timed_store: Store, clock: SettableClock) -> None:
    first, second = ForecastWatch(timed_store), ForecastWatch(timed_store)
    assert [await first.run_if_due(), await second.run_if_due()] == [0, None]
    await clock.advance(DAY_MICROS // 24)
    assert [await second.run_if_due(), await first.run_if_due()] == [0, None]
