"""What a command prints: tables for people, one JSON document for programs; both on standard output."""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import click

from outlay_cli.text import printable

if TYPE_CHECKING:
    from google.protobuf.message import Message
    from rich.console import Console

FORMAT_VERSION: Final = 1
"""Grows when a program that reads the JSON would have to change."""

_UNBOUNDED_WIDTH: Final = 100_000
"""Where standard output is no terminal, a row is a line, however long."""


def print_json(content: Mapping[str, Any]) -> None:
    """Print one document, `format_version` first."""
    click.echo(json.dumps({"format_version": FORMAT_VERSION, **content}, indent=2, ensure_ascii=False))


def to_json(message: "Message") -> dict[str, Any]:
    """The proto JSON form as REST gives it: proto's field names, 64-bit integers as strings, zeros and false shown."""
    from google.protobuf import json_format

    return json_format.MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )


def print_list(messages: Iterable["Message"], *, key: str, has_more: bool) -> None:
    """Print a list as JSON; `has_more` says that `--limit` cut it."""
    print_json({key: [to_json(message) for message in messages], "has_more": has_more})


def print_table(headers: Sequence[str], rows: Iterable[Sequence[str]], *, has_more: bool = False) -> None:
    """Print aligned columns. A header that ends in `>` stands over figures, which are aligned to the right."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for header in headers:
        table.add_column(header.rstrip(">"), justify="right" if header.endswith(">") else "left", overflow="fold")
    count = 0
    for row in rows:
        table.add_row(*(Text(printable(cell)) for cell in row))
        count += 1
    if count:
        console().print(table)
    elif sys.stdout.isatty():
        click.echo("Nothing found.", err=True)
    if has_more:
        click.echo(f"These are the first {count}; there are more: raise --limit.", err=True)


def print_details(pairs: Iterable[tuple[str, str]]) -> None:
    """Print one thing, a line for each of its values; values that are empty are left out."""
    shown = [(name, printable(value)) for name, value in pairs if value]
    width = max((len(name) for name, _ in shown), default=0)
    for name, value in shown:
        click.echo(f"{name:<{width}}  {value}")


def console() -> "Console":
    """Standard output through rich, which honours NO_COLOR and writes plain text where it is no terminal."""
    from rich.console import Console

    width = None if sys.stdout.isatty() else _UNBOUNDED_WIDTH
    return Console(width=width, highlight=False, markup=False, emoji=False)
