"""Plans as Markdown, for a comment on a pull request."""

from collections.abc import Iterator, Sequence
from typing import Final

from outlay.v1.caps_pb2 import CapsChange
from outlay_cli.caps.outcome import STATUS_TEXTS, Outcome, Title, headline, notes
from outlay_cli.caps.problems_view import markdown_text
from outlay_cli.text import printable
from outlay_server.domain.amounts import format_micros
from outlay_sync import describe
from outlay_sync.planning import OrganizationPlan, Plan, type_name

COMMENT_MAX_LENGTH: Final = 60_000
"""Characters; GitHub refuses a comment of more than 65,536."""


def markdown(plan: Plan, title: Title, outcome: Outcome) -> str:
    """The whole as a comment on a pull request; cut where GitHub would refuse it."""
    blocks = _markdown_blocks(plan, title, outcome)
    text = ""
    for block in blocks:
        if len(text) + len(block) > COMMENT_MAX_LENGTH:
            return f"{text}\nThe rest does not fit into a comment; `outlay {title}` shows all of it.\n"
        text += block
    return text


def _markdown_blocks(plan: Plan, title: Title, outcome: Outcome) -> Iterator[str]:
    yield f"### Outlay: {headline(plan, title)}\n"
    if outcome.statuses:
        yield "\n"
        for name, status in outcome.statuses.items():
            yield f"- {markdown_text(name)}: {STATUS_TEXTS[status]}\n"
    for failure in (*plan.failures, *outcome.failures):
        yield f"\n**{markdown_text(failure.name)} failed**\n\n"
        yield "".join(f"- {markdown_text(str(problem))}\n" for problem in failure.problems)
    for organization in plan.organizations:
        changes = organization.changes
        if not changes:
            continue
        yield f"\n#### {markdown_text(organization.name)}\n\n| | resource | field | now | planned |\n|-|-|-|-|-|\n"
        for change in changes:
            yield "".join(_markdown_rows(organization, change))
        yield from _markdown_remarks(organization, changes)
    remarks = list(notes(plan, title))
    if remarks:
        yield "\n" + "".join(f"{remark}\n" for remark in remarks)


def _markdown_rows(plan: OrganizationPlan, change: CapsChange) -> Iterator[str]:
    what = type_name(change)
    first = f"| {what} | {markdown_text(describe.short_name(change.resource))} |"
    lines = describe.field_lines(plan, change, format_micros)
    if not lines:
        yield f"{first} | | |\n"
    for line in lines:
        before = "" if what == "create" else markdown_text(line.before)
        after = "" if what == "delete" else markdown_text(line.after)
        yield f"{first} {line.name} | {before} | {after} |\n"
        first = "| | |"


def _markdown_remarks(plan: OrganizationPlan, changes: Sequence[CapsChange]) -> Iterator[str]:
    remarks = []
    for change in changes:
        name = markdown_text(describe.short_name(change.resource))
        lines = describe.field_lines(plan, change, format_micros)
        moved = [f"{line.name} was {line.outside}" for line in lines if line.outside]
        if change.HasField("outside_change") and not moved:
            moved = [f"changed outside by {describe.outside_text(change.outside_change)}"]
        remarks += [f"- {name}: {markdown_text(text)}\n" for text in moved]
        remarks += [
            f"- **{'refused' if warning.refused else 'note'}** {name}: {printable(describe.warning_text(warning))}\n"
            for warning in change.warnings
        ]
    if remarks:
        yield "\n"
        yield from remarks
