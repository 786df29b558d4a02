"""Values as people read them."""

from collections.abc import Mapping

from google.protobuf.timestamp_pb2 import Timestamp

from outlay_server.domain.amounts import format_micros


def printable(text: str) -> str:
    """Escape what a terminal would obey instead of show; what callers wrote comes back through here."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def amount(micros: int, unit: str = "") -> str:
    """`500.00 USD`; without a unit `500.00`."""
    return f"{format_micros(micros)} {unit}".rstrip()


def instant(timestamp: Timestamp) -> str:
    """`2026-11-21T21:44:06Z`, to the microsecond where it has one; empty for one that was not set."""
    return timestamp.ToJsonString() if timestamp.ByteSize() else ""


def enum_name(name: str, prefix: str) -> str:
    """`HARD_CAP_REACHED` for `DENIAL_REASON_HARD_CAP_REACHED`; empty for the unspecified value."""
    short = name.removeprefix(prefix)
    return "" if short == "UNSPECIFIED" else short


def labels(values: Mapping[str, str]) -> str:
    """`key=value key=value`, by key."""
    return " ".join(f"{key}={values[key]}" for key in sorted(values))


def last_segment(name: str) -> str:
    """The id in a resource name."""
    return name.rpartition("/")[2]
