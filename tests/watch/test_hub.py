"""Watching in the process: every change once and in order, from any point on, and never more kept than is said."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import delete

from ledger.stores import CENT, PLATFORM, check, record
from outlay_server import control
from outlay_server.domain.budget_change import BudgetChange, ChangeType
from outlay_server.domain.errors import NotFound, Overloaded, WatcherTooSlow
from outlay_server.domain.settings import BudgetSettings
from outlay_server.ledger import Ledger
from outlay_server.store import batch, change_log, tables
from outlay_server.store.contract import Store
from outlay_server.watch import WatchHub
from outlay_server.watch import hub as hub_module

pytestmark = pytest.mark.timeout(60)


@contextlib.asynccontextmanager
async def watching(store: Store) -> AsyncIterator[WatchHub]:
    """A hub that reads the log."""
    hub = WatchHub(store)
    task = asyncio.create_task(hub.run())
    try:
        yield hub
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


class Reader:
    """One watcher, read change by change."""

    def __init__(self, hub: WatchHub, after_sequence: int | None = None, organization_id: str = "acme") -> None:
        self._stream = hub.watch(organization_id, after_sequence, pulse_seconds=0.05)

    async def open(self) -> "Reader":
        assert await anext(self._stream) is None
        return self

    async def next(self) -> BudgetChange:
        async for change in self._stream:
            if change is not None:
                return change
        raise AssertionError("a stream ends with an error only")

    async def take(self, count: int) -> list[BudgetChange]:
        return [await self.next() for _ in range(count)]

    async def close(self) -> None:
        await self._stream.aclose()


def told(change: BudgetChange) -> tuple[str, str, int]:
    """What a change tells: of which budget, what, and the spend."""
    spent = change.view.counter.spent_micros if change.view else 0
    return change.type.value, change.budget_id, spent


async def test_first_the_state_then_every_change_in_order(store: Store, ledger: Ledger) -> None:
    """The first answers are the budgets as they are; each commit after that is one more, numbered without a gap."""
    await ledger.submit(record(CENT))
    async with watching(store) as hub:
        reader = await Reader(hub).open()
        state = await reader.take(2)
        assert [told(change) for change in state] == [("INITIAL", "credits", 0), ("INITIAL", "spending", CENT)]
        assert state[0].sequence == 0
        for _ in range(20):
            await ledger.submit(record(CENT))
        changes = await reader.take(20)
        assert [told(change) for change in changes] == [
            ("CHANGED", "spending", (number + 2) * CENT) for number in range(20)
        ]
        first = state[-1].sequence + 1
        assert [change.sequence for change in changes] == list(range(first, first + 20))
        await reader.close()


async def test_what_is_held_and_denied_is_told_too(store: Store, ledger: Ledger) -> None:
    """A reservation, its release and a denial each change what the budget's readers see."""
    async with watching(store) as hub:
        await store.change(
            lambda tx: control.budgets.create(
                tx, PLATFORM, "acme", "tight", BudgetSettings(unit="TOKENS", hard_cap_micros=10, hard_cap_enabled=True)
            )
        )
        reader = await Reader(hub).open()
        await reader.take(3)
        await ledger.submit(check(10, unit="TOKENS"))
        held = await reader.next()
        await ledger.submit(check(1, unit="TOKENS"))
        denied = await reader.next()
        assert held.view is not None
        assert denied.view is not None
        assert (held.view.counter.reserved_micros, held.view.counter.denied_count) == (10, 0)
        assert (denied.view.counter.reserved_micros, denied.view.counter.denied_count) == (10, 1)
        await reader.close()


async def test_settings_that_change_are_told_and_a_deletion_is_the_last_word(store: Store, ledger: Ledger) -> None:
    """Created, changed, deleted: three entries, the last of them with the name alone."""
    async with watching(store) as hub:
        reader = await Reader(hub).open()
        await reader.take(2)
        await store.change(lambda tx: control.budgets.create(tx, PLATFORM, "acme", "team", BudgetSettings(unit="USD")))
        created = await reader.next()
        await store.change(
            lambda tx: control.budgets.update(
                tx,
                PLATFORM,
                "acme",
                "team",
                BudgetSettings(unit="USD", display_name="Team"),
                frozenset({"display_name"}),
            )
        )
        changed = await reader.next()
        await store.change(lambda tx: control.budgets.delete(tx, PLATFORM, "acme", "team"))
        deleted = await reader.next()
        assert changed.view is not None
        assert (told(created), changed.view.budget.display_name) == (("CHANGED", "team", 0), "Team")
        assert (told(deleted), deleted.view) == (("DELETED", "team", 0), None)
        await reader.close()


async def test_a_watcher_goes_on_where_it_was(store: Store, ledger: Ledger) -> None:
    """After a cut it is told what it missed, once, and then what happens."""
    async with watching(store) as hub:
        reader = await Reader(hub).open()
        last = (await reader.take(2))[-1].sequence
        await reader.close()
        for _ in range(3):
            await ledger.submit(record(CENT))
        again = await Reader(hub, after_sequence=last).open()
        missed = await again.take(3)
        await ledger.submit(record(CENT))
        assert [told(change)[2] for change in [*missed, await again.next()]] == [CENT, 2 * CENT, 3 * CENT, 4 * CENT]
        await again.close()


@pytest.mark.parametrize("case", ["pruned", "restored from a backup"])
async def test_a_log_that_does_not_reach_back_gives_the_state_again(case: str, store: Store, ledger: Ledger) -> None:
    """Whether the oldest entries are gone or the newest never happened: better all of it than a silent gap."""
    for _ in range(3):
        await ledger.submit(record(CENT))
    newest = (await store.read(lambda connection: change_log.newest_sequences(connection, ["acme"])))["acme"]
    if case == "pruned":
        await store.change(
            lambda tx: (
                tx.connection.execute(
                    delete(tables.budget_changes).where(tables.budget_changes.c.sequence <= 2)
                ).rowcount
            )
        )
    async with watching(store) as hub:
        reader = await Reader(hub, after_sequence=1 if case == "pruned" else 1_000).open()
        state = await reader.take(2)
        assert {change.type for change in state} == {ChangeType.INITIAL}
        assert state[-1].sequence == newest
        await reader.close()


async def test_who_does_not_read_is_cut_off_and_others_are_not(
    store: Store, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More changes than are kept wait for nobody: the slow one is told so, and can go on from what it read."""
    monkeypatch.setattr(hub_module, "WATCHER_BEHIND_MAX", 20)
    async with watching(store) as hub:
        slow, quick = await Reader(hub).open(), await Reader(hub).open()
        last = (await slow.take(2))[-1].sequence
        await quick.take(2)
        for _ in range(30):
            await ledger.submit(record(1))
            hub.committed()
            await quick.next()
        with pytest.raises(WatcherTooSlow):
            await slow.next()
        again = await Reader(hub, after_sequence=last).open()
        caught_up = await again.take(30)
        assert [told(change)[2] for change in caught_up] == list(range(1, 31))
        for reader in (quick, again):
            await reader.close()


async def test_the_log_keeps_the_newest_entries_only(
    store: Store, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Old entries go as new ones come; here they are looked for after each, and one is put far ahead by hand."""
    monkeypatch.setattr(batch, "CHANGES_PRUNED_EVERY", 1)
    await ledger.submit(record(1))
    ahead = "UPDATE budget_changes SET sequence = 20000 WHERE sequence = (SELECT MAX(sequence) FROM budget_changes)"
    await store.change(lambda tx: tx.connection.exec_driver_sql(ahead).rowcount)
    await ledger.submit(record(1))
    sequences = await store.read(
        lambda connection: [row[0] for row in connection.exec_driver_sql("SELECT sequence FROM budget_changes")]
    )
    assert sorted(sequences) == [20_000, 20_001]


async def test_an_organization_that_is_deleted_ends_its_streams(store: Store) -> None:
    async with watching(store) as hub:
        reader = await Reader(hub).open()
        await reader.take(2)
        await store.change(lambda tx: control.organizations.delete(tx, PLATFORM, "acme"))
        with pytest.raises(NotFound):
            await reader.next()


async def test_nobody_watches_an_organization_that_is_not_there(store: Store) -> None:
    async with watching(store) as hub:
        with pytest.raises(NotFound):
            await Reader(hub, organization_id="nobody").open()


async def test_a_hub_that_stops_lets_all_go_and_takes_nobody_in(store: Store) -> None:
    async with watching(store) as hub:
        reader = await Reader(hub).open()
        await reader.take(2)
        hub.stop()
        with pytest.raises(Overloaded):
            await reader.next()
        with pytest.raises(Overloaded):
            await Reader(hub).open()


async def test_there_is_a_most_that_watch_at_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub_module, "WATCHERS_MAX", 1)
    async with watching(store) as hub:
        reader = await Reader(hub).open()
        with pytest.raises(Overloaded):
            await Reader(hub).open()
        await reader.close()
        await (await Reader(hub).open()).close()
        assert hub.watchers == 0
