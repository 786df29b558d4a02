"""Hours and days of a zone tile the time that was asked for."""

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outlay_server.api.buckets import bucket_edges
from outlay_server.domain.instant import BEGINNING_OF_TIME, END_OF_TIME, MICROS_PER_SECOND, Instant, from_datetime

HOUR = 3_600 * MICROS_PER_SECOND


def at(text: str, time_zone: str = "UTC") -> Instant:
    return from_datetime(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(time_zone)))


def test_days_are_those_of_the_zone() -> None:
    edges = bucket_edges(at("2026-03-28T12:00"), at("2026-03-30T00:00"), by_hour=False, time_zone="Europe/Berlin")
    # The 29th has 23 hours there.
    assert edges == [at(f"2026-03-{day}T00:00", "Europe/Berlin") for day in (28, 29, 30, 31)]


def test_hours_begin_where_the_local_clock_shows_a_full_one() -> None:
    edges = bucket_edges(at("2026-01-01T00:00"), at("2026-01-01T02:00"), by_hour=True, time_zone="Asia/Kolkata")
    assert [(edge - at("2026-01-01T00:00")) // (HOUR // 2) for edge in edges] == [-1, 1, 3, 5]


def test_an_hour_in_which_clocks_move_by_half_of_one_is_cut_short() -> None:
    edges = bucket_edges(at("2026-04-04T13:00"), at("2026-04-04T18:00"), by_hour=True, time_zone="Australia/Lord_Howe")
    zone = ZoneInfo("Australia/Lord_Howe")
    shown = [datetime.fromtimestamp(edge / MICROS_PER_SECOND, zone).minute for edge in edges]
    assert set(shown) <= {0, 30}
    assert shown[-1] == 0


@pytest.mark.parametrize("by_hour", [True, False])
@pytest.mark.parametrize("time_zone", ["Pacific/Kiritimati", "Pacific/Pago_Pago"])
@pytest.mark.parametrize("start", [BEGINNING_OF_TIME, Instant(END_OF_TIME - 3 * HOUR)])
def test_the_ends_of_time_can_be_asked_for(start: Instant, time_zone: str, by_hour: bool) -> None:
    end = Instant(start + 2 * HOUR)
    edges = bucket_edges(start, end, by_hour=by_hour, time_zone=time_zone)
    assert edges[0] <= start < end <= edges[-1]


@given(
    start=st.integers(0, 4_000_000_000).map(lambda seconds: Instant(seconds * MICROS_PER_SECOND)),
    length=st.integers(1, 10 * 86_400),
    by_hour=st.booleans(),
    time_zone=st.sampled_from(["UTC", "Europe/Berlin", "Asia/Kathmandu", "Australia/Lord_Howe", "America/St_Johns"]),
)
def test_buckets_ascend_and_cover_what_was_asked(start: Instant, length: int, by_hour: bool, time_zone: str) -> None:
    end = Instant(start + length * MICROS_PER_SECOND)
    edges = bucket_edges(start, end, by_hour=by_hour, time_zone=time_zone)
    assert edges[0] <= start < edges[1]
    assert edges[-2] < end <= edges[-1]
    assert edges == sorted(set(edges))
