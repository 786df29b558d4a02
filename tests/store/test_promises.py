"""What every store promises, asked of every store."""

import asyncio
from collections.abc import Callable
from datetime import date
from typing import Any

import pytest
from sqlalchemy import Connection, delete, func, select

from ledger.stores import (
    CENT,
    DAY_MICROS,
    NOON,
    PLATFORM,
    UNIT,
    SettableClock,
    admitted,
    alerts,
    budget,
    cap,
    check,
    disagreement,
    extend,
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
from outlay_server.domain import posting
from outlay_server.domain.commands import CheckMode, CheckOutcome, Command, RecordOutcome, SettleExpired
from outlay_server.domain.cycle import Cycle, Period
from outlay_server.domain.decision import DenialReason
from outlay_server.domain.errors import NotFound, OutlayError, RequestIdReused
from outlay_server.domain.instant import Instant
from outlay_server.domain.reservation import ExpiryAction
from outlay_server.domain.selector import selector_of
from outlay_server.domain.settings import OrganizationSettings
from outlay_server.ledger import Ledger
from outlay_server.store import tables
from outlay_server.store.contract import ControlTransaction, Store


async def spent(ledger: Ledger, command: Command) -> str:
    """The id of the record that the command leaves."""
    outcome = await ledger.submit(command)
    assert isinstance(outcome, RecordOutcome)
    return outcome.record.record_id


async def test_what_is_answered_is_there_after_a_restart(store_url: str) -> None:
    """Reservations, records, counters and settings are read back from the disk."""
    async with opened(store_url) as store, running(store) as ledger:
        await new_organization(store)
        await cap(store, 10 * CENT)
        held = await reserved(ledger, check(4 * CENT))
        await ledger.submit(record(3 * CENT))
    async with opened(store_url) as store, running(store) as ledger:
        found = await budget(store)
        assert (found.counter.spent_micros, found.counter.reserved_micros) == (3 * CENT, 4 * CENT)
        denied = await ledger.submit(check(4 * CENT))
        assert isinstance(denied, CheckOutcome)
        assert denied.reason is DenialReason.HELD_BY_RESERVATIONS
        await ledger.submit(record(4 * CENT, held))
        assert (await budget(store)).counter.spent_micros == 7 * CENT
        assert await disagreement(store) is None


REPEATED: dict[str, Callable[[str, str], Command]] = {
    "a reservation": lambda _hold, _entry: check(CENT, labels={"team": "a"}, full_view=True, request_id="again"),
    "a record at once": lambda _hold, _entry: check(CENT, mode=CheckMode.RECORD, request_id="again"),
    "a record": lambda _hold, _entry: record(CENT, labels={"team": "a"}, request_id="again"),
    "a settlement": lambda hold, _entry: record(CENT, hold, request_id="again"),
    "a draw": lambda hold, _entry: record(CENT, hold, keep_open=True, request_id="again"),
    "a refund": lambda _hold, entry: refund(entry, request_id="again"),
    "a release": lambda hold, _entry: release(hold, request_id="again"),
    "an extension": lambda hold, _entry: extend(hold, CENT, ttl_seconds=900, request_id="again"),
}


@pytest.mark.parametrize("name", REPEATED)
async def test_a_request_sent_again_after_a_restart_gets_its_first_answer(store_url: str, name: str) -> None:
    """And has no second effect."""
    async with opened(store_url) as store, running(store) as ledger:
        await new_organization(store)
        await cap(store, UNIT)
        await set_budget(store, budget_micros=CENT)
        hold, entry = await reserved(ledger, check(2 * CENT)), await spent(ledger, record(CENT))
        command = REPEATED[name](hold, entry)
        first = await ledger.submit(command)
    async with opened(store_url) as store, running(store) as ledger:
        before = await snapshot(store)
        assert await ledger.submit(command) == first
        assert await ledger.submit_all([command, command]) == [first, first]
        assert await snapshot(store) == before
        with pytest.raises(RequestIdReused):
            await ledger.submit(check(7, request_id="again"))
        assert await snapshot(store) == before


async def test_two_equal_requests_in_one_batch_have_one_effect(store: Store, ledger: Ledger) -> None:
    """The second finds what the first left, though neither is on disk yet."""
    first, second, other = await ledger.submit_all(
        [check(CENT, request_id="r"), check(CENT, request_id="r"), check(2 * CENT, request_id="r")]
    )
    assert first == second
    assert isinstance(other, RequestIdReused)
    assert (await budget(store)).counter.reserved_micros == CENT


async def test_what_was_denied_is_decided_afresh(store: Store, ledger: Ledger) -> None:
    """A denial is not remembered under its request_id."""
    await cap(store, CENT)
    denied = await ledger.submit(check(2 * CENT, request_id="r"))
    assert isinstance(denied, CheckOutcome)
    assert not denied.allowed
    await cap(store, 2 * CENT)
    await admitted(ledger, check(2 * CENT, request_id="r"))


async def test_request_ids_belong_to_one_organization(store: Store, ledger: Ledger) -> None:
    """Another organization may use the same id for something else."""
    await new_organization(store, "globex")
    await admitted(ledger, check(CENT, request_id="r"))
    await admitted(ledger, check(2 * CENT, request_id="r", organization_id="globex"))
    assert (await budget(store)).counter.reserved_micros == CENT
    assert (await budget(store, organization_id="globex")).counter.reserved_micros == 2 * CENT


async def test_a_batch_over_several_organizations_keeps_them_apart(store: Store, ledger: Ledger) -> None:
    """One that does not exist fails alone."""
    for name in ("b-corp", "a-corp"):
        await new_organization(store, name)
        await cap(store, CENT, organization_id=name)
    names = ["b-corp", "nobody", "a-corp", "b-corp", "acme"]
    outcomes = await ledger.submit_all([check(CENT, organization_id=name) for name in names])
    assert [isinstance(outcome, NotFound) or outcome.allowed for outcome in outcomes] == [True, True, True, False, True]  # type: ignore[union-attr]
    assert isinstance(outcomes[1], NotFound)


async def test_reservations_and_records_of_others_are_missing(store: Store, ledger: Ledger) -> None:
    """An id from another organization is answered as one that never was."""
    await new_organization(store, "globex")
    hold, entry = await reserved(ledger, check(CENT)), await spent(ledger, record(CENT))
    before = await snapshot(store)
    for command in (
        record(1, hold, organization_id="globex"),
        release(hold, organization_id="globex"),
        extend(hold, organization_id="globex"),
        refund(entry, organization_id="globex"),
        release("not-a-uuid"),
        refund("not-a-uuid"),
    ):
        with pytest.raises(NotFound):
            await ledger.submit(command)
    assert await snapshot(store) == before


async def test_one_failing_item_leaves_the_others_of_its_batch(store: Store, ledger: Ledger) -> None:
    """Its error is in its place."""
    outcomes = await ledger.submit_all([record(CENT), release("01a00000-0000-7000-8000-000000000000"), record(CENT)])
    assert isinstance(outcomes[1], NotFound)
    assert (await budget(store)).counter.spent_micros == 2 * CENT


async def test_a_deleted_organization_is_missing_to_the_ledger(store: Store, ledger: Ledger) -> None:
    """At once, and its rows stay."""
    await ledger.submit(record(CENT))
    await store.change(lambda tx: control.organizations.delete(tx, PLATFORM, "acme"))
    with pytest.raises(NotFound):
        await ledger.submit(record(CENT))
    assert len((await snapshot(store))["spend_records"]) == 1
    assert await disagreement(store) is None


# Counters are a cache of the ledger


async def test_a_new_budget_counts_what_was_spent_before_it(timed_store: Store, timed_ledger: Ledger) -> None:
    """Spend and holds of the cycle that runs, of those labels, in that unit."""
    await timed_ledger.submit(record(5, labels={"team": "a"}))
    await timed_ledger.submit(record(7, labels={"team": "b"}))
    await timed_ledger.submit(record(11, labels={"team": "a"}, unit="CREDITS"))
    await timed_ledger.submit(record(13, labels={"team": "a"}, usage_time=Instant(NOON - 20 * DAY_MICROS)))
    await reserved(timed_ledger, check(17, labels={"team": "a"}))
    made = await new_budget(
        timed_store, "team-a", selector=selector_of({"team": "a"}), hard_cap_micros=22, hard_cap_enabled=True
    )
    assert (made.counter.spent_micros, made.counter.reserved_micros, made.counter.open_reservations) == (5, 17, 1)
    denied = await timed_ledger.submit(check(1, labels={"team": "a"}))
    assert isinstance(denied, CheckOutcome)
    assert denied.binding_budget_id == "team-a"
    assert await disagreement(timed_store) is None


async def test_a_budget_with_another_selector_counts_anew(store: Store, ledger: Ledger) -> None:
    """From the ledger, before any decision and after the next one."""
    await ledger.submit(record(5, labels={"team": "a"}))
    await ledger.submit(record(7, labels={"team": "b"}))
    await ledger.submit(check(1, labels={"team": "b"}))
    for team, expected in (("a", 5), ("b", 7), ("*", 12)):
        changed = await set_budget(store, selector=selector_of({"team": team}))
        assert changed.counter.spent_micros == expected
        await ledger.submit(check(0, mode=CheckMode.CHECK_ONLY, labels={"team": "a"}))
        assert (await budget(store)).counter.spent_micros == expected
        assert await disagreement(store) is None


async def test_a_budget_with_another_cycle_counts_anew(timed_store: Store, timed_ledger: Ledger) -> None:
    """The same ledger in other windows."""
    await timed_ledger.submit(record(5))
    await timed_ledger.submit(record(7, usage_time=Instant(NOON - DAY_MICROS)))
    await timed_ledger.submit(record(11, usage_time=Instant(NOON - 20 * DAY_MICROS)))
    for period, expected in ((Period.DAY, 5), (Period.LIFETIME, 23), (Period.MONTH, 12)):
        changed = await set_budget(timed_store, cycle=Cycle(period, date(1970, 1, 1)))
        assert changed.counter.spent_micros == expected
        await timed_ledger.submit(record(1, unit="CREDITS"))
        assert await disagreement(timed_store) is None


@pytest.mark.parametrize("restarts", [False, True])
async def test_counters_that_are_lost_are_summed_again(store_url: str, restarts: bool) -> None:
    """With what they would have said: spend less refunds, holds, and which alerts have been sent."""
    async with opened(store_url) as store, running(store) as ledger:
        await new_organization(store)
        await set_budget(store, budget_micros=10)
        entry = await spent(ledger, record(8))
        await ledger.submit(refund(entry, 2))
        await reserved(ledger, check(3))
        before = (await budget(store)).counter

        def lose(tx: ControlTransaction) -> None:
            tx.connection.execute(delete(tables.counters))
            tx.changed_organizations.add("acme")

        await store.change(lose)
        if not restarts:
            assert (await budget(store)).counter == before
            await ledger.submit(record(1))
            assert len(await alerts(store)) == 2
    async with opened(store_url) as store, running(store) as ledger:
        await ledger.submit(record(1))
        assert (await budget(store)).counter.spent_micros == (7 if restarts else 8)
        assert len(await alerts(store)) == 2, "50 and 75 percent, each once"
        assert await disagreement(store) is None


# Time


async def test_an_expired_reservation_stops_counting_for_readers_and_deciders(
    timed_store: Store, timed_ledger: Ledger, clock: SettableClock
) -> None:
    """At its very instant, without any sweep."""
    await cap(timed_store, 10)
    await reserved(timed_ledger, check(10, ttl_seconds=60))
    await clock.advance(60_000_000 - 1)
    assert (await budget(timed_store)).counter.reserved_micros == 10
    denied = await timed_ledger.submit(check(10))
    assert isinstance(denied, CheckOutcome)
    assert denied.retry_time == clock.now + 1
    await clock.advance(1)
    assert (await budget(timed_store)).counter.reserved_micros == 0
    await admitted(timed_ledger, check(10))


async def test_an_expiry_that_records_counts_before_and_after_a_decision_meets_it(
    timed_store: Store, timed_ledger: Ledger, clock: SettableClock
) -> None:
    """The reader's figure and the settled one are the same, and the alert is written once."""
    await set_budget(timed_store, budget_micros=10)
    await reserved(timed_ledger, check(10, ttl_seconds=60, on_expiry=ExpiryAction.RECORD))
    await clock.advance(60_000_000)
    assert (await budget(timed_store)).counter.spent_micros == 10
    assert await alerts(timed_store) == []
    await timed_ledger.submit(SettleExpired("acme"))
    found = (await budget(timed_store)).counter
    assert (found.spent_micros, found.reserved_micros, found.open_reservations) == (10, 0, 0)
    assert len(await alerts(timed_store)) == 4
    await timed_ledger.submit(SettleExpired("acme"))
    assert len(await alerts(timed_store)) == 4


async def test_a_clock_set_back_stands_still(timed_store: Store, timed_ledger: Ledger, clock: SettableClock) -> None:
    """Forty days forward and back, many times: nothing decided is undone, re-armed or freed early."""
    await set_budget(timed_store, budget_micros=10, hard_cap_micros=10, hard_cap_enabled=True)
    await timed_ledger.submit(record(10))
    highest, sent = clock.now, 4
    for jump in range(6):
        await clock.advance(40 * DAY_MICROS)
        highest = clock.now
        await admitted(timed_ledger, check(10, mode=CheckMode.RECORD))
        sent += 4
        await clock.advance(-40 * DAY_MICROS if jump % 2 else -80 * DAY_MICROS)
        assert await timed_store.now() == highest
        denied = await timed_ledger.submit(check(1))
        assert isinstance(denied, CheckOutcome)
        assert denied.reason is DenialReason.HARD_CAP_REACHED
        assert len(await alerts(timed_store)) == sent
        assert (await budget(timed_store)).counter.spent_micros == 10
        await clock.set(highest)
    assert await disagreement(timed_store) is None


async def test_a_clock_set_back_over_a_restart_stands_still(store_url: str, clock: SettableClock) -> None:
    """The latest time that was told is in the books."""
    async with opened(store_url, clock) as store, running(store) as ledger:
        await new_organization(store)
        await clock.advance(40 * DAY_MICROS)
        await ledger.submit(record(1))
        latest = clock.now
    await clock.advance(-40 * DAY_MICROS)
    async with opened(store_url, clock) as store, running(store) as ledger:
        assert await store.now() == latest
        outcome = await ledger.submit(record(1))
        assert isinstance(outcome, RecordOutcome)
        assert outcome.record.create_time == latest


# Changes


async def test_a_change_that_fails_leaves_nothing(store: Store, ledger: Ledger) -> None:
    """Whatever was raised in the middle of it."""
    await ledger.submit(record(1))
    before = await snapshot(store)

    def half(tx: ControlTransaction) -> None:
        control.organizations.create(tx, PLATFORM, "globex", OrganizationSettings())
        control.budgets.delete(tx, PLATFORM, "acme", "spending", force=True)
        raise NotFound("the other half")

    with pytest.raises(NotFound):
        await store.change(half)
    assert await snapshot(store) == before
    await cap(store, 1)
    denied = await ledger.submit(check(1))
    assert isinstance(denied, CheckOutcome)
    assert not denied.allowed


async def test_a_reader_cannot_write(store: Store) -> None:
    """`read` is for reading: whatever it does is not there afterwards."""
    before = await snapshot(store)

    def write(connection: Connection) -> None:
        connection.execute(delete(tables.budgets))

    try:
        await store.read(write)
    except OutlayError:
        pass
    assert await snapshot(store) == before


async def test_new_settings_bind_the_very_next_check(store: Store, ledger: Ledger) -> None:
    """Caps, gates, enforcement and new budgets, without anything in between."""

    async def is_allowed(**options: Any) -> bool:
        outcome = await ledger.submit(check(1, **options))
        assert isinstance(outcome, CheckOutcome)
        return outcome.allowed

    assert await is_allowed()
    for micros in (0, 100, 0, None):
        await cap(store, micros)
        assert await is_allowed() == (micros != 0)
    assert not await is_allowed(labels={"model": "claude-opus-4"})
    await set_budget(store, options={"gates": {"opus": True}})
    assert await is_allowed(labels={"model": "claude-opus-4"})
    await new_budget(store, "none", hard_cap_micros=0, hard_cap_enabled=True)
    assert not await is_allowed()
    await store.change(lambda tx: control.budgets.delete(tx, PLATFORM, "acme", "none", force=True))
    assert await is_allowed()


# Concurrency


@pytest.mark.parametrize("replicas", [1, 2])
async def test_concurrent_fill_admits_to_the_cent(store_url: str, replicas: int) -> None:
    """64 callers, a cap of 3,000 cents, 6,000 attempts of 1 cent: exactly 3,000 are admitted."""
    async with opened(store_url) as first:
        if replicas > 1 and not first.capabilities.replicas:
            pytest.skip("one process serves this store")
        await new_organization(first)
        await cap(first, 3_000 * CENT)
        stores = [first]
        async with opened(store_url) if replicas > 1 else _nothing() as second:
            stores += [second] if second is not None else []
            async with running(stores[0]) as one, running(stores[-1]) as other:
                attempts = iter(range(6_000))
                admissions = 0

                async def caller(ledger: Ledger) -> None:
                    nonlocal admissions
                    for attempt in attempts:
                        mode = CheckMode.RECORD if attempt % 3 else CheckMode.RESERVE
                        outcome = await ledger.submit(check(CENT, mode=mode, request_id=f"a{attempt}"))
                        assert isinstance(outcome, CheckOutcome)
                        admissions += outcome.allowed
                        if outcome.reservation_id:
                            await ledger.submit(record(CENT, outcome.reservation_id, request_id=f"s{attempt}"))

                await asyncio.gather(*(caller((one, other)[number % 2]) for number in range(64)))
        assert admissions == 3_000
        counter = (await budget(first)).counter
        assert (counter.spent_micros, counter.reserved_micros, counter.denied_count) == (3_000 * CENT, 0, 3_000)
        assert await disagreement(first) is None


class _nothing:  # noqa: N801  # stands where a store is opened
    async def __aenter__(self) -> None:
        return None

    async def __aexit__(self, *_: object) -> None:
        return None


async def test_one_reservation_closes_once(store: Store, ledger: Ledger) -> None:
    """Settled or released, whoever comes first; the others are told so."""
    for _ in range(20):
        hold = await reserved(ledger, check(CENT))
        contenders = [record(CENT, hold), release(hold), record(CENT, hold), release(hold)]
        answers = await asyncio.gather(*(ledger.submit(command) for command in contenders), return_exceptions=True)
        kinds = [type(answer).__name__ for answer in answers]
        # A record that comes after a release is taken, as late.
        assert kinds.count("ReservationOutcome") + kinds.count("RecordOutcome") in (1, 2, 3)
        assert kinds.count("ReservationOutcome") <= 1

    def count(connection: Connection) -> int:
        return connection.execute(
            select(func.count()).where(tables.reservations.c.state.in_(("SETTLED", "RELEASED")))
        ).scalar_one()

    assert await store.read(count) == 20
    assert (await budget(store)).counter.reserved_micros == 0
    assert await disagreement(store) is None


async def test_a_command_that_breaks_an_invariant_fails_alone(
    store: Store, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A defect met half-way through one command leaves nothing of it, and the rest of its batch is decided."""
    real_post = posting.post

    def post(books: Any, command: Command) -> Any:
        outcome = real_post(books, command)
        assert getattr(command, "amount_micros", 0) != 666, "a defect, after everything was changed"
        return outcome

    monkeypatch.setattr("outlay_server.ledger.ledger.post", post)
    await ledger.submit(record(1))
    commands = [record(1), record(666, request_id="bad"), record(1), check(2)]
    answers = await asyncio.gather(*(ledger.submit(command) for command in commands), return_exceptions=True)
    assert [type(answer).__name__ for answer in answers] == [
        "RecordOutcome",
        "AssertionError",
        "RecordOutcome",
        "CheckOutcome",
    ]
    counter = (await budget(store)).counter
    assert (counter.spent_micros, counter.reserved_micros) == (3, 2)
    assert await disagreement(store) is None
    monkeypatch.undo()
    await ledger.submit(record(666, request_id="bad"))
    assert (await budget(store)).counter.spent_micros == 669
