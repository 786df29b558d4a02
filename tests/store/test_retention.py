"""Retention: what is old goes in small steps, what is needed stays, and the books agree after each of them."""

import asyncio
import contextlib
import os
import sys
from datetime import date
from pathlib import Path

import pytest
from sqlalchemy import func, select, text

from ledger.stores import (
    DAY_MICROS,
    PLATFORM,
    SettableClock,
    alerts,
    budget,
    check,
    disagreement,
    new_budget,
    new_organization,
    opened,
    record,
    refund,
    release,
    reserved,
    running,
    set_budget,
    snapshot,
)
from outlay_server import control
from outlay_server.domain.commands import RecordOutcome
from outlay_server.domain.cycle import Cycle, Period
from outlay_server.domain.errors import NotFound
from outlay_server.domain.reservation import ExpiryAction
from outlay_server.domain.selector import selector_of
from outlay_server.ledger import Ledger
from outlay_server.server.retention import Retention
from outlay_server.store import retention, tables
from outlay_server.store.contract import ControlTransaction, Store

DAYS = 40
SECONDS = DAYS * 86_400
LIFETIME = Cycle(Period.LIFETIME, date(2020, 1, 1))
A_DAY_OF_TTL = 86_400


async def prune(store: Store) -> dict[str, int]:
    return await Retention(store, SECONDS, pause_seconds=0).round()


async def count(store: Store, table: str) -> int:
    return await store.read(
        lambda c: int(c.execute(select(func.count()).select_from(tables.metadata.tables[table])).scalar_one())
    )


async def recorded(ledger: Ledger, amount: int, **options: object) -> str:
    outcome = await ledger.submit(record(amount, **options))
    assert isinstance(outcome, RecordOutcome)
    return outcome.record.record_id


async def test_old_records_go_with_their_refunds_and_the_sums_stay(
    timed_store: Store, timed_ledger: Ledger, clock: SettableClock
) -> None:
    old = await recorded(timed_ledger, 50, labels={"team": "a"}, request_id="old")
    await timed_ledger.submit(refund(old, 20, request_id="r"))
    await clock.advance(DAYS * DAY_MICROS + DAY_MICROS)
    new = await recorded(timed_ledger, 7)
    rollups = (await snapshot(timed_store))["spend_rollups"]
    assert await prune(timed_store) == {"reservations": 0, "records": 2, "alerts": 0}
    assert [row[1] for row in (await snapshot(timed_store))["spend_records"]] == [new]
    assert (await snapshot(timed_store))["spend_rollups"] == rollups
    assert await disagreement(timed_store) is None
    # What is gone is missing, whatever it is asked for; its request_id still has its answer.
    with pytest.raises(NotFound):
        await timed_ledger.submit(refund(old, 1, request_id="too late"))
    again = await timed_ledger.submit(record(50, labels={"team": "a"}, request_id="old"))
    assert isinstance(again, RecordOutcome)
    assert again.record.record_id == old
    assert await prune(timed_store) == {"reservations": 0, "records": 0, "alerts": 0}


async def test_nothing_of_a_cycle_that_runs_goes(
    timed_store: Store, timed_ledger: Ledger, clock: SettableClock
) -> None:
    """A yearly budget keeps its organization's year; once it is gone, so is the reason."""
    await new_budget(timed_store, "year", cycle=Cycle(Period.YEAR, date(1970, 1, 1)))
    await recorded(timed_ledger, 5)
    await clock.advance(200 * DAY_MICROS)
    assert (await prune(timed_store))["records"] == 0
    await timed_store.change(lambda tx: control.budgets.delete(tx, PLATFORM, "acme", "year"))
    assert (await prune(timed_store))["records"] == 1
    assert await disagreement(timed_store) is None


async def test_a_lifetime_counts_what_is_pruned(timed_store: Store, timed_ledger: Ledger, clock: SettableClock) -> None:
    """By its counter, and by the rollups where the counter is summed again, for another selector too."""
    await new_budget(timed_store, "life", cycle=LIFETIME, budget_micros=100)
    for _ in range(3):
        await recorded(timed_ledger, 30, labels={"team": "a"})
        await recorded(timed_ledger, 3, labels={"team": "b"})
        await clock.advance(31 * DAY_MICROS)
    assert [alert.threshold_percent for alert in await alerts(timed_store)] == [50, 75, 90]
    assert (await prune(timed_store))["records"] == 4
    assert (await budget(timed_store, "life")).counter.spent_micros == 99
    await set_budget(timed_store, "life", selector=selector_of({"team": "a"}))
    assert (await budget(timed_store, "life")).counter.spent_micros == 90
    # Its alerts are those of a cycle that runs: they stay, and are not raised again.
    assert [percent for _, percent in (await budget(timed_store, "life")).counter.alerts_sent] == [50, 75, 90]
    await recorded(timed_ledger, 1, labels={"team": "a"})
    assert len(await alerts(timed_store)) == 3
    assert await disagreement(timed_store) is None


async def test_a_record_that_was_refunded_lately_stays_whole(
    timed_store: Store, timed_ledger: Ledger, clock: SettableClock
) -> None:
    """Or it could be refunded beyond its amount."""
    old = await recorded(timed_ledger, 50)
    await clock.advance(DAYS * DAY_MICROS)
    await timed_ledger.submit(refund(old, 20, request_id="r"))
    await clock.advance(20 * DAY_MICROS)
    assert (await prune(timed_store))["records"] == 0
    await timed_ledger.submit(refund(old, 30, request_id="s"))
    await clock.advance((DAYS + 1) * DAY_MICROS)
    assert (await prune(timed_store))["records"] == 3
    assert await disagreement(timed_store) is None


async def test_a_backdated_record_stays_as_long_as_it_was_known(
    timed_store: Store, timed_ledger: Ledger, clock: SettableClock
) -> None:
    await recorded(timed_ledger, 5, usage_time=clock.now - 34 * DAY_MICROS)
    await clock.advance(20 * DAY_MICROS)
    assert (await prune(timed_store))["records"] == 0
    await clock.advance(40 * DAY_MICROS)
    assert (await prune(timed_store))["records"] == 1


async def test_reservations_go_when_they_have_been_closed_for_long_and_then_their_records(
    timed_store: Store, timed_ledger: Ledger, clock: SettableClock
) -> None:
    settled = await reserved(timed_ledger, check(10))
    await timed_ledger.submit(record(10, settled))
    await timed_ledger.submit(release(await reserved(timed_ledger, check(5))))
    await reserved(timed_ledger, check(7, on_expiry=ExpiryAction.RECORD))
    await clock.advance(DAYS * DAY_MICROS)
    await timed_ledger.submit(record(1))  # Expiry is written down now, as of its own time.
    await clock.advance(20 * DAY_MICROS)
    assert await prune(timed_store) == {"reservations": 3, "records": 1, "alerts": 0}
    assert await disagreement(timed_store) is None
    with pytest.raises(NotFound):
        await timed_ledger.submit(record(1, settled, request_id="late"))
    await clock.advance(41 * DAY_MICROS)
    assert (await prune(timed_store))["records"] == 2
    assert (await count(timed_store, "spend_records"), await count(timed_store, "reservations")) == (0, 0)


async def test_a_late_record_finds_what_expiry_recorded_as_long_as_it_finds_the_reservation(
    timed_store: Store, timed_ledger: Ledger, clock: SettableClock
) -> None:
    """An open reservation that is drawn from keeps its records, and so does one that closed lately."""
    long_open = await reserved(timed_ledger, check(100, ttl_seconds=A_DAY_OF_TTL, on_expiry=ExpiryAction.RECORD))
    await timed_ledger.submit(record(10, long_open, keep_open=True))
    await timed_store.change(  # Extended day by day, which would take sixty steps here.
        lambda tx: (
            tx.connection.execute(text(f"UPDATE reservations SET expire_time = expire_time + {60 * DAY_MICROS}"))
            and None
        )
    )
    await clock.advance(50 * DAY_MICROS)
    assert await prune(timed_store) == {"reservations": 0, "records": 0, "alerts": 0}
    await clock.advance(30 * DAY_MICROS)
    await recorded(timed_ledger, 1)
    assert await prune(timed_store) == {"reservations": 0, "records": 0, "alerts": 0}
    await timed_ledger.submit(record(90, long_open, request_id="late"))
    assert await disagreement(timed_store) is None


async def test_alerts_go_when_their_cycle_is_over_for_good(
    timed_store: Store, timed_ledger: Ledger, clock: SettableClock
) -> None:
    """And the counters that list them; a refund into that cycle sums it anew and raises nothing."""
    await set_budget(timed_store, budget_micros=100)
    old = await recorded(timed_ledger, 100)
    await clock.advance(75 * DAY_MICROS)
    await recorded(timed_ledger, 60)
    assert len(await alerts(timed_store)) == 5
    # January is over for 59 days, and its record still here: a retention from its end on, not from the alert.
    await timed_store.change(
        lambda tx: (
            tx.connection.execute(
                text("UPDATE spend_records SET create_time = charge_time + 5000000000000 WHERE amount_micros = 100")
            )
            and None
        )
    )
    assert await prune(timed_store) == {"reservations": 0, "records": 0, "alerts": 4}
    assert [alert.threshold_percent for alert in await alerts(timed_store)] == [50]
    assert await disagreement(timed_store) is None
    await timed_ledger.submit(refund(old, 1, request_id="r"))
    assert len(await alerts(timed_store)) == 1
    assert await disagreement(timed_store) is None


async def test_a_deleted_organization_is_pruned_too(
    timed_store: Store, timed_ledger: Ledger, clock: SettableClock
) -> None:
    await recorded(timed_ledger, 5)
    await timed_store.change(lambda tx: control.organizations.delete(tx, PLATFORM, "acme", force=True))
    await clock.advance(80 * DAY_MICROS)
    assert (await prune(timed_store))["records"] == 1
    assert await disagreement(timed_store) is None


async def test_what_is_refunded_between_look_and_step_stays(
    timed_store: Store, timed_ledger: Ledger, clock: SettableClock
) -> None:
    """The step looks again, under the lock of the organization."""
    old = await recorded(timed_ledger, 50)
    await clock.advance(60 * DAY_MICROS)
    (organization,) = await timed_store.read(lambda c: retention.organizations_after(c, 0, 10))
    (stage,) = [stage for stage in retention.STAGES if stage.name == "records"]
    now = await timed_store.now()
    looked = await timed_store.read(lambda c: retention.look(c, organization, stage, now, SECONDS, ("USD", 0, "")))
    assert [one.record_id for one in looked.deletable] == [old]
    await timed_ledger.submit(refund(old, 1, request_id="r"))
    taken = await timed_store.change(lambda tx: retention.prune(tx, organization, stage, SECONDS, ("USD", 0, "")))
    assert not taken.deletable
    assert await count(timed_store, "spend_records") == 2


async def test_steps_are_small_and_checks_go_on_between_them(
    timed_store: Store, timed_ledger: Ledger, clock: SettableClock
) -> None:
    """A thousand records in two units go in steps of two hundred at most, while others are recorded."""
    await timed_ledger.submit_all([record(1, unit="EUR" if number % 2 else "USD") for number in range(1_000)])
    await clock.advance(60 * DAY_MICROS)
    deleted: list[int] = []
    real = retention.prune

    def counted(*arguments: object) -> retention.Step:
        step = real(*arguments)
        deleted.append(len(step.deletable))
        return step

    async def record_meanwhile() -> None:
        for _ in range(50):
            await timed_ledger.submit(record(1))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(retention, "prune", counted)
        found, _ = await asyncio.gather(prune(timed_store), record_meanwhile())
    assert found["records"] == sum(deleted) == 1_000
    assert max(deleted) <= retention.STEP_ROWS
    assert await count(timed_store, "spend_records") == 50
    assert await disagreement(timed_store) is None


async def test_a_step_that_fails_half_way_has_not_happened(
    timed_store: Store, timed_ledger: Ledger, clock: SettableClock
) -> None:
    await timed_ledger.submit_all([record(1) for _ in range(300)])
    await clock.advance(60 * DAY_MICROS)
    before = await snapshot(timed_store)
    (organization,) = await timed_store.read(lambda c: retention.organizations_after(c, 0, 10))
    stage = retention.STAGES[1]

    def fail(tx: ControlTransaction) -> None:
        retention.prune(tx, organization, stage, SECONDS, ("USD", 0, ""))
        raise NotFound("power")

    with pytest.raises(NotFound):
        await timed_store.change(fail)
    assert await snapshot(timed_store) == before


async def test_killed_in_mid_prune_the_books_agree(store_url: str, clock: SettableClock) -> None:
    """SIGKILL at three moments of it: verify is clean after each, and the next round does the rest."""
    async with opened(store_url, clock) as store, running(store) as ledger:
        await new_organization(store)
        for _ in range(2):
            await ledger.submit_all([record(7, labels={"n": str(number % 50)}) for number in range(1_000)])
        await clock.advance(60 * DAY_MICROS)
    worker = [sys.executable, str(Path(__file__).with_name("prune_worker.py")), store_url, str(clock.now), str(SECONDS)]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    killed = 0
    for delay_seconds in (0.03, 0.1, 0.2):
        process = await asyncio.create_subprocess_exec(*worker, stdout=asyncio.subprocess.PIPE, env=environment)
        assert process.stdout is not None
        await process.stdout.readline()
        await asyncio.sleep(delay_seconds)
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        killed += await process.wait() != 0
        async with opened(store_url, clock) as store:
            assert await disagreement(store) is None
    async with opened(store_url, clock) as store:
        await prune(store)
        assert await disagreement(store) is None
        assert await count(store, "spend_records") == 0
    assert killed
