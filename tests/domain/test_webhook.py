"""When attempts are repeated, and what may be a secret."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outlay_server.domain.instant import MICROS_PER_SECOND, Instant
from outlay_server.domain.webhook import (
    THREE_DAYS,
    event_type_violation,
    secret_of,
    secret_violation,
    wants,
)

START = Instant(1_768_478_400_000_000)
DEADLINE = Instant(START + THREE_DAYS.give_up_seconds * MICROS_PER_SECOND)


@given(st.integers(1, 100), st.integers(0, 3 * 86_400 - 1), st.floats(0, 1), st.floats(0, 3_600))
def test_the_next_attempt_lies_ahead_within_its_delay_and_never_past_the_deadline(
    attempts: int, seconds: int, chance: float, wait_seconds: float
) -> None:
    now = Instant(START + seconds * MICROS_PER_SECOND)
    due = THREE_DAYS.next_attempt(attempts, now, DEADLINE, chance, wait_seconds)
    assert due is not None
    delay = THREE_DAYS.delays_seconds[min(attempts, len(THREE_DAYS.delays_seconds)) - 1]
    assert now < due <= DEADLINE
    assert due == DEADLINE or (due - now) / MICROS_PER_SECOND <= max(delay, wait_seconds)
    assert due == DEADLINE or (due - now) / MICROS_PER_SECOND >= max(delay / 2, wait_seconds) - 1e-5


def test_after_the_deadline_there_is_none() -> None:
    assert THREE_DAYS.next_attempt(5, DEADLINE, DEADLINE, 0.5) is None


def test_receivers_that_failed_together_are_not_tried_together() -> None:
    due = {THREE_DAYS.next_attempt(3, START, DEADLINE, chance) for chance in (0, 0.25, 0.5, 0.75, 1)}
    assert len(due) == 5


@given(st.binary(min_size=24, max_size=64))
def test_a_secret_that_the_server_makes_is_one_that_may_be_given(random_bytes: bytes) -> None:
    assert secret_violation(secret_of(random_bytes)) is None


@pytest.mark.parametrize(
    "secret",
    ["", "whsec_", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_c2hvcnQ=", "whsec_" + "A" * 88, "whsec_" + "A" * 10**6,
     "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLa w", "whsec_\u0660" + "A" * 31],
)  # fmt: skip
def test_what_is_no_secret_is_refused_without_repeating_it(secret: str) -> None:
    wrong = secret_violation(secret)
    assert wrong is not None
    assert secret.removeprefix("whsec_") not in wrong or not secret.removeprefix("whsec_")


def test_an_endpoint_that_names_no_types_wants_all() -> None:
    assert [wants((), "cap.reached"), wants(("cap.reached",), "cap.reached"), wants(("x",), "cap.reached")] == [
        True,
        True,
        False,
    ]


def test_an_unknown_type_is_told_with_those_that_there_are() -> None:
    assert event_type_violation("cap.reached") is None
    assert "alert.crossed" in (event_type_violation("cap.touched") or "")
