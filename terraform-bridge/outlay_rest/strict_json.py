"""JSON read strictly: what two parsers could read differently is refused (RFC 8259 and I-JSON, RFC 7493).

Refused are: a byte order mark, text that is not UTF-8, lone surrogates, a key twice in one object, NaN and infinities,
a number beyond what a double holds, more than one document, and nesting deeper than 64. An integer with more digits
than an int64 has, and every number that is written with a point or an exponent, stays a `Number`: it is valid JSON, and
no field of the contract takes it.
"""

import json
import math
import re
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from outlay_rest.limits import DEPTH_MAX, INTEGER_MAX_DIGITS
from outlay_rest.problems import echo

Json = Any
"""None, bool, int, str, `Number`, list of these, or dict of str to these. Never a float."""

_BOM: Final = b"\xef\xbb\xbf"
_STRING: Final = re.compile(rb'"(?:[^"\\]|\\.)*"?', re.DOTALL)
_BRACKET: Final = re.compile(rb"[\[\]{}]")


class NotJson(ValueError):
    """The text is not one strict JSON document; the message says why, for the caller."""


@dataclass(frozen=True, slots=True)
class Number:
    """A number that is not a plain integer of int64's length, as it was written."""

    text: str


def parse(data: bytes) -> Json:
    """Return the one document in `data`. Raises `NotJson`."""
    if data.startswith(_BOM):
        raise NotJson("begins with a byte order mark")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise NotJson(f"is not UTF-8 at byte {error.start}") from None
    # Counting is enough for every honest body; the exact depth is only looked at where it could be too much.
    if data.count(b"[") + data.count(b"{") > DEPTH_MAX:
        _check_depth(data)
    try:
        document = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise NotJson(f"is not JSON: {error.msg} at line {error.lineno} column {error.colno}") from None
    if b"\\u" in data:
        _check_surrogates(document)
    return document


def _check_depth(data: bytes) -> None:
    depth = 0
    for bracket in _BRACKET.finditer(_STRING.sub(b"", data)):
        depth += 1 if bracket.group() in b"[{" else -1
        if depth > DEPTH_MAX:
            raise NotJson(f"is nested deeper than {DEPTH_MAX}")


def _check_surrogates(document: Json) -> None:
    match document:
        case str():
            try:
                document.encode("utf-8")
            except UnicodeEncodeError:
                raise NotJson(f"holds half a surrogate pair in {echo(document)}") from None
        case list():
            for item in document:
                _check_surrogates(item)
        case dict():
            for key, value in document.items():
                _check_surrogates(key)
                _check_surrogates(value)


def _object(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    # The last of two equal keys would win silently: the caller and we could mean different ones.
    result = dict(pairs)
    if len(result) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise NotJson(f"has the key {echo(twice)} twice in one object")
    return result


def _integer(text: str) -> int | Number:
    return int(text) if len(text.lstrip("-")) <= INTEGER_MAX_DIGITS else Number(text)


def _real(text: str) -> Number:
    if not math.isfinite(float(text)):
        raise NotJson(f"holds the number {echo(text)}, which no double can hold")
    return Number(text)


def _constant(text: str) -> NoReturn:
    raise NotJson(f"holds {text}, which is not JSON")


_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_object, parse_int=_integer, parse_float=_real, parse_constant=_constant, strict=True
)
