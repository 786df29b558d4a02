"""Instants as whole microseconds, so that arithmetic on time is exact and comparisons are integer comparisons.

`datetime` appears at the edges only: in wire messages, and where a calendar is needed (`cycle.py`).
"""

from datetime import UTC, datetime, timedelta
from typing import Final, NewType

Instant = NewType("Instant", int)
"""Microseconds since 1970-01-01T00:00:00Z, without leap seconds (POSIX time). Negative before it."""

MICROS_PER_SECOND: Final = 1_000_000

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_ONE_MICROSECOND: Final = timedelta(microseconds=1)

BEGINNING_OF_TIME: Final = Instant(-62_135_596_800_000_000)
"""0001-01-01T00:00:00Z: the first instant that `datetime` and `google.protobuf.Timestamp` can say."""

END_OF_TIME: Final = Instant(253_402_300_799_999_999)
"""9999-12-31T23:59:59.999999Z: the last instant that both can say. Where a window ends here, it has no end."""


def from_datetime(moment: datetime) -> Instant:
    """Return the instant of an aware `datetime`; a naive one is a defect of the caller.

    Subtraction and floor division of whole microseconds: `datetime.timestamp()` is a float and loses the last digit.
    """
    assert moment.tzinfo is not None, "a naive datetime names no instant"
    return Instant((moment - _EPOCH) // _ONE_MICROSECOND)


def to_datetime(instant: Instant) -> datetime:
    """Return the instant as an aware `datetime` in UTC. Raises `OverflowError` outside the years 1 to 9999."""
    return _EPOCH + timedelta(microseconds=instant)


def plus_seconds(instant: Instant, seconds: int) -> Instant:
    """Return the instant `seconds` later (earlier when negative), held within the first and the last instant."""
    moved = instant + seconds * MICROS_PER_SECOND
    return Instant(min(max(moved, BEGINNING_OF_TIME), END_OF_TIME))
