"""Attributes: what they are called, who sets them, and the rules by which they are checked, planned and compared."""

import enum
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeAlias

from outlay_terraform.framework.diagnostics import Diagnostic, Path, error, written
from outlay_terraform.framework.types import Object, Type
from outlay_terraform.framework.values import UNKNOWN, Unknown, Value, Values


class Mode(enum.Enum):
    """Who sets an attribute."""

    REQUIRED = "REQUIRED"
    """The configuration, always."""
    OPTIONAL = "OPTIONAL"
    """The configuration; absent is null, on the server too: removing the line clears the setting."""
    DEFAULTED = "DEFAULTED"
    """The configuration; absent is the default, which the plan shows. Removing the line brings the default back."""
    COMPUTED = "COMPUTED"
    """The provider alone."""


Check: TypeAlias = Callable[[Any], Iterable[tuple[Path, str]]]
"""What is wrong with a value that is not null: where in it, and what. Parts of the value may be unknown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribute:
    """One attribute of a block or of an object."""

    name: str
    description: str
    """Markdown, for the documentation."""
    type: Type
    mode: Mode = Mode.COMPUTED
    default: Callable[[Values, Values], Value] | None = None
    """Of a DEFAULTED attribute: from the attributes that stand before it, planned, and from the configuration."""
    derived: Callable[[Values], Value] | None = None
    """Of a COMPUTED attribute: its value after a change, from the planned attributes before it. None: not known."""
    kept: bool = False
    """Whether a COMPUTED attribute survives every change."""
    replaces: bool = False
    """Whether another value takes another resource."""
    sensitive: bool = False
    write_only: bool = False
    """Only ever in the configuration: never in a plan, a state or an answer."""
    same: Callable[[Any, Any], bool] = lambda one, other: bool(one == other)
    """Whether two known values, not null, mean the same to the service."""
    checks: tuple[Check, ...] = ()
    members: tuple["Attribute", ...] = ()
    """The attributes of the object, or of the objects in the list, where they are described one by one."""

    def means_same(self, one: Value, other: Value) -> bool:
        """Whether two values mean the same to the service. Null means what only null means."""
        if one is None or other is None or isinstance(one, Unknown) or isinstance(other, Unknown):
            return one is other
        if self.members and isinstance(one, dict):
            return all(each.means_same(one[each.name], other[each.name]) for each in self.members)
        return self.same(one, other)

    def as_written(self, written: Value, found: Value) -> Value:
        """`found`, in the words of `written` where they mean the same."""
        if self.members and isinstance(written, dict) and isinstance(found, dict):
            return {each.name: each.as_written(written[each.name], found[each.name]) for each in self.members}
        return written if self.means_same(written, found) else found

    def complaints(self, value: Value, path: Path) -> Iterator[Diagnostic]:
        """What is wrong with a configured value. An unknown one is checked when it is known."""
        if value is None or isinstance(value, Unknown):
            return
        for check in self.checks:
            for where, complaint in check(value):
                at = (*path, *where)
                yield error(f"Invalid {written(path)}", f"{written(at)} {complaint}", at)
        if isinstance(value, dict):
            for member in self.members:
                yield from member.complaints(value[member.name], (*path, member.name))


@dataclass(frozen=True)
class Schema:
    """A block."""

    description: str
    attributes: tuple[Attribute, ...]
    version: int = 0

    @cached_property
    def type(self) -> Object:
        return Object({each.name: each.type for each in self.attributes})

    @cached_property
    def by_name(self) -> Mapping[str, Attribute]:
        return {each.name: each for each in self.attributes}

    def complaints(self, config: Values) -> Iterator[Diagnostic]:
        for each in self.attributes:
            yield from each.complaints(config[each.name], (each.name,))

    def as_written(self, written: Values, found: Values) -> Values:
        """`found`, in the words of `written` where they mean the same; what is write-only is null."""
        return {
            each.name: None if each.write_only else each.as_written(written[each.name], found[each.name])
            for each in self.attributes
        }


def object_of(members: Iterable[Attribute]) -> Object:
    """The type of an object with these attributes."""
    return Object({each.name: each.type for each in members})


@dataclass(frozen=True)
class FunctionSchema:
    """A function: its parameters by name, in order, and what it returns."""

    summary: str
    description: str
    result: Type
    parameters: Mapping[str, tuple[Type, str]] = field(default_factory=dict)
    """By name: type and description."""


def known(value: Value) -> bool:
    """Whether there is a value: neither null nor unknown."""
    return value is not None and value is not UNKNOWN
