"""`outlay migrate` and `outlay verify`, which open the database themselves."""

import sqlite3
from pathlib import Path

import pytest

from outlay_server.store import migrations
from support.command_line import Cli


@pytest.fixture(params=["sqlite", "postgres"], scope="session")
def backend(request: pytest.FixtureRequest) -> str:
    """These commands open the database, so each database has its turn."""
    name: str = request.param
    return name


def test_migrate_makes_the_schema_and_can_be_repeated(offline_cli: Cli, database_url: str) -> None:
    for _ in range(2):
        ran = offline_cli("migrate", DATABASE_URL=database_url).ok()
        assert ran.out == f"schema {migrations.head()}\n"


def test_verify_of_an_empty_ledger_says_what_it_looked_at(offline_cli: Cli, database_url: str) -> None:
    offline_cli("migrate", DATABASE_URL=database_url).ok()
    ran = offline_cli("verify", DATABASE_URL=database_url).ok()
    assert ran.details["organizations"] == "0"
    assert ran.out.endswith("The books agree with the ledger.\n")


def test_verify_names_the_command_for_a_database_without_a_schema(
    offline_cli: Cli, database_url: str, tmp_path: Path
) -> None:
    (tmp_path / "outlay.db").touch()
    ran = offline_cli("verify", DATABASE_URL=database_url)
    assert (ran.code, ran.out) == (1, "")
    assert "Run: outlay migrate" in ran.err


def test_verify_makes_no_file(offline_cli: Cli, tmp_path: Path) -> None:
    ran = offline_cli("verify", DATA_DIR=str(tmp_path / "elsewhere"))
    assert ran.code == 1
    assert "There is no ledger at" in ran.err
    assert not (tmp_path / "elsewhere").exists()


def test_a_file_that_is_no_database_is_one_line(offline_cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "outlay.db").write_bytes(b"not a database, " * 100)
    ran = offline_cli("verify", DATA_DIR=str(tmp_path))
    assert (ran.code, ran.err.count("\n")) == (1, 1)
    assert "cannot be read as a ledger: file is not a database" in ran.err


def test_settings_that_are_wrong_are_told_by_their_variable(offline_cli: Cli) -> None:
    ran = offline_cli("migrate", DATABASE_URL="mysql://localhost/outlay")
    assert ran.code == 1
    assert "OUTLAY_DATABASE_URL" in ran.err


def test_verify_reads_one_moment_and_writes_nothing(offline_cli: Cli, tmp_path: Path) -> None:
    """The connection is read-only, so a defect of ours could not repair what it should report."""
    offline_cli("migrate", DATA_DIR=str(tmp_path)).ok()
    connection = sqlite3.connect(tmp_path / "outlay.db")
    before = connection.execute("PRAGMA data_version").fetchone()
    offline_cli("verify", DATA_DIR=str(tmp_path)).ok()
    assert connection.execute("PRAGMA data_version").fetchone() == before
    connection.close()
