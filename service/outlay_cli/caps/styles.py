"""Colours, where standard output is a terminal and NO_COLOR is not set (no-color.org)."""

import os
import sys

import click


def style(text: str, *, fg: str | None = None, bold: bool | None = None) -> str:
    if os.environ.get("NO_COLOR") or not sys.stdout.isatty():
        return text
    return click.style(text, fg=fg, bold=bold)
