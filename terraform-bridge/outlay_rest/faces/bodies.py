"""What the two faces share in reading a request: its organization, its JSON object, and its strictly typed values."""

import re
from collections.abc import Collection
from typing import Final

from starlette.requests import Request

from outlay_rest.bodies import check_content_type, read_body
from outlay_rest.limits import BODY_MAX_BYTES, CAP_MICROS_MAX
from outlay_rest.problems import Violation, echo, invalid
from outlay_rest.query import parse_pairs, unknown_parameter
from outlay_rest.strict_json import Json, NotJson, parse

_ORGANIZATION: Final = re.compile(r"[a-z][a-z0-9-]{0,62}", re.ASCII)

OWN_ORGANIZATION: Final = "organizations/-"
"""The organization of the calling key. A platform key has none, and is refused with it."""


def organization_of(request: Request) -> str:
    """The name of the organization that `?organization=` names, for platform keys. Raises `Refused`."""
    pairs = parse_pairs(request.scope["query_string"])
    violations = [unknown_parameter(key) for key, _ in pairs if key != "organization"]
    named = [value for key, value in pairs if key == "organization"]
    if len(named) > 1:
        violations.append(Violation("organization", "is given twice"))
    elif named and not _ORGANIZATION.fullmatch(named[0].removeprefix("organizations/")):
        violations.append(Violation("organization", "must be an organization's id or name"))
    if violations:
        raise invalid(violations)
    return f"organizations/{named[0].removeprefix('organizations/')}" if named else OWN_ORGANIZATION


async def read_object(request: Request, known: Collection[str], *, empty_allowed: bool) -> dict[str, Json]:
    """Return the body's object, whose keys are all `known`. An empty body reads as `{}` where it is allowed.

    Raises `Refused`.
    """
    data = await read_body(request, BODY_MAX_BYTES)
    if not data and empty_allowed:
        return {}
    if data:
        check_content_type(request)
    try:
        document = parse(data)
    except NotJson as error:
        raise invalid([Violation("", f"the body {error}")]) from None
    if not isinstance(document, dict):
        raise invalid([Violation("", "the body must be a JSON object")])
    if unknown := [key for key in document if key not in known]:
        raise invalid([Violation(echo(key), "is not a known key") for key in unknown])
    return document


class Values:
    """Reads values of one body and collects what is wrong with them, so that all of it is answered at once."""

    def __init__(self, body: dict[str, Json]) -> None:
        self._body = body
        self.violations: list[Violation] = []

    def amount_micros(self, key: str, micros_per_unit: int) -> int | None:
        """A whole amount, in micros; None for `null`, and where it is none."""
        value, most = self._body[key], CAP_MICROS_MAX // micros_per_unit
        if value is None:
            return None
        if type(value) is not int or not 0 <= value <= most:
            self._add(key, f"must be an integer from 0 to {most}, or null")
            return None
        return value * micros_per_unit

    def flag(self, key: str, *, when_null: bool | None) -> bool:
        """True or false; `null` means `when_null`, and is refused where that is None."""
        value = self._body[key]
        if value is None and when_null is not None:
            return when_null
        if not isinstance(value, bool):
            self._add(key, "must be true or false" if when_null is None else "must be true, false or null")
            return False
        return value

    def percents(self, key: str, lowest: int, highest: int, most: int) -> list[int] | None:
        """Whole percents, sorted and each once; None for `null`, and where they are none."""
        value = self._body[key]
        if value is None:
            return None
        text = f"must be a list of at most {most} integers from {lowest} to {highest}, or null"
        if not isinstance(value, list) or not all(type(item) is int and lowest <= item <= highest for item in value):
            self._add(key, text)
            return None
        percents = sorted(set(value))
        if len(percents) > most:
            self._add(key, text)
            return None
        return percents

    def refuse(self, key: str, description: str) -> None:
        """Note that the key may not be sent at all."""
        self._add(key, description)

    def raise_if_any(self) -> None:
        if self.violations:
            raise invalid(self.violations)

    def _add(self, key: str, description: str) -> None:
        self.violations.append(Violation(key, description))
