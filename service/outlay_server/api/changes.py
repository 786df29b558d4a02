"""Changes of settings that happen once: what was answered under a request_id is answered again."""

import hashlib
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol, TypeVar

from google.api import field_behavior_pb2, resource_pb2  # type: ignore[import-untyped]
from google.protobuf.json_format import MessageToDict, ParseDict
from google.protobuf.message import Message

from outlay_server.api.caller import Call
from outlay_server.control import Origin, replay
from outlay_server.domain.errors import AlreadyExists
from outlay_server.store.contract import ControlTransaction, Store

M = TypeVar("M", bound=Message)

_SECRET: Final = "secret"  # noqa: S105  # no secret: the name of fields that hold one
OUTPUT_ONLY: Final = field_behavior_pb2.FieldBehavior.OUTPUT_ONLY


class ChangeRequest(Protocol):
    """Any request of the contract that changes something."""

    request_id: str


async def change_once(
    store: Store,
    call: Call,
    organization_id: str,
    request: ChangeRequest,
    answer_type: type[M],
    work: Callable[[ControlTransaction, Origin], M],
) -> M:
    """Run `work` in one transaction and return its answer; the first answer, where the request_id has had its effect.

    Only effects are remembered, so a request that is only validated neither finds nor leaves anything. A secret is left
    out of what is remembered: nothing that opens is ever stored.
    """
    origin = call.origin(request.request_id)
    if not request.request_id or getattr(request, "validate_only", False):
        return await store.change(lambda transaction: work(transaction, origin))
    content = _content(request)

    def once(transaction: ControlTransaction) -> M:
        earlier = replay.find(transaction, organization_id, request.request_id, call.method, content)
        if earlier is not None:
            return ParseDict(earlier, answer_type())
        answer = work(transaction, origin)
        remembered = _json_of(answer)
        remembered.pop(_SECRET, None)
        replay.remember(transaction, organization_id, request.request_id, call.method, content, remembered)
        return answer

    try:
        return await store.change(once)
    except AlreadyExists:
        # Two equal requests at once, and the other was first: it had nothing to lock that this one could wait for,
        # because what both make was not there. Now it is, and the first answer with it.
        return await store.change(once)


def _content(request: Any) -> dict[str, Any]:
    """Everything that makes two requests the same, by the names of the wire: `budget.hard_cap_micros`.

    Fields that callers cannot set are left out, as they are ignored. Messages below the resource are kept as their
    bytes: not every Timestamp that can be sent can be written as JSON.
    """
    content: dict[str, Any] = {}
    for field, value in request.ListFields():
        if field.name == "request_id":
            continue
        if field.message_type is not None and field.message_type.GetOptions().HasExtension(resource_pb2.resource):
            for part, inner in value.ListFields():
                if OUTPUT_ONLY not in part.GetOptions().Extensions[field_behavior_pb2.field_behavior]:
                    content[f"{field.name}.{part.name}"] = _unsecret(part.name, inner)
        else:
            content[field.name] = _unsecret(field.name, value)
    return content


def _unsecret(name: str, value: Any) -> Any:
    """A field to compare; of a secret, which is stored nowhere but where it is used, a digest."""
    return hashlib.sha256(value.encode()).hexdigest() if name == _SECRET else _comparable(value)


def _comparable(value: Any) -> Any:
    if isinstance(value, Message):
        content = value.SerializeToString(deterministic=True)
        return hashlib.sha256(content).hexdigest() if _may_hold_secret(value) else content.hex()
    if isinstance(value, Mapping):
        return {key: _comparable(value[key]) for key in sorted(value)}
    if isinstance(value, str | bool | int):
        return value
    return [_comparable(each) for each in value]


def _may_hold_secret(message: Message) -> bool:
    """Whether a message, or one right inside it, has a field for one, as the endpoints of caps in code have."""
    return any(
        _SECRET in described.fields_by_name
        for described in (message.DESCRIPTOR, *(field.message_type for field in message.DESCRIPTOR.fields))
        if described is not None
    )


def _json_of(message: Message) -> dict[str, Any]:
    return MessageToDict(message, preserving_proto_field_name=True)
