"""Cycles: the half-open windows of time that a budget counts in.

Nothing is ever reset. A cycle is computed from its period, anchor and time zone, so the same instant is in the same
window on every replica, before and after a restart, and for a record that arrives late.

Time is cut at boundaries: cycle n begins at local midnight of `anchor + n periods`, for every integer n, before the
anchor too. Each boundary is counted from the anchor and not from the boundary before, so a 31st anchor gives 31 Jan,
28 Feb, 31 Mar. "Local midnight" is *the first instant at which the clocks of the zone show that midnight or later*:

- a midnight that the clocks skip moves to the first instant after the gap, even where the gap is a whole day;
- of a midnight that they show twice, the first counts.

Read so, a later date's midnight is never before an earlier date's, and windows tile time without gap or overlap.
"""

import enum
import re
from calendar import monthrange
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Final, assert_never
from zoneinfo import ZoneInfo

from outlay_server.domain.instant import (
    BEGINNING_OF_TIME,
    END_OF_TIME,
    MICROS_PER_SECOND,
    Instant,
    from_datetime,
    to_datetime,
)

DEFAULT_TIME_ZONE: Final = "UTC"

_TIME_ZONE: Final = re.compile(r"[A-Za-z][A-Za-z0-9_+-]{0,31}(/[A-Za-z0-9_+-]{1,31}){0,2}", re.ASCII)
# Files that lie among the zones and name none of IANA's: the machine's own zone, and copies that count leap seconds.
_NO_TIME_ZONE: Final = re.compile(r"localtime|posixrules|Factory|(posix|right)/.*")

_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)

_CACHE_SIZE: Final = 4_096
"""Boundaries, and cycles, that are remembered: thousands of budgets share a few cycles."""


class Period(enum.Enum):
    """How long a cycle lasts, in the calendar of its time zone."""

    DAY = "DAY"
    WEEK = "WEEK"
    MONTH = "MONTH"
    QUARTER = "QUARTER"
    YEAR = "YEAR"
    LIFETIME = "LIFETIME"
    """One cycle from the anchor on, without end; what lies before the anchor is a cycle of its own."""


@dataclass(frozen=True, slots=True)
class Cycle:
    """What decides a budget's windows. Two equal cycles have the same windows."""

    period: Period

    anchor: date
    """The local date on which cycle 0 begins. It may lie in the future."""

    time_zone: str = DEFAULT_TIME_ZONE
    """An IANA name in which `time_zone_violation` found nothing."""


@dataclass(frozen=True, slots=True)
class Window:
    """The half-open window `[start, end)` of one cycle."""

    start: Instant
    """`BEGINNING_OF_TIME` where nothing bounds it."""

    end: Instant
    """`END_OF_TIME` where nothing bounds it."""

    def contains(self, instant: Instant) -> bool:
        """Say whether spend at this instant is counted in this window."""
        return self.start <= instant < self.end


_latest: Final[dict[Cycle, Window]] = {}
"""The window that was last found for each cycle: nearly every check falls into the same one as the check before."""


def default_anchor(period: Period) -> date:
    """Return the anchor of a cycle that names none: the calendar's own boundaries; weeks begin on Monday (ISO 8601)."""
    return date(1970, 1, 5) if period is Period.WEEK else date(1970, 1, 1)


def default_cycle(period: Period = Period.MONTH) -> Cycle:
    """Return the cycle of a budget that names no anchor and no zone."""
    return Cycle(period, default_anchor(period), DEFAULT_TIME_ZONE)


def time_zone_violation(name: str) -> str | None:
    """Return what is wrong with the name of a time zone, or None.

    The name becomes a path where zones are looked up, so the grammar comes first and the look-up second.
    """
    if _TIME_ZONE.fullmatch(name) and not _NO_TIME_ZONE.fullmatch(name):
        try:
            ZoneInfo(name)
        except (KeyError, ValueError, OSError):
            # Unknown, not a zone file, or a directory such as `America`.
            pass
        else:
            return None
    return "must be the IANA name of a time zone, such as UTC or Europe/Berlin"


def parse_anchor(text: str) -> date:
    """Return the date of an anchor; Python reads more than one spelling of a date, the contract has one.

    Raises `ValueError` with what a valid anchor is.
    """
    try:
        if _DATE.fullmatch(text):
            return date.fromisoformat(text)
    except ValueError:
        # Such as 30 February.
        pass
    raise ValueError("must be a date of the calendar, written YYYY-MM-DD")


def cycle_containing(instant: Instant, cycle: Cycle) -> Window:
    """Return the window of the cycle that contains `instant`.

    Every instant from `BEGINNING_OF_TIME` to before `END_OF_TIME` is in exactly one window; an instant outside is taken
    for the nearest one inside.
    """
    latest = _latest.get(cycle)
    if latest is not None and latest.contains(instant):
        return latest
    if len(_latest) >= _CACHE_SIZE:
        _latest.clear()
    window = _latest[cycle] = _find(min(max(instant, BEGINNING_OF_TIME), Instant(END_OF_TIME - 1)), cycle)
    return window


def _find(instant: Instant, cycle: Cycle) -> Window:
    boundary = _boundaries(cycle)
    # The date in UTC is at most a day off the local one, so the guess is at most a few cycles off.
    number = _cycle_number(to_datetime(instant).date(), cycle)
    while instant < boundary(number):
        number -= 1
    while instant >= boundary(number + 1):
        number += 1
    window = Window(boundary(number), boundary(number + 1))
    assert window.contains(instant), "windows tile time"
    return window


def _cycle_number(day: date, cycle: Cycle) -> int:
    """Return the number of the cycle whose dates include `day`, or the one after it (31 Jan anchor, 28 Feb)."""
    days = day.toordinal() - cycle.anchor.toordinal()
    months = _month_index(day) - _month_index(cycle.anchor)
    match cycle.period:
        case Period.DAY:
            return days
        case Period.WEEK:
            return days // 7
        case Period.MONTH:
            return months
        case Period.QUARTER:
            return months // 3
        case Period.YEAR:
            return months // 12
        case Period.LIFETIME:
            return 0 if days >= 0 else -1
        case _:
            assert_never(cycle.period)


def _boundaries(cycle: Cycle) -> Callable[[int], Instant]:
    """Return the function from n to the start of cycle n; it never falls, and is held within all of time."""
    match cycle.period:
        case Period.DAY:
            return lambda number: _after_days(cycle, number)
        case Period.WEEK:
            return lambda number: _after_days(cycle, 7 * number)
        case Period.MONTH:
            return lambda number: _after_months(cycle, number)
        case Period.QUARTER:
            return lambda number: _after_months(cycle, 3 * number)
        case Period.YEAR:
            return lambda number: _after_months(cycle, 12 * number)
        case Period.LIFETIME:
            return lambda number: _lifetime_boundary(cycle, number)
        case _:
            assert_never(cycle.period)


def _after_days(cycle: Cycle, days: int) -> Instant:
    ordinal = cycle.anchor.toordinal() + days
    if ordinal < date.min.toordinal():
        return BEGINNING_OF_TIME
    if ordinal > date.max.toordinal():
        return END_OF_TIME
    return _midnight(date.fromordinal(ordinal), cycle.time_zone)


def _after_months(cycle: Cycle, months: int) -> Instant:
    year, month_from_zero = divmod(_month_index(cycle.anchor) + months, 12)
    if year < date.min.year:
        return BEGINNING_OF_TIME
    if year > date.max.year:
        return END_OF_TIME
    month = month_from_zero + 1
    _, days_in_month = monthrange(year, month)
    return _midnight(date(year, month, min(cycle.anchor.day, days_in_month)), cycle.time_zone)


def _lifetime_boundary(cycle: Cycle, number: int) -> Instant:
    if number < 0:
        return BEGINNING_OF_TIME
    return END_OF_TIME if number > 0 else _midnight(cycle.anchor, cycle.time_zone)


def _month_index(day: date) -> int:
    return day.year * 12 + day.month - 1


@lru_cache(maxsize=_CACHE_SIZE)
def _midnight(day: date, time_zone: str) -> Instant:
    """Return the first instant at which the zone's clocks show midnight of `day`, or later; held within all of time."""
    zone = ZoneInfo(time_zone)
    midnight = datetime.combine(day, time.min, zone)
    # PEP 495: of a midnight shown twice, fold=0 is the first; of a skipped one, fold=0 and fold=1 are the two readings
    # with the offsets before and after the gap, and the gap lies between them.
    local = from_datetime(midnight.replace(tzinfo=UTC))
    latest = local - _offset_micros(midnight.replace(fold=0))
    earliest = local - _offset_micros(midnight.replace(fold=1))
    if earliest < latest:
        latest = _end_of_gap(zone, local, earliest, latest)
    return Instant(min(max(latest, BEGINNING_OF_TIME), END_OF_TIME))


def _end_of_gap(zone: ZoneInfo, local: int, earliest: int, latest: int) -> int:
    """Return the first instant after `earliest` at which the clocks show `local` or later; `latest` is one such."""
    # Transitions fall on whole seconds, and so do offsets.
    early, late = earliest // MICROS_PER_SECOND, latest // MICROS_PER_SECOND
    while late - early > 1:
        middle = (early + late) // 2
        if _shown(zone, middle * MICROS_PER_SECOND) >= local:
            late = middle
        else:
            early = middle
    return late * MICROS_PER_SECOND


def _shown(zone: ZoneInfo, instant: int) -> int:
    """Return what the zone's clocks show at an instant, as an instant of UTC that would show the same."""
    return instant + _offset_micros(to_datetime(Instant(instant)).astimezone(zone))


def _offset_micros(moment: datetime) -> int:
    offset = moment.utcoffset()
    assert offset is not None, "a zone has an offset at all times"
    return offset // timedelta(microseconds=1)
