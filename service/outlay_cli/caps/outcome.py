"""What is said of a plan, and of what came of it, in every form of output."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from outlay_cli.text import printable
from outlay_sync import describe
from outlay_sync.planning import Failure, Plan, tally

Title = Literal["plan", "drift", "apply"]
Status = Literal["applied", "failed", "unknown", "not reached"]

STATUS_TEXTS: Final[Mapping[Status, str]] = {
    "applied": "applied.",
    "failed": "not applied.",
    "unknown": "whether it was applied is unknown; run the command again, it plans afresh.",
    "not reached": "not reached.",
}


@dataclass(slots=True)
class Outcome:
    """What came of an apply, by organization; empty for a plan."""

    statuses: dict[str, Status] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)


def headline(plan: Plan, title: Title) -> str:
    """One sentence: what there is to do."""
    counts = tally(plan.changes)
    count = sum(counts.values())
    if not count and plan.failures:
        return "No plan."
    if title == "drift":
        return f"{_resources(count)} changed outside of the files." if count else "No drift."
    return f"Plan: {describe.summary(counts)}." if count else "No changes."


def notes(plan: Plan, title: Title) -> Iterator[str]:
    """What to know beside the changes."""
    if title == "drift":
        return
    orphans = [name for organization in plan.organizations for name in organization.answer.orphans]
    if orphans:
        names = ", ".join(orphans[:10]) + (", …" if len(orphans) > 10 else "")
        yield printable(f"Kept by these files and no longer in them, deleted with --prune: {names}.")


def _resources(count: int) -> str:
    return "1 resource was" if count == 1 else f"{count} resources were"
