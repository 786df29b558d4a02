"""The ledger in one SQLite file: the embedded default, for one process.

One connection writes, in one transaction at a time; nobody else may even checkpoint the file (a lock file sees to it).
Organizations' settings and counters are kept in memory and dropped whenever a write fails. `synchronous=FULL` syncs the
write-ahead log at every commit, before anything is acknowledged.
"""

import asyncio
import contextlib
import fcntl
import logging
import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

from sqlalchemy import URL, Connection, Engine, StaticPool, create_engine, event, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from outlay_server.domain.books import Books, OrganizationState
from outlay_server.domain.commands import Command
from outlay_server.domain.errors import StorageUnavailable
from outlay_server.domain.instant import END_OF_TIME, Instant
from outlay_server.domain.json_text import dump
from outlay_server.store import batch, migrations, tables
from outlay_server.store.contract import (
    ORGANIZATIONS_REMEMBERED_MAX,
    Capabilities,
    ControlTransaction,
    Posted,
    StoreUnusable,
)
from outlay_server.store.ids import MonotonicClock, new_id, wall_clock
from outlay_server.store.settings_rows import load_state
from outlay_server.store.statements import NEXT_EXPIRY, Statement

logger = logging.getLogger(__name__)

R = TypeVar("R")

CHECKPOINT_PAGES = 10_000
"""Pages of write-ahead log before a commit also checkpoints: the default of 1,000 doubles the slowest commits."""

CACHE_KIB = 64 * 1024
"""Pages that the writing connection keeps in memory; with the default of 2 MiB most are read anew for each batch."""

QUICK_CHECK_MAX_BYTES = 256 * 1024 * 1024
"""A larger file is not read through at start, which would keep it from serving for seconds."""

READERS = 4
"""Read-only connections."""

BUSY_TIMEOUT_SECONDS = 5.0
"""How long to wait for a lock that a backup tool may hold for a moment."""


class SqliteStore:
    """A `Store` in one file."""

    capabilities = Capabilities(replicas=False, survives_server_crash_apart=False)

    def __init__(
        self,
        path: Path,
        *,
        clock: Callable[[], Instant] = wall_clock,
        ids: Callable[[], str] = new_id,
        on_failed_sync: Callable[[], None] = lambda: os._exit(70),
    ) -> None:
        """`on_failed_sync` must end the process: after a failed sync nobody knows what the disk holds."""
        self._path = path
        self._wall_clock = clock
        self._clock = MonotonicClock()
        self._new_id = ids
        self._on_failed_sync = on_failed_sync
        self._write_lock = asyncio.Lock()
        self._states: dict[str, OrganizationState] = {}
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="outlay-sqlite-writer")
        self._connection: sqlite3.Connection | None = None
        self._engine: Engine | None = None
        self._readers: AsyncEngine | None = None
        self._lock_file: int | None = None

    # Opening and closing

    async def open(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._take_lock_file()
        try:
            self._connection = _connect(self._path)
            self._engine = create_engine("sqlite://", creator=lambda: self._connection, poolclass=StaticPool)
            event.listen(self._engine, "begin", _begin_immediate)
        except sqlite3.Error as error:
            self._release_lock_file()
            raise StoreUnusable(
                f"{self._path} cannot be opened as a ledger ({error}). Restore it from a backup."
            ) from error
        readable = URL.create(
            "sqlite+aiosqlite",
            database=f"file:{quote(str(self._path.resolve()))}",
            query={"mode": "ro", "uri": "true"},
        )
        self._readers = create_async_engine(readable, pool_size=READERS, max_overflow=0)
        logger.info("ledger opened", extra={"path": str(self._path), "sqlite_version": sqlite3.sqlite_version})

    async def migrate(self) -> None:
        async with self._write_lock:
            await self._in_thread(lambda: migrations.upgrade(self._sqlalchemy()))
            latest = self._raw().execute("SELECT MAX(update_time) FROM counters").fetchone()[0]
            self._clock.advance_to(Instant(latest or 0))

    async def close(self) -> None:
        async with self._write_lock:
            if self._readers is not None:
                await self._readers.dispose()
                self._readers = None
            if self._engine is not None:
                self._engine.dispose()
                self._engine = None
            if self._connection is not None:
                self._connection.close()
                self._connection = None
            self._release_lock_file()
            self._thread.shutdown(wait=False)

    def _take_lock_file(self) -> None:
        path = self._path.with_name(self._path.name + ".lock")
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.read(descriptor, 32).decode("ascii", "replace").strip() or "unknown"
            os.close(descriptor)
            raise StoreUnusable(
                f"{self._path} is served by another process (pid {holder}). A ledger in SQLite has one server; "
                "for several, set OUTLAY_DATABASE_URL to a PostgreSQL."
            ) from error
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode("ascii"))
        self._lock_file = descriptor

    def _release_lock_file(self) -> None:
        if self._lock_file is not None:
            os.close(self._lock_file)
            self._lock_file = None

    # The ledger

    async def post(self, commands: Sequence[Command], apply: Callable[[Books], None]) -> Posted:
        async with self._write_lock:
            try:
                return await self._post(commands, apply)
            except BaseException:
                await self._forget()
                raise

    async def _post(self, commands: Sequence[Command], apply: Callable[[Books], None]) -> Posted:
        # Statements run on the event loop's own thread: a row takes microseconds, a change of thread takes more. Only
        # the commit, which waits for the disk, runs apart.
        driver = _Driver(self._raw())
        if len(self._states) > ORGANIZATIONS_REMEMBERED_MAX:
            self._states.clear()
        books = Books(now=self._now(), new_id=self._new_id)
        with _unavailable_on_failure(self._on_failed_sync):
            for organization_id in {command.organization_id for command in commands}:
                state = self._state(driver, organization_id)
                if state is not None:
                    state.forget_many_counters()
                    books.organizations[organization_id] = state
            batch.load(driver, books, commands)
        apply(books)
        if books.changes.is_empty:
            with _unavailable_on_failure(self._on_failed_sync):
                return Posted(books, batch.earliest_expiries(driver, books))
        try:
            with _unavailable_on_failure(self._on_failed_sync):
                self._raw().execute("BEGIN IMMEDIATE")
                batch.write(driver, books)
                expiries = batch.earliest_expiries(driver, books)
                await self._in_thread(self._raw().commit)
        except StorageUnavailable:
            if books.changes.acknowledged:
                raise
            await self._forget()
            return Posted(books, {})
        try:
            self._note_expiries(driver, books)
        except sqlite3.Error:
            # The batch is on disk; only what is remembered of it is not to be trusted.
            self._states.clear()
        return Posted(books, expiries)

    def _state(self, driver: "_Driver", organization_id: str) -> OrganizationState | None:
        state = self._states.get(organization_id)
        if state is None:
            state = load_state(driver, organization_id)
            if state is not None:
                state.next_expiry = self._earliest_expiry(driver, state)
                self._states[organization_id] = state
        return state

    def _earliest_expiry(self, driver: "_Driver", state: OrganizationState) -> Instant:
        earliest = driver.fetch(NEXT_EXPIRY, state.key)[0][0]
        return END_OF_TIME if earliest is None else Instant(earliest)

    def _note_expiries(self, driver: "_Driver", books: Books) -> None:
        """Keep `next_expiry` a lower bound, so that no batch looks for expired reservations before there can be one."""
        states = {state.key: state for state in books.organizations.values()}
        for state in states.values():
            if state.next_expiry is not None and state.next_expiry <= books.now:
                state.next_expiry = self._earliest_expiry(driver, state)
        for (organization_key, _), reservation in books.changes.new_reservations.items():
            state = states[organization_key]
            state.next_expiry = min(state.next_expiry or END_OF_TIME, reservation.expire_time)

    async def _forget(self) -> None:
        """Undo what may be half done, and drop what was in memory: the file says what is true."""
        self._states.clear()
        connection = self._connection
        if connection is not None and connection.in_transaction:
            with contextlib.suppress(sqlite3.Error):
                connection.rollback()

    # The control plane, and reading

    async def change(self, work: Callable[[ControlTransaction], R]) -> R:
        changed: set[str] = set()

        def run() -> R:
            with self._sqlalchemy().begin() as connection:
                return work(ControlTransaction(connection, self._now, self._new_id, changed))

        async with self._write_lock:
            with _unavailable_on_failure(self._on_failed_sync):
                try:
                    return await self._in_thread(run)
                finally:
                    for organization_id in changed:
                        self._states.pop(organization_id, None)

    async def read(self, work: Callable[[Connection], R]) -> R:
        if self._readers is None:
            raise StorageUnavailable
        with _unavailable_on_failure(self._on_failed_sync):
            async with self._readers.connect() as connection:
                return await connection.run_sync(work)

    async def now(self) -> Instant:
        return self._now()

    async def ping(self) -> None:
        await self.read(lambda connection: connection.execute(select(tables.server_state.c.id)).all())

    # Helpers

    def _now(self) -> Instant:
        return self._clock.advance_to(self._wall_clock())

    def _raw(self) -> sqlite3.Connection:
        if self._connection is None:
            raise StorageUnavailable
        return self._connection

    def _sqlalchemy(self) -> Engine:
        if self._engine is None:
            raise StorageUnavailable
        return self._engine

    async def _in_thread(self, work: Callable[[], R]) -> R:
        """Run in the writer thread, to its end however often the waiting is cancelled: the lock is held until then."""
        future = asyncio.get_running_loop().run_in_executor(self._thread, work)
        cancelled: asyncio.CancelledError | None = None
        while not future.done():
            try:
                await asyncio.wait([future])
            except asyncio.CancelledError as error:
                cancelled = error
        if cancelled is not None:
            future.exception()
            raise cancelled
        return future.result()


class _Driver:
    """`batch.Driver` over sqlite3: one prepared statement a row."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def fetch(self, sql: str, *parameters: object) -> list[Sequence[Any]]:
        return self._connection.execute(sql, parameters).fetchall()

    def fetch_by_key(self, statement: Statement, keys: Sequence[Sequence[Any]]) -> list[Sequence[Any]]:
        if len(keys) > 1:
            # One statement for all of them: 1 µs a key, where a statement each costs 6.
            return self._connection.execute(statement.sqlite_many, (dump(keys),)).fetchall()
        return self._connection.execute(statement.sqlite, keys[0]).fetchall() if keys else []

    def write(self, statement: Statement, rows: Sequence[Sequence[Any]]) -> None:
        self._connection.executemany(statement.sqlite, rows)


def _connect(path: Path) -> sqlite3.Connection:
    """Open the writing connection and read back that it is as durable as it was told to be."""
    connection = sqlite3.connect(
        path, isolation_level=None, check_same_thread=False, timeout=BUSY_TIMEOUT_SECONDS, cached_statements=256
    )
    if path.stat().st_size <= QUICK_CHECK_MAX_BYTES:
        found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        if found != "ok":
            connection.close()
            raise sqlite3.DatabaseError(f"damaged: {found}")
    wanted = {
        "journal_mode": "wal",
        "synchronous": 2,
        "wal_autocheckpoint": CHECKPOINT_PAGES,
        "foreign_keys": 1,
        "cache_size": -CACHE_KIB,
    }
    for name, value in wanted.items():
        connection.execute(f"PRAGMA {name} = {value}")
        actual = connection.execute(f"PRAGMA {name}").fetchone()[0]
        if actual != value:
            connection.close()
            raise sqlite3.OperationalError(f"{name} is {actual} and cannot be set to {value} on this file system")
    return connection


def _begin_immediate(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


@contextlib.contextmanager
def _unavailable_on_failure(on_failed_sync: Callable[[], None]) -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, SQLAlchemyError) as error:
        cause = getattr(error, "orig", None) or error
        name = getattr(cause, "sqlite_errorname", "")
        logger.exception("the ledger's file failed", extra={"sqlite_error": name})
        if name in ("SQLITE_IOERR_FSYNC", "SQLITE_IOERR_DIR_FSYNC"):
            on_failed_sync()
        raise StorageUnavailable from error
