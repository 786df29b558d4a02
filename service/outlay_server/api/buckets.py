"""Cutting a stretch of time into the hours or days of a zone, for sums of spend."""

from zoneinfo import ZoneInfo

from outlay_server.domain.cycle import Cycle, Period, cycle_containing, default_anchor
from outlay_server.domain.instant import (
    BEGINNING_OF_TIME,
    END_OF_TIME,
    MICROS_PER_SECOND,
    Instant,
    to_datetime,
)

_HOUR_MICROS = 3_600 * MICROS_PER_SECOND
_DAY_MICROS = 24 * _HOUR_MICROS


def bucket_edges(start: Instant, end: Instant, *, by_hour: bool, time_zone: str) -> list[Instant]:
    """The edges of the hours or days that `[start, end)` touches, ascending.

    The first is the beginning of the bucket that contains `start`, the last the end of the one that contains what lies
    just before `end`. A day is the local day, 23 to 25 hours where clocks change; an hour begins where the local clock
    shows a full one, so one in which the clocks are moved by half an hour is shorter.
    """
    edges = [_start_of_hour(start, time_zone) if by_hour else _day(start, time_zone)[0]]
    while edges[-1] < end:
        edges.append(_next_hour(edges[-1], time_zone) if by_hour else _day(edges[-1], time_zone)[1])
    return edges


def _day(instant: Instant, time_zone: str) -> tuple[Instant, Instant]:
    window = cycle_containing(instant, Cycle(Period.DAY, default_anchor(Period.DAY), time_zone))
    return window.start, window.end


def _start_of_hour(instant: Instant, time_zone: str) -> Instant:
    return Instant(instant - (instant + _offset_micros(instant, time_zone)) % _HOUR_MICROS)


def _next_hour(instant: Instant, time_zone: str) -> Instant:
    return Instant(instant + _HOUR_MICROS - (instant + _offset_micros(instant, time_zone)) % _HOUR_MICROS)


def _offset_micros(instant: Instant, time_zone: str) -> int:
    # A day within the first and the last instant of all: the local time has to be one that can be said as well.
    sayable = Instant(min(max(instant, BEGINNING_OF_TIME + _DAY_MICROS), END_OF_TIME - _DAY_MICROS))
    offset = to_datetime(sayable).astimezone(ZoneInfo(time_zone)).utcoffset()
    assert offset is not None, "a zone has an offset at all times"
    return int(offset.total_seconds()) * MICROS_PER_SECOND
