"""The board as a table."""

from collections.abc import Sequence
from typing import Final

from rich.table import Table
from rich.text import Text

from outlay.v1.budget_pb2 import ENFORCEMENT_FREEZE, ENFORCEMENT_SHADOW, Budget
from outlay_cli import text
from outlay_cli.budget_view import limit_micros
from outlay_cli.top.board import Line

BAR_WIDTH: Final = 20
_WARNING_PERCENT: Final = 75.0
_FULL_PERCENT: Final = 100.0


def table(
    organization: str, lines: Sequence[Line], now: float, *, connected: bool, rows_max: int | None = None
) -> Table:
    """The fullest `rows_max` budgets. Colour says what the words say too."""
    shown = lines if rows_max is None else lines[:rows_max]
    hidden = len(lines) - len(shown)
    made = Table(
        box=None,
        pad_edge=False,
        padding=(0, 2, 0, 0),
        header_style="bold",
        title=Text(f"{organization}   {'live' if connected else 'connecting again …'}", style="bold"),
        title_justify="left",
        caption=Text(f"{hidden} more") if hidden else None,
        caption_justify="left",
    )
    for header in ("BUDGET", "SPENT>", "HELD>", "LIMIT>", "AVAILABLE>", "USED", "PER MINUTE>", "DENIED>", "STATE"):
        made.add_column(header.rstrip(">"), justify="right" if header.endswith(">") else "left", no_wrap=True)
    for line in shown:
        made.add_row(*_cells(line, now))
    return made


def _cells(line: Line, now: float) -> tuple[Text, ...]:
    budget, spend = line.budget, line.budget.spend
    limit = limit_micros(budget)
    return (
        Text(text.printable(text.last_segment(budget.name))),
        Text(text.amount(spend.spent_micros, budget.unit)),
        Text(text.amount(spend.reserved_micros)),
        Text(text.amount(limit) if limit is not None else "–"),
        Text(text.amount(spend.available_micros) if spend.HasField("available_micros") else "unlimited"),
        _bar(budget),
        Text(text.amount(line.micros_per_minute(now))),
        Text(str(spend.denied_count), style="bold" if spend.denied_count else ""),
        _state(budget),
    )


def _bar(budget: Budget) -> Text:
    """How much of the soft budget, else of the limit, is spent."""
    if not budget.spend.HasField("percent_used"):
        return Text("–")
    percent = budget.spend.percent_used
    filled = min(BAR_WIDTH, int(percent * BAR_WIDTH / _FULL_PERCENT))
    style = "red" if percent >= _FULL_PERCENT else "yellow" if percent >= _WARNING_PERCENT else "green"
    return Text.assemble(("█" * filled, style), ("░" * (BAR_WIDTH - filled), "dim"), f" {percent:.1f} %")


def _state(budget: Budget) -> Text:
    if budget.enforcement == ENFORCEMENT_FREEZE:
        return Text("frozen", style="bold red")
    if budget.spend.overrun_micros:
        return Text(f"over by {text.amount(budget.spend.overrun_micros)}", style="bold red")
    if budget.spend.HasField("available_micros") and not budget.spend.available_micros:
        return Text("nothing left", style="bold red")
    if budget.enforcement == ENFORCEMENT_SHADOW:
        return Text("shadow")
    return Text("override" if budget.HasField("cap_override") else "")
