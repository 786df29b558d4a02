"""The seam to whoever answers the RPCs: this package knows descriptors and is handed a function."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping

from google.protobuf.message import Message
from google.rpc import status_pb2  # type: ignore[import-untyped]


class CallFailed(Exception):
    """An RPC ended with a status other than OK; `status` carries ErrorInfo, BadRequest and RetryInfo as details."""

    def __init__(self, status: status_pb2.Status, correlation_id: str = "") -> None:
        super().__init__(status.message)
        self.status = status
        self.correlation_id = correlation_id


Call = Callable[[str, Message, Mapping[str, str], float | None], Awaitable[tuple[Message, str]]]
"""`await call(method, request, headers, deadline_seconds)` gives the answer and the correlation id of the call.

`method` is `/outlay.v1.BudgetService/GetBudget`; the names in `headers` are lower-case; without a deadline the server's
default holds. Raises `CallFailed`.
"""

Stream = Callable[[str, Message, Mapping[str, str], str], AsyncGenerator[Message | None, None]]
"""`stream(method, request, headers, correlation_id)` gives answers, and None for a pulse: first when the caller was let
in, then whenever nothing happened for a while. Raises `CallFailed` in its course."""
