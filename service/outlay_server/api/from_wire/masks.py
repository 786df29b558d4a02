"""Update masks (AIP-134): which settings a request means to change."""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import Any, Final

from google.protobuf.message import Message

from outlay_server.api.from_wire.fields import Fields
from outlay_server.domain.errors import echo
from outlay_server.domain.limits import VIOLATIONS_MAX

EVERYTHING: Final = "*"

IDENTITY: Final = frozenset({"name", "etag"})
"""May stand in a mask, as they do in one that is made of a whole resource; they say which, and set nothing."""


def paths_of(fields: Fields, request: Any, resource: str, settable: AbstractSet[str]) -> frozenset[str]:
    """The settings that the mask of an update names; without a mask, those that are present in the resource."""
    message: Message = getattr(request, resource)
    asked: list[str] = list(request.update_mask.paths)
    if not asked:
        return _present(message, settable)
    if EVERYTHING in asked:
        if len(asked) > 1:
            fields.violations.add("update_mask", "'*' must stand alone")
        return frozenset(path for path in settable if "." not in path)
    for index, path in enumerate(asked[:VIOLATIONS_MAX]):
        if path not in settable and path not in IDENTITY:
            fields.violations.add(f"update_mask.paths[{index}]", f"{echo(path)} is no field that can be set")
    if len(asked) > VIOLATIONS_MAX:
        fields.violations.add("update_mask", f"must have at most {VIOLATIONS_MAX} paths")
    return frozenset(asked) & settable


def _present(message: Message, settable: AbstractSet[str]) -> frozenset[str]:
    """What is set in a message: of a member that can be set part by part, its parts."""
    present: set[str] = set()
    parts: Mapping[str, list[str]] = {
        name: [path for path in settable if path.startswith(f"{name}.")] for name in settable if "." not in name
    }
    for descriptor, _ in message.ListFields():
        if descriptor.name not in parts:
            continue
        named = [path for path in parts[descriptor.name] if _is_set(getattr(message, descriptor.name), path)]
        present.update(named or [descriptor.name])
    return frozenset(present)


def _is_set(message: Message, path: str) -> bool:
    return any(descriptor.name == path.rpartition(".")[2] for descriptor, _ in message.ListFields())
