"""Values as they are written on the command line."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from outlay_cli import options


def test_amounts_are_exact_micros() -> None:
    assert [options.amount(text) for text in ("500.00", "0.000001", "7")] == [500_000_000, 1, 7_000_000]


def test_a_label_is_split_at_its_first_equals_sign() -> None:
    assert options.label("url=a=b") == ("url", "a=b")


def test_durations_have_one_unit() -> None:
    assert [options.duration(text) for text in ("90s", "5m", "2h", "7d")] == [
        timedelta(seconds=90),
        timedelta(minutes=5),
        timedelta(hours=2),
        timedelta(days=7),
    ]


def test_a_date_is_its_midnight_in_utc() -> None:
    assert options.instant("2026-01-31") == datetime(2026, 1, 31, tzinfo=UTC)


def test_an_instant_has_its_zone() -> None:
    zone = timezone(timedelta(hours=2))
    assert options.instant("2026-01-31T09:00:00+02:00") == datetime(2026, 1, 31, 9, tzinfo=zone)


@pytest.mark.parametrize(("id", "name"), [("b", "organizations/acme/budgets/b"), ("organizations/x/budgets/b",) * 2])
def test_a_resource_is_named_by_its_id_or_whole(id: str, name: str) -> None:
    assert options.child_name("acme", "budgets", id) == name
