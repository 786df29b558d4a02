"""The ledger in PostgreSQL: any number of stateless replicas; the truth is in the rows.

A batch locks the rows of its organizations, in ascending order of key, in one statement, and reads everything else in
the next: a read in the locking statement would see the time before the lock was granted. So the usual batch is four
round trips: begin and lock, read, write, commit. Time is the database's. An
organization's settings are remembered by their version, which is read under the lock, so that a change that has been
answered binds the next decision on every replica.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

import asyncpg
from sqlalchemy import URL, Connection, make_url, select, text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.util import greenlet_spawn

from outlay_server.domain.books import Books, OrganizationState
from outlay_server.domain.commands import CheckSpend, Command
from outlay_server.domain.errors import OutlayError, StorageUnavailable
from outlay_server.domain.instant import Instant
from outlay_server.domain.names import is_id
from outlay_server.store import batch, migrations, tables
from outlay_server.store.batch import named_reservation
from outlay_server.store.contract import (
    ORGANIZATIONS_REMEMBERED_MAX,
    Capabilities,
    ControlTransaction,
    Posted,
    StoreUnusable,
)
from outlay_server.store.ids import MonotonicClock, new_id
from outlay_server.store.postgres_driver import CLOCK, PostgresDriver, Wanted
from outlay_server.store.settings_rows import load_state

logger = logging.getLogger(__name__)

R = TypeVar("R")

READERS = 8
"""Pooled connections for reads and control-plane changes; the ledger has one of its own."""

ATTEMPTS = 8
"""How often a transaction is tried that the database asks to repeat."""

CONNECT_TIMEOUT_SECONDS = 3.0
STATEMENT_TIMEOUT_SECONDS = 10.0
"""A lock is waited for no longer than this; callers' deadlines are shorter."""

REPEATABLE = ("40001", "40P01")
"""serialization_failure, deadlock_detected: nothing happened, the same transaction may succeed."""

UNIQUE_VIOLATION = "23505"
"""Two changes made the same thing at once: the later one, repeated, finds it and says so."""

_LOCK_ORGANIZATIONS = (
    'SELECT version FROM organizations WHERE id IN ({}) AND delete_time IS NULL ORDER BY "key" FOR UPDATE'
)
"""Sent in one round trip with BEGIN, which PostgreSQL allows only without parameters: ids are put in as they are, and
text that could mean anything to SQL is no id. What it reads is from before the locks, and used for nothing."""

_LATEST = "SELECT MAX(update_time) FROM counters"


class PostgresStore:
    """A `Store` shared by replicas."""

    capabilities = Capabilities(replicas=True, survives_server_crash_apart=True)

    def __init__(
        self,
        url: str,
        *,
        ids: Callable[[], str] = new_id,
        read_timeout_seconds: float | None = None,
    ) -> None:
        """`read_timeout_seconds` is for who reads all of the ledger; None is what is right for calls."""
        self._read_timeout_seconds = read_timeout_seconds or STATEMENT_TIMEOUT_SECONDS
        self._url = _asyncpg_url(url)
        self._new_id = ids
        self._clock = MonotonicClock()
        self._lock = asyncio.Lock()
        self._states: dict[str, OrganizationState] = {}
        self._engine: AsyncEngine | None = None
        self._connection: asyncpg.Connection | None = None

    # Opening and closing

    async def open(self) -> None:
        self._engine = create_async_engine(
            self._url,
            pool_size=READERS,
            max_overflow=0,
            pool_timeout=CONNECT_TIMEOUT_SECONDS,
            pool_pre_ping=False,
            connect_args={
                "timeout": CONNECT_TIMEOUT_SECONDS,
                "command_timeout": self._read_timeout_seconds,
                "server_settings": {"synchronous_commit": "on", "application_name": "outlay", "jit": "off"},
            },
        )
        try:
            async with self._engine.connect() as connection:
                for name, wanted in (
                    ("fsync", ("on",)),
                    ("synchronous_commit", ("on", "remote_apply", "remote_write")),
                ):
                    actual = (await connection.execute(text(f"SHOW {name}"))).scalar_one()
                    if actual not in wanted:
                        raise StoreUnusable(f"PostgreSQL runs with {name}={actual}: a commit would not be durable.")
        except (OSError, SQLAlchemyError, asyncpg.PostgresError) as error:
            raise StoreUnusable(f"PostgreSQL cannot be reached: {type(error).__name__}.") from error

    async def migrate(self) -> None:
        async with self._sqlalchemy().begin() as connection:
            await connection.run_sync(migrations.upgrade_connection)
        latest = await self.read(lambda connection: connection.execute(text(_LATEST)).scalar())
        self._clock.advance_to(Instant(latest or 0))

    async def close(self) -> None:
        async with self._lock:
            await self._drop_connection()
            if self._engine is not None:
                await self._engine.dispose()
                self._engine = None

    # The ledger

    async def post(self, commands: Sequence[Command], apply: Callable[[Books], None]) -> Posted:
        async with self._lock:
            return await self._repeated(lambda: self._post_once(commands, apply))

    async def _post_once(self, commands: Sequence[Command], apply: Callable[[Books], None]) -> Posted:
        connection = await self._ledger_connection()
        wanted = self._wanted(commands)
        try:
            ids = ", ".join(f"'{organization_id}'" for organization_id in wanted.organization_ids)
            await connection.execute("BEGIN; " + _LOCK_ORGANIZATIONS.format(ids or "''"))
            posted: Posted = await greenlet_spawn(self._run_batch, PostgresDriver(connection), wanted, commands, apply)
            await connection.execute("COMMIT")
        except (OutlayError, AssertionError):
            await connection.execute("ROLLBACK")
            raise
        except BaseException as error:
            if _sqlstate(error) in REPEATABLE:
                await connection.execute("ROLLBACK")
            else:
                await self._drop_connection()
            raise
        return posted

    def _wanted(self, commands: Sequence[Command]) -> Wanted:
        """What the commands need, as far as their organizations' settings are remembered."""
        if len(self._states) > ORGANIZATIONS_REMEMBERED_MAX:
            self._states.clear()
        ids = {command.organization_id for command in commands}
        states = {id_: self._states[id_] for id_ in ids if id_ in self._states}
        keys = {id_: state.key for id_, state in states.items()}
        present = [command for command in commands if command.organization_id in keys]
        asked = {(c.organization_id, c.unit, c.labels) for c in present if isinstance(c, CheckSpend)}
        budgets = {
            (keys[id_], budget.key)
            for id_, unit, labels in asked
            for budget in states[id_].matching(unit, labels).budgets
        }
        return Wanted(
            organization_ids=sorted(filter(is_id, ids)),
            organization_keys=keys.values(),
            request_keys={(keys[c.organization_id], c.request_id) for c in present if c.request_id},
            reservation_keys={
                (keys[c.organization_id], reservation_id)
                for c in present
                if (reservation_id := named_reservation(c)) is not None
            },
            budget_keys=budgets,
        )

    def _run_batch(
        self, driver: PostgresDriver, wanted: Wanted, commands: Sequence[Command], apply: Callable[[Books], None]
    ) -> Posted:
        # Read after the wait for the locks, or this batch would be decided before the one that held them.
        now, locked = driver.look(wanted, self._clock.latest)
        books = Books(now=self._clock.advance_to(now), new_id=self._new_id)
        for organization_id, version in locked:
            state = self._states.get(organization_id)
            if state is None or state.version != version:
                state = load_state(driver, organization_id)
                assert state is not None, "its row is locked"
                self._states[organization_id] = state
            books.organizations[organization_id] = state.without_counters()
        batch.load(driver, books, commands)
        apply(books)
        batch.write(driver, books)
        expiries = batch.earliest_expiries(driver, books)
        driver.flush()
        return Posted(books, expiries)

    async def _ledger_connection(self) -> asyncpg.Connection:
        if self._connection is None or self._connection.is_closed():
            engine = self._sqlalchemy()
            url = engine.url
            self._connection = await asyncpg.connect(
                **_connect_arguments(url),
                timeout=CONNECT_TIMEOUT_SECONDS,
                command_timeout=STATEMENT_TIMEOUT_SECONDS,
                server_settings={"synchronous_commit": "on", "application_name": "outlay-ledger", "jit": "off"},
            )
        return self._connection

    async def _drop_connection(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()

    # The control plane, and reading

    async def change(self, work: Callable[[ControlTransaction], R]) -> R:
        async def once() -> R:
            async with self._sqlalchemy().begin() as connection:
                return await connection.run_sync(
                    lambda sync: work(ControlTransaction(sync, lambda: self._told_by(sync), self._new_id))
                )

        return await self._repeated(once, again_on=(*REPEATABLE, UNIQUE_VIOLATION))

    async def read(self, work: Callable[[Connection], R]) -> R:
        async def once() -> R:
            async with self._sqlalchemy().connect() as connection:
                return await connection.run_sync(work)

        return await self._repeated(once, after_disconnect=True)

    async def now(self) -> Instant:
        now = await self.read(lambda connection: connection.execute(text(f"SELECT {CLOCK}")).scalar_one())
        return self._clock.advance_to(Instant(now))

    async def ping(self) -> None:
        await self.read(lambda connection: connection.execute(select(tables.server_state.c.id)).all())

    # Helpers

    def _told_by(self, connection: Connection) -> Instant:
        return self._clock.advance_to(Instant(connection.execute(text(f"SELECT {CLOCK}")).scalar_one()))

    def _sqlalchemy(self) -> AsyncEngine:
        if self._engine is None:
            raise StorageUnavailable
        return self._engine

    async def _repeated(
        self,
        once: Callable[[], Awaitable[R]],
        *,
        again_on: Sequence[str] = REPEATABLE,
        after_disconnect: bool = False,
    ) -> R:
        """Run a whole transaction, again where the database asks for it; every other failure is `StorageUnavailable`.

        `after_disconnect` also repeats, once, what met a pooled connection that had died: only a read may be, because
        of a write nobody knows whether it was committed.

        Drivers have been seen to raise outside their documented classes when the server dies, so whatever is neither
        ours nor a broken invariant of ours counts as the store's failure.
        """
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return await once()
            except (OutlayError, AssertionError, StoreUnusable):
                raise
            except Exception as error:
                code = _sqlstate(error)
                if code in again_on and attempt < ATTEMPTS:
                    await asyncio.sleep(random.uniform(0, 0.002 * 2**attempt))  # noqa: S311
                    continue
                if after_disconnect and attempt == 1 and isinstance(error, DBAPIError) and error.connection_invalidated:
                    continue
                logger.warning("the database failed", extra={"sqlstate": code, "error": type(error).__name__})
                raise StorageUnavailable from error
        raise AssertionError("the last attempt returns or raises")


def _sqlstate(error: BaseException) -> str:
    if isinstance(error, DBAPIError) and error.orig is not None:
        error = error.orig
    return str(getattr(error, "sqlstate", "") or getattr(error, "pgcode", "") or "")


def _asyncpg_url(url: str) -> URL:
    """`postgresql://…` as SQLAlchemy's asyncpg dialect wants it; libpq's `sslmode` is asyncpg's `ssl`."""
    parsed = make_url(url).set(drivername="postgresql+asyncpg")
    query = dict(parsed.query)
    if "sslmode" in query:
        query["ssl"] = query.pop("sslmode")
    return parsed.set(query=query)


def _connect_arguments(url: URL) -> dict[str, Any]:
    arguments: dict[str, Any] = {
        "host": url.query.get("host") or url.host,
        "port": int(str(url.query["port"])) if "port" in url.query else url.port,
        "user": url.username,
        "password": url.password,
        "database": url.database,
    }
    if "ssl" in url.query:
        arguments["ssl"] = url.query["ssl"]
    return {name: value for name, value in arguments.items() if value is not None}
