"""Query parameters become the request's fields that are neither in its path nor its body."""

from collections.abc import Collection
from typing import Any, Final
from urllib.parse import parse_qsl

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from outlay_rest.fields import FIELD_MASK, Unreadable, fields_by_key, is_scalar, read_text
from outlay_rest.limits import QUERY_PARAMETERS_MAX
from outlay_rest.masks import mask_from_text
from outlay_rest.problems import Violation, echo, invalid

CREDENTIALS: Final = frozenset({"api_key", "apikey", "key", "access_token", "token", "authorization"})
"""Refused with a word of advice: URLs end up in logs and histories, so a key in one is never accepted."""


def parse_pairs(query_string: bytes) -> list[tuple[str, str]]:
    """Split a query string; what is empty stays. Raises `Refused` for what is not UTF-8 and for too many."""
    try:
        return parse_qsl(
            query_string.decode("ascii"),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=QUERY_PARAMETERS_MAX,
        )
    except UnicodeError:
        raise invalid([Violation("", "the query is not UTF-8")]) from None
    except ValueError:
        raise invalid([Violation("", f"the query has more than {QUERY_PARAMETERS_MAX} parameters")]) from None


def unknown_parameter(key: str) -> Violation:
    if key.lower() in CREDENTIALS:
        return Violation(key, "is not read: send the key in the header Authorization")
    return Violation(echo(key), "is not a known query parameter")


def read_query(pairs: list[tuple[str, str]], message: Message, taken: Collection[str]) -> list[Violation]:
    """Fill `message` and return what is wrong. The fields in `taken` are in the path or the body."""
    known = fields_by_key(message.DESCRIPTOR)
    violations: list[Violation] = []
    seen: set[str] = set()
    for key, text in pairs:
        field = known.get(key)
        if field is None or field.name in taken or not is_scalar(field):
            violations.append(unknown_parameter(key))
        elif field.name in seen and not field.is_repeated:
            violations.append(Violation(field.name, "is given twice"))
        else:
            seen.add(field.name)
            try:
                _put(message, field, text)
            except Unreadable as error:
                violations.append(Violation(field.name, str(error)))
    return violations


def _put(message: Message, field: FieldDescriptor, text: str) -> None:
    target: Any = getattr(message, field.name) if field.message_type is not None or field.is_repeated else None
    if field.message_type is not None and field.message_type.full_name == FIELD_MASK:
        target.paths.extend(mask_from_text(text, field))
    elif field.is_repeated:
        target.append(read_text(field, text))
    elif field.message_type is not None:
        target.CopyFrom(read_text(field, text))
    else:
        setattr(message, field.name, read_text(field, text))
