"""Amounts: integer millionths of a unit, and their exact conversions to cents, whole units and decimal text.

There is no float here and none may come in: `0.1 + 0.2` is not what anybody was charged. Where a conversion cannot be
exact it rounds up, because a cap must never be understated.
"""

import re
from typing import Final, NewType

from outlay_server.domain.errors import echo
from outlay_server.domain.limits import AMOUNT_MICROS_MAX, CAP_MICROS_MAX, UNIT_MAX_LENGTH, UNIT_MIN_LENGTH

Micros = NewType("Micros", int)
"""Millionths of a unit: 1 USD is 1_000_000. Negative only where a refund is subtracted."""

MICROS_PER_UNIT: Final = 1_000_000
MICROS_PER_CENT: Final = 10_000

DECIMAL_PLACES_MAX: Final = 6
"""Places of a decimal amount: one micro is the last of them."""

UNIT_PATTERN: Final = re.compile(rf"[A-Z][A-Z0-9_]{{{UNIT_MIN_LENGTH - 1},{UNIT_MAX_LENGTH - 1}}}", re.ASCII)
_DECIMAL: Final = re.compile(rf"(0|[1-9][0-9]{{0,17}})(?:\.([0-9]{{1,{DECIMAL_PLACES_MAX}}}))?", re.ASCII)


def unit_violation(unit: str) -> str | None:
    """Return what is wrong with the name of a unit, or None.

    A unit is an ISO 4217 code or any other upper-case name; the two share one grammar, and codes are not looked up, so
    that a new currency needs no release. Two letters are refused: `US` is a slip for `USD` that would open a ledger of
    its own, in which no budget matches.
    """
    if UNIT_PATTERN.fullmatch(unit):
        return None
    return (
        f"must be {UNIT_MIN_LENGTH} to {UNIT_MAX_LENGTH} upper-case letters, digits or '_', beginning with a letter,"
        " such as USD or CREDITS"
    )


def amount_violation(amount_micros: int, *, minimum: int = 0) -> str | None:
    """Return what is wrong with one amount of spend, or None."""
    return _range_violation(amount_micros, minimum, AMOUNT_MICROS_MAX)


def cap_violation(cap_micros: int) -> str | None:
    """Return what is wrong with a hard cap, soft budget or allotment, or None. Zero is a real cap: of nothing."""
    return _range_violation(cap_micros, 0, CAP_MICROS_MAX)


def cents_to_micros(cents: int) -> Micros:
    """Return hundredths of a unit as micros, exactly."""
    return Micros(cents * MICROS_PER_CENT)


def micros_to_cents(micros: int) -> int:
    """Return micros as hundredths of a unit; a part of a cent counts as a whole one."""
    return -(-micros // MICROS_PER_CENT)


def units_to_micros(units: int) -> Micros:
    """Return whole units (credits, dollars) as micros, exactly."""
    return Micros(units * MICROS_PER_UNIT)


def micros_to_units(micros: int) -> int:
    """Return micros as whole units; a part of a unit counts as a whole one."""
    return -(-micros // MICROS_PER_UNIT)


def parse_decimal(text: str) -> Micros:
    """Return a decimal amount such as `500.00` or `0.000001` as micros, exactly.

    One strict grammar for every face where people write amounts: ASCII digits without sign, separator, exponent, spaces
    or leading zeros, and at most 6 places. `010`, `1_000`, `1e3`, `+5`, `.5` and `٣` all mean something else to some
    parser, so they mean nothing here. Raises `ValueError`, with a text for the caller, also above the largest cap.
    """
    # fullmatch is bounded by the pattern, so five thousand digits cost no more than twenty.
    parsed = _DECIMAL.fullmatch(text)
    if parsed is None:
        raise ValueError(f"{echo(text)} is no amount: write digits with at most {DECIMAL_PLACES_MAX} places, as 500.00")
    whole, places = parsed.group(1), parsed.group(2) or ""
    micros = int(whole) * MICROS_PER_UNIT + int(places.ljust(DECIMAL_PLACES_MAX, "0"))
    if micros > CAP_MICROS_MAX:
        raise ValueError(f"{echo(text)} is too large: at most {format_micros(CAP_MICROS_MAX)}")
    return Micros(micros)


def format_micros(micros: int) -> str:
    """Return an amount for people: `500.00`, `0.000001`, `-2.50`. At least two places, and as many as are exact.

    The inverse of `parse_decimal`: nothing is rounded.
    """
    sign = "-" if micros < 0 else ""
    whole, rest = divmod(abs(micros), MICROS_PER_UNIT)
    places = f"{rest:06d}".rstrip("0").ljust(2, "0")
    return f"{sign}{whole}.{places}"


def _range_violation(value: int, minimum: int, maximum: int) -> str | None:
    if minimum <= value <= maximum:
        return None
    return f"must be {minimum} to {maximum} micros"
