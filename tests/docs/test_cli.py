"""`docs/cli.md` names the commands that there are, and the codes they exit with."""

from collections.abc import Iterator

import click

from docs import tables
from outlay_cli.exits import ExitCode
from outlay_cli.main import cli


def _commands(command: click.Command, name: str, parent: click.Context | None = None) -> Iterator[str]:
    context = click.Context(command, parent=parent)
    if not isinstance(command, click.Group):
        yield name
        return
    for verb in command.list_commands(context):
        found = command.get_command(context, verb)
        assert found is not None
        yield from _commands(found, f"{name} {verb}", context)


def test_every_command_is_named_once() -> None:
    named = [tables.code(row[0]) for row in tables.rows("cli.md") if tables.code(row[0]).startswith("outlay ")]
    assert sorted(named) == sorted(_commands(cli, "outlay"))


def test_the_exit_codes_are_those_of_the_commands() -> None:
    assert [int(row[0]) for row in tables.rows("cli.md", "Exit codes")] == [code.value for code in ExitCode]
