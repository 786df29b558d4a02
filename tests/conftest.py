"""What every test may ask for: a PostgreSQL, fresh databases on each backend, and the real server on them."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from support import server as server_support
from support.postgres import PostgresMissingError, PostgresServer, find_programs
from support.server import OUTLAY, ServerProcess

BACKENDS = ("sqlite", "postgres")

# A loaded machine is slow, not wrong. In CI the same examples each time: a failure there can be met again here.
hypothesis.settings.register_profile("outlay", deadline=None, print_blob=True)
hypothesis.settings.register_profile("ci", parent=hypothesis.settings.get_profile("outlay"), derandomize=True)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "outlay")


def pytest_report_header() -> str:
    try:
        programs = find_programs()
    except PostgresMissingError as missing:
        return f"postgres: none, its tests are skipped ({missing})"
    return f"postgres: {programs.version()}, {programs.origin}"


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[Any]) -> Iterator[None]:
    """Show with a failure what the servers of that moment had said."""
    outcome = yield
    report: pytest.TestReport = outcome.get_result()  # type: ignore[attr-defined]
    if report.failed:
        for process in list(server_support.running):
            report.sections.append((f"outlay serve in {process.data_dir}", process.log_text()))


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """One PostgreSQL for the whole run. A test that kills it makes its own `PostgresServer` instead."""
    try:
        programs = find_programs()
    except PostgresMissingError as missing:
        pytest.skip(str(missing))
    with PostgresServer(programs) as server:
        yield server


@pytest.fixture(scope="session", params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    """Where the books are kept, for fixtures and test ids. A test asks its store what it can do, not what it is."""
    name: str = request.param
    return name


@pytest.fixture
def database_url(backend: str, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a database with nothing in it, on each backend in turn."""
    if backend == "sqlite":
        yield f"sqlite:///{tmp_path / 'outlay.db'}"
        return
    server: PostgresServer = request.getfixturevalue("postgres_server")
    name = server.create_database()
    yield server.url(name)
    server.drop_database(name)


@pytest.fixture
def migrated_database_url(
    backend: str, request: pytest.FixtureRequest, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """The URL of a database with the newest schema and no rows, on each backend in turn.

    Migrated once a run by `outlay migrate`, and copied from there for each test.
    """
    if backend == "sqlite":
        template_file: Path = request.getfixturevalue("_migrated_sqlite_file")
        shutil.copyfile(template_file, tmp_path / "outlay.db")
        yield f"sqlite:///{tmp_path / 'outlay.db'}"
        return
    server: PostgresServer = request.getfixturevalue("postgres_server")
    name = server.create_database(template=server.template("migrated", _migrate))
    yield server.url(name)
    server.drop_database(name)


@pytest.fixture(scope="session")
def _migrated_sqlite_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("migrated") / "outlay.db"
    _migrate(f"sqlite:///{file}")
    return file


def _migrate(database_url: str) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OUTLAY_")}
    done = subprocess.run(
        [OUTLAY, "migrate"],
        env=environment | {"OUTLAY_DATABASE_URL": database_url},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, f"outlay migrate: {done.stdout}{done.stderr}"


StartServer = Callable[..., ServerProcess]


@pytest.fixture
def start_server(tmp_path: Path) -> Iterator[StartServer]:
    """Start servers of the test's own: `start_server(database_url=…, admin_key=…, environment=…, data_dir=…)`.

    Without `database_url` each is on its own embedded database. All are ended with the test.
    """
    started: list[ServerProcess] = []

    def start(*, data_dir: Path | None = None, **options: Any) -> ServerProcess:
        process = ServerProcess(data_dir or tmp_path / f"server-{len(started)}", **options)
        started.append(process)
        return process.start()

    yield start
    for process in started:
        process.close()


@pytest.fixture
def server(backend: str, request: pytest.FixtureRequest, start_server: StartServer) -> ServerProcess:
    """A server of the test's own with empty books, on each backend in turn; the test may kill and restart it."""
    if backend == "sqlite":
        return start_server()
    return start_server(database_url=request.getfixturevalue("migrated_database_url"))


@pytest.fixture(scope="session")
def shared_server(
    backend: str, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ServerProcess]:
    """One server for all tests that keep to an organization of their own and leave the server alive."""
    url: str | None = None
    if backend == "postgres":
        postgres: PostgresServer = request.getfixturevalue("postgres_server")
        url = postgres.url(postgres.create_database(template=postgres.template("migrated", _migrate)))
    with ServerProcess(tmp_path_factory.mktemp(f"shared-{backend}"), database_url=url) as process:
        yield process
