"""What the demo shows: lines on standard output, and on a terminal a bar of spend against the cap."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import click

from outlay_cli import output, text

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

_PLAIN_STEP_MICROS: Final = 50_000_000
"""Without a terminal the bar is a line for each 50 units of spend."""


class Screen:
    """Headings, lines, pairs, and the bar while it is live."""

    def __init__(self, unit: str) -> None:
        self._unit = unit
        self._bar: tuple[Progress, TaskID] | None = None
        self._next_line_micros = _PLAIN_STEP_MICROS

    def heading(self, title: str) -> None:
        """Begin a part of the story."""
        click.echo()
        output.console().print(title, style="bold")

    def say(self, line: str) -> None:
        """Print a line, above the bar where both go to one terminal."""
        if self._bar is not None and sys.stdout.isatty():
            progress, _ = self._bar
            progress.console.print(f"  {line}", highlight=False, markup=False, soft_wrap=True)
        else:
            click.echo(f"  {line}")

    def pairs(self, pairs: list[tuple[str, str]]) -> None:
        """Print names and values in two columns."""
        shown = [(name, value) for name, value in pairs if value]
        width = max(len(name) for name, _ in shown)
        for name, value in shown:
            self.say(f"{name:<{width}}  {value}")

    @contextmanager
    def spend_bar(self, cap_micros: int) -> Iterator[None]:
        """Show spend against the cap while the context lasts; `show_spend` moves it."""
        if not sys.stderr.isatty():
            yield
            return
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        columns = (TextColumn("  spend"), BarColumn(bar_width=50), TextColumn("{task.description}"))
        console = Console(stderr=True)
        with Progress(*columns, console=console, transient=True, redirect_stdout=False) as progress:
            self._bar = (progress, progress.add_task("", total=cap_micros))
            try:
                yield
            finally:
                self._bar = None

    def show_spend(self, spent_micros: int, reserved_micros: int, cap_micros: int) -> None:
        """Move the bar, or print a line where there is none and enough was spent since the last."""
        against = f"{text.amount(spent_micros)} of {text.amount(cap_micros, self._unit)}"
        held = f"{text.amount(reserved_micros)} held"
        if self._bar is not None:
            progress, task = self._bar
            progress.update(task, completed=spent_micros, description=f"{against}, {held}")
        elif spent_micros >= self._next_line_micros:
            self.say(f"spent {against}, {held}")
            self._next_line_micros = (spent_micros // _PLAIN_STEP_MICROS + 1) * _PLAIN_STEP_MICROS
