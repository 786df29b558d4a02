"""Open stores for the tests, with a clock that the test sets, and the shortest words for what is asked of them."""

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import asyncpg
from sqlalchemy import Connection, select

from outlay_server import control
from outlay_server.control import Origin
from outlay_server.domain.alert import Alert
from outlay_server.domain.commands import (
    CheckMode,
    CheckOutcome,
    CheckSpend,
    ExtendReservation,
    RecordSpend,
    RefundSpend,
    ReleaseReservation,
)
from outlay_server.domain.gate import Gate
from outlay_server.domain.instant import MICROS_PER_SECOND, Instant
from outlay_server.domain.reservation import ExpiryAction
from outlay_server.domain.selector import canonical
from outlay_server.domain.settings import BudgetSettings, OrganizationSettings
from outlay_server.domain.views import BudgetView
from outlay_server.ledger import Ledger
from outlay_server.store import reads, tables, verify
from outlay_server.store.contract import Store
from outlay_server.store.postgres import PostgresStore
from outlay_server.store.sqlite import SqliteStore

CENT = 10_000
UNIT = 1_000_000
"""One whole unit, in micros."""

PLATFORM = Origin("platform", "grpc", "call-1", is_platform=True)
OWNER = Origin("organizations/acme/apiKeys/k", "rest", "call-2", is_platform=False)

NOON = Instant(1_768_478_400_000_000)
"""2026-01-15T12:00:00Z: the middle of a day, of a month and of a quarter."""

DAY_MICROS = 86_400 * MICROS_PER_SECOND


def sqlite_path(url: str) -> Path:
    return Path(url.removeprefix("sqlite:///"))


def is_file(url: str) -> bool:
    """Whether the store is a file of this machine. For making stores; tests ask `capabilities`."""
    return url.startswith("sqlite:")


class SettableClock:
    """The time of one database, as its store will see it."""

    def __init__(self, url: str, now: Instant = NOON) -> None:
        self._url = url
        self.now = now

    def __call__(self) -> Instant:
        return self.now

    async def set(self, now: Instant) -> None:
        """A database that tells the time itself reads it from a table: `shadow_clock` has put one in its way."""
        self.now = now
        if not is_file(self._url):
            connection = await asyncpg.connect(self._url)
            try:
                await connection.execute("UPDATE shadow.clock SET micros = $1", now)
            finally:
                await connection.close()

    async def advance(self, micros: int) -> None:
        await self.set(Instant(self.now + micros))


async def shadow_clock(url: str) -> None:
    """Put a `clock_timestamp()` before PostgreSQL's own, for every session that begins after this."""
    name = url.rsplit("/", 1)[1]
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(
            f"""
            CREATE SCHEMA shadow;
            CREATE TABLE shadow.clock (micros bigint NOT NULL);
            INSERT INTO shadow.clock VALUES ({NOON});
            CREATE FUNCTION shadow.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE AS
              $$ SELECT timestamptz 'epoch' + micros * interval '1 microsecond' FROM shadow.clock $$;
            ALTER DATABASE "{name}" SET search_path = shadow, public, pg_catalog;
            """
        )
    finally:
        await connection.close()


def make_store(url: str, clock: SettableClock | None = None, **options: Any) -> Store:
    """The store of a URL, not opened."""
    if is_file(url):
        if clock is not None:
            options["clock"] = clock
        return SqliteStore(sqlite_path(url), **options)
    return PostgresStore(url, **options)


@contextlib.asynccontextmanager
async def opened(url: str, clock: SettableClock | None = None, **options: Any) -> AsyncIterator[Store]:
    """A store that is served from, closed at the end."""
    store = make_store(url, clock, **options)
    await store.open()
    try:
        await store.migrate()
        yield store
    finally:
        await store.close()


@contextlib.asynccontextmanager
async def running(store: Store) -> AsyncIterator[Ledger]:
    """A ledger over the store, stopped at the end."""
    ledger = Ledger(store)
    await ledger.start()
    try:
        yield ledger
    finally:
        await ledger.stop()


def migrate_blocking(url: str) -> None:
    """Bring an empty database to the newest schema; for templates, from outside any event loop."""

    async def run() -> None:
        async with opened(url):
            pass

    asyncio.run(run())
    if is_file(url):
        # All of it in one file, so that a copy of the file is a copy of the database.
        with contextlib.closing(sqlite3.connect(sqlite_path(url))) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


# What is asked of the ledger


def check(
    amount: int,
    *,
    unit: str = "USD",
    minimum: int | None = None,
    labels: Mapping[str, str] | None = None,
    mode: CheckMode = CheckMode.RESERVE,
    ttl_seconds: int = 300,
    on_expiry: ExpiryAction = ExpiryAction.RELEASE,
    full_view: bool = False,
    request_id: str = "",
    organization_id: str = "acme",
) -> CheckSpend:
    return CheckSpend(
        organization_id=organization_id,
        unit=unit,
        amount_micros=amount,
        min_amount_micros=minimum,
        labels=canonical(labels or {}),
        mode=mode,
        reservation_ttl_micros=ttl_seconds * MICROS_PER_SECOND,
        expiry_action=on_expiry,
        full_view=full_view,
        request_id=request_id,
        api_key_id="k",
    )


def record(
    amount: int,
    reservation_id: str | None = None,
    *,
    unit: str | None = None,
    labels: Mapping[str, str] | None = None,
    usage_time: Instant | None = None,
    keep_open: bool = False,
    request_id: str = "",
    organization_id: str = "acme",
) -> RecordSpend:
    return RecordSpend(
        organization_id=organization_id,
        reservation_id=reservation_id,
        unit=("" if reservation_id else "USD") if unit is None else unit,
        amount_micros=amount,
        labels=canonical(labels or {}),
        usage_time=usage_time,
        keep_open=keep_open,
        request_id=request_id,
        api_key_id="k",
    )


def refund(
    record_id: str, amount: int | None = None, *, request_id: str = "", organization_id: str = "acme"
) -> RefundSpend:
    return RefundSpend(organization_id, record_id, amount, request_id, "k")


def release(reservation_id: str, *, request_id: str = "", organization_id: str = "acme") -> ReleaseReservation:
    return ReleaseReservation(organization_id, reservation_id, request_id, "k")


def extend(
    reservation_id: str,
    more: int = 0,
    *,
    least: int | None = None,
    ttl_seconds: int = 300,
    request_id: str = "",
    organization_id: str = "acme",
) -> ExtendReservation:
    ttl_micros = ttl_seconds * MICROS_PER_SECOND
    return ExtendReservation(organization_id, reservation_id, ttl_micros, more, request_id, "k", least)


async def admitted(ledger: Ledger, command: CheckSpend) -> CheckOutcome:
    """The answer to a check that must be allowed."""
    outcome = await ledger.submit(command)
    assert isinstance(outcome, CheckOutcome)
    assert outcome.allowed, outcome
    return outcome


async def reserved(ledger: Ledger, command: CheckSpend) -> str:
    """The id of the reservation that a check must get."""
    reservation_id = (await admitted(ledger, command)).reservation_id
    assert reservation_id is not None
    return reservation_id


# What is asked of the control plane


async def new_organization(
    store: Store, organization_id: str = "acme", gates: tuple[Gate, ...] = (), origin: Origin = PLATFORM
) -> None:
    settings = OrganizationSettings(organization_id.title(), gates)
    await store.change(lambda tx: control.organizations.create(tx, origin, organization_id, settings))


async def new_budget(
    store: Store,
    budget_id: str,
    *,
    organization_id: str = "acme",
    origin: Origin = PLATFORM,
    unit: str = "USD",
    **settings: Any,
) -> BudgetView:
    wanted = BudgetSettings(unit=unit, **settings)
    return await store.change(lambda tx: control.budgets.create(tx, origin, organization_id, budget_id, wanted))


async def set_budget(
    store: Store,
    budget_id: str = "spending",
    *,
    organization_id: str = "acme",
    origin: Origin = PLATFORM,
    unit: str = "USD",
    options: Mapping[str, Any] | None = None,
    **settings: Any,
) -> BudgetView:
    """Update the settings that are named, and only those."""
    wanted = BudgetSettings(unit=unit, **settings)
    paths = frozenset(settings)
    assert paths <= {field.name for field in fields(BudgetSettings)}
    return await store.change(
        lambda tx: control.budgets.update(tx, origin, organization_id, budget_id, wanted, paths, **dict(options or {}))
    )


async def cap(store: Store, micros: int | None, budget_id: str = "spending", **options: Any) -> BudgetView:
    return await set_budget(store, budget_id, hard_cap_micros=micros, hard_cap_enabled=micros is not None, **options)


async def budget(store: Store, budget_id: str = "spending", organization_id: str = "acme") -> BudgetView:
    now = await store.now()
    return await store.read(lambda connection: reads.budget_view(connection, organization_id, budget_id, now))


async def alerts(store: Store, organization_id: str = "acme") -> list[Alert]:
    """Oldest first."""
    found = await store.read(lambda connection: reads.alerts(connection, organization_id, "", 1_000, ""))
    return found[::-1]


async def snapshot(store: Store) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every table, to see that nothing has changed."""

    def read(connection: Connection) -> dict[str, list[tuple[Any, ...]]]:
        return {
            table.name: [tuple(row) for row in connection.execute(select(table).order_by(*table.primary_key.columns))]
            for table in tables.metadata.sorted_tables
        }

    return await store.read(read)


async def disagreement(store: Store) -> verify.Disagreement | None:
    """The first thing in the store that is not what its ledger says."""
    return (await store.read(verify.verify)).disagreement
