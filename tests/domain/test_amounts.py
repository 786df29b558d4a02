"""Amounts: exact or rounded up, and one grammar."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outlay_server.domain.amounts import (
    amount_violation,
    cap_violation,
    cents_to_micros,
    format_micros,
    micros_to_cents,
    micros_to_units,
    parse_decimal,
    unit_violation,
    units_to_micros,
)
from outlay_server.domain.limits import AMOUNT_MICROS_MAX, CAP_MICROS_MAX

amounts = st.integers(0, CAP_MICROS_MAX)


@pytest.mark.parametrize(
    ("text", "micros"),
    [
        ("0", 0),
        ("0.000001", 1),
        ("0.00", 0),
        ("500.00", 500_000_000),
        ("1.10", 1_100_000),
        ("19.999999", 19_999_999),
        ("100000000000", CAP_MICROS_MAX),
        ("100000000000.000000", CAP_MICROS_MAX),
    ],
)
def test_decimal_amounts_are_read_exactly(text: str, micros: int) -> None:
    """From one micro to the largest cap, also where a binary fraction has no room."""
    assert parse_decimal(text) == micros


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "1 ", " 1", "1\n", "+5", "-1", "010", "00", "1_000", "1,000", "1.", ".5", "1.0000001", "1e3", "1E3",
        "0x10", "1:30", ".inf", "NaN", "infinity", "٣", "５", "1.٣", "true", "$5", "5 USD",
        "9" * 5_000, "0." + "0" * 5_000, "100000000000.000001", "999999999999999999",
    ],
)  # fmt: skip
def test_everything_else_is_no_amount(text: str) -> None:
    """What two parsers would read differently is refused, with a text that shows little of it."""
    with pytest.raises(ValueError) as raised:
        parse_decimal(text)
    assert len(str(raised.value)) < 500


@given(amounts)
def test_an_amount_survives_being_written_for_people(micros: int) -> None:
    """`format_micros` rounds nothing, and `parse_decimal` reads it back."""
    assert parse_decimal(format_micros(micros)) == micros


@given(st.integers(-CAP_MICROS_MAX, CAP_MICROS_MAX))
def test_formatted_amounts_equal_the_decimal_quotient(micros: int) -> None:
    """An independent computation, in decimal, of what the text says."""
    assert Decimal(format_micros(micros)) == Decimal(micros).scaleb(-6)


@pytest.mark.parametrize(
    ("micros", "text"),
    [(0, "0.00"), (500_000_000, "500.00"), (1, "0.000001"), (1_500_000, "1.50"), (-2_505_000, "-2.505")],
)
def test_amounts_for_people_have_at_least_two_places(micros: int, text: str) -> None:
    """As prices are written, and as many places more as are needed."""
    assert format_micros(micros) == text


@given(amounts)
def test_a_part_of_a_cent_counts_as_a_whole_one(micros: int) -> None:
    """The smallest number of cents (and of units) that is not less than the amount: never less than was spent."""
    cents, units = micros_to_cents(micros), micros_to_units(micros)
    assert cents_to_micros(cents - 1) < micros <= cents_to_micros(cents)
    assert units_to_micros(units - 1) < micros <= units_to_micros(units)


@pytest.mark.parametrize("unit", ["USD", "EUR", "CREDITS", "GPU_SECONDS", "H100", "A" * 32])
def test_units_are_upper_case_names(unit: str) -> None:
    """ISO 4217 codes and names alike; codes are not looked up."""
    assert unit_violation(unit) is None


@pytest.mark.parametrize(
    "unit", ["", "U", "US", "usd", "Usd", "USD ", " USD", "USD\n", "1USD", "_USD", "US-D", "ÜSD", "US\x00D", "A" * 33]
)
def test_slips_are_no_units(unit: str) -> None:
    """Each of them would open a ledger of its own, in which no budget matches and nothing is capped."""
    assert unit_violation(unit) is not None


def test_amounts_and_caps_have_their_own_bounds() -> None:
    """Zero is a real amount and a real cap; one above the largest is refused, as is anything below the least."""
    assert [amount_violation(micros) for micros in (0, AMOUNT_MICROS_MAX)] == [None, None]
    assert None not in [amount_violation(micros) for micros in (-1, AMOUNT_MICROS_MAX + 1, 2**63 - 1)]
    assert amount_violation(0, minimum=1) == f"must be 1 to {AMOUNT_MICROS_MAX} micros"
    assert [cap_violation(micros) for micros in (0, CAP_MICROS_MAX)] == [None, None]
    assert None not in [cap_violation(micros) for micros in (-1, CAP_MICROS_MAX + 1)]
