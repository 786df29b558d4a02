"""Forecasts: the textbook's line and interval, and where there is none."""

import math
from datetime import date
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from outlay_server.domain.cycle import Cycle, Period, cycle_containing, default_cycle
from outlay_server.domain.forecast import Course, Forecast, course_of, fitted, forecast
from outlay_server.domain.instant import END_OF_TIME, MICROS_PER_SECOND, Instant
from outlay_server.domain.limits import COUNTER_MICROS_MAX, FORECAST_DAYS_MAX, FORECAST_SLOPE_DAYS_MIN

DAY = 86_400 * MICROS_PER_SECOND
MARCH = Instant(1_772_323_200_000_000)
"""2026-03-01T00:00:00Z."""
MONTH = default_cycle()
NINTH_DECILE = {1: 3.0777, 2: 1.8856, 4: 1.5332, 5: 1.4759, 8: 1.3968, 18: 1.3304, 28: 1.3125, 38: 1.3104, 500: 1.2886}
"""Of Student's t, from a printed table; above 30 the next smaller number of degrees that tables print."""


def at(day: float) -> Instant:
    """So many days after the beginning of March."""
    return Instant(MARCH + round(day * DAY))


def forecast_at(day: float, daily: list[int], *, today: int = 0, limit: int | None = None) -> Forecast | None:
    """The forecast on a day of March; days before `daily` had no spend."""
    course = course_of(MONTH, at(day))
    past = [0] * (len(course.past) - len(daily)) + daily
    return forecast(course, past, sum(daily) + today, limit, at(day))


def textbook(daily: list[int], slopes: bool) -> tuple[Fraction, Fraction, Fraction]:
    """Intercept, slope and residual variance by the normal equations, solved by Cramer's rule."""
    n = len(daily)
    if not slopes:
        mean = Fraction(sum(daily), n)
        return mean, Fraction(0), sum((y - mean) ** 2 for y in daily) / (n - 1)
    sx, sy = sum(range(n)), sum(daily)
    sxx, sxy = sum(x * x for x in range(n)), sum(x * y for x, y in enumerate(daily))
    determinant = n * sxx - sx * sx
    intercept, slope = Fraction(sy * sxx - sx * sxy, determinant), Fraction(n * sxy - sx * sy, determinant)
    residuals = [y - intercept - slope * x for x, y in enumerate(daily)]
    return intercept, slope, sum(r * r for r in residuals) / (n - 2)


amounts = st.integers(min_value=0, max_value=10**15)
days = st.lists(amounts, min_size=3, max_size=30).filter(lambda found: found[0] > 0)


@given(days)
def test_the_line_is_that_of_the_normal_equations(daily: list[int]) -> None:
    """Exactly, in fractions: intercept, slope and the variance of a day about the line."""
    line = fitted(daily)
    intercept, slope, variance = textbook(daily, len(daily) >= FORECAST_SLOPE_DAYS_MIN)
    assert (line.level - line.slope * line.middle, line.slope, line.variance) == (intercept, slope, variance)


@given(days, st.floats(min_value=0, max_value=0.999), amounts)
def test_projection_and_interval_are_the_textbook_s(daily: list[int], share_gone: float, today: int) -> None:
    """Prediction of a sum of future days: their scatter, the error of the mean, and the error of the slope."""
    n = len(daily)
    now = at(n + share_gone)
    course = course_of(MONTH, now)
    found = forecast(course, daily, sum(daily) + today, None, now)
    assert found is not None
    slopes = n >= FORECAST_SLOPE_DAYS_MIN
    intercept, slope, variance = textbook(daily, slopes)
    left = Fraction(at(n + 1) - now, DAY)
    weights = {n: left} | dict.fromkeys(range(n + 1, 31), Fraction(1))
    point = sum(daily) + today + sum(w * max(Fraction(0), intercept + slope * x) for x, w in weights.items())
    m = sum(weights.values())
    middle = Fraction(n - 1, 2)
    error = m + m * m / n
    if slopes:
        error += sum(w * (x - middle) for x, w in weights.items()) ** 2 / sum((x - middle) ** 2 for x in range(n))
    freedom = n - (2 if slopes else 1)
    assert found.projected_micros == round(point)
    assert found.days == n
    assert found.low_micros is not None
    assert found.high_micros is not None
    assert sum(daily) + today <= found.low_micros <= found.projected_micros <= found.high_micros
    if freedom in NINTH_DECILE:
        half_width = NINTH_DECILE[freedom] * math.sqrt(variance * error)
        assert found.high_micros == pytest.approx(float(point) + half_width, rel=1e-9, abs=2)
        assert found.low_micros == pytest.approx(max(sum(daily) + today, float(point) - half_width), rel=1e-9, abs=2)


@given(days, st.floats(min_value=0, max_value=0.999), amounts, st.integers(1, 5 * 10**16))
def test_the_limit_is_reached_where_the_line_reaches_it(
    daily: list[int], share_gone: float, today: int, limit: int
) -> None:
    """After now, inside the cycle, if and only if the projection is beyond the limit; and there the line meets it."""
    now, spent = at(len(daily) + share_gone), sum(daily) + today
    course = course_of(MONTH, now)
    found = forecast(course, daily, spent, limit, now)
    assert found is not None
    assert found.projected_micros is not None
    if spent >= limit or found.projected_micros < limit:
        assert found.exhaustion is None
        return
    if found.projected_micros == limit:
        return  # Rounded: the line may just miss it, or meet it at the very end.
    assert found.exhaustion is not None
    assert now <= found.exhaustion < at(31)
    line = fitted(daily)

    def spent_by(instant: int) -> Fraction:
        return spent + sum(
            line.at(line.days + index) * Fraction(max(0, min(day.end, instant) - max(day.start, now)), DAY)
            for index, day in enumerate(course.ahead)
        )

    assert spent_by(found.exhaustion - 1) < limit <= spent_by(found.exhaustion)


def test_a_month_like_every_day_ends_at_thirty_one_of_them() -> None:
    """No scatter, no interval; the limit of 20 days is reached after 20."""
    assert forecast_at(10, [100] * 10, limit=2_000) == Forecast(10, 3_100, 3_100, 3_100, at(20))


def test_spend_that_rises_is_followed_after_a_week_and_not_before() -> None:
    """Six days of 1, 2, … 6 give their mean; of seven the line is followed to 31."""
    six, seven = forecast_at(6, [1, 2, 3, 4, 5, 6]), forecast_at(7, [1, 2, 3, 4, 5, 6, 7])
    assert six is not None
    assert seven is not None
    assert six.projected_micros == round(21 + 3.5 * 25)
    assert seven.projected_micros == sum(range(1, 32))


def test_spend_that_falls_stops_at_nothing_and_is_never_given_back() -> None:
    found = forecast_at(7, [70, 60, 50, 40, 30, 20, 10], limit=281)
    assert found == Forecast(7, 280, 280, 280, None)


def test_what_is_left_of_today_counts_by_its_share() -> None:
    """At noon half of a day is still to come, whatever today has brought until now."""
    found = forecast_at(10.5, [100] * 10, today=700)
    assert found is not None
    assert found.projected_micros == 1_700 + 50 + 20 * 100


def test_days_before_the_first_spend_are_left_out() -> None:
    """A month whose spend began on the 20th is not diluted by nineteen days without any; a pause within it counts."""
    assert forecast_at(24, [100, 100, 100, 100]) == Forecast(4, 1_100, 1_100, 1_100, None)
    found = forecast_at(24, [100, 0, 0, 100])
    assert found is not None
    assert (found.days, found.projected_micros) == (4, 550)


@pytest.mark.parametrize(
    ("day", "daily"),
    [(0, []), (0.5, []), (1, [5]), (2.999, [5, 5]), (20, []), (20, [1, 1])],
    ids=["first instant", "first day", "second day", "third day", "no spend", "two days of spend"],
)
def test_there_is_none_before_three_days(day: float, daily: list[int]) -> None:
    assert forecast_at(day, daily, today=5 if day < 20 else 0) is None


def test_there_is_none_of_a_cycle_of_one_day() -> None:
    course = course_of(default_cycle(Period.DAY), at(10.5))
    assert (course.past, len(course.ahead), course.has_end) == ((), 1, True)
    assert forecast(course, [], 5, 10, at(10.5)) is None


def test_refunds_of_everything_leave_no_forecast() -> None:
    course = course_of(MONTH, at(5))
    assert forecast(course, [0, 0, 0, 0, 0], 0, 10, at(5)) is None


def test_a_limit_that_is_reached_has_no_time_of_being_reached() -> None:
    for limit in (0, 500, 1_000):
        found = forecast_at(10, [100] * 10, limit=limit)
        assert found is not None
        assert found.exhaustion is None


def test_a_lifetime_has_a_time_of_exhaustion_and_no_end() -> None:
    """It looks at the last 366 days, and as far ahead."""
    cycle = Cycle(Period.LIFETIME, date(2020, 1, 1))
    course = course_of(cycle, at(10))
    assert (len(course.past), len(course.ahead), course.has_end) == (FORECAST_DAYS_MAX, FORECAST_DAYS_MAX, False)
    daily = [0] * 300 + [100] * 66
    assert forecast(course, daily, 6_600, 7_000, at(10)) == Forecast(66, None, None, None, at(14))
    found = forecast(course, daily, 6_600, 6_600 + 366 * 100 + 1, at(10))
    assert found == Forecast(66, None, None, None, None)


def test_what_cannot_be_shown_is_cut_at_what_a_counter_holds() -> None:
    found = forecast_at(3, [8 * 10**17] * 3)
    assert found is not None
    assert found.projected_micros == found.high_micros == COUNTER_MICROS_MAX


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "Australia/Lord_Howe", "America/Santiago", "Asia/Kolkata"])
@pytest.mark.parametrize("period", list(Period))
@settings(max_examples=10)
@given(day=st.floats(min_value=-400, max_value=400))
def test_days_tile_the_cycle_at_the_midnights_of_its_zone(period: Period, zone: str, day: float) -> None:
    """Past days end where today begins, days ahead end with the cycle, each of 23 to 25 hours; now is in today."""
    cycle, now = Cycle(period, date(2025, 1, 31), zone), at(day)
    course, window = course_of(cycle, now), cycle_containing(now, cycle)
    everything = (*course.past, *course.ahead)
    assert all(earlier.end == later.start for earlier, later in pairwise(everything))
    assert course.ahead[0].contains(now)
    assert all(23 <= (one.end - one.start) / (3_600 * MICROS_PER_SECOND) <= 25 for one in everything)
    if len(course.past) < FORECAST_DAYS_MAX:
        assert everything[0].start == window.start
    assert course.has_end == (window.end < END_OF_TIME)
    if course.has_end and len(course.ahead) < FORECAST_DAYS_MAX:
        assert everything[-1].end == window.end


def test_a_course_and_its_sums_belong_together() -> None:
    with pytest.raises(AssertionError):
        forecast(Course((), course_of(MONTH, at(1)).ahead, True), [1], 1, None, at(1))
