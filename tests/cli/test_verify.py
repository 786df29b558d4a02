"""`outlay verify` beside a service, and on books that somebody edited."""

import sqlite3
from collections.abc import Callable

import pytest

from support.command_line import Cli
from support.server import ServerProcess


@pytest.fixture
def books(offline_cli: Cli, start_server: Callable[..., ServerProcess]) -> ServerProcess:
    """A server with one organization that spent 7.50 of its 10 USD, was refunded 1.25 and holds 2."""
    server = start_server()

    def run(*arguments: str) -> str:
        ran = offline_cli(*arguments, ENDPOINT=server.grpc_address, API_KEY=server.admin_key, ORGANIZATION="acme")
        return ran.ok().details["name"] if "name" in ran.details else ""

    run("orgs", "create", "acme")
    run("budgets", "set", "spending", "--hard-cap", "10")
    record = run("spend", "record", "7.50", "--unit", "USD")
    run("spend", "refund", record, "--amount", "1.25")
    run("spend", "check", "2", "--unit", "USD")
    return server


def test_it_recomputes_beside_a_running_service(offline_cli: Cli, books: ServerProcess) -> None:
    shown = offline_cli("verify", DATA_DIR=str(books.data_dir)).ok().details
    expected = {"organizations": "1", "budgets": "2", "records": "2", "open reservations": "1"}
    assert {name: shown[name] for name in expected} == expected
    assert shown["USD"] == "6.25 spent, 2.00 held"
    answer = offline_cli("verify", "--output", "json", DATA_DIR=str(books.data_dir)).ok().json
    assert (answer["agrees"], answer["disagreement"]) == (True, None)
    assert answer["units"] == [{"unit": "USD", "spent_micros": "6250000", "held_micros": "2000000"}]


@pytest.mark.parametrize(
    ("edit", "where", "found", "expected"),
    [
        ("UPDATE counters SET spent_micros = spent_micros - 1", "counters", "6249999", "6250000"),
        ("UPDATE audit_events SET actor = 'somebody' WHERE sequence = 2", "audit_events", "a broken chain", ""),
        ("DELETE FROM audit_events WHERE sequence = 4", "audit_events", "a broken chain", ""),
    ],
)
def test_it_names_the_first_row_that_disagrees(
    offline_cli: Cli, books: ServerProcess, edit: str, where: str, found: str, expected: str
) -> None:
    books.terminate()
    with sqlite3.connect(books.data_dir / "outlay.db") as connection:
        connection.execute(edit)
    connection.close()
    ran = offline_cli("verify", DATA_DIR=str(books.data_dir))
    assert (ran.code, ran.err, ran.out.count("\n")) == (1, "", 1)
    assert ran.out.startswith(f"organizations/acme: {where}")
    assert found in ran.out
    assert expected in ran.out
    as_json = offline_cli("verify", "--output", "json", DATA_DIR=str(books.data_dir))
    assert (as_json.code, as_json.json["agrees"]) == (1, False)
    assert as_json.json["disagreement"]["organization"] == "organizations/acme"
