"""Valid messages made invalid, or valid in another way: at the level of bytes, and field by field."""

import random
from collections.abc import Callable
from typing import Any, Final

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

INTEGERS: Final = (-(2**63), -(2**31), -1, 0, 1, 2**31 - 1, 10**15, 10**15 + 1, 10**17, 10**17 + 1, 2**62, 2**63 - 1)
TEXTS: Final = (
    "",
    "-",
    "*",
    "\0",
    "a\0b",
    "\u202e",
    "\ufeff",
    "é",
    "𝒳" * 20,
    "x" * 300,
    "x" * 20_000,
    "' OR 1=1 --",
    "../../etc/passwd",
    "organizations/-",
    "organizations//budgets/",
    "organizations/a/budgets/b/c",
    "%00",
    "${jndi:ldap://x}",
    "9" * 400,
    "\r\nset-cookie: a",
)

_INT32 = (FieldDescriptor.CPPTYPE_INT32, FieldDescriptor.CPPTYPE_ENUM)
_NESTED_GROUPS: Final = 200


def mutant_of(message: Message, chance: random.Random) -> bytes:
    """One mutant; now and then the message itself."""
    if chance.random() < 0.4:
        changed = type(message)()
        changed.CopyFrom(message)
        for _ in range(chance.randint(1, 2)):
            _change_field(changed, chance)
        return changed.SerializeToString()
    body = message.SerializeToString()
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        body = chance.choice(_ON_BYTES)(body, chance)
    return body


def _change_field(message: Any, chance: random.Random) -> None:
    """Give one field, perhaps of a message inside, a value that few would send."""
    field = chance.choice(message.DESCRIPTOR.fields)
    name = field.name
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        _change_map(getattr(message, name), field, chance)
    elif field.message_type is not None:
        inner = getattr(message, name)
        inner = inner.add() if field.is_repeated else inner
        inner.SetInParent()
        if inner.DESCRIPTOR.fields:
            _change_field(inner, chance)
    elif field.is_repeated:
        getattr(message, name).extend([_value(field, chance) for _ in range(chance.choice((1, 2, 20, 200)))])
    else:
        setattr(message, name, _value(field, chance))


def _change_map(entries: Any, field: FieldDescriptor, chance: random.Random) -> None:
    assert field.message_type is not None, "the entries of a map are messages"
    key, value = (field.message_type.fields_by_name[part] for part in ("key", "value"))
    for number in range(chance.choice((1, 2, 17, 300))):
        entries[f"{_value(key, chance)}{number or ''}"] = _value(value, chance)


def _value(field: FieldDescriptor, chance: random.Random) -> Any:
    match field.cpp_type:
        case FieldDescriptor.CPPTYPE_STRING:
            return chance.choice(TEXTS)
        case FieldDescriptor.CPPTYPE_BOOL:
            return chance.random() < 0.5
        case FieldDescriptor.CPPTYPE_DOUBLE | FieldDescriptor.CPPTYPE_FLOAT:
            return chance.choice((0.0, -1.0, float("inf"), float("nan")))
        case kind:
            most = 2**31 if kind in _INT32 else 2**63
            return chance.choice([number for number in (*INTEGERS, 99) if -most <= number < most])


def _flip_bits(body: bytes, chance: random.Random) -> bytes:
    flipped = bytearray(body)
    for _ in range(chance.randint(1, 3)):
        if flipped:
            flipped[chance.randrange(len(flipped))] ^= 1 << chance.randrange(8)
    return bytes(flipped)


def _cut(body: bytes, chance: random.Random) -> bytes:
    return body[: chance.randrange(len(body) + 1)]


def _cut_varint(body: bytes, chance: random.Random) -> bytes:
    """A number that does not end, at the end."""
    return body + bytes([chance.randrange(1, 16) << 3]) + b"\xff" * chance.randint(1, 12)


def _noise(body: bytes, chance: random.Random) -> bytes:
    return chance.randbytes(chance.randrange(200))


def _insert(body: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(body) + 1)
    return body[:at] + chance.randbytes(chance.randint(1, 8)) + body[at:]


def _repeat(body: bytes, chance: random.Random) -> bytes:
    """A stretch of it twice: of a field that is given twice the last one counts."""
    start = chance.randrange(len(body) + 1)
    return body + body[start : start + chance.randrange(64)]


def _twice(body: bytes, chance: random.Random) -> bytes:
    return body + body


def _overlong(body: bytes, chance: random.Random) -> bytes:
    """A text that says it is longer than the message."""
    return body + bytes([chance.randrange(1, 16) << 3 | 2]) + b"\xff\xff\xff\xff\x0f" + b"x"


def _nest(body: bytes, chance: random.Random) -> bytes:
    """Groups inside groups, which no message of ours has."""
    return body + b"\x7b" * _NESTED_GROUPS + b"\x7c" * chance.choice((0, _NESTED_GROUPS))


def _bad_text(body: bytes, chance: random.Random) -> bytes:
    """A text that is not UTF-8."""
    return body + bytes([chance.randrange(1, 12) << 3 | 2, 2]) + chance.choice((b"\xc3\x28", b"\xff\xfe", b"\xed\xa0"))


_ON_BYTES: Final[tuple[Callable[[bytes, random.Random], bytes], ...]] = (
    _flip_bits,
    _flip_bits,
    _flip_bits,
    _cut,
    _cut_varint,
    _noise,
    _insert,
    _repeat,
    _twice,
    _overlong,
    _nest,
    _bad_text,
)
