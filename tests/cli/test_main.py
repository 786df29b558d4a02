"""The command as a whole: what it lists, what it loads, what it exits with."""

import subprocess
import sys

import click
import pytest

from outlay_cli.main import COMMANDS, cli
from support.command_line import Cli

HEAVY = ("grpc", "google.protobuf", "sqlalchemy", "pydantic", "rich", "outlay_server", "outlay.v1", "asyncio")


@pytest.mark.parametrize("name", COMMANDS)
def test_a_list_says_of_a_command_what_the_command_says_of_itself(name: str) -> None:
    """The line beside the name stands apart from the command, so that a list need not import it."""
    command = COMMANDS[name].load()
    assert command.name == name
    assert (command.help or "").splitlines()[0] == COMMANDS[name].summary


def test_help_imports_nothing_that_takes_time() -> None:
    program = (
        "import sys, outlay_cli.main as m; code = m.main(['--help']);"
        f"loaded = [name for name in {HEAVY!r} if name in sys.modules]; sys.exit(f'{{loaded}}' if loaded else code)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("name", ["serve", "demo", "verify", "migrate"])
def test_help_of_a_command_waits_for_no_server_library(name: str) -> None:
    program = (
        f"import sys, outlay_cli.main as m; code = m.main([{name!r}, '--help']);"
        "loaded = [name for name in ('grpc', 'sqlalchemy', 'pydantic') if name in sys.modules];"
        "sys.exit(f'{loaded}' if loaded else code)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_version_is_that_of_the_distribution(offline_cli: Cli) -> None:
    from importlib.metadata import version

    ran = offline_cli("--version")
    assert (ran.code, ran.out) == (0, f"outlay {version('outlay')}\n")


@pytest.mark.parametrize(
    "arguments",
    [
        ("nonsense",),
        ("budgets",),
        ("budgets", "set", "spending", "--nonsense"),
        ("budgets", "set", "spending"),
        ("budgets", "set", "spending", "--hard-cap", "1e3"),
        ("budgets", "set", "spending", "--hard-cap", "0.0000001"),
        ("budgets", "set", "spending", "--alert-thresholds", "75%"),
        ("budgets", "set", "spending", "--selector", "model"),
        ("budgets", "override", "spending"),
        ("budgets", "override", "spending", "--hard-cap", "5", "--remove"),
        ("spend", "check", "1.00"),
        ("spend", "check", "-1.00", "--unit", "USD"),
        ("spend", "record", "1.00"),
        ("spend", "list", "--since", "yesterday"),
        ("spend", "list", "--since", "2026-01-31T00:00:00"),
        ("spend", "check", "1.00", "--unit", "USD", "--ttl", "5"),
        ("keys", "create", "--scope", "admin"),
        ("keys", "revoke", "sk_0123"),
        ("orgs", "gate", "acme", "opus"),
        ("orgs", "gate", "acme", "opus", "--remove", "--enable"),
        ("orgs", "update", "acme"),
        ("orgs", "get", "acme/budgets/spending"),
    ],
    ids=" ".join,
)
def test_a_wrong_command_line_exits_64_and_calls_nobody(offline_cli: Cli, arguments: tuple[str, ...]) -> None:
    """There is no key in the environment: whatever came as far as a call would exit 1."""
    ran = offline_cli(*arguments)
    assert (ran.code, ran.out) == (64, "")
    assert "Usage: outlay" in ran.err


def test_ctrl_c_exits_130(offline_cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(ctx: click.Context) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "invoke", interrupted)
    assert offline_cli("orgs", "list").code == 130
