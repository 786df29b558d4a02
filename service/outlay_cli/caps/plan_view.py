"""Plans, drift and what came of an apply, in each form of output."""

import click

from outlay_cli.caps.options import Output
from outlay_cli.caps.outcome import Outcome, Title
from outlay_cli.caps.plan_json import show_json
from outlay_cli.caps.plan_markdown import markdown
from outlay_cli.caps.plan_text import show_outcome, show_text
from outlay_cli.caps.problems_view import annotate, show_annotations, show_problems
from outlay_server.domain.amounts import format_micros
from outlay_sync import describe
from outlay_sync.planning import Plan


def show(plan: Plan, form: Output, title: Title) -> None:
    """Print what there is to do, and what could not be planned."""
    show_before(plan, form, title)
    show_after(plan, form, title, Outcome())


def show_before(plan: Plan, form: Output, title: Title) -> None:
    """Print what there is to do, in the forms that are read as they come; the others are one document at the end."""
    if form in ("text", "github"):
        show_text(plan, title)
    if form == "github":
        _annotate(plan, title)


def show_after(plan: Plan, form: Output, title: Title, outcome: Outcome) -> None:
    """Print what came of it; for a document the whole."""
    failures = [*plan.failures, *outcome.failures]
    match form:
        case "json":
            show_json(plan, title, outcome, failures)
        case "markdown":
            click.echo(markdown(plan, title, outcome), nl=False)
        case "github":
            show_outcome(outcome)
            for failure in failures:
                show_annotations(failure.problems)
        case "text":
            show_outcome(outcome)
            for failure in failures:
                show_problems(failure.problems, err=True)


def _annotate(plan: Plan, title: Title) -> None:
    for organization in plan.organizations:
        for change in organization.changes:
            for warning in change.warnings:
                level = "error" if warning.refused else "warning"
                text = f"{change.resource}: {describe.warning_text(warning)}"
                annotate(level, organization.places.of(change.resource), text)
            if title != "drift":
                continue
            for line in describe.field_lines(organization, change, format_micros):
                place = organization.places.of(change.resource)
                annotate("warning", place, f"{change.resource}: {line.name} was {line.outside}")
