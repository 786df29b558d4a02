"""Budgets as a command prints them."""

from collections.abc import Sequence

from outlay.v1.budget_pb2 import Budget, Enforcement, Period
from outlay_cli import output, text


def limit_micros(budget: Budget) -> int | None:
    """The limit that binds: the smallest of the cap in force and the allotment; None: unlimited."""
    limits = []
    if budget.HasField("cap_override"):
        limits.append(budget.cap_override.hard_cap_micros)
    elif budget.hard_cap_enabled and budget.HasField("hard_cap_micros"):
        limits.append(budget.hard_cap_micros)
    if budget.HasField("allotment_micros"):
        limits.append(budget.allotment_micros)
    return min(limits, default=None)


def show_list(found: Sequence[Budget], form: str, *, has_more: bool) -> None:
    """Print budgets."""
    if form == "json":
        output.print_list(found, key="budgets", has_more=has_more)
        return
    headers = ("BUDGET", "UNIT", "SPENT>", "RESERVED>", "SOFT BUDGET>", "LIMIT>", "AVAILABLE>", "USED>", "ENFORCEMENT")
    output.print_table(headers, (_row(budget) for budget in found), has_more=has_more)


def show(budget: Budget, form: str) -> None:
    """Print one budget, settings and spend."""
    if form == "json":
        output.print_json({"budget": output.to_json(budget)})
        return
    output.print_details([*_settings(budget), *_spend(budget)])


def _row(budget: Budget) -> tuple[str, ...]:
    spend = budget.spend
    limit = limit_micros(budget)
    return (
        text.last_segment(budget.name),
        budget.unit,
        text.amount(spend.spent_micros),
        text.amount(spend.reserved_micros),
        text.amount(budget.budget_micros) if budget.HasField("budget_micros") else "–",
        text.amount(limit) if limit is not None else "–",
        text.amount(spend.available_micros) if spend.HasField("available_micros") else "unlimited",
        f"{spend.percent_used:.1f} %" if spend.HasField("percent_used") else "–",
        _enforcement(budget),
    )


def _settings(budget: Budget) -> list[tuple[str, str]]:
    unit = budget.unit
    override = budget.cap_override
    return [
        ("name", budget.name),
        ("display name", budget.display_name),
        ("unit", unit),
        ("selector", text.labels(budget.selector) or "all spend of the unit"),
        ("soft budget", text.amount(budget.budget_micros, unit) if budget.HasField("budget_micros") else "none"),
        ("hard cap", _hard_cap(budget)),
        (
            "cap override",
            f"{text.amount(override.hard_cap_micros, unit)} until {text.instant(override.expire_time)}"
            f"{f' ({override.reason})' if override.reason else ''}"
            if budget.HasField("cap_override")
            else "",
        ),
        ("allotment", text.amount(budget.allotment_micros, unit) if budget.HasField("allotment_micros") else ""),
        ("alerts", _alerts(budget)),
        ("cycle", _cycle(budget)),
        ("enforcement", _enforcement(budget)),
        ("managed by", budget.managed_by),
        ("etag", budget.etag),
    ]


def _spend(budget: Budget) -> list[tuple[str, str]]:
    unit, spend = budget.unit, budget.spend
    available = text.amount(spend.available_micros, unit) if spend.HasField("available_micros") else "unlimited"
    return [
        ("this cycle", f"{text.instant(spend.cycle_start)} to {text.instant(spend.cycle_end) or 'no end'}"),
        ("spent", text.amount(spend.spent_micros, unit)),
        ("reserved", text.amount(spend.reserved_micros, unit)),
        ("available", available),
        ("used", f"{spend.percent_used:.1f} %" if spend.HasField("percent_used") else ""),
        ("overrun", text.amount(spend.overrun_micros, unit) if spend.overrun_micros else ""),
        ("alerts sent", " ".join(f"{percent} %" for percent in spend.alerts_sent)),
        ("denied", str(spend.denied_count)),
        ("reaches limit", text.instant(spend.projected_exhaustion_time)),
        ("forecast", _forecast(budget)),
    ]


def _forecast(budget: Budget) -> str:
    forecast = budget.spend.forecast
    if not forecast.HasField("projected_spend_micros"):
        return ""
    low, high = text.amount(forecast.low_micros), text.amount(forecast.high_micros, budget.unit)
    return f"{text.amount(forecast.projected_spend_micros, budget.unit)} by the end (80 %: {low} to {high})"


def _hard_cap(budget: Budget) -> str:
    if not budget.HasField("hard_cap_micros"):
        return "none"
    return text.amount(budget.hard_cap_micros, budget.unit) + ("" if budget.hard_cap_enabled else " (not enabled)")


def _alerts(budget: Budget) -> str:
    if not budget.alerts_enabled:
        return "off"
    if not budget.HasField("alert_thresholds"):
        return "at 50 %, 75 %, 90 %, 100 % (the default)"
    percents = budget.alert_thresholds.percents
    return "at " + ", ".join(f"{percent} %" for percent in percents) if percents else "no thresholds"


def _cycle(budget: Budget) -> str:
    period = text.enum_name(Period.Name(budget.cycle.period), "PERIOD_").lower()
    anchor = f", anchor {budget.cycle.anchor}" if budget.cycle.anchor else ""
    return f"{period}{anchor}, {budget.cycle.time_zone or 'UTC'}"


def _enforcement(budget: Budget) -> str:
    return text.enum_name(Enforcement.Name(budget.enforcement), "ENFORCEMENT_").lower()
