"""What goes on, on standard error and only on a terminal."""

import sys
from collections.abc import Callable

import click


def progress(verb: str) -> Callable[[str, int, int], None]:
    """Tell of each organization as it comes, where there are several and somebody looks."""

    def tell(name: str, number: int, count: int) -> None:
        if count > 1 and sys.stderr.isatty():
            end = "\r\033[K" if number == count else ""
            click.echo(f"\r\033[K{verb} {name} ({number} of {count}){end}", nl=False, err=True)

    return tell
