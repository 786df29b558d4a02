"""Applying a plan: shown, asked about, guarded, then organization by organization."""

import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

import click

from outlay.v1.caps_pb2 import CapsWarning
from outlay_cli.caps import plan_text, plan_view, planned, service
from outlay_cli.caps.options import Output
from outlay_cli.caps.outcome import Outcome, Status
from outlay_cli.caps.progress import progress
from outlay_cli.errors import CommandFailed
from outlay_cli.exits import ExitCode
from outlay_cli.text import printable
from outlay_sync import describe, planning
from outlay_sync.options import Options
from outlay_sync.plan_file import NoPlanError, read_plan
from outlay_sync.planning import Failure, OrganizationPlan, Plan

_NAMES_MAX: Final = 10
"""Resources that one sentence names."""


def apply_files(paths: Sequence[Path], source: str, options: Options, output: Output, *, assume_yes: bool) -> ExitCode:
    """Plan files and apply what was planned."""
    asks = not assume_yes and sys.stdin.isatty()
    if asks:
        # What is refused elsewhere is asked about here, with the plan in sight.
        options = replace(options, allow_cap_below_spend=True, allow_removing_hard_cap=True, allow_deleting_in_use=True)
    plan = planned.from_files(paths, source, output, options)
    if plan is None:
        return ExitCode.ERROR
    is_shown = asks and plan.has_changes and not plan.failures and not _refused(plan)
    if is_shown:
        plan_text.show_text(plan, "apply", err=output in ("json", "markdown"))
        if not click.confirm("Apply this?", err=True):
            raise CommandFailed("Nothing was changed.")
    return _apply(plan, output, is_shown=is_shown)


def apply_saved(path: Path, options: Options, output: Output) -> ExitCode:
    """Apply a plan that was saved, where it still is what would be done."""
    try:
        saved = read_plan(path)
    except NoPlanError as error:
        raise CommandFailed(f"{path} {error}.") from error
    except OSError as error:
        raise CommandFailed(f"{path} cannot be read: {error.strerror}.") from error
    for organization in saved.organizations:
        _allow(organization, options)
    with service.connect() as connected:
        plan = planning.plan_again(saved, connected, os.environ, progress("Planning"))
    return _apply(plan, output, is_shown=False)


def _allow(organization: OrganizationPlan, options: Options) -> None:
    """Allow now what the plan was not allowed when it was saved; what it does stays as it was."""
    request = organization.request
    request.allow_cap_below_spend |= options.allow_cap_below_spend
    request.allow_removing_hard_cap |= options.allow_removing_hard_cap
    request.allow_deleting_in_use |= options.allow_deleting_in_use


def _apply(plan: Plan, output: Output, *, is_shown: bool) -> ExitCode:
    """Apply every organization of a plan, once nothing of it is refused. `is_shown` says that people have seen it."""
    lacking = (planning.lacking(organization, os.environ) for organization in plan.organizations)
    plan = replace(plan, failures=[*plan.failures, *filter(None, lacking)])
    if not is_shown:
        plan_view.show_before(plan, output, "apply")
    refused = list(_refused(plan))
    outcome = Outcome()
    try:
        if not plan.failures and not refused:
            _apply_organizations(plan, outcome)
    finally:
        # Where it was interrupted, what was done until then.
        plan_view.show_after(plan, output, "apply", outcome)
    if refused:
        raise CommandFailed(_refusal_text(refused))
    if not plan.failures and not outcome.failures:
        return ExitCode.DONE
    return ExitCode.PARTIAL if "applied" in outcome.statuses.values() else ExitCode.ERROR


def _apply_organizations(plan: Plan, outcome: Outcome) -> None:
    to_apply = [organization for organization in plan.organizations if organization.changes]
    outcome.statuses.update({organization.name: "not reached" for organization in to_apply})
    tell = progress("Applying")
    with service.connect() as connected:
        for number, organization in enumerate(to_apply, 1):
            tell(organization.name, number, len(to_apply))
            # Until it is answered: an interruption leaves it open.
            outcome.statuses[organization.name] = "unknown"
            failure = planning.apply_organization(organization, connected, os.environ, service.new_request_id)
            outcome.statuses[organization.name] = _status(failure)
            if failure is not None:
                outcome.failures.append(failure)


def _status(failure: Failure | None) -> Status:
    if failure is None:
        return "applied"
    return "unknown" if failure.is_effect_unknown else "failed"


def _refused(plan: Plan) -> list[tuple[str, CapsWarning]]:
    return [(change.resource, warning) for change in plan.changes for warning in change.warnings if warning.refused]


def _refusal_text(refused: Iterable[tuple[str, CapsWarning]]) -> str:
    """Which options would let it through, and for what."""
    by_reason: dict[str, list[str]] = {}
    for resource, warning in refused:
        by_reason.setdefault(describe.warning_reason(warning), []).append(resource)
    parts = []
    for reason, resources in by_reason.items():
        names = ", ".join(resources[:_NAMES_MAX]) + (", …" if len(resources) > _NAMES_MAX else "")
        parts.append(f"{describe.FLAGS.get(reason, reason)} ({names})")
    return printable(f"Refused; nothing was changed. It would take {'; '.join(parts)}.")
