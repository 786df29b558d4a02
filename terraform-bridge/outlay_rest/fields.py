"""What the descriptors say about a message's fields, and how one scalar is read from JSON or from query text."""

import functools
import re
from collections.abc import Mapping
from typing import Any, Final

from google.api import field_behavior_pb2  # type: ignore[import-untyped]
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from outlay_rest.strict_json import Json, Number

TIMESTAMP: Final = "google.protobuf.Timestamp"
DURATION: Final = "google.protobuf.Duration"
FIELD_MASK: Final = "google.protobuf.FieldMask"
STRUCT: Final = "google.protobuf.Struct"
STATUS: Final = "google.rpc.Status"

INTEGER_RANGES: Final[Mapping[int, tuple[int, int]]] = {
    FieldDescriptor.TYPE_INT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.TYPE_INT64: (-(2**63), 2**63 - 1),
}
"""Smallest and largest value of the integer types that the contract uses."""

_INTEGER: Final = re.compile(r"-?(0|[1-9][0-9]{0,18})", re.ASCII)
_TIMESTAMP: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)", re.ASCII)
_DURATION: Final = re.compile(r"-?\d{1,12}(\.\d{1,9})?s", re.ASCII)


class Unreadable(ValueError):
    """The value is not one of the field's type; the message says what one looks like."""


@functools.cache
def fields_by_key(descriptor: Descriptor) -> Mapping[str, FieldDescriptor]:
    """Every key that means a field of the message: its name as in the proto, and in lowerCamelCase."""
    return {field.name: field for field in descriptor.fields} | {field.json_name: field for field in descriptor.fields}


@functools.cache
def behaviors(field: FieldDescriptor) -> frozenset[str]:
    """Names of `google.api.FieldBehavior`, such as `OUTPUT_ONLY`."""
    values = field.GetOptions().Extensions[field_behavior_pb2.field_behavior]
    return frozenset(field_behavior_pb2.FieldBehavior.Name(value) for value in values)


def is_output_only(field: FieldDescriptor) -> bool:
    return "OUTPUT_ONLY" in behaviors(field)


def is_map(field: FieldDescriptor) -> bool:
    return field.message_type is not None and bool(field.message_type.GetOptions().map_entry)


def is_scalar(field: FieldDescriptor) -> bool:
    """Whether its JSON form is a string, number or boolean: then it can be a query parameter too."""
    return field.message_type is None or field.message_type.full_name in (TIMESTAMP, DURATION, FIELD_MASK)


def read_scalar(field: FieldDescriptor, value: Json) -> Any:
    """Return what to assign to a scalar field, or to `CopyFrom` for a Timestamp or Duration. Raises `Unreadable`."""
    if field.message_type is not None:
        return _read_time(field.message_type.full_name, value)
    if field.type in INTEGER_RANGES:
        return _read_integer(field.type, value)
    if field.enum_type is not None:
        return _read_enum(field, value)
    if field.type == FieldDescriptor.TYPE_BOOL:
        if not isinstance(value, bool):
            raise Unreadable("must be true or false")
        return value
    assert field.type == FieldDescriptor.TYPE_STRING, field.full_name
    if not isinstance(value, str):
        raise Unreadable("must be a string")
    return value


def read_text(field: FieldDescriptor, text: str) -> Any:
    """The same for a query parameter, where everything is text."""
    if field.type == FieldDescriptor.TYPE_BOOL:
        return read_scalar(field, {"true": True, "false": False}.get(text, text))
    return read_scalar(field, text)


def _read_integer(kind: int, value: Json) -> int:
    """One grammar for numbers and strings: `1_000`, `٣`, `+5`, `1e3` and `true` mean something to some parser."""
    lowest, highest = INTEGER_RANGES[kind]
    if isinstance(value, str) and _INTEGER.fullmatch(value):
        value = int(value)
    if isinstance(value, Number) or type(value) is not int:
        raise Unreadable("must be an integer: digits, as a number or a string")
    if not lowest <= value <= highest:
        raise Unreadable(f"must be {lowest} to {highest}")
    return value


def _read_enum(field: FieldDescriptor, value: Json) -> int:
    assert field.enum_type is not None
    known = field.enum_type.values_by_name
    if not isinstance(value, str) or value not in known:
        raise Unreadable(f"must be one of {', '.join(known)}")
    return known[value].number


def _read_time(type_name: str, value: Json) -> Timestamp | Duration:
    try:
        if type_name == TIMESTAMP:
            if isinstance(value, str) and _TIMESTAMP.fullmatch(value):
                instant = Timestamp()
                instant.FromJsonString(value)
                return instant
        elif type_name == DURATION and isinstance(value, str) and _DURATION.fullmatch(value):
            span = Duration()
            span.FromJsonString(value)
            return span
    except ValueError:
        pass
    if type_name == TIMESTAMP:
        raise Unreadable("must be an RFC 3339 instant, such as 2026-01-31T12:00:00Z")
    raise Unreadable("must be seconds and an s, such as 300s or 1.5s")
