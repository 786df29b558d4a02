"""Terraform's type constraints, as far as they are used here."""

import enum
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias


class Primitive(enum.Enum):
    """Types without parts."""

    STRING = "string"
    NUMBER = "number"
    BOOL = "bool"


@dataclass(frozen=True, slots=True)
class Collection:
    """Many of one type: in order, or each once."""

    kind: Literal["list", "set"]
    element: "Type"


@dataclass(frozen=True, slots=True)
class Map:
    """Values of one type by name."""

    element: "Type"


@dataclass(frozen=True, slots=True)
class Object:
    """Named values, each of a type of its own."""

    members: Mapping[str, "Type"]


Type: TypeAlias = Primitive | Collection | Map | Object

STRING = Primitive.STRING
NUMBER = Primitive.NUMBER
BOOL = Primitive.BOOL


def list_of(element: Type) -> Collection:
    return Collection("list", element)


def set_of(element: Type) -> Collection:
    return Collection("set", element)


def constraint(kind: Type) -> bytes:
    """The type as it stands in a schema: compact JSON."""
    return json.dumps(_notation(kind), separators=(",", ":")).encode()


def _notation(kind: Type) -> Any:
    match kind:
        case Primitive():
            return kind.value
        case Collection():
            return [kind.kind, _notation(kind.element)]
        case Map():
            return ["map", _notation(kind.element)]
        case Object():
            return ["object", {name: _notation(member) for name, member in kind.members.items()}]
