"""A JSON object becomes a message: every violation is found at once, and nothing is guessed.

Keys are the proto's names or their lowerCamelCase forms, never both for one field. Output-only fields are ignored
(AIP-203), so that an answer can be sent back as it came. `null` means absent for a field that can be absent; in the
body of a PATCH, and in a resource that stands beside a mask, it means "clear" for every field.
"""

from collections.abc import Callable, Iterator
from typing import Any, Final

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from outlay_rest.fields import FIELD_MASK, Unreadable, fields_by_key, is_map, is_output_only, is_scalar, read_scalar
from outlay_rest.masks import mask_from_text
from outlay_rest.problems import Violation, echo
from outlay_rest.strict_json import Json

MERGED: Final = frozenset({"outlay.v1.Cycle"})
"""Messages whose members a PATCH sets one by one. All others are replaced as a whole: a temporary cap with its reason
and its end is one decision, and so is a set of labels."""

_MASK: Final = "update_mask"

_PRECONDITIONS: Final = frozenset({"name", "etag"})
"""Keys of a resource that say which one is meant and in which state, and are no settings."""

_NEVER_ANSWERED: Final = frozenset({"secret"})
"""Fields that answers leave empty although they hold something: sent back as they came, they are not to be changed."""


def read_message(value: Json, message: Message, path: str, *, patch: bool = False) -> list[Violation]:
    """Fill `message` from a JSON value and return what is wrong with it. `path` is that of the message itself."""
    violations: list[Violation] = []
    _read_object(value, message, path, violations, patch=patch)
    return violations


def mask_paths(body: Json, descriptor: Descriptor) -> list[str]:
    """Return the field mask that the keys of a valid PATCH body mean: what is named is set, and `null` clears.

    Members of `MERGED` messages are named one by one (`cycle.period`). `name`, `etag` and output-only fields are not
    settings and not in it.
    """
    paths: list[str] = []
    for field, value in _known(body, descriptor):
        if field.name in _PRECONDITIONS or is_output_only(field) or (field.name in _NEVER_ANSWERED and value == ""):
            continue
        if field.message_type is not None and field.message_type.full_name in MERGED and value is not None:
            paths += [f"{field.name}.{member.name}" for member, _ in _known(value, field.message_type)]
        else:
            paths.append(field.name)
    return paths


def _known(body: dict[str, Json], descriptor: Descriptor) -> Iterator[tuple[FieldDescriptor, Json]]:
    known = fields_by_key(descriptor)
    return ((known[key], value) for key, value in body.items())


def join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _read_object(value: Json, message: Message, path: str, violations: list[Violation], *, patch: bool) -> None:
    if not isinstance(value, dict):
        violations.append(Violation(path, "must be a JSON object"))
        return
    known = fields_by_key(message.DESCRIPTOR)
    seen: set[str] = set()
    for key, item in value.items():
        field = known.get(key)
        if field is None:
            violations.append(Violation(join(path, _shown(key)), "is not a known field"))
        elif field.name in seen:
            violations.append(Violation(join(path, field.name), f"is given twice, also as {echo(key)}"))
        elif not is_output_only(field):
            _read_field(item, message, field, join(path, field.name), violations, patch=patch)
        if field is not None:
            seen.add(field.name)
    if has_mask(message.DESCRIPTOR) and not violations and not message.HasField(_MASK):
        _put_mask(value, message)


def has_mask(descriptor: Any) -> bool:
    """Whether a message says by a mask which fields of the resource beside it are meant: `DesiredBudget`."""
    return _MASK in descriptor.fields_by_name


def _put_mask(value: dict[str, Json], message: Any) -> None:
    """Without a mask the keys of the resource are meant, as in the body of a PATCH."""
    for field, member in _known(value, message.DESCRIPTOR):
        if field.message_type is not None and isinstance(member, dict):
            message.update_mask.paths.extend(mask_paths(member, field.message_type))


def _shown(key: str) -> str:
    """An unknown key as part of a path: plain where it is a plain name, quoted and escaped where not."""
    return key if key.isidentifier() and key.isascii() and len(key) <= 64 else echo(key)


def _read_field(
    value: Json, message: Message, field: FieldDescriptor, path: str, violations: list[Violation], *, patch: bool
) -> None:
    if value is None:
        # Left out, a number or text without presence would be 0 or empty: an amount that nobody meant.
        if not patch and not field.has_presence:
            violations.append(Violation(path, "must not be null"))
        return
    if field.message_type is not None and field.message_type.full_name == FIELD_MASK:
        _read_mask(value, getattr(message, field.name), field, path, violations)
    elif is_map(field):
        _read_map(value, getattr(message, field.name), field, path, violations)
    elif field.is_repeated:
        _read_list(value, getattr(message, field.name), field, path, violations)
    elif is_scalar(field):
        _read_into(value, field, path, violations, lambda read: _assign(message, field, read))
    else:
        assert field.message_type is not None
        member = getattr(message, field.name)
        # An empty object is present: `alert_thresholds: {}` means none, and absent means the default.
        member.SetInParent()
        inner = has_mask(message.DESCRIPTOR) or (patch and field.message_type.full_name in MERGED)
        _read_object(value, member, path, violations, patch=inner)


def _read_mask(value: Json, target: Any, field: FieldDescriptor, path: str, violations: list[Violation]) -> None:
    try:
        if not isinstance(value, str):
            raise Unreadable("must be names of fields with commas between them")
        target.paths.extend(mask_from_text(value, field))
    except Unreadable as error:
        violations.append(Violation(path, str(error)))


def _read_list(value: Json, target: Any, field: FieldDescriptor, path: str, violations: list[Violation]) -> None:
    if not isinstance(value, list):
        violations.append(Violation(path, "must be a list"))
        return
    for index, item in enumerate(value):
        item_path = f"{path}[{index}]"
        if field.message_type is not None and not is_scalar(field):
            _read_object(item, target.add(), item_path, violations, patch=False)
        else:
            _read_into(item, field, item_path, violations, target.append)


def _read_map(value: Json, target: Any, field: FieldDescriptor, path: str, violations: list[Violation]) -> None:
    if not isinstance(value, dict):
        violations.append(Violation(path, "must be a JSON object"))
        return
    assert field.message_type is not None
    value_field = field.message_type.fields_by_name["value"]
    for key, item in value.items():

        def put(read: Any, key: str = key) -> None:
            target[key] = read

        _read_into(item, value_field, f"{path}[{echo(key)}]", violations, put)


def _read_into(
    value: Json, field: FieldDescriptor, path: str, violations: list[Violation], put: Callable[[Any], None]
) -> None:
    try:
        put(read_scalar(field, value))
    except Unreadable as error:
        violations.append(Violation(path, str(error)))


def _assign(message: Message, field: FieldDescriptor, read: Any) -> None:
    if isinstance(read, Message):
        getattr(message, field.name).CopyFrom(read)
    else:
        setattr(message, field.name, read)
