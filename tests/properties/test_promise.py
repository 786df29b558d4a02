"""The promise of contract §1, as a state machine against a model that recomputes everything from a log."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from ledger.stores import migrate_blocking, shadow_clock
from outlay_server.domain import books
from outlay_server.store import sqlite
from properties.drivers import DomainDriver, Driver, postgres_driver, sqlite_driver
from properties.machine import OutlayMachine
from support.postgres import PostgresServer

pytestmark = pytest.mark.timeout(600)

DEEP_EXAMPLES = int(os.environ.get("OUTLAY_DEEP_EXAMPLES", "3000"))


def run_machine(make_driver: Callable[[], Driver], examples: int, steps: int = 40) -> None:
    """A history that fails is made as small as can be where that takes seconds; on a store it would take minutes."""
    phases = [phase for phase in Phase if phase is not Phase.shrink or make_driver is DomainDriver]
    machine = type("Machine", (OutlayMachine,), {"make_driver": staticmethod(make_driver)})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            phases=phases,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_the_rules_alone_keep_the_promise() -> None:
    """`domain.posting` on books in memory."""
    run_machine(DomainDriver, 120)


def test_the_embedded_store_keeps_the_promise(schema_file: Path) -> None:
    """The ledger on SQLite, restarts included."""
    with asyncio.Runner() as runner:
        run_machine(lambda: sqlite_driver(schema_file, runner), 15)


def test_a_store_that_remembers_next_to_nothing_keeps_the_promise(
    schema_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What bounds on memory have it forget is found again, in the middle of any history."""
    monkeypatch.setattr(books, "COUNTERS_REMEMBERED_MAX", 1)
    monkeypatch.setattr(books, "MATCHES_REMEMBERED_MAX", 1)
    monkeypatch.setattr(sqlite, "ORGANIZATIONS_REMEMBERED_MAX", 0)
    with asyncio.Runner() as runner:
        run_machine(lambda: sqlite_driver(schema_file, runner), 8)


def test_the_shared_store_keeps_the_promise(postgres_server: PostgresServer) -> None:
    """The ledger on PostgreSQL, on a database whose clock the test sets."""
    url = _timed_database(postgres_server)
    with asyncio.Runner() as runner:
        run_machine(lambda: postgres_driver(url, runner), 6)


@pytest.mark.deep
@pytest.mark.timeout(0)
def test_the_promise_holds_in_many_more_histories(schema_file: Path, postgres_server: PostgresServer) -> None:
    """The same, longer. `OUTLAY_DEEP_EXAMPLES` says how many histories on the domain; a fifth on each store."""
    run_machine(DomainDriver, DEEP_EXAMPLES, steps=80)
    url = _timed_database(postgres_server)
    with asyncio.Runner() as runner:
        run_machine(lambda: sqlite_driver(schema_file, runner), DEEP_EXAMPLES // 5, steps=80)
        run_machine(lambda: postgres_driver(url, runner), DEEP_EXAMPLES // 5, steps=80)


def _timed_database(server: PostgresServer) -> str:
    url = server.url(server.create_database(template=server.template("schema", migrate_blocking)))
    asyncio.run(shadow_clock(url))
    return url
