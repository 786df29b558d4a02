"""Instants: exact, and held within the years that can be written."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outlay_server.domain.instant import (
    BEGINNING_OF_TIME,
    END_OF_TIME,
    Instant,
    from_datetime,
    plus_seconds,
    to_datetime,
)


@given(st.integers(BEGINNING_OF_TIME, END_OF_TIME))
def test_every_microsecond_survives_the_way_through_datetime(micros: int) -> None:
    """No float is on the way, which would lose the last digit of today's instants already."""
    assert from_datetime(to_datetime(Instant(micros))) == micros


def test_an_instant_does_not_depend_on_the_zone_it_was_said_in() -> None:
    """Noon in +02:00 is ten o'clock in UTC."""
    noon = datetime(2026, 7, 1, 12, tzinfo=timezone(timedelta(hours=2)))
    assert from_datetime(noon) == from_datetime(datetime(2026, 7, 1, 10, tzinfo=UTC))


def test_the_epoch_is_zero_and_the_ends_are_those_of_datetime() -> None:
    """Three fixed points, which stored rows rely on."""
    assert from_datetime(datetime(1970, 1, 1, tzinfo=UTC)) == 0
    assert from_datetime(datetime.min.replace(tzinfo=UTC)) == BEGINNING_OF_TIME
    assert from_datetime(datetime.max.replace(tzinfo=UTC)) == END_OF_TIME


@pytest.mark.parametrize(
    ("instant", "seconds", "expected"),
    [
        (Instant(0), 1, 1_000_000),
        (Instant(5), -1, -999_995),
        (END_OF_TIME, 1, END_OF_TIME),
        (BEGINNING_OF_TIME, -1, BEGINNING_OF_TIME),
        (Instant(0), 10**18, END_OF_TIME),
    ],
)
def test_adding_seconds_stays_within_time(instant: Instant, seconds: int, expected: int) -> None:
    """A deadline computed from any accepted value can be written down."""
    assert plus_seconds(instant, seconds) == expected
