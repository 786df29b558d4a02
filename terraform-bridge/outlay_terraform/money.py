"""Amounts as people write them, decimal text, and as the service counts them, micros."""

import re
from decimal import Decimal
from typing import Final

PLACES_MAX: Final = 6
"""One micro is the last of them."""

CAP_MAX: Final = Decimal(10) ** 11
"""The largest limit, in whole units: 10^17 micros."""

_AMOUNT: Final = re.compile(rf"(0|[1-9][0-9]*)(\.[0-9]{{1,{PLACES_MAX}}})?", re.ASCII)
_MICROS_PER_UNIT: Final = 10**6


def complaint(text: str) -> str | None:
    """What is wrong with an amount, or None."""
    if len(text) > 32 or not _AMOUNT.fullmatch(text):
        return f'must be an amount such as "500.00": digits, and at most {PLACES_MAX} places'
    if Decimal(text) > CAP_MAX:
        return f"must be at most {CAP_MAX:f}"
    return None


def micros(text: str) -> int:
    """The micros of an amount in which `complaint` found nothing."""
    return int(Decimal(text).scaleb(PLACES_MAX))


def text(amount_micros: int) -> str:
    """`500.00`, `0.000001`: at least two places, and as many as are exact."""
    sign = "-" if amount_micros < 0 else ""
    whole, rest = divmod(abs(amount_micros), _MICROS_PER_UNIT)
    return f"{sign}{whole}.{f'{rest:06d}'.rstrip('0').ljust(2, '0')}"


def same(one: str, other: str) -> bool:
    """`500`, `500.0` and `500.00` are one amount."""
    return Decimal(one) == Decimal(other)
