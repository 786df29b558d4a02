"""Terraform's values in Python, and how they are written as MessagePack and read from it and from stored JSON.

Null is None, a number is a `Decimal` (a float would turn 1000.10 into something else), a list or set is a list, a map
or object is a dict. What is not known yet is `UNKNOWN`. Null, `[]` and `{}` stay three different things everywhere.
"""

import json
from decimal import Decimal
from typing import Any, Final, TypeAlias

import msgpack  # type: ignore[import-untyped]

from outlay_terraform.framework.types import Collection, Map, Object, Primitive, Type


class Unknown:
    """The type of `UNKNOWN`."""

    def __repr__(self) -> str:
        return "UNKNOWN"


UNKNOWN: Final = Unknown()
"""A value that is decided during apply."""

Value: TypeAlias = Any
"""None, UNKNOWN, str, bool, Decimal, list[Value] or dict[str, Value]."""

Values: TypeAlias = dict[str, Value]
"""An object, by attribute."""

_INT64: Final = 2**63


def is_known(value: Value) -> bool:
    """Whether nothing in a value is unknown."""
    match value:
        case Unknown():
            return False
        case list():
            return all(is_known(item) for item in value)
        case dict():
            return all(is_known(item) for item in value.values())
    return True


def encode(value: Value) -> bytes:
    """MessagePack as Terraform reads it."""
    packed: bytes = msgpack.packb(value, default=_packable)
    return packed


def decode(packed: bytes, kind: Type) -> Value:
    """The value of a type in MessagePack from Terraform."""
    # Every extension is an unknown, whatever its code: 12 is one whose range is narrowed, and others may come.
    raw = msgpack.unpackb(packed, ext_hook=lambda _code, _data: UNKNOWN, strict_map_key=False)
    return conform(raw, kind)


def decode_json(text: bytes, kind: Type) -> Value:
    """The value of a type in stored JSON. What the type does not have is dropped, what is missing is null."""
    return conform(json.loads(text, parse_float=Decimal, parse_int=Decimal), kind)


def conform(raw: Any, kind: Type) -> Value:
    """`raw` as a value of the type."""
    if raw is None or isinstance(raw, Unknown):
        return raw
    match kind:
        case Primitive.NUMBER:
            # Whole numbers come as integers, others as binary floats that are exact, or as decimal text.
            return raw if isinstance(raw, Decimal) else Decimal(raw)
        case Primitive():
            return raw
        case Collection():
            return [conform(item, kind.element) for item in raw]
        case Map():
            return {key: conform(item, kind.element) for key, item in raw.items()}
        case Object():
            return {name: conform(raw.get(name), member) for name, member in kind.members.items()}
    raise AssertionError(f"{kind!r} is no type")


def _packable(value: object) -> Any:
    if isinstance(value, Unknown):
        return msgpack.ExtType(0, b"")
    if isinstance(value, Decimal):
        if value == value.to_integral_value() and abs(value) < _INT64:
            return int(value)
        return format(value, "f")
    raise TypeError(f"{type(value).__name__} is no value of Terraform's")
