"""`outlay top`: spend against caps, live."""

import sys
import time
from datetime import timedelta
from typing import Final

import click
from rich.console import Console
from rich.live import Live

from outlay_cli import options, remote
from outlay_cli.errors import CommandFailed
from outlay_cli.output import console, print_list
from outlay_cli.top.board import Board
from outlay_cli.top.reader import Reader
from outlay_cli.top.screen import table

REDRAWN_SECONDS: Final = 0.25
STATE_TIMEOUT_SECONDS: Final = 10.0
_LINES_AROUND: Final = 4
"""Of the terminal, for the title, the headers and what comes below."""


@click.command()
@options.organization_option
@click.option("--once", is_flag=True, help="Print where budgets stand now, and end. So it is without a terminal.")
@click.option("--for", "duration", type=options.duration, help="End after this long, such as 90s.")
@options.output_option
def top(organization: str, once: bool, duration: timedelta | None, output: str) -> None:
    """Watch spend against caps, the fullest budget first.

    Follows every change as it is committed, and goes on by itself after the connection was cut. Ctrl-C ends it.
    """
    parent = f"organizations/{organization}"
    with remote.connect() as service:
        board = Board()
        reader = Reader(service, parent, board)
        reader.start()
        try:
            _wait_for_state(reader)
            if once or output == "json" or not sys.stdout.isatty():
                _print(organization, board, output)
            else:
                _follow(organization, board, reader, duration)
        except KeyboardInterrupt:
            # The usual way to end it.
            pass
        finally:
            reader.stop()


def _wait_for_state(reader: Reader) -> None:
    if not reader.complete.wait(STATE_TIMEOUT_SECONDS):
        raise CommandFailed(f"no budget within {STATE_TIMEOUT_SECONDS:g} s: there is none, or the service hangs")
    if reader.refusal is not None:
        raise reader.refusal


def _print(organization: str, board: Board, form: str) -> None:
    lines = board.lines()
    if form == "json":
        print_list([line.budget for line in lines], key="budgets", has_more=False)
    else:
        console().print(table(organization, lines, time.monotonic(), connected=True))


def _follow(organization: str, board: Board, reader: Reader, duration: timedelta | None) -> None:
    terminal = Console(highlight=False, markup=False, emoji=False)
    ends_at = time.monotonic() + duration.total_seconds() if duration is not None else float("inf")
    with Live(console=terminal, auto_refresh=False, screen=True) as live:
        while time.monotonic() < ends_at:
            if reader.refusal is not None:
                raise reader.refusal
            rows_max = max(1, terminal.size.height - _LINES_AROUND)
            drawn = table(organization, board.lines(), time.monotonic(), connected=board.connected, rows_max=rows_max)
            live.update(drawn, refresh=True)
            time.sleep(REDRAWN_SECONDS)
