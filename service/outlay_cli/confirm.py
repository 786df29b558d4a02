"""Asking first, where a command cuts off spend or cannot be undone."""

import sys

import click

from outlay_cli.errors import CommandFailed


def ask_first(consequence: str, *, assume_yes: bool) -> None:
    """Return when the user agrees. Without a terminal nobody can, and only `--yes` will do."""
    if assume_yes:
        return
    if not sys.stdin.isatty():
        raise CommandFailed(f"{consequence} Nothing was changed; pass --yes to do it all the same.")
    if not click.confirm(f"{consequence} Go on?", err=True):
        raise CommandFailed("Nothing was changed.")
