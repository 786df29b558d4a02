"""Cycles: windows tile time in every zone, and agree with an oracle that walks the calendar day by day."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from outlay_server.domain.cycle import (
    Cycle,
    Period,
    Window,
    cycle_containing,
    default_anchor,
    default_cycle,
    time_zone_violation,
)
from outlay_server.domain.instant import (
    BEGINNING_OF_TIME,
    END_OF_TIME,
    MICROS_PER_SECOND,
    Instant,
    from_datetime,
    to_datetime,
)

HOSTILE_ZONES = (
    "UTC",
    "America/Sao_Paulo",  # midnights that the clocks skip
    "America/Havana",  # midnights shown twice
    "America/St_Johns",  # clocks go back at 00:01, into the day before
    "America/Juneau",  # a day shown twice in 1867
    "America/Asuncion",
    "America/Santiago",
    "America/Scoresbysund",
    "Africa/Cairo",
    "Africa/Monrovia",  # an offset with seconds until 1972
    "Asia/Beirut",
    "Asia/Amman",
    "Asia/Gaza",
    "Asia/Tehran",
    "Asia/Kathmandu",
    "Asia/Manila",  # a day skipped in 1844
    "Australia/Lord_Howe",  # daylight saving of half an hour
    "Europe/Berlin",
    "Europe/Dublin",  # negative daylight saving
    "Pacific/Apia",  # a day skipped in 2011
    "Pacific/Kiritimati",
    "Pacific/Kwajalein",
    "Antarctica/Troll",  # daylight saving of two hours
    "Etc/GMT+12",
    "Etc/GMT-14",
)

zones = st.sampled_from(HOSTILE_ZONES)
anchors = st.dates(date(1, 1, 1), date(9999, 12, 31)) | st.dates(date(1960, 1, 28), date(2030, 12, 31))
cycles = st.builds(Cycle, period=st.sampled_from(Period), anchor=anchors, time_zone=zones)


@st.composite
def instants(draw: st.DrawFn) -> Instant:
    """All of time, the years in which clocks were changed, and the minutes around midnights of the latter."""
    if draw(st.integers(0, 9)) == 0:
        return Instant(draw(st.integers(BEGINNING_OF_TIME, END_OF_TIME - 1)))
    day = draw(st.dates(date(1840, 1, 1), date(2060, 1, 1)))
    quarters_of_hours = draw(st.integers(-60, 60))
    off_micros = draw(st.sampled_from((-1, 0, 1)) | st.integers(0, 900 * MICROS_PER_SECOND))
    start = datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(minutes=15 * quarters_of_hours)
    return Instant(from_datetime(start) + off_micros)


def at(text: str) -> Instant:
    """Read an ISO 8601 time with offset."""
    return from_datetime(datetime.fromisoformat(text))


def window(start: str, end: str) -> Window:
    return Window(at(start), at(end))


class TestExamples:
    """One case each that a reader can check with a calendar."""

    def test_a_month_begins_on_the_anchors_day(self) -> None:
        """The 15th is a boundary for an anchor on any 15th."""
        cycle = Cycle(Period.MONTH, date(2020, 3, 15))
        assert cycle_containing(at("2026-07-14T23:59:59.999999+00:00"), cycle) == window(
            "2026-06-15T00:00+00:00", "2026-07-15T00:00+00:00"
        )

    @pytest.mark.parametrize(
        ("instant", "start", "end"),
        [
            ("2026-01-31T00:00+00:00", "2026-01-31T00:00+00:00", "2026-02-28T00:00+00:00"),
            ("2026-02-28T00:00+00:00", "2026-02-28T00:00+00:00", "2026-03-31T00:00+00:00"),
            ("2026-04-29T00:00+00:00", "2026-03-31T00:00+00:00", "2026-04-30T00:00+00:00"),
            ("2028-02-29T00:00+00:00", "2028-02-29T00:00+00:00", "2028-03-31T00:00+00:00"),
        ],
    )
    def test_a_31st_anchor_is_clamped_in_short_months_and_comes_back(self, instant: str, start: str, end: str) -> None:
        """31 Jan, 28 Feb, 31 Mar, 30 Apr: each from the anchor, not from the boundary before."""
        assert cycle_containing(at(instant), Cycle(Period.MONTH, date(2026, 1, 31))) == window(start, end)

    def test_a_leap_day_anchor_gives_years_from_28_february(self) -> None:
        """29 Feb is clamped to 28 Feb in common years only."""
        cycle = Cycle(Period.YEAR, date(2024, 2, 29))
        assert cycle_containing(at("2027-06-01T00:00+00:00"), cycle) == window(
            "2027-02-28T00:00+00:00", "2028-02-29T00:00+00:00"
        )

    def test_weeks_begin_on_monday_by_default(self) -> None:
        """22 Nov 2026 is a Sunday, the last day of its ISO week."""
        assert cycle_containing(at("2026-11-22T12:00+00:00"), default_cycle(Period.WEEK)) == window(
            "2026-11-16T00:00+00:00", "2026-11-23T00:00+00:00"
        )

    @pytest.mark.parametrize(
        ("period", "start", "end"),
        [
            (Period.DAY, "2026-11-22T00:00+00:00", "2026-11-23T00:00+00:00"),
            (Period.MONTH, "2026-11-01T00:00+00:00", "2026-12-01T00:00+00:00"),
            (Period.QUARTER, "2026-10-01T00:00+00:00", "2027-01-01T00:00+00:00"),
            (Period.YEAR, "2026-01-01T00:00+00:00", "2027-01-01T00:00+00:00"),
        ],
    )
    def test_default_cycles_are_those_of_the_calendar(self, period: Period, start: str, end: str) -> None:
        """Without anchor and zone, a cycle is the calendar's, in UTC."""
        assert cycle_containing(at("2026-11-22T12:00+00:00"), default_cycle(period)) == window(start, end)

    def test_midnight_is_the_zones(self) -> None:
        """A day of Kathmandu begins at 18:15 UTC."""
        cycle = Cycle(Period.DAY, default_anchor(Period.DAY), "Asia/Kathmandu")
        assert cycle_containing(at("2026-11-22T18:15+00:00"), cycle) == window(
            "2026-11-22T18:15+00:00", "2026-11-23T18:15+00:00"
        )

    def test_a_day_may_have_23_or_25_hours(self) -> None:
        """Windows follow the zone's clocks through daylight saving."""
        cycle = Cycle(Period.DAY, default_anchor(Period.DAY), "Europe/Berlin")
        assert cycle_containing(at("2026-03-29T12:00+02:00"), cycle) == window(
            "2026-03-29T00:00+01:00", "2026-03-30T00:00+02:00"
        )
        assert cycle_containing(at("2026-10-25T12:00+01:00"), cycle) == window(
            "2026-10-25T00:00+02:00", "2026-10-26T00:00+01:00"
        )

    def test_a_skipped_midnight_moves_to_the_first_instant_after_the_gap(self) -> None:
        """In São Paulo 2018-11-04 began at 01:00; the clocks never showed 00:00."""
        cycle = Cycle(Period.DAY, default_anchor(Period.DAY), "America/Sao_Paulo")
        assert cycle_containing(at("2018-11-04T12:00-02:00"), cycle) == window(
            "2018-11-04T01:00-02:00", "2018-11-05T00:00-02:00"
        )

    def test_a_gap_around_midnight_ends_the_day_at_its_own_end(self) -> None:
        """In Toronto 1919-03-30 the clocks went from 23:30 to 00:30; the new day begins right there."""
        cycle = Cycle(Period.DAY, default_anchor(Period.DAY), "America/Toronto")
        assert cycle_containing(at("1919-03-31T12:00-04:00"), cycle) == window(
            "1919-03-31T00:30-04:00", "1919-04-01T00:00-04:00"
        )

    def test_of_a_midnight_shown_twice_the_first_counts(self) -> None:
        """In Havana 2026-11-01 the clocks go from 01:00 back to 00:00; the day begins at the first midnight."""
        cycle = Cycle(Period.DAY, default_anchor(Period.DAY), "America/Havana")
        assert cycle_containing(at("2026-11-01T12:00-05:00"), cycle) == window(
            "2026-11-01T00:00-04:00", "2026-11-02T00:00-05:00"
        )

    def test_a_day_that_a_zone_skipped_has_no_window(self) -> None:
        """Samoa went from 29 December 2011 to 31 December: the 29th ends where the 31st begins."""
        cycle = Cycle(Period.DAY, default_anchor(Period.DAY), "Pacific/Apia")
        the_29th = cycle_containing(at("2011-12-29T12:00-10:00"), cycle)
        assert the_29th == window("2011-12-29T00:00-10:00", "2011-12-31T00:00+14:00")
        assert cycle_containing(the_29th.end, cycle) == window("2011-12-31T00:00+14:00", "2012-01-01T00:00+14:00")

    def test_a_lifetime_has_one_cycle_from_the_anchor_on(self) -> None:
        """It never ends, and what lies before the anchor is a cycle of its own."""
        cycle = Cycle(Period.LIFETIME, date(2026, 1, 1), "Europe/Berlin")
        anchor = at("2026-01-01T00:00+01:00")
        assert cycle_containing(anchor, cycle) == Window(anchor, END_OF_TIME)
        assert cycle_containing(Instant(anchor - 1), cycle) == Window(BEGINNING_OF_TIME, anchor)

    def test_a_window_is_half_open(self) -> None:
        """The start is inside, the end is the next window's."""
        one = Window(Instant(10), Instant(20))
        assert [one.contains(Instant(micros)) for micros in (9, 10, 19, 20)] == [False, True, True, False]


class TestTiling:
    """Properties that hold for every cycle and every instant."""

    @settings(max_examples=2_000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(cycle=cycles, instant=instants())
    @example(cycle=Cycle(Period.DAY, date(9999, 12, 31), "Etc/GMT-14"), instant=Instant(END_OF_TIME - 1))
    @example(cycle=Cycle(Period.MONTH, date(1, 1, 31), "Etc/GMT+12"), instant=BEGINNING_OF_TIME)
    def test_windows_tile_time(self, cycle: Cycle, instant: Instant) -> None:
        """An instant is in its window; the window before ends where it starts, the next starts where it ends."""
        assert_tiles(cycle, instant)

    @settings(max_examples=2_000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(cycle=cycles, instant=instants())
    def test_windows_agree_with_a_walk_through_the_calendar(self, cycle: Cycle, instant: Instant) -> None:
        """The oracle steps through dates one by one and asks the zone only what its clocks show, never the inverse."""
        assert cycle_containing(instant, cycle) == walked(instant, cycle)

    @pytest.mark.deep
    @pytest.mark.timeout(900)
    @settings(max_examples=50_000, deadline=None, suppress_health_check=list(HealthCheck))
    @given(cycle=cycles, instant=instants())
    def test_windows_tile_time_and_agree_with_the_walk_at_length(self, cycle: Cycle, instant: Instant) -> None:
        """Both properties, 50,000 times."""
        assert_tiles(cycle, instant)
        assert cycle_containing(instant, cycle) == walked(instant, cycle)

    @pytest.mark.parametrize("instant", [BEGINNING_OF_TIME, Instant(END_OF_TIME - 1), END_OF_TIME])
    @pytest.mark.parametrize("period", Period)
    @pytest.mark.parametrize("zone", ["UTC", "Etc/GMT+12", "Etc/GMT-14"])
    @pytest.mark.parametrize("anchor", [date.min, date.max, date(1970, 1, 1)])
    def test_the_ends_of_time_have_a_window(self, instant: Instant, period: Period, zone: str, anchor: date) -> None:
        """No date arithmetic leaves the years 1 to 9999; END_OF_TIME itself reads as the instant before it."""
        found = cycle_containing(instant, Cycle(period, anchor, zone))
        assert found.contains(min(instant, Instant(END_OF_TIME - 1)))
        assert BEGINNING_OF_TIME <= found.start < found.end <= END_OF_TIME


class TestTimeZoneNames:
    """Which names are time zones."""

    @pytest.mark.parametrize("name", [*HOSTILE_ZONES, "America/Argentina/ComodRivadavia", "EST5EDT", "GMT+0"])
    def test_names_of_the_iana_database_are_accepted(self, name: str) -> None:
        """Every zone that this file uses, and odd spellings among the rest."""
        assert time_zone_violation(name) is None

    @pytest.mark.parametrize(
        "name",
        [
            "",
            "Mars/Olympus",
            "../../etc/passwd",
            "/usr/share/zoneinfo/UTC",
            "Europe/../UTC",
            "America",
            "Europe/Berlin ",
            "Europe/Berlin\n",
            "Europe//Berlin",
            "Europe/Berlin\x00",
            "\ud800",
            "zone.tab",
            "tzdata.zi",
            "leapseconds",
            "localtime",
            "posixrules",
            "right/UTC",
            "posix/UTC",
            "Factory",
            "A" * 10_000,
        ],
    )
    def test_everything_else_is_refused(self, name: str) -> None:
        """Paths, other files of the database, and zones that mean something else on another machine."""
        assert time_zone_violation(name) is not None


def assert_tiles(cycle: Cycle, instant: Instant) -> None:
    found = cycle_containing(instant, cycle)
    assert found.contains(instant)
    # Neighbour first, then the window's own edge: the last answer is remembered, and must not be what is tested.
    if found.start > BEGINNING_OF_TIME:
        assert cycle_containing(Instant(found.start - 1), cycle).end == found.start
    assert cycle_containing(found.start, cycle) == found
    if found.end < END_OF_TIME:
        assert cycle_containing(found.end, cycle).start == found.end
    assert cycle_containing(Instant(found.end - 1), cycle) == found


# The oracle: slow, and written from the definition of a boundary rather than from the code.


def walked(instant: Instant, cycle: Cycle) -> Window:
    """Return the window by walking the dates around the instant, one by one."""
    # A lifetime has one boundary only, and no need to walk thousands of years to meet it.
    today = cycle.anchor if cycle.period is Period.LIFETIME else to_datetime(instant).date()
    start, end = BEGINNING_OF_TIME, END_OF_TIME
    for day in days_down_from(today, cycle):
        if is_boundary(day, cycle) and (midnight := walked_midnight(day, cycle.time_zone)) <= instant:
            start = midnight
            break
    for day in days_up_from(today, cycle):
        if is_boundary(day, cycle) and (midnight := walked_midnight(day, cycle.time_zone)) > instant:
            end = midnight
            break
    return Window(start, end)


def is_boundary(day: date, cycle: Cycle) -> bool:
    """Say whether a cycle begins on this date, by what the date looks like."""
    anchor = cycle.anchor
    last_of_month = (day + timedelta(days=1)).month != day.month if day < date.max else True
    same_day = day.day == anchor.day or (last_of_month and day.day < anchor.day)
    months = (day.year - anchor.year) * 12 + day.month - anchor.month
    match cycle.period:
        case Period.DAY:
            return True
        case Period.WEEK:
            return day.weekday() == anchor.weekday()
        case Period.MONTH:
            return same_day
        case Period.QUARTER:
            return same_day and months % 3 == 0
        case Period.YEAR:
            return same_day and months % 12 == 0
        case Period.LIFETIME:
            return day == anchor


def days_down_from(today: date, cycle: Cycle) -> Iterator[date]:
    first = min(date.max.toordinal(), today.toordinal() + 3)
    last = max(1, today.toordinal() - longest_walk_days(cycle))
    return (date.fromordinal(ordinal) for ordinal in range(first, last - 1, -1))


def days_up_from(today: date, cycle: Cycle) -> Iterator[date]:
    first = max(1, today.toordinal() - 3)
    last = min(date.max.toordinal(), today.toordinal() + longest_walk_days(cycle))
    return (date.fromordinal(ordinal) for ordinal in range(first, last + 1))


def longest_walk_days(cycle: Cycle) -> int:
    return 3 if cycle.period is Period.LIFETIME else 370


@lru_cache(maxsize=100_000)
def walked_midnight(day: date, time_zone: str) -> Instant:
    """Return the first instant at which the zone's clocks show the date, by watching them from 30 hours before."""
    zone = ZoneInfo(time_zone)
    midnight = datetime(day.year, day.month, day.day)  # noqa: DTZ001 - what the clocks show has no zone
    three_hours = timedelta(hours=3)
    try:
        before = midnight.replace(tzinfo=UTC) - timedelta(hours=30)
    except OverflowError:
        before = datetime.min.replace(tzinfo=UTC)
    while True:
        try:
            shown_before = before.astimezone(zone)
            after = before + three_hours
            shown_after = after.astimezone(zone)
        except OverflowError:
            return shown_without_a_calendar(midnight, zone)
        if shown_before.utcoffset() == shown_after.utcoffset():
            # Clocks run evenly here.
            wait = midnight - shown_before.replace(tzinfo=None)
            if wait < three_hours:
                return from_datetime(before + max(wait, timedelta()))
        else:
            for second in range(3 * 3_600):
                moment = before + timedelta(seconds=second)
                if moment.astimezone(zone).replace(tzinfo=None) >= midnight:
                    return from_datetime(moment)
        before = after


def shown_without_a_calendar(midnight: datetime, zone: ZoneInfo) -> Instant:
    """Return a midnight in the first or last days of all, where zones keep one offset and UTC may leave the years."""
    offset = zone.utcoffset(midnight)
    assert offset is not None
    micros = from_datetime(midnight.replace(tzinfo=UTC)) - offset // timedelta(microseconds=1)
    return Instant(min(max(micros, BEGINNING_OF_TIME), END_OF_TIME))
