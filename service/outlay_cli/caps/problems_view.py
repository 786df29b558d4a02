"""Complaints about files, in each form of output."""

from collections.abc import Sequence
from typing import Any

import click

from outlay_cli import output
from outlay_cli.caps.options import Output
from outlay_cli.text import printable
from outlay_sync.problems import InvalidFilesError, Place, Problem


def show_invalid(error: InvalidFilesError, form: Output, *, err: bool) -> None:
    """Print everything that is wrong; `err` sends text for people to standard error, where data is expected."""
    match form:
        case "json":
            output.print_json({"problems": problems_json(error.problems), "left_out_count": error.left_out_count})
        case "markdown":
            click.echo("### Outlay: the files are not valid\n")
            for problem in error.problems:
                click.echo(f"- {markdown_text(str(problem))}")
        case "github":
            show_annotations(error.problems)
        case "text":
            show_problems(error.problems, err=err)
    if error.left_out_count and form != "json":
        click.echo(f"… and {error.left_out_count} more.", err=err)


def show_problems(problems: Sequence[Problem], *, err: bool) -> None:
    for problem in problems:
        click.echo(printable(str(problem)), err=err)


def problems_json(problems: Sequence[Problem]) -> list[dict[str, Any]]:
    return [
        {
            "file": problem.place.file,
            "line": problem.place.line,
            "column": problem.place.column,
            "path": problem.path,
            "message": problem.message,
        }
        for problem in problems
    ]


def show_annotations(problems: Sequence[Problem]) -> None:
    for problem in problems:
        text = f"{problem.path}: {problem.message}" if problem.path else problem.message
        annotate("error", problem.place, text)


def annotate(level: str, place: Place, text: str) -> None:
    """One workflow command of GitHub Actions, which shows `text` beside the line."""
    where = f"file={_property(place.file)},line={place.line},col={place.column}"
    click.echo(f"::{level} {where}::{_data(text)}")


def markdown_text(text: str) -> str:
    """Text that Markdown shows as it is: in a code span, on one line, fit for a table's cell."""
    shown = printable(text).replace("|", "\\|")
    fence = "`"
    while fence in shown:
        fence += "`"
    pad = " " if fence != "`" else ""
    return f"{fence}{pad}{shown}{pad}{fence}"


def _data(text: str) -> str:
    return printable(text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A"))


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
