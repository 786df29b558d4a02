"""The PostgreSQL that the tests start is a real one, and ends with them."""

import asyncio
import signal
import subprocess
import sys

import asyncpg
import psutil
import pytest

from support.postgres import PostgresMissingError, PostgresServer, find_programs


async def _fetch(url: str, query: str) -> object:
    connection = await asyncpg.connect(url)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


def test_a_database_made_from_a_template_holds_what_the_template_holds(postgres_server: PostgresServer) -> None:
    """`prepare` runs once for a key; each database made from it starts with the same content."""
    prepared: list[str] = []

    def prepare(url: str) -> None:
        prepared.append(url)
        postgres_server.execute("CREATE TABLE seen AS SELECT 7 AS n", database=url.rpartition("/")[2])

    names = [postgres_server.create_database(postgres_server.template("support-test", prepare)) for _ in range(2)]
    assert [asyncio.run(_fetch(postgres_server.url(name), "SELECT n FROM seen")) for name in names] == [7, 7]
    assert len(prepared) == 1
    for name in names:
        postgres_server.drop_database(name)


async def test_sql_runs_from_inside_an_event_loop_too(postgres_server: PostgresServer) -> None:
    name = postgres_server.create_database()
    assert await _fetch(postgres_server.url(name), "SHOW fsync") == "on"
    postgres_server.drop_database(name)


def test_what_was_committed_survives_sigkill() -> None:
    """Every process of the cluster is gone after `kill9`, and `start` serves the same data at the same port."""
    try:
        programs = find_programs()
    except PostgresMissingError as missing:
        pytest.skip(str(missing))
    with PostgresServer(programs) as server:
        url = server.url()
        server.execute("CREATE TABLE kept AS SELECT 1 AS n")
        server.kill9()
        assert not server.running
        server.start()
        assert server.url() == url
        assert asyncio.run(_fetch(url, "SELECT n FROM kept")) == 1


def test_a_killed_test_run_leaves_no_process_behind() -> None:
    """SIGKILL lets no `finally` run; the reaper ends the cluster nevertheless."""
    try:
        find_programs()
    except PostgresMissingError as missing:
        pytest.skip(str(missing))
    program = (
        "from support.postgres import PostgresServer\n"
        "server = PostgresServer().start()\n"
        "print(server._process.pid, flush=True)\n"
        "input()\n"
    )
    folder = __file__.rpartition("/support/")[0]
    with subprocess.Popen(
        [sys.executable, "-c", program], cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as run:
        assert run.stdout is not None
        cluster = psutil.Process(int(run.stdout.readline()))
        run.send_signal(signal.SIGKILL)
        run.wait()
    cluster.wait(10)
    assert not cluster.is_running()
