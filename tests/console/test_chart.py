"""The geometry of the chart: what stands where, on any clock and at any size."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from outlay_rest.console import figures
from outlay_rest.console.chart import Chart, cycle_chart


def chart(start: datetime, end: datetime, *, zone: ZoneInfo | None = None, cap_micros: int | None = None) -> Chart:
    middle = start + (end - start) / 2
    return cycle_chart(
        start, end, middle, [], cap_micros=cap_micros, budget_micros=None, outlook=None, zone=zone or UTC
    )


@pytest.mark.parametrize("zone", ["Asia/Kathmandu", "America/New_York", "Pacific/Chatham", "Europe/Berlin"])
@pytest.mark.parametrize("month", [3, 4, 9, 10, 11])
def test_days_are_those_of_the_budget(zone: str, month: int) -> None:
    """A cycle begins on the first there, whatever day that is in Greenwich, and stays on it when clocks are set."""
    clock = ZoneInfo(zone)
    first, last = (datetime(2026, number, 1, tzinfo=clock).astimezone(UTC) for number in (month, month + 1))
    ticks = chart(first, last, zone=clock).x_ticks
    assert [tick.text[:3] for tick in ticks[:2]] == ["01 ", "07 " if last - first > timedelta(days=30.5) else "06 "]
    assert [tick.at for tick in ticks] == sorted({tick.at for tick in ticks})


def test_a_day_is_marked_by_its_hours() -> None:
    start = datetime(2026, 11, 1, tzinfo=UTC)
    ticks = chart(start, start + timedelta(days=1)).x_ticks
    assert [tick.text for tick in ticks] == ["00:00", "04:00", "08:00", "12:00", "16:00", "20:00", "00:00"]


@pytest.mark.parametrize(
    ("cap_micros", "shown"),
    [
        (500_000_000, ["0", "100", "200", "300", "400", "500"]),
        (50_000, ["0", "0.01", "0.02", "0.03", "0.04", "0.05"]),
        (1_000_000_000, ["0", "200", "400", "600", "800", "1k"]),
        (10**17, ["0", "20B", "40B", "60B", "80B", "100B"]),
        (9 * 10**18, ["0", "2T", "4T", "6T", "8T"]),
    ],
)
def test_marks_of_spend_are_round_and_short_enough_for_the_margin(cap_micros: int, shown: list[str]) -> None:
    start = datetime(2026, 11, 1, tzinfo=UTC)
    marks = chart(start, start + timedelta(days=30), cap_micros=cap_micros).y_ticks
    assert [figures.short(mark.micros) for mark in marks] == shown


def test_names_of_limits_that_lie_close_together_do_not_meet() -> None:
    start, end = datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC)
    for budget_micros in (1_000, 950, 1_050, 500):
        drawn = cycle_chart(start, end, start, [], cap_micros=1_000, budget_micros=budget_micros, outlook=None)
        high, low = sorted(rule.text_y for rule in drawn.rules)
        assert low - high >= 20 or budget_micros == 1_000


def test_nothing_spent_against_nothing_is_a_chart_too() -> None:
    start = datetime(2026, 11, 1, tzinfo=UTC)
    assert chart(start, start + timedelta(days=30)).y_ticks[0].micros == 0
