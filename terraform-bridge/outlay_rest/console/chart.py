"""The chart of a cycle: what was spent so far, the cap, and where the forecast says it goes. Geometry only.

All lengths are in the units of one `viewBox`, so that the picture fits any width; the template draws it as SVG.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final

WIDTH: Final = 720
HEIGHT: Final = 260
LEFT: Final = 78
RIGHT: Final = 42
TOP: Final = 14
BOTTOM: Final = 30

_X_TICKS_MAX: Final = 6
_Y_TICKS_MAX: Final = 5
_TEXT_HEIGHT: Final = 26
"""On a phone, where the whole picture is small and its text is set larger."""
_ABOVE: Final = 5
_BELOW: Final = 18
_RULE_CLASSES: Final = {"limit": "cap", "soft budget": "soft"}
_ROUND_STEPS: Final = (1, 2, 2.5, 5, 10)
_HOURS_UP_TO: Final = timedelta(days=2)
"""A stretch up to this long is marked by the hour."""
_HEADROOM: Final = 1.08
"""Above the highest line, so that it is not drawn on the edge."""


@dataclass(frozen=True, slots=True)
class Outlook:
    """Where the forecast says the cycle ends."""

    projected_micros: int
    low_micros: int
    high_micros: int


@dataclass(frozen=True, slots=True)
class Rule:
    """A horizontal line."""

    y: float
    text_y: float
    """The base line of its name."""
    name: str
    css_class: str


@dataclass(frozen=True, slots=True)
class Tick:
    """A mark on an axis."""

    at: float
    micros: int = 0
    text: str = ""


@dataclass(frozen=True, slots=True)
class Chart:
    """What there is to draw."""

    spent: str
    """Points of a line."""
    area: str
    """Points of the polygon under it."""
    forecast: str = ""
    band: str = ""
    rules: Sequence[Rule] = ()
    x_ticks: Sequence[Tick] = ()
    y_ticks: Sequence[Tick] = ()
    now_x: float = 0.0
    width: int = field(default=WIDTH)
    height: int = field(default=HEIGHT)
    left: int = field(default=LEFT)
    right_x: int = field(default=WIDTH - RIGHT)
    bottom_y: int = field(default=HEIGHT - BOTTOM)
    top_y: int = field(default=TOP)


def cycle_chart(
    start: datetime,
    end: datetime,
    now: datetime,
    steps: Sequence[tuple[datetime, int]],
    *,
    base_micros: int = 0,
    cap_micros: int | None,
    budget_micros: int | None,
    outlook: Outlook | None,
    zone: tzinfo = UTC,
) -> Chart:
    """The chart of `[start, end)`; `steps` are (instant, micros spent in the hour or day that begins there), ascending.

    `base_micros` was spent before `start` and counts. Spend is drawn as a line from the start of each step to its end.
    The days and hours of `zone`, the budget's own, are marked.
    """
    total, line = base_micros, [(start, base_micros)]
    for instant, micros in steps:
        line.append((max(start, min(instant, now)), total))
        total += micros
    line.append((now, total))
    limits = {"limit": cap_micros, "soft budget": budget_micros}
    highest = max(
        [total, 1, *(value for value in limits.values() if value is not None)]
        + ([outlook.high_micros] if outlook else [])
    )
    top_micros = highest * _HEADROOM
    span_seconds = (end - start).total_seconds()

    def x(instant: datetime) -> float:
        return round(LEFT + (WIDTH - LEFT - RIGHT) * (instant - start).total_seconds() / span_seconds, 1)

    def y(micros: float) -> float:
        return round(HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * micros / top_micros, 1)

    def points(pairs: Sequence[tuple[datetime, float]]) -> str:
        return " ".join(f"{x(instant)},{y(micros)}" for instant, micros in pairs)

    forecast = band = ""
    if outlook is not None:
        forecast = points([(now, total), (end, outlook.projected_micros)])
        band = points([(now, total), (end, outlook.high_micros), (end, outlook.low_micros)])
    return Chart(
        spent=points(line),
        area=points([(start, 0), *line, (now, 0)]),
        forecast=forecast,
        band=band,
        rules=_rules({name: y(micros) for name, micros in limits.items() if micros is not None}),
        x_ticks=[Tick(x(instant), text=_label(instant, end - start)) for instant in _x_ticks(start, end, zone)],
        y_ticks=[Tick(y(micros), micros=round(micros)) for micros in _y_ticks(highest)],
        now_x=x(now),
    )


def _rules(heights: Mapping[str, float]) -> list[Rule]:
    """The lines of the limits. Of two that lie close together the lower one has its name below itself."""
    rules = []
    for name, y in heights.items():
        is_crowded = any(0 < y - other < _TEXT_HEIGHT for other in heights.values())
        rules.append(Rule(y, y + _BELOW if is_crowded else y - _ABOVE, name, _RULE_CLASSES[name]))
    return rules


def _y_ticks(highest_micros: int) -> list[float]:
    """From 0 in round steps, at most five of them."""
    least = highest_micros / _Y_TICKS_MAX
    power = 10.0 ** math.floor(math.log10(least))
    step = next(round_step * power for round_step in _ROUND_STEPS if round_step * power >= least)
    return [step * number for number in range(int(highest_micros / step) + 1)]


def _x_ticks(start: datetime, end: datetime, zone: tzinfo) -> list[datetime]:
    """Whole hours or days, evenly spread, at most six steps. Days go by the clock on the wall, as cycles do."""
    span = end - start
    unit = timedelta(hours=1) if span <= _HOURS_UP_TO else timedelta(days=1)
    count = round(span / unit)
    step = max(1, -(-count // _X_TICKS_MAX))
    if unit < timedelta(days=1):
        return [(start + unit * number).astimezone(zone) for number in range(0, count + 1, step)]
    first = start.astimezone(zone)
    return [first + unit * number for number in range(0, count + 1, step)]


def _label(instant: datetime, span: timedelta) -> str:
    return instant.strftime("%H:%M" if span <= _HOURS_UP_TO else "%d %b")
