"""Fixtures for tests that open stores themselves; a conftest imports those that its folder uses."""

import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio

from ledger.stores import SettableClock, is_file, migrate_blocking, new_organization, opened, running, shadow_clock
from outlay_server.ledger import Ledger
from outlay_server.store import tables
from outlay_server.store.contract import Store
from support.postgres import PostgresServer


@pytest.fixture(scope="session")
def schema_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file with the newest schema and no rows."""
    path = tmp_path_factory.mktemp("schema") / "outlay.db"
    migrate_blocking(f"sqlite:///{path}")
    return path


_EMPTY_AGAIN = f"""
DO $$ BEGIN
  IF EXISTS (SELECT FROM pg_proc JOIN pg_namespace n ON n.oid = pronamespace WHERE nspname IN ('public', 'shadow')) THEN
    RAISE EXCEPTION 'it is no longer as it was made';
  END IF;
  TRUNCATE {", ".join(table.name for table in tables.metadata.sorted_tables if table is not tables.server_state)}
    RESTART IDENTITY CASCADE;
END $$
"""


class DatabasePool:
    """Databases with the newest schema and no rows. To empty one costs a tenth of making one and dropping it."""

    def __init__(self, server: PostgresServer) -> None:
        self._server = server
        self._free: list[str] = []

    def take(self) -> str:
        if self._free:
            return self._free.pop()
        return self._server.create_database(template=self._server.template("schema", migrate_blocking))

    def give_back(self, name: str) -> None:
        """For another test, unless this one has put functions of its own into it."""
        try:
            self._server.execute(_EMPTY_AGAIN, database=name)
        except asyncpg.PostgresError:
            self._server.drop_database(name)
        else:
            self._free.append(name)


@pytest.fixture(scope="session")
def database_pool(postgres_server: PostgresServer) -> DatabasePool:
    return DatabasePool(postgres_server)


@pytest.fixture
def store_url(backend: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a database with the newest schema and no rows, on each backend in turn."""
    if backend == "sqlite":
        shutil.copyfile(request.getfixturevalue("schema_file"), tmp_path / "outlay.db")
        yield f"sqlite:///{tmp_path / 'outlay.db'}"
        return
    server: PostgresServer = request.getfixturevalue("postgres_server")
    pool: DatabasePool = request.getfixturevalue("database_pool")
    name = pool.take()
    yield server.url(name)
    pool.give_back(name)


@pytest_asyncio.fixture
async def clock(store_url: str) -> SettableClock:
    """The time of `store_url`; it stands still unless the test moves it."""
    if not is_file(store_url):
        await shadow_clock(store_url)
    return SettableClock(store_url)


@pytest_asyncio.fixture
async def store(store_url: str) -> AsyncIterator[Store]:
    """An open store with the organization `acme`, on the time of the world."""
    async with opened(store_url) as store:
        await new_organization(store)
        yield store


@pytest_asyncio.fixture
async def ledger(store: Store) -> AsyncIterator[Ledger]:
    async with running(store) as ledger:
        yield ledger


@pytest_asyncio.fixture
async def timed_store(store_url: str, clock: SettableClock) -> AsyncIterator[Store]:
    """An open store with the organization `acme`, on the test's own time."""
    async with opened(store_url, clock) as store:
        await new_organization(store)
        yield store


@pytest_asyncio.fixture
async def timed_ledger(timed_store: Store) -> AsyncIterator[Ledger]:
    async with running(timed_store) as ledger:
        yield ledger
