"""JSON Schemas of the messages: as answers print them, and as requests may be.

One message has up to three: `Budget` (an answer), `BudgetInput` (a body), `BudgetPatch` (a PATCH body, where `null`
clears).
"""

import enum
from collections.abc import Mapping
from typing import Any, Final

from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor

from outlay_rest.fields import (
    DURATION,
    FIELD_MASK,
    INTEGER_RANGES,
    STATUS,
    STRUCT,
    TIMESTAMP,
    behaviors,
    is_map,
    is_output_only,
)
from outlay_rest.from_json import MERGED, has_mask
from outlay_rest.openapi.bounds import bounds_of
from outlay_rest.openapi.comments import comments

Schema = dict[str, Any]

INTEGER_TEXT: Final = "^-?(0|[1-9][0-9]{0,18})$"


class Use(enum.Enum):
    """What a schema describes. The value is the suffix of its name."""

    ANSWER = ""
    INPUT = "Input"
    PATCH = "Patch"


class Schemas:
    """Collects the schemas that operations refer to, each once."""

    def __init__(self) -> None:
        self.components: dict[str, Schema] = {}

    def reference(self, descriptor: Descriptor, use: Use) -> Schema:
        """A `$ref` to the schema of a message, which is made at its first mention."""
        special = _special(descriptor.full_name)
        if special is not None:
            return special
        # A request message is only ever a body: its name needs no suffix.
        name = descriptor.name if descriptor.name.endswith("Request") else descriptor.name + use.value
        if name not in self.components:
            self.components[name] = {}
            self.components[name].update(self._message(descriptor, use))
        return {"$ref": f"#/components/schemas/{name}"}

    def enumeration(self, descriptor: EnumDescriptor) -> Schema:
        """A `$ref` to the schema of an enum."""
        if descriptor.name not in self.components:
            texts = comments()
            lines = [texts.get(descriptor.full_name, ""), ""]
            lines += [f"- `{v.name}`: {texts.get(f'{descriptor.full_name}.{v.name}', '')}" for v in descriptor.values]
            self.components[descriptor.name] = {
                "type": "string",
                "enum": [value.name for value in descriptor.values],
                "description": "\n".join(lines).strip(),
            }
        return {"$ref": f"#/components/schemas/{descriptor.name}"}

    def field(self, field: FieldDescriptor, use: Use) -> Schema:
        """The schema of one field, with its comment, its bounds, and `null` where that may stand."""
        schema = self._value(field, use)
        bounds = bounds_of(field.full_name)
        if use is Use.ANSWER:
            bounds = {key: value for key, value in bounds.items() if key == "examples"}
        schema = _bounded(schema, bounds)
        if use is Use.PATCH or (use is Use.INPUT and field.has_presence):
            schema = _nullable(schema)
        text = comments().get(field.full_name, "")
        return {**schema, "description": text} if text else schema

    def _message(self, descriptor: Descriptor, use: Use) -> Schema:
        fields = [field for field in descriptor.fields if use is Use.ANSWER or not is_output_only(field)]
        schema: Schema = {"type": "object"}
        if text := comments().get(descriptor.full_name):
            schema["description"] = text
        schema["properties"] = {field.name: self.field(field, use) for field in fields}
        required = [field.name for field in fields if _is_required(field, use)]
        if required:
            schema["required"] = required
        schema["additionalProperties"] = False
        return schema

    def _value(self, field: FieldDescriptor, use: Use) -> Schema:
        if is_map(field):
            assert field.message_type is not None
            return {
                "type": "object",
                "additionalProperties": self._single(field.message_type.fields_by_name["value"], use),
            }
        inner = Use.INPUT if use is Use.PATCH and not _is_merged(field) else use
        if use is Use.INPUT and field.containing_type is not None and has_mask(field.containing_type):
            inner = Use.PATCH
        if field.is_repeated:
            item = _bounded(self._single(field, inner), bounds_of(field.full_name, item=True))
            return {"type": "array", "items": item}
        return self._single(field, inner)

    def _single(self, field: FieldDescriptor, use: Use) -> Schema:
        if field.message_type is not None:
            return self.reference(field.message_type, use)
        if field.enum_type is not None:
            return self.enumeration(field.enum_type)
        return _scalar(field.type, use)


def _is_merged(field: FieldDescriptor) -> bool:
    return field.message_type is not None and field.message_type.full_name in MERGED


def _is_required(field: FieldDescriptor, use: Use) -> bool:
    match use:
        case Use.ANSWER:
            # Fields without presence are always printed.
            return not field.has_presence
        case Use.INPUT:
            return "REQUIRED" in behaviors(field)
        case Use.PATCH:
            return False


def _scalar(kind: int, use: Use) -> Schema:
    match kind:
        case FieldDescriptor.TYPE_BOOL:
            return {"type": "boolean"}
        case FieldDescriptor.TYPE_STRING:
            return {"type": "string"}
        case FieldDescriptor.TYPE_DOUBLE:
            return {"type": "number", "format": "double"}
        case FieldDescriptor.TYPE_INT32:
            lowest, highest = INTEGER_RANGES[kind]
            return {"type": "integer", "format": "int32", "minimum": lowest, "maximum": highest}
        case FieldDescriptor.TYPE_INT64 if use is Use.ANSWER:
            return {"type": "string", "format": "int64", "pattern": INTEGER_TEXT}
        case FieldDescriptor.TYPE_INT64:
            lowest, highest = INTEGER_RANGES[kind]
            return {
                "type": ["integer", "string"],
                "format": "int64",
                "pattern": INTEGER_TEXT,
                "minimum": lowest,
                "maximum": highest,
            }
    raise AssertionError(f"no field of the contract has the type {kind}")


def _special(full_name: str) -> Schema | None:
    special: Mapping[str, Schema] = {
        TIMESTAMP: {"type": "string", "format": "date-time", "examples": ["2026-01-31T12:00:00Z"]},
        DURATION: {"type": "string", "pattern": r"^-?[0-9]{1,12}(\.[0-9]{1,9})?s$", "examples": ["300s"]},
        FIELD_MASK: {"type": "string", "description": "Names of fields with commas between them."},
        STRUCT: {"type": "object"},
        "google.protobuf.Value": {"type": ["string", "number", "boolean", "array", "object", "null"]},
        STATUS: {"$ref": "#/components/schemas/Status"},
        "google.protobuf.Empty": {"type": "object", "additionalProperties": False},
    }
    return special.get(full_name)


def _bounded(schema: Schema, bounds: Mapping[str, Any]) -> Schema:
    return {**schema, **bounds} if bounds else schema


def _nullable(schema: Schema) -> Schema:
    if "$ref" in schema or "enum" in schema:
        return {"anyOf": [schema, {"type": "null"}]}
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    return {**schema, "type": [*kinds, "null"]}
