"""The database of the settings, for the commands that work on it without a service."""

import asyncio
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from sqlalchemy import Connection, StaticPool, create_engine, event, text
from sqlalchemy.exc import SQLAlchemyError

from outlay_cli.errors import CommandFailed
from outlay_server.domain.errors import StorageUnavailable
from outlay_server.server.build import create_store
from outlay_server.server.settings import PostgresDatabase, Settings, SettingsInvalid, SqliteDatabase
from outlay_server.store import migrations
from outlay_server.store.contract import StoreUnusable

R = TypeVar("R")

READ_TIMEOUT_SECONDS = 3_600.0
"""Of one statement that adds up the whole ledger; a service gives its own ten seconds."""


def load_settings() -> Settings:
    """The settings of the service. Raises `CommandFailed` with everything that is wrong in them."""
    try:
        return Settings.load()
    except SettingsInvalid as error:
        raise CommandFailed(str(error)) from error


def migrate(settings: Settings) -> str:
    """Bring the database to this version's schema and return the id of its revision. Raises `CommandFailed`."""

    async def run() -> None:
        store = create_store(settings)
        try:
            await store.open()
            await store.migrate()
        finally:
            await store.close()

    try:
        asyncio.run(run())
    except StoreUnusable as error:
        raise CommandFailed(str(error)) from error
    except StorageUnavailable as error:
        raise CommandFailed("The database does not answer. Nothing was changed.") from error
    return migrations.head()


def read_snapshot(settings: Settings, work: Callable[[Connection], R]) -> R:
    """Run queries that all see one moment, beside a service that goes on writing. Raises `CommandFailed`."""

    def checked(connection: Connection) -> R:
        migrations.require_head(connection)
        return work(connection)

    try:
        match settings.database:
            case SqliteDatabase(path):
                return _read_sqlite(path, checked)
            case PostgresDatabase():
                return _read_postgres(settings, checked)
    except StoreUnusable as error:
        raise CommandFailed(str(error)) from error
    except StorageUnavailable as error:
        raise CommandFailed("The database does not answer.") from error


def _read_sqlite(path: Path, work: Callable[[Connection], R]) -> R:
    """A read-only connection of its own: the store's lock, which a running service holds, is not needed for it."""
    if not path.exists():
        raise CommandFailed(f"There is no ledger at {path}. Set OUTLAY_DATA_DIR or OUTLAY_DATABASE_URL.")
    uri = f"{path.resolve().as_uri()}?mode=ro"

    def open_file() -> sqlite3.Connection:
        return sqlite3.connect(uri, uri=True, isolation_level=None)

    engine = create_engine("sqlite://", creator=open_file, poolclass=StaticPool)
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN"))
    try:
        with engine.begin() as connection:
            return work(connection)
    except (SQLAlchemyError, sqlite3.Error) as error:
        cause = getattr(error, "orig", None) or error
        raise CommandFailed(f"{path} cannot be read as a ledger: {cause}.") from error
    finally:
        engine.dispose()


def _read_postgres(settings: Settings, work: Callable[[Connection], R]) -> R:
    def in_one_snapshot(connection: Connection) -> R:
        connection.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"))
        return work(connection)

    async def run() -> R:
        store = create_store(settings, read_timeout_seconds=READ_TIMEOUT_SECONDS)
        try:
            await store.open()
            return await store.read(in_one_snapshot)
        finally:
            await store.close()

    return asyncio.run(run())
