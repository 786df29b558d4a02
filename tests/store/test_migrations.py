"""The migrations build exactly what `tables.py` describes, once, on both databases."""

import asyncio
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, TextClause, create_engine, event, inspect, select, text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from outlay_server.store import migrations, tables
from outlay_server.store.contract import StoreUnusable

R = TypeVar("R")


def _engine(url: str) -> AsyncEngine:
    """An engine that begins on SQLite as the embedded store's does: by hand, because sqlite3 would not before DDL."""
    if url.startswith("postgresql://"):
        return create_async_engine(url.replace("postgresql://", "postgresql+asyncpg://"))
    engine = create_async_engine(
        url.replace("sqlite://", "sqlite+aiosqlite://"), connect_args={"isolation_level": None, "timeout": 0}
    )
    event.listen(engine.sync_engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
    return engine


@pytest.fixture
def in_transaction(database_url: str) -> Callable[[Callable[[Connection], Any]], Any]:
    """Run a function in a transaction of its own on an empty database, and commit it."""

    def run(work: Callable[[Connection], R]) -> R:
        async def inner() -> R:
            engine = _engine(database_url)
            try:
                async with engine.begin() as connection:
                    return await connection.run_sync(work)
            finally:
                await engine.dispose()

        return asyncio.run(inner())

    return run


InTransaction = Callable[[Callable[[Connection], R]], R]


def _plain(described: list[Any]) -> list[str]:
    """Without the objects in it that are never equal: a condition's text stands for the condition."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: plain(inner) for key, inner in value.items()}
        return value.text if isinstance(value, TextClause) else value

    return sorted(str(plain(one)) for one in described)


def _schema(connection: Connection) -> dict[str, Any]:
    """What a database says of its tables, beyond what Alembic compares: checks, partial indexes, table options."""
    inspector = inspect(connection)
    found: dict[str, Any] = {}
    for name in sorted(tables.metadata.tables):
        found[name] = {
            "columns": [
                (c["name"], str(c["type"]), c["nullable"], c.get("default")) for c in inspector.get_columns(name)
            ],
            "primary key": inspector.get_pk_constraint(name),
            "unique": _plain(inspector.get_unique_constraints(name)),
            "checks": _plain(inspector.get_check_constraints(name)),
            "foreign keys": _plain(inspector.get_foreign_keys(name)),
            "indexes": _plain(inspector.get_indexes(name)),
            "options": inspector.get_table_options(name),
        }
    return found


def _sql_options(connection: Connection) -> set[tuple[str, bool, bool]]:
    rows = connection.exec_driver_sql("SELECT name, sql FROM sqlite_master WHERE type = 'table'").all()
    return {
        (name, "AUTOINCREMENT" in sql, "WITHOUT ROWID" in sql) for name, sql in rows if name in tables.metadata.tables
    }


def test_the_migrations_leave_nothing_for_alembic_to_change(in_transaction: InTransaction[Any]) -> None:
    def difference(connection: Connection) -> Any:
        migrations.upgrade_connection(connection)
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        return compare_metadata(context, tables.metadata)

    assert in_transaction(difference) == []


def test_the_migrations_build_what_the_tables_describe(in_transaction: InTransaction[Any]) -> None:
    """Check constraints, conditions of indexes and SQLite's table options, which `compare_metadata` does not see."""

    def migrated(connection: Connection) -> Any:
        migrations.upgrade_connection(connection)
        schema = _schema(connection)
        connection.exec_driver_sql("DROP TABLE alembic_version")
        options = _sql_options(connection) if connection.dialect.name == "sqlite" else set()
        tables.metadata.drop_all(connection)
        return schema, options

    def described(connection: Connection) -> Any:
        tables.metadata.create_all(connection)
        return _schema(connection), _sql_options(connection) if connection.dialect.name == "sqlite" else set()

    assert in_transaction(migrated) == in_transaction(described)


def test_upgrading_twice_changes_nothing(in_transaction: InTransaction[Any]) -> None:
    def upgraded(connection: Connection) -> Any:
        migrations.upgrade_connection(connection)
        state = connection.execute(select(tables.server_state)).all()
        return migrations.current(connection), [tuple(row) for row in state], _schema(connection)

    first = in_transaction(upgraded)
    assert (first[:2], in_transaction(upgraded)) == ((migrations.head(), [(1, 0)]), first)


def test_a_database_that_was_never_migrated_is_at_no_revision(in_transaction: InTransaction[str | None]) -> None:
    assert in_transaction(migrations.current) is None


def test_an_unmigrated_database_is_refused_naming_the_command(in_transaction: InTransaction[None]) -> None:
    with pytest.raises(StoreUnusable, match=r"has no Outlay schema yet.*Run: outlay migrate"):
        in_transaction(migrations.require_head)


def test_a_migrated_database_is_not_refused(in_transaction: InTransaction[None]) -> None:
    in_transaction(migrations.upgrade_connection)
    in_transaction(migrations.require_head)


@pytest.mark.parametrize("refuses", [migrations.upgrade_connection, migrations.require_head])
def test_a_database_from_the_future_is_refused_and_left_alone(
    in_transaction: InTransaction[Any], refuses: Callable[[Connection], None]
) -> None:
    """A rollback of the service after its successor migrated must not write by rules that no longer hold."""
    in_transaction(migrations.upgrade_connection)
    in_transaction(lambda connection: connection.execute(text("UPDATE alembic_version SET version_num = '9999'")))
    with pytest.raises(StoreUnusable, match="at schema 9999, which this version of Outlay does not know"):
        in_transaction(refuses)
    assert in_transaction(migrations.current) == "9999"


def test_a_statement_that_fails_undoes_the_whole_upgrade(in_transaction: InTransaction[Any]) -> None:
    in_transaction(lambda connection: connection.execute(text("CREATE TABLE server_state (other TEXT)")))
    with pytest.raises(StoreUnusable, match=r"could not be brought to \d+: .*server_state.*exists"):
        in_transaction(migrations.upgrade_connection)
    names = in_transaction(lambda connection: set(inspect(connection).get_table_names()))
    assert names == {"server_state"}


async def test_replicas_that_start_together_migrate_once(backend: str, database_url: str) -> None:
    """Without the lock the second would fail on tables that the first has just made."""
    if backend == "sqlite":
        pytest.skip("one process has the file to itself")
    engines = [_engine(database_url) for _ in range(4)]

    async def upgrade(engine: AsyncEngine) -> None:
        async with engine.begin() as connection:
            await connection.run_sync(migrations.upgrade_connection)

    try:
        await asyncio.gather(*map(upgrade, engines))
        async with engines[0].connect() as connection:
            rows = (await connection.execute(select(tables.server_state))).all()
    finally:
        for engine in engines:
            await engine.dispose()
    assert [tuple(row) for row in rows] == [(1, 0)]


def test_an_engine_is_upgraded_and_committed(tmp_path: Path) -> None:
    engine = create_engine(
        "sqlite://", creator=lambda: sqlite3.connect(tmp_path / "outlay.db", isolation_level=None, timeout=0)
    )
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE"))
    migrations.upgrade(engine)
    migrations.upgrade(engine)
    with engine.connect() as connection:
        assert migrations.current(connection) == migrations.head()
    engine.dispose()


def test_the_list_of_revisions_is_the_one_that_alembic_finds() -> None:
    scripts = ScriptDirectory(Path(migrations.__file__).parent)
    found = tuple(script.revision for script in reversed(list(scripts.walk_revisions())))
    assert (found, scripts.get_heads()) == (migrations.REVISIONS, [migrations.head()])
