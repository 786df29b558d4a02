"""`outlay budgets`: budgets, their caps and their current spend."""

from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeVar

import click

from outlay.v1 import budget_service_pb2 as pb
from outlay.v1.budget_pb2 import Budget, Enforcement
from outlay_cli import budget_view, options, remote, text
from outlay_cli.budget_settings import SettingsOptions, settings_options
from outlay_cli.confirm import ask_first

_CLEARABLE: Final = {
    "budget": "budget_micros",
    "hard-cap": "hard_cap_micros",
    "allotment": "allotment_micros",
    "cap-override": "cap_override",
    "alert-thresholds": "alert_thresholds",
    "selector": "selector",
    "display-name": "display_name",
}
"""What `clear` takes, and the field that it clears."""

_LIMITS: Final = ("budget", "hard-cap", "cap-override")
"""What `clear` clears when nothing is named: everything that an organization's own key may set a limit by."""

_CAN_CUT_OFF: Final = frozenset(
    {"hard_cap_micros", "hard_cap_enabled", "allotment_micros", "cap_override", "selector", "cycle.period"}
    | {"cycle.anchor", "cycle.time_zone"}
)
"""Fields by which spend can come to stand above the limit."""


@click.group()
def budgets() -> None:
    """Budgets, their caps and their current spend.

    BUDGET is an id such as `spending` (with --org), or a whole name.
    """


@budgets.command("list")
@options.organization_option
@options.limit_option
@options.output_option
def list_budgets(organization: str, limit: int, output: str) -> None:
    """List budgets with their current spend, by id."""
    with remote.connect() as service:

        def fetch(page_size: int, page_token: str) -> tuple[list[Budget], str]:
            request = pb.ListBudgetsRequest(
                parent=f"organizations/{organization}", page_size=page_size, page_token=page_token
            )
            page = service.call(service.budgets.ListBudgets, request)
            return list(page.budgets), page.next_page_token

        found, has_more = remote.collect(fetch, limit)
    budget_view.show_list(found, output, has_more=has_more)


@budgets.command()
@click.argument("budget")
@options.organization_option
@options.output_option
def get(budget: str, organization: str, output: str) -> None:
    """Show one budget, settings and spend."""
    with remote.connect() as service:
        found = _get(service, options.child_name(organization, "budgets", budget))
    budget_view.show(found, output)


@budgets.command()
@click.argument("budget")
@options.organization_option
@click.option("--unit", required=True, help="What is counted, such as USD; it cannot be changed later.")
@settings_options
@options.yes_option
@options.request_id_option
@options.output_option
def create(budget: str, organization: str, unit: str, yes: bool, request_id: str, output: str, **settings: Any) -> None:
    """Create a budget. It counts what the ledger already holds of its cycle."""
    wanted = Budget(unit=unit)
    SettingsOptions(**settings).apply_to(wanted)
    request = pb.CreateBudgetRequest(parent=f"organizations/{organization}", budget_id=budget, budget=wanted)
    with remote.connect() as service:
        if not yes:
            preview = service.call(service.budgets.CreateBudget, _preview(request))
            _ask_before_cutting_off(preview, over_before_micros=0)
        request.request_id = request_id or remote.new_request_id()
        created = service.call(service.budgets.CreateBudget, request)
    budget_view.show(created, output)


@budgets.command("set")
@click.argument("budget")
@options.organization_option
@click.option("--unit", help="Refuse unless the budget counts this unit.")
@settings_options
@options.override_manager_option
@options.yes_option
@options.request_id_option
@options.output_option
def set_budget(
    budget: str,
    organization: str,
    unit: str | None,
    override_manager: bool,
    yes: bool,
    request_id: str,
    output: str,
    **settings: Any,
) -> None:
    """Change the settings that are given; the others stay.

    A cap below what has been spent already asks first.
    """
    changed = Budget(name=options.child_name(organization, "budgets", budget))
    paths = SettingsOptions(**settings).apply_to(changed)
    if not paths:
        raise click.UsageError("Nothing to change: give at least one setting, such as --hard-cap 500.00.")
    if unit is not None:
        # The mask may name an immutable field whose value does not change; the service refuses any other.
        changed.unit = unit
        paths.append("unit")
    _update(changed, paths, override_manager=override_manager, yes=yes, request_id=request_id, output=output)


@budgets.command()
@click.argument("budget")
@click.argument("settings", nargs=-1, type=click.Choice(sorted(_CLEARABLE)))
@options.organization_option
@options.override_manager_option
@options.yes_option
@options.request_id_option
@options.output_option
def clear(
    budget: str,
    settings: tuple[str, ...],
    organization: str,
    override_manager: bool,
    yes: bool,
    request_id: str,
    output: str,
) -> None:
    """Clear settings: no such limit any more.

    Without SETTINGS: the soft budget, the hard cap and a cap override.
    """
    changed = Budget(name=options.child_name(organization, "budgets", budget))
    paths = [_CLEARABLE[setting] for setting in settings or _LIMITS]
    _update(changed, paths, override_manager=override_manager, yes=yes, request_id=request_id, output=output)


@budgets.command()
@click.argument("budget")
@options.organization_option
@click.option("--force", is_flag=True, help="Although reservations are open.")
@options.override_manager_option
@options.yes_option
@options.request_id_option
def delete(budget: str, organization: str, force: bool, override_manager: bool, yes: bool, request_id: str) -> None:
    """Delete a budget, so that it limits nothing; records, reservations and audit stay."""
    ask_first(f"Deleting {budget} ends its limits.", assume_yes=yes)
    with remote.connect() as service:
        request = pb.DeleteBudgetRequest(
            name=options.child_name(organization, "budgets", budget),
            force=force,
            override_manager=override_manager,
            request_id=request_id or remote.new_request_id(),
        )
        service.call(service.budgets.DeleteBudget, request)


def _enforcement_command(name: str, enforcement: "Enforcement.ValueType", summary: str) -> None:
    """Add a command that does nothing but set how a budget enforces: an incident has no time for options."""

    @budgets.command(name, help=summary)
    @click.argument("budget")
    @options.organization_option
    @options.override_manager_option
    @options.request_id_option
    @options.output_option
    def command(budget: str, organization: str, override_manager: bool, request_id: str, output: str) -> None:
        changed = Budget(name=options.child_name(organization, "budgets", budget), enforcement=enforcement)
        _update(
            changed, ["enforcement"], override_manager=override_manager, yes=True, request_id=request_id, output=output
        )


_enforcement_command("freeze", Enforcement.ENFORCEMENT_FREEZE, "Deny every check, whatever is left; at once.")
_enforcement_command("unfreeze", Enforcement.ENFORCEMENT_ENFORCE, "Enforce the limits again.")
_enforcement_command("shadow", Enforcement.ENFORCEMENT_SHADOW, "Decide and count, but never block.")


@budgets.command()
@click.argument("budget")
@options.organization_option
@click.option("--hard-cap", type=options.amount, help="The cap while the override lasts.")
@click.option("--for", "lasting", type=options.duration, help="How long, such as 2h. Default: to the cycle's end.")
@click.option("--until", type=options.instant, help="Until when, instead of --for.")
@click.option("--reason", default="", help="Why, for the audit log.")
@click.option("--remove", is_flag=True, help="End the override now.")
@options.override_manager_option
@options.yes_option
@options.request_id_option
@options.output_option
def override(
    budget: str,
    organization: str,
    hard_cap: int | None,
    lasting: timedelta | None,
    until: datetime | None,
    reason: str,
    remove: bool,
    override_manager: bool,
    yes: bool,
    request_id: str,
    output: str,
) -> None:
    """Set a cap for a while, above or below the hard cap; it ends by itself."""
    if remove == (hard_cap is not None) or (lasting is not None and until is not None):
        raise click.UsageError("Give --hard-cap with at most one of --for and --until, or --remove alone.")
    changed = Budget(name=options.child_name(organization, "budgets", budget))
    if hard_cap is not None:
        changed.cap_override.hard_cap_micros = hard_cap
        changed.cap_override.reason = reason
        expire_time = datetime.now(UTC) + lasting if lasting is not None else until
        if expire_time is not None:
            changed.cap_override.expire_time.FromDatetime(expire_time)
    _update(changed, ["cap_override"], override_manager=override_manager, yes=yes, request_id=request_id, output=output)


def _update(
    changed: Budget, paths: list[str], *, override_manager: bool, yes: bool, request_id: str, output: str
) -> None:
    """Change a budget and print it, asking first where the change would deny everything at once."""
    request = pb.UpdateBudgetRequest(budget=changed, override_manager=override_manager)
    request.update_mask.paths.extend(paths)
    with remote.connect() as service:
        if not yes and not _CAN_CUT_OFF.isdisjoint(paths):
            before = _get(service, changed.name)
            preview = service.call(service.budgets.UpdateBudget, _preview(request))
            _ask_before_cutting_off(preview, over_before_micros=before.spend.overrun_micros)
            # What was agreed to is a change of what was shown.
            request.budget.etag = before.etag
        request.request_id = request_id or remote.new_request_id()
        updated = service.call(service.budgets.UpdateBudget, request)
    budget_view.show(updated, output)


Request = TypeVar("Request", pb.CreateBudgetRequest, pb.UpdateBudgetRequest)


def _preview(request: Request) -> Request:
    """The same request, answered as if and changing nothing."""
    asked = type(request)()
    asked.CopyFrom(request)
    asked.validate_only = True
    return asked


def _ask_before_cutting_off(preview: Budget, *, over_before_micros: int) -> None:
    """Ask where the limit comes to lie below what is spent already, unless it lay as far below before."""
    if preview.spend.overrun_micros <= over_before_micros:
        return
    limit = text.amount(budget_view.limit_micros(preview) or 0, preview.unit)
    spent = text.amount(preview.spend.spent_micros, preview.unit)
    ask_first(
        f"The limit of {limit} is below the {spent} that this cycle has spent already: every check will be denied.",
        assume_yes=False,
    )


def _get(service: remote.Remote, name: str) -> Budget:
    return service.call(service.budgets.GetBudget, pb.GetBudgetRequest(name=name))
