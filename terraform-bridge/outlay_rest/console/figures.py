"""Figures as people read and write them. Exact: nothing here is a float that was money."""

import re
from datetime import UTC, datetime
from typing import Final

from google.protobuf.timestamp_pb2 import Timestamp

from outlay_rest.limits import CAP_MICROS_MAX

MICROS_PER_UNIT: Final = 1_000_000
_SIZES: Final = (("T", 1e12), ("B", 1e9), ("M", 1e6), ("k", 1e3))
_DECIMAL: Final = re.compile(r"(0|[1-9][0-9]{0,17})(?:\.([0-9]{1,6}))?", re.ASCII)


def amount(micros: int) -> str:
    """`1,234.50`: at least two places, and as many as are exact."""
    whole, rest = divmod(abs(micros), MICROS_PER_UNIT)
    places = f"{rest:06d}".rstrip("0").ljust(2, "0")
    return f"{'-' if micros < 0 else ''}{whole:,}.{places}"


def rounded(micros: int) -> str:
    """The same to two places, for estimates."""
    return amount(round(micros, -4))


def written(micros: int) -> str:
    """As it is typed into a field: `1234.50`."""
    return amount(micros).replace(",", "")


def short(micros: int) -> str:
    """`1.5k`, `100B`: a mark on an axis, where steps are round and room is little."""
    value = micros / MICROS_PER_UNIT
    for suffix, size in _SIZES:
        if value >= size:
            return f"{value / size:.4g}{suffix}"
    return f"{value:.6f}".rstrip("0").rstrip(".")


def parsed_amount(text: str) -> int:
    """Micros of what was typed. Raises `ValueError` with what is wrong, for people."""
    found = _DECIMAL.fullmatch(text)
    if found is None:
        raise ValueError("is no amount: write digits with at most 6 places, as 500.00")
    micros = int(found.group(1)) * MICROS_PER_UNIT + int((found.group(2) or "").ljust(6, "0"))
    if micros > CAP_MICROS_MAX:
        raise ValueError(f"is too large: at most {amount(CAP_MICROS_MAX)}")
    return micros


def parsed_percents(text: str) -> list[int]:
    """Thresholds as typed, `50, 75, 90`; the service says what else is wrong with them. Raises `ValueError`."""
    words = [word for word in re.split(r"[,\s]+", text.strip()) if word]
    if any(not (word.isascii() and word.isdigit() and len(word) <= 4) for word in words):
        raise ValueError("must be whole percents with commas between them, as 50, 75, 90")
    return [int(word) for word in words]


def percent(value: float) -> str:
    """`234.5 %`."""
    return f"{value:,.1f} %"


def moment(timestamp: Timestamp) -> str:
    """`2026-11-21 21:44 UTC`; empty for one that was not set."""
    return instant_of(timestamp).strftime("%Y-%m-%d %H:%M UTC") if timestamp.ByteSize() else ""


def machine_time(timestamp: Timestamp) -> str:
    """As an HTML `time` element wants it."""
    return str(timestamp.ToJsonString()) if timestamp.ByteSize() else ""


def instant_of(timestamp: Timestamp) -> datetime:
    """An aware datetime."""
    return timestamp.ToDatetime(tzinfo=UTC)


def last_segment(name: str) -> str:
    """The id in a resource name."""
    return name.rpartition("/")[2]


def enum_words(name: str) -> str:
    """`hard cap reached` for `HARD_CAP_REACHED`."""
    return name.replace("_", " ").lower()
