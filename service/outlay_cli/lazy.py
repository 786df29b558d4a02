"""A group that imports a command when it is run, not when it is listed.

`outlay --help` and the completion of a shell must not wait for gRPC, SQLAlchemy and rich. So the one line that a list
shows of each command stands here beside the name of its module; a test holds it to the command's own.
"""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass

import click


@dataclass(frozen=True, slots=True)
class LazyCommand:
    """Where a command is and what a list says about it."""

    location: str
    """`module:attribute`."""
    summary: str

    def load(self) -> click.Command:
        module, _, attribute = self.location.partition(":")
        command = getattr(importlib.import_module(module), attribute)
        assert isinstance(command, click.Command), f"{self.location} is no command"
        return command


class LazyGroup(click.Group):
    """A click group over `LazyCommand`s, listed in the order in which they were given."""

    def __init__(self, *, lazy: Mapping[str, LazyCommand], **options: object) -> None:
        super().__init__(**options)  # type: ignore[arg-type]
        self.lazy = lazy

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.lazy)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        known = self.lazy.get(cmd_name)
        return known.load() if known is not None else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, command.summary) for name, command in self.lazy.items()])
