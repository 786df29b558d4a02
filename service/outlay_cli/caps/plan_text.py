"""Plans as lines for people."""

from collections.abc import Iterator
from typing import Final

import click

from outlay.v1.caps_pb2 import CapsChange
from outlay_cli.caps.outcome import STATUS_TEXTS, Outcome, Title, headline, notes
from outlay_cli.caps.styles import style
from outlay_cli.text import printable
from outlay_server.domain.amounts import format_micros
from outlay_sync import describe
from outlay_sync.planning import OrganizationPlan, Plan, type_name

_COLORS: Final = {"create": "green", "update": "yellow", "adopt": "cyan", "delete": "red"}


def show_text(plan: Plan, title: Title, *, err: bool = False) -> None:
    """Print changes as lines for people; `err` where standard output is for programs."""
    for organization in plan.organizations:
        changes = organization.changes
        if changes:
            click.echo(printable(organization.name), err=err)
        for change in changes:
            for line in _text_lines(organization, change):
                click.echo(line, err=err)
        if changes:
            click.echo(err=err)
    click.echo(style(headline(plan, title), bold=True), err=err)
    for note in notes(plan, title):
        click.echo(note, err=err)


def show_outcome(outcome: Outcome) -> None:
    for name, status in outcome.statuses.items():
        click.echo(f"{printable(name)}: {STATUS_TEXTS[status]}")


def _text_lines(plan: OrganizationPlan, change: CapsChange) -> Iterator[str]:
    what = type_name(change)
    place = plan.places.of(change.resource) if what != "delete" else ""
    name = printable(describe.short_name(change.resource))
    sign = style(describe.SIGNS[what], fg=_COLORS[what])
    yield f"  {sign} {style(name, bold=True)}  {printable(str(place))}".rstrip()
    lines = describe.field_lines(plan, change, format_micros)
    width = max((len(line.name) for line in lines), default=0)
    for line in lines:
        values = f"{line.before} -> {line.after}" if what in ("update", "adopt") else line.after
        if what == "delete":
            values = f"was {line.before}"
        yield f"      {line.name:<{width}}  {printable(values)}"
        if line.outside:
            yield f"      {'':<{width}}  {style(printable(line.outside), fg='magenta')}"
    if change.HasField("outside_change") and not any(line.outside for line in lines):
        text = f"changed outside by {describe.outside_text(change.outside_change)}"
        yield f"      {style(printable(text), fg='magenta')}"
    for warning in change.warnings:
        yield f"      {style('!', fg='red')} {printable(describe.warning_text(warning))}"
