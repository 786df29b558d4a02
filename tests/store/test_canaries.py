"""Stores broken on purpose: the checks that the other tests rely on must find each of them."""

import asyncio
import contextlib
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from ledger.stores import (
    CENT,
    budget,
    cap,
    check,
    disagreement,
    new_organization,
    opened,
    record,
    running,
    set_budget,
    sqlite_path,
)
from outlay_server.domain.books import Books
from outlay_server.domain.commands import CheckMode, CheckOutcome, Command
from outlay_server.domain.errors import StorageUnavailable
from outlay_server.ledger import Ledger
from outlay_server.store import batch, postgres, postgres_driver, sqlite
from outlay_server.store.contract import Posted, Store
from outlay_server.store.settings_rows import load_state
from outlay_server.store.sqlite import SqliteStore
from store.test_replicas import SLOWLY, alternate, deadlocks, many_organizations, replicas
from support.postgres import PostgresServer


async def admissions(ledgers: Sequence[Ledger], attempts: int) -> int:
    """How many checks of 1 cent, recorded at once, are admitted when all come together."""

    async def caller(ledger: Ledger) -> int:
        outcomes = [await ledger.submit(check(CENT, mode=CheckMode.RECORD)) for _ in range(attempts // 32)]
        return sum(isinstance(outcome, CheckOutcome) and outcome.allowed for outcome in outcomes)

    return sum(await asyncio.gather(*(caller(ledgers[number % len(ledgers)]) for number in range(32))))


class ReadThenUpdate(SqliteStore):
    """Reads the counters, decides, and only then begins to write: two deciders see the same room."""

    async def post(self, commands: Sequence[Command], apply: Callable[[Books], None]) -> Posted:
        driver = sqlite._Driver(self._raw())
        books = Books(now=self._now(), new_id=self._new_id)
        state = load_state(driver, "acme")
        assert state is not None
        books.organizations["acme"] = state
        batch.load(driver, books, commands)
        apply(books)
        await asyncio.sleep(0)
        async with self._write_lock:
            self._raw().execute("BEGIN IMMEDIATE")
            batch.write(driver, books)
            await self._in_thread(self._raw().commit)
        return Posted(books, {})


@pytest.mark.parametrize("store_type", [SqliteStore, ReadThenUpdate])
async def test_read_then_update_is_found_by_the_fill_and_by_the_books(
    schema_file: Path, tmp_path: Path, store_type: type[SqliteStore]
) -> None:
    """Two ledgers over one store: the honest one stays within the cap, the broken one does not."""
    path = tmp_path / "outlay.db"
    await asyncio.to_thread(shutil.copyfile, schema_file, path)
    store = store_type(path)
    await store.open()
    await new_organization(store)
    await cap(store, 100 * CENT)
    async with running(store) as one, running(store) as other:
        admitted = await admissions([one, other], 640)
    wrong = await disagreement(store)
    await store.close()
    if store_type is SqliteStore:
        assert (admitted, wrong) == (100, None)
    else:
        assert admitted > 100
        assert wrong is not None
        assert "spent_micros" in wrong.where


@pytest.mark.parametrize("locks", [True, False])
async def test_a_read_without_a_lock_is_found_by_the_fill(
    store_url: str, postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch, locks: bool
) -> None:
    """Two replicas that read the row of the organization and do not lock it overspend."""
    if sqlite_path(store_url).suffix == ".db":
        pytest.skip("one process serves this store")
    if not locks:
        monkeypatch.setattr(postgres, "_LOCK_ORGANIZATIONS", _without(" FOR UPDATE"))
        # Else the unique key of the log of changes stops it sooner.
        monkeypatch.setattr(batch, "_log_changes", lambda driver, books: None)
    async with replicas(store_url) as pair:
        store = pair[0][0]
        await cap(store, 300 * CENT)
        # Else the unique key of the alerts stops it sooner.
        await set_budget(store, alerts_enabled=False)
        admitted = await admissions([ledger for _, ledger in pair], 1_280)
        wrong = await disagreement(store)
    assert (admitted == 300, wrong is None) == (locks, locks)


def _without(part: str, replacement: str = "") -> str:
    assert part in postgres._LOCK_ORGANIZATIONS
    return postgres._LOCK_ORGANIZATIONS.replace(part, replacement)


async def test_settings_kept_without_their_version_are_found_by_alternating(
    store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A replica that believes that nothing ever changes answers by a cap that is gone."""
    if sqlite_path(store_url).suffix == ".db":
        pytest.skip("one process serves this store")
    assert "o.version" in postgres_driver._LOOK
    monkeypatch.setattr(postgres_driver, "_LOOK", postgres_driver._LOOK.replace("o.version", "1::bigint"))
    async with replicas(store_url) as pair:
        # Born with version 1, so that what is loaded first is kept.
        assert await alternate(pair, 20) > 0


async def test_locks_in_no_order_are_found_by_their_deadlocks(store_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches over the same organizations then wait for each other."""
    if sqlite_path(store_url).suffix == ".db":
        pytest.skip("one process serves this store")
    in_no_order = _without('ORDER BY "key"', "ORDER BY random()").replace("version", SLOWLY)
    monkeypatch.setattr(postgres, "_LOCK_ORGANIZATIONS", in_no_order)
    async with replicas(store_url) as pair:
        with contextlib.suppress(StorageUnavailable):
            await many_organizations(pair, rounds=4)
    assert await deadlocks(store_url) > 0


class _Unshielded(Ledger):
    """Every caller decides and writes in its own task, so that its cancellation cuts the work in two."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self._turn = asyncio.Lock()

    async def _enqueue(self, commands: Sequence[Command]) -> list[object]:  # type: ignore[override]
        async with self._turn:
            return list(await self._post(list(commands)))


async def taken_and_lost(ledger: Ledger, store: Store) -> int:
    """How many commands that were under way had no effect because their callers gave up."""
    for _ in range(10):
        await ledger.submit(record(1))
        caller = asyncio.ensure_future(ledger.submit(record(1)))
        await asyncio.sleep(0)
        while ledger.queue_depth:  # noqa: ASYNC110  # it tells nobody when a batch is taken
            await asyncio.sleep(0)
        for _ in range(4):
            await asyncio.sleep(0)  # Under way now, as nothing else is.
        caller.cancel()
        await asyncio.gather(caller, return_exceptions=True)
    await ledger.submit(record(1))
    return 21 - (await budget(store)).counter.spent_micros


@pytest.mark.parametrize("ledger_type", [Ledger, _Unshielded])
async def test_work_in_the_caller_s_own_task_is_found_by_cancelling(store_url: str, ledger_type: type[Ledger]) -> None:
    """The honest ledger finishes what it has taken."""
    if ledger_type is _Unshielded and sqlite_path(store_url).suffix == ".db":
        pytest.skip("the file's own commit is shielded once more")
    async with opened(store_url) as store:
        await new_organization(store)
        ledger = ledger_type(store)
        await ledger.start()
        lost = await taken_and_lost(ledger, store)
        await ledger.stop()
    assert (lost > 0) == (ledger_type is _Unshielded)
