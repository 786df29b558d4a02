"""`outlay verify` beside a service, and on books that somebody edited."""

import json
import os
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.command_line import Cli
from support.server import OUTLAY, ServerProcess


@pytest.fixture(scope="module")
def books(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server with one organization that spent 7.50 of its 10 USD, was refunded 1.25 and holds 2."""
    with ServerProcess(tmp_path_factory.mktemp("books")) as server:
        connection = {"OUTLAY_ENDPOINT": server.grpc_address, "OUTLAY_API_KEY": server.admin_key}
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("OUTLAY_")}
        environment = inherited | connection | {"OUTLAY_ORGANIZATION": "acme"}

        def run(*arguments: str) -> Any:
            done = subprocess.run(
                [OUTLAY, *arguments, "--output", "json"], env=environment, capture_output=True, check=True, timeout=60
            )
            return json.loads(done.stdout)

        run("orgs", "create", "acme")
        run("budgets", "set", "spending", "--hard-cap", "10")
        record = run("spend", "record", "7.50", "--unit", "USD")["spend_record"]["name"]
        run("spend", "refund", record, "--amount", "1.25")
        run("spend", "check", "2", "--unit", "USD")
        yield server


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
    offline_cli: Cli, books: ServerProcess, tmp_path: Path, edit: str, where: str, found: str, expected: str
) -> None:
    with sqlite3.connect(books.data_dir / "outlay.db") as source, sqlite3.connect(tmp_path / "outlay.db") as copy:
        source.backup(copy)
        copy.execute(edit)
    source.close()
    copy.close()
    ran = offline_cli("verify", DATA_DIR=str(tmp_path))
    assert (ran.code, ran.err, ran.out.count("\n")) == (1, "", 1)
    assert ran.out.startswith(f"organizations/acme: {where}")
    assert found in ran.out
    assert expected in ran.out
    as_json = offline_cli("verify", "--output", "json", DATA_DIR=str(tmp_path))
    assert (as_json.code, as_json.json["agrees"]) == (1, False)
    assert as_json.json["disagreement"]["organization"] == "organizations/acme"
