"""What a budget's spend comes to by the end of its cycle, and when its limit is reached, if its days go on as they did.

Least squares over the daily sums of the cycle's complete days. Each day is one observation: cumulative sums would each
contain the errors of all days before, and no interval made of them would hold. docs/forecast.md has the formulas.

Everything is exact (fractions) but for the square root and the quantile in the interval, which are estimates anyway.
"""

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import dropwhile
from typing import Final

from outlay_server.domain.cycle import Cycle, Period, Window, cycle_containing, default_anchor
from outlay_server.domain.instant import END_OF_TIME, Instant
from outlay_server.domain.limits import (
    COUNTER_MICROS_MAX,
    FORECAST_DAYS_MAX,
    FORECAST_DAYS_MIN,
    FORECAST_SLOPE_DAYS_MIN,
)

# Of Student's distribution: 80 % lie within plus and minus this. By degrees of freedom; between two rows the one above
# is taken, which makes the interval a little too wide rather than too narrow.
_QUANTILES: Final = (
    (1, 3.0777), (2, 1.8856), (3, 1.6377), (4, 1.5332), (5, 1.4759), (6, 1.4398), (7, 1.4149), (8, 1.3968), (9, 1.3830),
    (10, 1.3722), (11, 1.3634), (12, 1.3562), (13, 1.3502), (14, 1.3450), (15, 1.3406), (16, 1.3368), (17, 1.3334),
    (18, 1.3304), (19, 1.3277), (20, 1.3253), (21, 1.3232), (22, 1.3212), (23, 1.3195), (24, 1.3178), (25, 1.3163),
    (26, 1.3150), (27, 1.3137), (28, 1.3125), (29, 1.3114), (30, 1.3104), (40, 1.3031), (60, 1.2958), (120, 1.2886),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Forecast:
    """Where a budget's spend goes if its days go on along the line that was fitted to them."""

    days: int
    """Complete days that the line was fitted to."""
    projected_micros: int | None
    """Spend at the cycle's end; None where the cycle has no end."""
    low_micros: int | None
    high_micros: int | None
    """Between the two it will be with a probability of 80 %, if the days scatter as they did; None with the above."""
    exhaustion: Instant | None
    """When spend reaches the limit on the line. None without a limit, once it is reached, and where that lies after the
    cycle."""


@dataclass(frozen=True, slots=True)
class Course:
    """The days of a cycle, cut at the midnights of its zone."""

    past: tuple[Window, ...]
    """Complete days, oldest first; the last of them where the cycle is older than is looked back."""
    ahead: tuple[Window, ...]
    """Today and the days after it, to the cycle's end, or as far as is looked ahead."""
    has_end: bool


@dataclass(frozen=True, slots=True)
class Line:
    """Spend of a day in micros by its number; the first day that was observed is day 0."""

    days: int
    level: Fraction
    """Mean of the days, which the line has at `middle`."""
    slope: Fraction
    middle: Fraction
    spread: Fraction
    """Sum of the squared distances of the day numbers from their middle; 0 for a line that is level by decree."""
    variance: Fraction
    """Of a day about the line."""
    freedom: int

    def at(self, day: int) -> Fraction:
        """What the line says of a day, never below zero: spend of a day is not."""
        return max(Fraction(0), self.level + self.slope * (day - self.middle))


def course_of(cycle: Cycle, now: Instant) -> Course:
    """The days before and after `now` of the cycle that contains it."""
    window = cycle_containing(now, cycle)
    today = _day(now, cycle.time_zone)
    past: list[Window] = []
    day = today
    while day.start > window.start and len(past) < FORECAST_DAYS_MAX:
        day = _day(Instant(day.start - 1), cycle.time_zone)
        past.append(day)
    ahead = [today]
    while ahead[-1].end < window.end and len(ahead) < FORECAST_DAYS_MAX:
        ahead.append(_day(ahead[-1].end, cycle.time_zone))
    return Course(tuple(reversed(past)), tuple(ahead), has_end=window.end < END_OF_TIME)


def forecast(
    course: Course, daily_micros: Sequence[int], spent_micros: int, limit_micros: int | None, now: Instant
) -> Forecast | None:
    """The forecast from what was spent on each of the course's past days; None where there are too few.

    Days before the first spend are left out. `spent_micros` is the cycle's spend until now, today's too.
    """
    assert len(daily_micros) == len(course.past), "one sum for each past day"
    observed = list(dropwhile(lambda micros: micros == 0, daily_micros))
    if len(observed) < FORECAST_DAYS_MIN or spent_micros <= 0:
        return None
    line = fitted(observed)
    gains = _gains(line, course, now)
    exhaustion = _exhaustion(gains, course, spent_micros, limit_micros, now)
    if not course.has_end:
        return Forecast(line.days, None, None, None, exhaustion)
    projected = spent_micros + sum(gains)
    half_width = _half_width(line, _share_left(course.ahead[0], now), len(course.ahead) - 1)
    return Forecast(
        days=line.days,
        projected_micros=_shown(round(projected)),
        low_micros=_shown(max(spent_micros, math.floor(projected - half_width))),
        high_micros=_shown(math.ceil(projected + half_width)),
        exhaustion=exhaustion,
    )


def fitted(daily_micros: Sequence[int]) -> Line:
    """The line of least squares through (0, first day), (1, second day) …; level where there are few days."""
    count, total = len(daily_micros), sum(daily_micros)
    # In whole numbers as far as they go: twice a day's distance from the middle is one.
    across = Fraction(sum((2 * day - count + 1) * micros for day, micros in enumerate(daily_micros)), 2)
    squares = sum(micros * micros for micros in daily_micros) - Fraction(total * total, count)
    line = Line(
        days=count,
        level=Fraction(total, count),
        slope=Fraction(0),
        middle=Fraction(count - 1, 2),
        spread=Fraction(0),
        variance=squares / (count - 1),
        freedom=count - 1,
    )
    if count < FORECAST_SLOPE_DAYS_MIN:
        return line
    spread = Fraction(count * (count * count - 1), 12)
    variance = (squares - across * across / spread) / (count - 2)
    return replace(line, slope=across / spread, spread=spread, variance=variance, freedom=count - 2)


def _gains(line: Line, course: Course, now: Instant) -> list[Fraction]:
    """What the line adds in what is left of today, and on each day after it."""
    shares = [_share_left(course.ahead[0], now), *[Fraction(1)] * (len(course.ahead) - 1)]
    return [line.at(line.days + index) * share for index, share in enumerate(shares)]


def _exhaustion(
    gains: Sequence[Fraction], course: Course, spent_micros: int, limit_micros: int | None, now: Instant
) -> Instant | None:
    if limit_micros is None or spent_micros >= limit_micros:
        return None
    spent = Fraction(spent_micros)
    for day, gain in zip(course.ahead, gains, strict=True):
        if gain > 0 and spent + gain >= limit_micros:
            start = max(day.start, now)
            reached = start + math.ceil((limit_micros - spent) / gain * (day.end - start))
            return Instant(reached) if reached < course.ahead[-1].end else None
        spent += gain
    return None


def _half_width(line: Line, share_of_today: Fraction, whole_days: int) -> Fraction:
    """Half of the 80 % prediction interval of what is still to come: the days' scatter, and the line's own error."""
    days = share_of_today + whole_days
    variance = days + days * days / line.days
    if line.spread:
        # The sum over the days ahead of their distance from the middle, today by its share.
        distance = share_of_today * (line.days - line.middle) + sum(
            (line.days + index - line.middle for index in range(1, whole_days + 1)), Fraction(0)
        )
        variance += distance * distance / line.spread
    return Fraction(_quantile(line.freedom)) * Fraction(math.sqrt(line.variance * variance))


def _quantile(freedom: int) -> float:
    index = bisect_left(_QUANTILES, (freedom + 1,)) - 1
    return _QUANTILES[index][1]


def _share_left(day: Window, now: Instant) -> Fraction:
    return Fraction(day.end - max(day.start, now), day.end - day.start)


def _day(instant: Instant, time_zone: str) -> Window:
    return cycle_containing(instant, Cycle(Period.DAY, default_anchor(Period.DAY), time_zone))


def _shown(micros: int) -> int:
    return min(micros, COUNTER_MICROS_MAX)
