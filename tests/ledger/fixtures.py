"""Fixtures for tests that open stores themselves; a conftest imports those that its folder uses."""

import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio

from ledger.stores import SettableClock, is_file, migrate_blocking, new_organization, opened, running, shadow_clock
from outlay_server.ledger import Ledger
from outlay_server.store.contract import Store
from support.postgres import PostgresServer


@pytest.fixture(scope="session")
def schema_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file with the newest schema and no rows."""
    path = tmp_path_factory.mktemp("schema") / "outlay.db"
    migrate_blocking(f"sqlite:///{path}")
    return path


@pytest.fixture
def store_url(backend: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a database with the newest schema and no rows, on each backend in turn; copied, not migrated."""
    if backend == "sqlite":
        shutil.copyfile(request.getfixturevalue("schema_file"), tmp_path / "outlay.db")
        yield f"sqlite:///{tmp_path / 'outlay.db'}"
        return
    server: PostgresServer = request.getfixturevalue("postgres_server")
    name = server.create_database(template=server.template("schema", migrate_blocking))
    yield server.url(name)
    server.drop_database(name)


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
