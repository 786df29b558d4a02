"""Errors: texts that can be shown, and all violations at once."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outlay_server.domain import errors
from outlay_server.domain.errors import ErrorReason, OutlayError, ValidationFailed, Violation, Violations, echo
from outlay_server.domain.limits import VIOLATIONS_MAX

HOSTILE = "x\x00\x1b[31m\u202e\ud800\r\nSet-Cookie: a" * 1_000


EVERY_ERROR: tuple[OutlayError, ...] = (
    errors.InvalidApiKey(),
    errors.MissingScope("spend:check"),
    errors.ValidationFailed([Violation("unit", "must be set")]),
    errors.NotFound(HOSTILE),
    errors.AlreadyExists(HOSTILE),
    errors.EtagMismatch(),
    errors.PlanOutdated([HOSTILE, "organizations/acme"], "platform (grpc)"),
    errors.ManagedElsewhere(HOSTILE),
    errors.ApplyRefused([errors.Refusal("NOT_ADOPTED", HOSTILE, "nobody keeps it")]),
    errors.RequestIdReused("amount_micros", HOSTILE),
    errors.ReservationClosed(HOSTILE, "RELEASED"),
    errors.EndpointDisabled(HOSTILE),
    errors.LimitExceeded("budgets an organization", 1_000),
    errors.OpenReservations(3),
    errors.Overloaded(2),
    errors.StorageUnavailable(),
    errors.DeadlineExceeded(),
    errors.Unimplemented(),
    errors.WatcherTooSlow(),
)


def test_every_reason_but_internal_has_an_error() -> None:
    """INTERNAL is what a defect reads as; nobody raises it."""
    assert {error.reason for error in EVERY_ERROR} == set(ErrorReason) - {ErrorReason.INTERNAL}


@pytest.mark.parametrize("error", EVERY_ERROR, ids=lambda error: error.reason.value)
def test_texts_are_short_and_printable_whatever_the_caller_sent(error: OutlayError) -> None:
    """No control character, surrogate or bidirectional mark reaches a log, a terminal or a trailer."""
    for text in (error.message, *error.facts.values()):
        assert len(text) < 1_000
        assert text.isprintable()
        assert text.encode()


@given(st.text(st.characters()))
def test_echo_shows_at_most_64_characters_of_the_input(text: str) -> None:
    """The bound is on the input; escaping may make it longer, and is undone to count."""
    shown = echo(text)
    body = shown.removesuffix("…")[1:-1].replace('\\"', '"').encode("ascii").decode("unicode_escape")
    assert body == text[:64]
    assert shown.endswith("…") == (len(text) > 64)


def test_a_well_formed_resource_name_is_shown_whole() -> None:
    """Cut after 64 characters it would lose the id that tells it from its siblings."""
    name = f"organizations/{'o' * 63}/budgets/{'b' * 63}"
    error = errors.NotFound(name)
    assert error.facts == {"resource": name}
    assert error.message == f"{name} was not found."


def test_all_violations_are_reported_in_the_order_they_were_found() -> None:
    """A caller mends a request in one go; a check that found nothing adds nothing."""
    violations = Violations()
    violations.add("unit", "must be set")
    violations.add("labels", None)
    violations.add("amount_micros", "must be 0 or more")
    with pytest.raises(ValidationFailed) as raised:
        violations.raise_if_any()
    assert raised.value.violations == (
        Violation("unit", "must be set"),
        Violation("amount_micros", "must be 0 or more"),
    )
    assert raised.value.message == "unit: must be set (1 more)"


def test_a_request_without_violations_passes() -> None:
    """Nothing is raised, and the collector reads as false."""
    violations = Violations()
    violations.raise_if_any()
    assert not violations


def test_the_list_of_violations_is_bounded() -> None:
    """A hostile request cannot make an answer that its transport refuses to carry."""
    violations = Violations()
    for _ in range(VIOLATIONS_MAX + 50):
        violations.add("field", "is wrong")
    assert len(violations.found()) == VIOLATIONS_MAX
