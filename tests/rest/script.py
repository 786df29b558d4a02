"""A `Call` with scripted answers: what a request becomes is seen at the seam, without a server."""

from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import Message
from google.rpc import code_pb2, error_details_pb2, status_pb2

from outlay_rest import CallFailed

KEY = "Bearer sk_test"
"""The one key that the script takes."""


@dataclass
class Seen:
    """One call as it arrived."""

    method: str
    message: Any
    headers: Mapping[str, str]
    deadline_seconds: float | None


def failed(code: str, reason: str, message: str = "", *details: Message, **facts: str) -> CallFailed:
    status = status_pb2.Status(code=code_pb2.Code.Value(code), message=message)
    for detail in (error_details_pb2.ErrorInfo(reason=reason, domain="outlay.dev", metadata=facts), *details):
        packed = AnyMessage()
        packed.Pack(detail)
        status.details.append(packed)
    return CallFailed(status, "server-side-id")


@dataclass
class Script:
    """A `Call`: answers by the method's short name, and remembers what was asked."""

    answers: dict[str, Message | Exception | Callable[[Any], Message]] = field(default_factory=dict)
    streamed: dict[str, list[Message | Exception | None]] = field(default_factory=dict)
    seen: list[Seen] = field(default_factory=list)

    async def __call__(
        self, method: str, message: Message, headers: Mapping[str, str], deadline_seconds: float | None
    ) -> tuple[Message, str]:
        if headers.get("authorization") != KEY:
            raise failed("UNAUTHENTICATED", "INVALID_API_KEY", "Send a valid key.")
        self.seen.append(Seen(method, message, headers, deadline_seconds))
        answer = self.answers[method.rpartition("/")[2]]
        if isinstance(answer, Exception):
            raise answer
        return (answer if isinstance(answer, Message) else answer(message)), headers["x-request-id"]

    async def stream(
        self, method: str, message: Message, headers: Mapping[str, str], correlation_id: str
    ) -> AsyncGenerator[Message | None, None]:
        """A `Stream`: a pulse, then the answers of the method, and its failure where that is the last of them."""
        if headers.get("authorization") != KEY:
            raise failed("UNAUTHENTICATED", "INVALID_API_KEY", "Send a valid key.")
        self.seen.append(Seen(method, message, headers, None))
        yield None
        for answer in self.streamed[method.rpartition("/")[2]]:
            if isinstance(answer, Exception):
                raise answer
            yield answer

    @property
    def methods(self) -> list[str]:
        return [seen.method.rpartition("/")[2] for seen in self.seen]

    def last(self) -> Any:
        """The message of the last call."""
        return self.seen[-1].message
