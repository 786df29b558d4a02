"""A store refuses to be served from where its promises could not be kept, and says what to do."""

import asyncio
import os
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ledger.stores import (
    budget,
    is_file,
    make_store,
    new_organization,
    opened,
    record,
    running,
    sqlite_path,
)
from outlay_server.domain.errors import StorageUnavailable
from outlay_server.store.contract import Store, StoreUnusable
from store.faults import execute, value
from support import postgres
from support.postgres import PostgresServer


async def test_a_store_that_has_one_server_refuses_a_second_and_names_the_first(store: Store, store_url: str) -> None:
    """Two ledgers on one file would each decide from their own memory."""
    second = make_store(store_url)
    if store.capabilities.replicas:
        await second.open()
    else:
        with pytest.raises(StoreUnusable, match=rf"pid {os.getpid()}\b"):
            await second.open()
    await second.close()
    await store.ping()


async def test_another_process_is_refused_too(store: Store, store_url: str) -> None:
    """Not only another object of this one."""
    if store.capabilities.replicas:
        pytest.skip("this store has replicas")
    program = (
        "import asyncio, sys\n"
        "from pathlib import Path\n"
        "from outlay_server.store.sqlite import SqliteStore\n"
        "asyncio.run(SqliteStore(Path(sys.argv[1])).open())\n"
    )
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", program, sqlite_path(store_url)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode != 0
    assert f"pid {os.getpid()}" in done.stderr


async def test_a_closed_store_is_free_for_the_next(store_url: str) -> None:
    """Closing twice is safe; a store that is closed answers that it is unavailable."""
    async with opened(store_url) as store:
        await new_organization(store)
    await store.close()
    with pytest.raises(StorageUnavailable):
        await budget(store)
    async with opened(store_url) as store:
        await budget(store)


async def test_migrating_twice_changes_nothing(store: Store) -> None:
    """Every start migrates."""
    await store.migrate()
    await budget(store)


@pytest.mark.parametrize("folder", ["with space", "50%", "ünï", "a#b", "what?", "%41"])
async def test_a_file_may_lie_in_any_folder(tmp_path: Path, folder: str) -> None:
    """Readers and the writer open the same file, however its folder is called."""
    async with opened(f"sqlite:///{tmp_path / folder / 'outlay.db'}") as store, running(store) as ledger:
        await new_organization(store)
        await ledger.submit(record(1))
        assert (await budget(store)).counter.spent_micros == 1
    assert await asyncio.to_thread(lambda: [path.name for path in tmp_path.iterdir()]) == [folder]


@pytest.mark.parametrize("pragma", ["synchronous", "journal_mode"])
async def test_a_file_that_would_not_be_synced_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pragma: str
) -> None:
    """What was set is read back; a file system without shared memory, for one, has no write-ahead log."""

    class Deaf(sqlite3.Connection):
        def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
            return super().execute(sql if not sql.startswith(f"PRAGMA {pragma} =") else "SELECT 1", *parameters)

    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *a, **k: connect(*a, **{**k, "factory": Deaf}))
    path = tmp_path / "outlay.db"
    if pragma == "synchronous":
        monkeypatch.setattr(Deaf, "execute", _lowering(Deaf.execute))
    store = make_store(f"sqlite:///{path}")
    with pytest.raises(StoreUnusable, match=pragma):
        await store.open()
    await store.close()


def _lowering(execute_: Any) -> Any:
    """SQLite's own default for `synchronous` is FULL already: have the connection start below it."""

    def execute(self: sqlite3.Connection, sql: str, *parameters: Any) -> sqlite3.Cursor:
        sqlite3.Connection.execute(self, "PRAGMA synchronous = 1")
        return execute_(self, sql, *parameters)

    return execute


async def test_a_damaged_file_is_refused(store_url: str) -> None:
    """Rather than served with wrong balances."""
    if not is_file(store_url):
        pytest.skip("the database is a file of somebody else")
    async with opened(store_url) as store, running(store) as ledger:
        await new_organization(store)
        for _ in range(50):
            await ledger.submit(record(1, labels={"x": "y" * 200}))
    with sqlite_path(store_url).open("r+b") as file:
        file.seek(4096 * 3)
        file.write(os.urandom(4096 * 8))
    store = make_store(store_url)
    with pytest.raises(StoreUnusable, match="backup"):
        await store.open()
    await store.close()
    # And nothing is left locked.
    sqlite_path(store_url).unlink()
    async with opened(store_url):
        pass


async def test_a_database_that_is_not_there_is_named_as_such() -> None:
    """With words for whoever starts the service; never the URL, which may hold a password."""
    store = make_store("postgresql://outlay:secret@127.0.0.1:1/none")
    with pytest.raises(StoreUnusable, match="cannot be reached") as caught:
        await store.open()
    assert "secret" not in str(caught.value)
    await store.close()


async def test_a_database_that_does_not_sync_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """`fsync=off` loses what was acknowledged when the machine stops."""
    monkeypatch.setitem(postgres._SETTINGS, "fsync", "off")
    with PostgresServer() as server:
        store = make_store(server.url())
        with pytest.raises(StoreUnusable, match="fsync=off"):
            await store.open()
        await store.close()


async def test_sessions_commit_durably_whatever_the_database_defaults_to(postgres_server: PostgresServer) -> None:
    """`synchronous_commit` is set by the session itself, and checked."""
    name = postgres_server.create_database()
    url = postgres_server.url(name)
    await execute(url, f'ALTER DATABASE "{name}" SET synchronous_commit = off')
    assert await value(url, "SHOW synchronous_commit") == "off"
    async with opened(url) as store, running(store) as ledger:
        await new_organization(store)
        await execute(
            url,
            """
            CREATE TABLE seen (setting text);
            CREATE FUNCTION look() RETURNS trigger LANGUAGE plpgsql AS
              $$ BEGIN INSERT INTO seen VALUES (current_setting('synchronous_commit')); RETURN NEW; END $$;
            CREATE TRIGGER look AFTER INSERT ON spend_records FOR EACH ROW EXECUTE FUNCTION look();
            CREATE TRIGGER look AFTER INSERT ON organizations FOR EACH ROW EXECUTE FUNCTION look();
            """,
        )
        await ledger.submit(record(1))
        await new_organization(store, "globex")
    assert await value(url, "SELECT string_agg(setting, ' ') FROM seen") == "on on"
