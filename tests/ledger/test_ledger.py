"""The write path: who waits, who gives up, who is turned away, and in what order."""

import asyncio
from collections.abc import Sequence

import pytest

from ledger.stores import CENT, admitted, budget, cap, check, disagreement, record, reserved
from outlay_server.domain.commands import CheckOutcome, Outcome
from outlay_server.domain.errors import Overloaded
from outlay_server.ledger import Answer, Ledger
from outlay_server.store.contract import Store


class Watcher:
    def __init__(self) -> None:
        self.batches: list[int] = []
        self.outcomes: list[Outcome] = []

    def batch_posted(self, commands: int, seconds: float) -> None:
        assert seconds > 0
        self.batches.append(commands)

    def answered(self, answers: Sequence[Answer]) -> None:
        self.outcomes += [answer for answer in answers if not isinstance(answer, Exception)]


async def test_a_caller_that_gives_up_stops_only_its_own_waiting(store: Store, ledger: Ledger) -> None:
    """What was taken is decided and written; its request_id gives the answer later, and nobody else notices."""
    for round_ in range(20):
        commands = [record(1, request_id=f"r{round_}-{number}") for number in range(8)]
        tasks = [asyncio.ensure_future(ledger.submit(command)) for command in commands]
        await asyncio.sleep(0.0002 * round_)
        for task in tasks[:4]:
            task.cancel()
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        assert not [answer for answer in answers[4:] if isinstance(answer, BaseException)]
        again = await asyncio.gather(*(ledger.submit(command) for command in commands))
        assert again[4:] == answers[4:]
    assert (await budget(store)).counter.spent_micros == 20 * 8
    assert await disagreement(store) is None


async def test_cancelling_everybody_leaves_the_ledger_at_work(store: Store, ledger: Ledger) -> None:
    """A thousand times: the room that was taken is exactly what was written."""
    await cap(store, 10**9)
    for _ in range(50):
        tasks = [asyncio.ensure_future(ledger.submit(check(1))) for _ in range(20)]
        await asyncio.sleep(0)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    await admitted(ledger, check(1))
    assert await disagreement(store) is None


async def test_calls_that_wait_share_a_transaction(store: Store) -> None:
    """The number of commits does not grow with the number of callers, and every answer is told to the observer."""
    watcher = Watcher()
    ledger = Ledger(store, observer=watcher)
    await ledger.start()
    await asyncio.gather(*(ledger.submit(record(1)) for _ in range(500)))
    await ledger.stop()
    assert sum(watcher.batches) == len(watcher.outcomes) == 500
    assert len(watcher.batches) <= 5


async def test_what_is_more_than_can_wait_is_turned_away(store: Store) -> None:
    """At once and without effect; those who wait are served."""
    ledger = Ledger(store, queue_max=10)
    await ledger.start()
    answers = await asyncio.gather(*(ledger.submit(record(1)) for _ in range(50)), return_exceptions=True)
    assert sum(isinstance(answer, Overloaded) for answer in answers) == 40
    with pytest.raises(Overloaded):
        await ledger.submit_all([record(1)] * 11)
    await ledger.submit_all([record(1)] * 10)
    await ledger.stop()
    assert (await budget(store)).counter.spent_micros == 20


async def test_settling_goes_before_asking(store: Store, ledger: Ledger) -> None:
    """A record frees what a check then takes, though the check came first."""
    await cap(store, 10 * CENT)
    hold = await reserved(ledger, check(10 * CENT))
    asked = ledger.submit(check(9 * CENT))
    settled = ledger.submit(record(CENT, hold))
    outcome, _ = await asyncio.gather(asked, settled)
    assert isinstance(outcome, CheckOutcome)
    assert outcome.allowed


async def test_a_batch_is_decided_in_its_own_order(store: Store, ledger: Ledger) -> None:
    """Whoever comes first gets the room."""
    await cap(store, 10)
    outcomes = await ledger.submit_all([check(6), check(6), check(4), check(1)])
    assert [isinstance(outcome, CheckOutcome) and outcome.allowed for outcome in outcomes] == [True, False, True, False]
    assert await ledger.submit_all([]) == []


async def test_stopping_answers_all_who_wait_and_takes_nobody_new(store: Store) -> None:
    """A drain ends with everything durable."""
    ledger = Ledger(store)
    with pytest.raises(Overloaded):
        await ledger.submit(record(1))
    await ledger.start()
    waiting = [asyncio.ensure_future(ledger.submit(record(1))) for _ in range(100)]
    await asyncio.sleep(0)
    await ledger.stop()
    with pytest.raises(Overloaded):
        await ledger.submit(record(1))
    assert all(not isinstance(answer, BaseException) for answer in await asyncio.gather(*waiting))
    assert ledger.queue_depth == 0
    assert (await budget(store)).counter.spent_micros == 100
