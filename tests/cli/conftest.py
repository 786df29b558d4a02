"""The command line as its users run it: arguments and environment in, exit code and both outputs out."""

import os
import uuid

import pytest

from outlay_cli.main import main
from support.command_line import Cli, Ran
from support.server import ServerProcess


@pytest.fixture
def offline_cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    """Run a command in this process, with no OUTLAY_ variable but those given as keywords (`API_KEY=…`)."""
    for name in [name for name in os.environ if name.startswith("OUTLAY_")]:
        monkeypatch.delenv(name)

    def run(*arguments: str, **environment: str) -> Ran:
        with monkeypatch.context() as patch:
            for name, value in environment.items():
                patch.setenv(f"OUTLAY_{name}", value)
            capsys.readouterr()
            code = main(arguments)
        captured = capsys.readouterr()
        return Ran(int(code), captured.out, captured.err)

    return run


@pytest.fixture(scope="session")
def backend() -> str:
    """The command line speaks to a service and does not see what it stores in: once is enough."""
    return "sqlite"


@pytest.fixture
def cli(offline_cli: Cli, shared_server: ServerProcess) -> Cli:
    """Run a command against a live server, with its platform key."""

    def run(*arguments: str, **environment: str) -> Ran:
        defaults = {"ENDPOINT": shared_server.grpc_address, "API_KEY": shared_server.admin_key}
        return offline_cli(*arguments, **(defaults | environment))

    return run


@pytest.fixture
def organization(cli: Cli) -> str:
    """The id of a new organization."""
    id = f"org-{uuid.uuid4().hex[:12]}"
    cli("orgs", "create", id).ok()
    return id
