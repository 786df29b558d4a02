"""Callers of a real server over a real channel, and every error they get, taken apart.

`Caller` blocks and asks one thing at a time, so a test can say which call did what. `AsyncCaller` is for many at once.
Both know methods by their short names (`CheckSpend`), which are unique over both services.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self

import grpc
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]

from outlay.v1 import admin_service_pb2, budget_service_pb2

CALL_TIMEOUT_SECONDS: Final = 20.0
"""Well above what the server takes at most by itself; a call that lasts so long hangs."""

STATUS_TRAILER: Final = "grpc-status-details-bin"

_CHANNEL_OPTIONS: Final = (
    # Each caller a connection of its own, as separate processes would have.
    ("grpc.use_local_subchannel_pool", 1),
    # A server that was killed comes back within a second; the default waits that long before it looks again.
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 200),
    ("grpc.max_receive_message_length", 64 * 1024 * 1024),
)

Metadata = Sequence[tuple[str, str | bytes]]

METHODS: Final[Mapping[str, MethodDescriptor]] = {
    method.name: method
    for service in (
        budget_service_pb2.DESCRIPTOR.services_by_name["BudgetService"],
        admin_service_pb2.DESCRIPTOR.services_by_name["AdminService"],
    )
    for method in service.methods
}
"""Every RPC of the contract, by its short name."""


def path_of(name: str) -> str:
    """The path on the wire of a method of `METHODS`; a path stays as it is."""
    if name.startswith("/"):
        return name
    method = METHODS[name]
    return f"/{method.containing_service.full_name}/{name}"


def new_request(name: str) -> Any:
    """An empty request of a method."""
    return GetMessageClass(METHODS[name].input_type)()


@dataclass(eq=False)
class Failure(Exception):
    """A call that did not answer OK."""

    code: grpc.StatusCode
    message: str
    status: status_pb2.Status | None
    """What came with it in `grpc-status-details-bin`. None: the server had no say, or did not keep to its contract."""
    trailers: tuple[tuple[str, str | bytes], ...]

    @property
    def info(self) -> error_details_pb2.ErrorInfo:
        """Its ErrorInfo; an empty one where there is none."""
        info = error_details_pb2.ErrorInfo()
        self._unpack(info)
        return info

    @property
    def reason(self) -> str:
        return str(self.info.reason)

    @property
    def metadata(self) -> dict[str, str]:
        return dict(self.info.metadata)

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields that a BadRequest names, in its order."""
        bad_request = error_details_pb2.BadRequest()
        self._unpack(bad_request)
        return tuple(violation.field for violation in bad_request.field_violations)

    def trailer(self, key: str) -> str | bytes | None:
        return dict(self.trailers).get(key)

    def __str__(self) -> str:
        return f"{self.code.name} {self.reason or '(no ErrorInfo)'}: {self.message} {self.metadata or ''}"

    def _unpack(self, detail: Message) -> None:
        for packed in self.status.details if self.status is not None else ():
            if packed.Is(detail.DESCRIPTOR):
                packed.Unpack(detail)
                return


def failure_of(error: grpc.RpcError | grpc.aio.AioRpcError) -> Failure:
    """Take an error of grpc apart."""
    pairs: Any = error.trailing_metadata() or ()
    trailers = tuple((key, value) for key, value in pairs)
    details = dict(trailers).get(STATUS_TRAILER)
    status = status_pb2.Status.FromString(details) if isinstance(details, bytes) else None
    return Failure(error.code(), error.details() or "", status, trailers)


def authorization(key: str | None) -> Metadata:
    """The metadata that carries a key."""
    return () if key is None else (("authorization", f"Bearer {key}"),)


class Caller:
    """One caller with one key and a connection of its own."""

    def __init__(self, address: str, key: str | None) -> None:
        self.address = address
        self.key = key
        self.channel = grpc.insecure_channel(address, options=_CHANNEL_OPTIONS)
        self._raw: dict[str, Any] = {}

    def with_key(self, key: str | None) -> "Caller":
        """Another caller at the same server."""
        return Caller(self.address, key)

    def call(
        self,
        name: str,
        request: Message,
        *,
        metadata: Metadata = (),
        timeout_seconds: float | None = CALL_TIMEOUT_SECONDS,
    ) -> Any:
        """The answer to a method of `METHODS`. Raises `Failure`."""
        body = self.raw(name, request.SerializeToString(), metadata=metadata, timeout_seconds=timeout_seconds)
        return GetMessageClass(METHODS[name].output_type).FromString(body)

    def raw(
        self,
        name: str,
        body: bytes,
        *,
        metadata: Metadata = (),
        timeout_seconds: float | None = CALL_TIMEOUT_SECONDS,
    ) -> bytes:
        """The answer's bytes to a request's bytes, of any path. Raises `Failure`.

        A streaming method is asked for its first answer.
        """
        sent = (*authorization(self.key), *metadata)
        try:
            if (method := METHODS.get(name)) is not None and method.server_streaming:
                call: Any = self.channel.unary_stream(path_of(name))
                stream = call(body, metadata=sent, timeout=timeout_seconds)
                first: bytes = next(iter(stream))
                return first
            answer: bytes = self._callable(name)(body, metadata=sent, timeout=timeout_seconds)
        except grpc.RpcError as error:
            raise failure_of(error) from None
        else:
            return answer

    def fails(self, name: str, request: Message | bytes, **options: Any) -> Failure:
        """The failure of a call that must fail."""
        body = request if isinstance(request, bytes) else request.SerializeToString()
        try:
            answer = self.raw(name, body, **options)
        except Failure as failure:
            return failure
        shown = GetMessageClass(METHODS[name].output_type).FromString(answer) if name in METHODS else answer
        raise AssertionError(f"{name} answered OK: {shown!r}")

    def close(self) -> None:
        self.channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _callable(self, name: str) -> Any:
        if name not in self._raw:
            self._raw[name] = self.channel.unary_unary(path_of(name))
        return self._raw[name]


class AsyncCaller:
    """One caller with a connection of its own, many of which may ask at once."""

    def __init__(self, address: str, key: str | None) -> None:
        self.address = address
        self.key = key
        self.channel = grpc.aio.insecure_channel(address, options=_CHANNEL_OPTIONS)
        self._metadata = authorization(key)
        self._raw: dict[str, Any] = {}

    async def call(self, name: str, request: Message, *, timeout_seconds: float = CALL_TIMEOUT_SECONDS) -> Any:
        """The answer to a method of `METHODS`. Raises `Failure`."""
        body = await self.raw(name, request.SerializeToString(), timeout_seconds=timeout_seconds)
        return GetMessageClass(METHODS[name].output_type).FromString(body)

    async def raw(self, name: str, body: bytes, *, timeout_seconds: float = CALL_TIMEOUT_SECONDS) -> bytes:
        """The answer's bytes to a request's bytes. Raises `Failure`. Of a stream only whether it opens: no bytes."""
        try:
            if (method := METHODS.get(name)) is not None and method.server_streaming:
                await self._open(name, body, timeout_seconds)
                return b""
            answer: bytes = await self.start(name, body, timeout_seconds=timeout_seconds)
        except grpc.aio.AioRpcError as error:
            raise failure_of(error) from None
        else:
            return answer

    async def _open(self, name: str, body: bytes, timeout_seconds: float) -> None:
        call: Any = self.channel.unary_stream(path_of(name))
        stream = call(body, metadata=self._metadata, timeout=timeout_seconds)
        await stream.wait_for_connection()
        stream.cancel()

    def start(self, name: str, body: bytes, *, timeout_seconds: float = CALL_TIMEOUT_SECONDS) -> Any:
        """The call itself, to be awaited or cancelled."""
        if name not in self._raw:
            self._raw[name] = self.channel.unary_unary(path_of(name))
        return self._raw[name](body, metadata=self._metadata, timeout=timeout_seconds)

    async def close(self) -> None:
        await self.channel.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
