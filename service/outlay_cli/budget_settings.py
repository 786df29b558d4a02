"""The settings of a budget as options of the command line, and as the message and field mask that they mean."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeVar

import click

from outlay.v1.budget_pb2 import Budget, Enforcement, Period
from outlay_cli import options

Command = TypeVar("Command", bound=Callable[..., Any])

PERIODS: Final = ("day", "week", "month", "quarter", "year", "lifetime")
ENFORCEMENTS: Final = ("enforce", "shadow", "freeze")

_OPTIONS: Final = (
    click.option("--display-name", help="What people read."),
    click.option(
        "--selector",
        type=options.label,
        metavar="KEY=VALUE",
        multiple=True,
        help="Count only spend with this label; a trailing * is a prefix.",
    ),
    click.option(
        "--budget",
        "soft_budget",
        type=options.amount_or_none,
        metavar="AMOUNT|none",
        help="Soft budget: alerts, never blocks.",
    ),
    click.option(
        "--hard-cap",
        type=options.amount_or_none,
        metavar="AMOUNT|none",
        help="Hard cap: blocks. Enables it, unless --hard-cap-disabled.",
    ),
    click.option("--hard-cap-enabled/--hard-cap-disabled", default=None, help="Whether the hard cap blocks."),
    click.option(
        "--allotment",
        type=options.amount_or_none,
        metavar="AMOUNT|none",
        help="What the plan grants; platform key only.",
    ),
    click.option(
        "--alert-thresholds", metavar="PERCENTS", help="Such as 75,100; `none`; or `default` for 50,75,90,100."
    ),
    click.option("--alerts/--no-alerts", "alerts_enabled", default=None, help="Whether alerts are raised."),
    click.option("--period", type=click.Choice(PERIODS), help="How long a cycle is."),
    click.option("--anchor", metavar="DATE", help="A date on which a cycle begins, YYYY-MM-DD."),
    click.option("--time-zone", metavar="ZONE", help="Whose midnights count, such as Europe/Berlin."),
    click.option("--enforcement", type=click.Choice(ENFORCEMENTS), help="Deny, only count, or deny everything."),
    click.option("--managed-by", help="Who keeps it as code; empty for nobody."),
)


def settings_options(command: Command) -> Command:
    """Give a command every option of `SettingsOptions`."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


@dataclass(frozen=True, slots=True)
class SettingsOptions:
    """What was given. None: the option was left out, and that setting is not changed."""

    display_name: str | None
    selector: Sequence[tuple[str, str]]
    soft_budget: int | Literal["none"] | None
    hard_cap: int | Literal["none"] | None
    hard_cap_enabled: bool | None
    allotment: int | Literal["none"] | None
    alert_thresholds: str | None
    alerts_enabled: bool | None
    period: str | None
    anchor: str | None
    time_zone: str | None
    enforcement: str | None
    managed_by: str | None

    def apply_to(self, budget: Budget) -> list[str]:
        """Write what was given into `budget` and return its field mask, empty when nothing was given."""
        paths = [
            *self._apply_amounts(budget),
            *self._apply_texts(budget),
            *self._apply_cycle(budget),
        ]
        if self.selector:
            budget.selector.update(self.selector)
            paths.append("selector")
        if self.alert_thresholds is not None:
            _apply_thresholds(budget, self.alert_thresholds)
            paths.append("alert_thresholds")
        if self.alerts_enabled is not None:
            budget.alerts_enabled = self.alerts_enabled
            paths.append("alerts_enabled")
        if self.enforcement is not None:
            budget.enforcement = Enforcement.Value(f"ENFORCEMENT_{self.enforcement.upper()}")
            paths.append("enforcement")
        return paths

    def _apply_amounts(self, budget: Budget) -> list[str]:
        paths = []
        amounts = (
            ("budget_micros", self.soft_budget),
            ("hard_cap_micros", self.hard_cap),
            ("allotment_micros", self.allotment),
        )
        for path, value in amounts:
            if isinstance(value, int):
                setattr(budget, path, value)
            if value is not None:
                paths.append(path)
        # Who sets a cap by hand wants it to hold; one that is stored but not enforced has to be asked for.
        enabled = True if self.hard_cap_enabled is None and isinstance(self.hard_cap, int) else self.hard_cap_enabled
        if enabled is not None:
            budget.hard_cap_enabled = enabled
            paths.append("hard_cap_enabled")
        return paths

    def _apply_texts(self, budget: Budget) -> list[str]:
        paths = []
        for path, value in (("display_name", self.display_name), ("managed_by", self.managed_by)):
            if value is not None:
                setattr(budget, path, value)
                paths.append(path)
        return paths

    def _apply_cycle(self, budget: Budget) -> list[str]:
        paths = []
        if self.period is not None:
            budget.cycle.period = Period.Value(f"PERIOD_{self.period.upper()}")
            paths.append("cycle.period")
        if self.anchor is not None:
            budget.cycle.anchor = self.anchor
            paths.append("cycle.anchor")
        if self.time_zone is not None:
            budget.cycle.time_zone = self.time_zone
            paths.append("cycle.time_zone")
        return paths


def _apply_thresholds(budget: Budget, given: str) -> None:
    """`default` leaves the field absent, `none` leaves it present and empty; the service checks the figures."""
    if given == "default":
        return
    budget.alert_thresholds.SetInParent()
    if given == options.NONE:
        return
    for part in given.split(","):
        if not (part.isascii() and part.isdigit() and len(part) <= 4):
            raise click.BadParameter(
                f"{given!r} are no thresholds: write whole percent such as 75,100", param_hint="--alert-thresholds"
            )
        budget.alert_thresholds.percents.append(int(part))
