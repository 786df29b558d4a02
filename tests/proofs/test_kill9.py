"""What was acknowledged is there after SIGKILL: of the server, of a replica, of PostgreSQL. See `kill9`."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from proofs import kill9
from support.database_commands import migrate
from support.postgres import PostgresMissingError, PostgresServer, find_programs

# A crash and what follows take a few seconds, on a busy machine many more.
pytestmark = pytest.mark.timeout(300)

DEEP_CYCLES = 100
SECONDS_TO_SERVE = 15.0
"""The promise is 2 s on a machine of its own; here others may run beside it, and starting is work."""


def cycles(fast: int) -> pytest.MarkDecorator:
    """How many crashes in every run, and before a release."""
    return pytest.mark.parametrize(
        "cycles", [fast, pytest.param(DEEP_CYCLES, marks=[pytest.mark.deep, pytest.mark.timeout(3_600)])]
    )


@cycles(fast=5)
async def test_a_killed_server_has_lost_and_doubled_nothing(
    cycles: int, tmp_path: Path, record_property: Callable[[str, Any], None]
) -> None:
    with kill9.server_on_sqlite(tmp_path) as victim:
        figures = await kill9.run(victim, cycles, seed=cycles)
    _assert_clean(figures, cycles, record_property)


@cycles(fast=3)
async def test_a_killed_replica_has_lost_and_doubled_nothing_and_the_other_serves_on(
    cycles: int, tmp_path: Path, postgres_server: PostgresServer, record_property: Callable[[str, Any], None]
) -> None:
    url = postgres_server.url(postgres_server.create_database())
    migrate(url)
    with kill9.replica_on_postgres(tmp_path, url) as victim:
        figures = await kill9.run(victim, cycles, seed=cycles)
    _assert_clean(figures, cycles, record_property)


@cycles(fast=3)
async def test_a_killed_postgres_has_lost_and_doubled_nothing_and_the_servers_find_it_again(
    cycles: int, tmp_path: Path, record_property: Callable[[str, Any], None]
) -> None:
    try:
        programs = find_programs()
    except PostgresMissingError as missing:
        pytest.skip(str(missing))
    with PostgresServer(programs) as postgres:
        url = postgres.url(postgres.create_database())
        migrate(url)
        with kill9.postgres_itself(tmp_path, postgres, url) as victim:
            figures = await kill9.run(victim, cycles, seed=cycles)
    _assert_clean(figures, cycles, record_property)


def _assert_clean(figures: kill9.Figures, cycles: int, record_property: Callable[[str, Any], None]) -> None:
    record_property("figures", figures.summary())
    print(figures.summary())
    assert figures.is_clean, f"{figures.summary()}\n{figures.problems()}"
    assert figures.cycles == cycles
    # A run in which no answer was lost has not looked at what happens then.
    assert figures.repeated > 0
    assert sorted(figures.seconds_to_serve)[cycles // 2] < SECONDS_TO_SERVE
