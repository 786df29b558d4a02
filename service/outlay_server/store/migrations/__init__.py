"""Bringing a database's schema to what this code knows, over a connection that is already open.

A revision is applied in the transaction of the given connection, whole or not at all: both databases undo DDL. Replicas
that start together on PostgreSQL wait for each other, and the second finds nothing left to do.

A new revision is a module in `versions/` and its id at the end of `REVISIONS`; a released one is never edited. The
tests compare what the revisions build with `store/tables.py`.
"""

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sqlalchemy import Connection, Engine, inspect, text
from sqlalchemy.exc import DBAPIError

from outlay_server.store import tables
from outlay_server.store.contract import StoreUnusable

if TYPE_CHECKING:
    from alembic.runtime.migration import MigrationContext, RevisionStep

logger = logging.getLogger(__name__)

REVISIONS: Final = ("0001", "0002", "0003", "0004", "0005", "0006", "0007")
"""Ids of every revision, oldest first. Kept here so that a start that has nothing to migrate need not load Alembic."""

_VERSION_TABLE: Final = "alembic_version"
_ADVISORY_LOCK: Final = 0x4F75_746C_6179  # "Outlay"
"""One number for all replicas of one database: PostgreSQL's advisory locks are kept by database."""


def head() -> str:
    """Return the id of the newest revision that this code knows."""
    return REVISIONS[-1]


def current(connection: Connection) -> str | None:
    """Return the id of the revision that the database is at; None for one that was never migrated."""
    if not inspect(connection).has_table(_VERSION_TABLE):
        return None
    found = connection.execute(text(f"SELECT version_num FROM {_VERSION_TABLE}")).scalar()
    return None if found is None else str(found)


def require_head(connection: Connection) -> None:
    """Raise `StoreUnusable`, saying what to do, unless the schema is the one that this code knows."""
    revision = current(connection)
    _refuse_unknown(revision)
    if revision != head():
        found = "has no Outlay schema yet" if revision is None else f"is at schema {revision}"
        raise StoreUnusable(f"The database {found}; this version needs {head()}. Run: outlay migrate")


def upgrade(engine: Engine) -> None:
    """Apply what is missing in one transaction of the engine's own. Raises `StoreUnusable`."""
    with engine.begin() as connection:
        upgrade_connection(connection)


def upgrade_connection(connection: Connection) -> None:
    """Apply what is missing, in the transaction that the connection is in; the caller commits it.

    Raises `StoreUnusable` where the database is newer than this code, or refuses a statement; the transaction is then
    to be rolled back.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _ADVISORY_LOCK})
    revision = current(connection)
    _refuse_unknown(revision)
    if revision == head():
        return
    try:
        _run(connection)
    except DBAPIError as error:
        raise StoreUnusable(f"The schema could not be brought to {head()}: {error.orig}") from error
    logger.info("schema upgraded", extra={"from_revision": revision or "", "to_revision": head()})


def _refuse_unknown(revision: str | None) -> None:
    if revision is not None and revision not in REVISIONS:
        raise StoreUnusable(
            f"The database is at schema {revision}, which this version of Outlay does not know (it knows up to "
            f"{head()}): a newer version has migrated it. Start that version, or restore a backup from before."
        )


def _run(connection: Connection) -> None:
    from alembic.config import Config
    from alembic.runtime.environment import EnvironmentContext
    from alembic.script import ScriptDirectory

    scripts = ScriptDirectory(Path(__file__).parent)

    def missing_steps(revision: Iterable[str], _context: "MigrationContext") -> "Iterable[RevisionStep]":
        return scripts._upgrade_revs(head(), revision)  # type: ignore[arg-type]  # as Alembic's manual has it

    with EnvironmentContext(Config(), scripts, fn=missing_steps) as environment:
        environment.configure(connection=connection, target_metadata=tables.metadata)
        environment.run_migrations()
