"""Ways to have a database fail, by what the test wants to see and not by product."""

import contextlib
import resource
from collections.abc import AsyncIterator

import asyncpg

from ledger.stores import is_file, sqlite_path

_FAILING_COMMIT = """
CREATE FUNCTION refuse_commit() RETURNS trigger LANGUAGE plpgsql AS
  $$ BEGIN RAISE EXCEPTION 'could not extend file' USING ERRCODE = '53100'; END $$;
CREATE CONSTRAINT TRIGGER refuse_commit AFTER INSERT ON {table} DEFERRABLE INITIALLY DEFERRED
  FOR EACH ROW EXECUTE FUNCTION refuse_commit();
"""


@contextlib.asynccontextmanager
async def full_disk(url: str) -> AsyncIterator[None]:
    """What adds rows cannot be committed meanwhile."""
    if is_file(url):
        # The log may not grow: its writes fail as on a full disk, at the commit.
        log = sqlite_path(url).with_name(sqlite_path(url).name + "-wal")
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (log.stat().st_size, hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        return
    growing = ("spend_records", "reservations")
    for table in growing:
        await execute(url, _FAILING_COMMIT.format(table=table).replace("refuse_commit", f"refuse_{table}"))
    try:
        yield
    finally:
        for table in growing:
            await execute(url, f"DROP TRIGGER refuse_{table} ON {table}; DROP FUNCTION refuse_{table};")


async def execute(url: str, script: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(script)
    finally:
        await connection.close()


async def value(url: str, query: str) -> object:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


async def cut_connections(url: str, application_name: str) -> None:
    """End the sessions of one kind, as an operator or a failing network would."""
    await value(
        url,
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
        f"WHERE datname = current_database() AND application_name = '{application_name}'",
    )
