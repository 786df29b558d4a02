"""What the attributes may hold, by the rules that the service's contract states. The service checks again."""

import re
from collections.abc import Callable, Iterator
from datetime import date
from decimal import Decimal
from typing import Any, Final

from outlay_terraform import money
from outlay_terraform.framework.diagnostics import Key, Path
from outlay_terraform.framework.schema import Check
from outlay_terraform.framework.values import Unknown

DISPLAY_NAME_MAX_LENGTH: Final = 128
LABELS_MAX: Final = 16
LABEL_KEY_MAX_BYTES: Final = 63
LABEL_VALUE_MAX_BYTES: Final = 255
THRESHOLDS_MAX: Final = 10
THRESHOLD_PERCENT_MAX: Final = 1_000

_ID: Final = re.compile(r"[a-z][a-z0-9-]{0,62}", re.ASCII)
_UNIT: Final = re.compile(r"[A-Z][A-Z0-9_]{2,31}", re.ASCII)
_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
_TIME_ZONE: Final = re.compile(r"[A-Za-z][A-Za-z0-9_+/-]{0,63}", re.ASCII)
_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def whole(rule: Callable[[Any], str | None]) -> Check:
    """A rule about a value as a whole."""

    def check(value: Any) -> Iterator[tuple[Path, str]]:
        complaint = rule(value)
        if complaint is not None:
            yield (), complaint

    return check


def _id(text: str) -> str | None:
    if _ID.fullmatch(text):
        return None
    return "must be 1 to 63 characters: a lower-case letter, then lower-case letters, digits and hyphens"


def _organization(text: str) -> str | None:
    if _ID.fullmatch(text.removeprefix("organizations/")):
        return None
    return "must be the id of an organization, such as acme, or its name, organizations/acme"


def _unit(text: str) -> str | None:
    if _UNIT.fullmatch(text):
        return None
    return "must be 3 to 32 upper-case letters, digits or '_', beginning with a letter, such as USD or CREDITS"


def _display_name(text: str) -> str | None:
    if len(text) > DISPLAY_NAME_MAX_LENGTH:
        return f"must be at most {DISPLAY_NAME_MAX_LENGTH} characters"
    return "must not contain control characters" if _CONTROL.search(text) else None


def _date(text: str) -> str | None:
    try:
        if _DATE.fullmatch(text):
            date.fromisoformat(text)
            return None
    except ValueError:
        # 30 February, and its like.
        pass
    return "must be a date of the calendar, written YYYY-MM-DD"


def _time_zone(text: str) -> str | None:
    if _TIME_ZONE.fullmatch(text):
        return None
    return "must be the IANA name of a time zone, such as UTC or Europe/Berlin"


def _label(text: str) -> str | None:
    if not text:
        return "must not be empty"
    return _text("a label's key", text, LABEL_KEY_MAX_BYTES)


def _pattern(text: str) -> str | None:
    if "*" in text[:-1]:
        return "may have a '*' only at its end"
    return _text("a pattern", text, LABEL_VALUE_MAX_BYTES)


def _text(what: str, text: str, max_bytes: int) -> str | None:
    if _CONTROL.search(text):
        return "must not contain control characters"
    return f"is too long: {what} has at most {max_bytes} bytes of UTF-8" if len(text.encode()) > max_bytes else None


ID: Final = whole(_id)
ORGANIZATION: Final = whole(_organization)
UNIT: Final = whole(_unit)
DISPLAY_NAME: Final = whole(_display_name)
AMOUNT: Final = whole(money.complaint)
DATE: Final = whole(_date)
TIME_ZONE: Final = whole(_time_zone)
LABEL: Final = whole(_label)
PATTERN: Final = whole(lambda text: _pattern(text) if text else "must not be empty")


def one_of(*names: str) -> Check:
    """One of some names, which may be written in lower case too."""

    def rule(text: str) -> str | None:
        if text.upper() in names and text in (text.upper(), text.lower()):
            return None
        return f"must be one of {', '.join(names)}"

    return whole(rule)


def selector(patterns: dict[str, Any]) -> Iterator[tuple[Path, str]]:
    """Labels with the patterns they must match."""
    if len(patterns) > LABELS_MAX:
        yield (), f"must have at most {LABELS_MAX} entries"
        return
    for key, pattern in patterns.items():
        if pattern is None:
            yield (Key(key),), f"has no pattern for {key}: leave the label out, or write * for any value"
            continue
        complaint = _label(key) or (None if isinstance(pattern, Unknown) else _pattern(pattern))
        if complaint is not None:
            yield (Key(key),), complaint


def thresholds(percents: list[Any]) -> Iterator[tuple[Path, str]]:
    """Whole percents, ascending. What is unknown is passed over, and what stands around it is still compared."""
    if len(percents) > THRESHOLDS_MAX:
        yield (), f"must have at most {THRESHOLDS_MAX} entries"
        return
    before: Decimal | None = None
    for index, percent in enumerate(percents):
        if isinstance(percent, Unknown):
            continue
        if percent is None or percent != percent.to_integral_value() or not 0 <= percent <= THRESHOLD_PERCENT_MAX:
            yield (index,), f"must be a whole percent, 0 to {THRESHOLD_PERCENT_MAX}"
            continue
        if before is not None and percent <= before:
            yield (index,), "must be above the one before it"
        before = percent
