"""Calls to a service: one channel a command, the key and the source on every call, failures as one line."""

import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Final, TypeVar

import grpc
from google.protobuf.message import Message

from outlay.v1.admin_service_pb2_grpc import AdminServiceStub
from outlay.v1.budget_service_pb2_grpc import BudgetServiceStub
from outlay_cli.connection import ClientSettings, from_environment
from outlay_cli.errors import from_rpc_error

Request = TypeVar("Request", bound=Message)
Answer = TypeVar("Answer", bound=Message)
Item = TypeVar("Item")

TIMEOUT_SECONDS: Final = 10.0
"""Of one call: longer than the server's own default of 5 s, so that its answer wins."""

PAGE_SIZE_MAX: Final = 1000
"""The largest page the service gives."""


class Remote:
    """The two services, called with one key."""

    def __init__(
        self,
        channel: grpc.Channel,
        settings: ClientSettings,
        *,
        source: str,
        timeout_seconds: float,
        takes_request_id: bool,
    ) -> None:
        self.budgets = BudgetServiceStub(channel)
        self.admin = AdminServiceStub(channel)
        self._endpoint = settings.target
        self._timeout_seconds = timeout_seconds
        self._takes_request_id = takes_request_id
        self._metadata = (("authorization", f"Bearer {settings.api_key}"), ("outlay-source", source))

    def call(self, method: "grpc.UnaryUnaryMultiCallable[Request, Answer]", request: Request) -> Answer:
        """Call once; there are no retries behind the caller's back. Raises `CommandFailed`."""
        try:
            return method(request, timeout=self._timeout_seconds, metadata=self._metadata)
        except grpc.RpcError as error:
            raise from_rpc_error(
                error,
                endpoint=self._endpoint,
                timeout_seconds=self._timeout_seconds,
                request_id=getattr(request, "request_id", "") if self._takes_request_id else "",
            ) from error

    def stream(self, method: "grpc.UnaryStreamMultiCallable[Request, Answer]", request: Request) -> Iterator[Answer]:
        """The answers of a stream, for as long as both sides keep it. Raises `CommandFailed`."""
        try:
            yield from method(request, metadata=self._metadata)
        except grpc.RpcError as error:
            raise from_rpc_error(
                error, endpoint=self._endpoint, timeout_seconds=self._timeout_seconds, request_id=""
            ) from error


@contextmanager
def connect(
    *, source: str = "cli", timeout_seconds: float = TIMEOUT_SECONDS, takes_request_id: bool = True
) -> Iterator[Remote]:
    """A `Remote` by the environment of this process. Connects at the first call.

    `source` is what the audit shows. `takes_request_id` says that the command can be repeated with `--request-id`.
    """
    settings = from_environment()
    with _channel(settings) as channel:
        yield Remote(
            channel, settings, source=source, timeout_seconds=timeout_seconds, takes_request_id=takes_request_id
        )


def new_request_id() -> str:
    """The id of one change, shown where its effect is unknown so that it can be repeated safely."""
    return f"cli-{uuid.uuid4()}"


def collect(fetch: Callable[[int, str], tuple[Sequence[Item], str]], limit: int) -> tuple[list[Item], bool]:
    """Read pages until there are `limit` items, and say whether there are more.

    `fetch` takes a page's size and token, and returns its items and the next token.
    """
    items: list[Item] = []
    token = ""
    while len(items) < limit:
        page, token = fetch(min(limit - len(items), PAGE_SIZE_MAX), token)
        items += page
        if not token:
            break
    return items, bool(token)


def _channel(settings: ClientSettings) -> grpc.Channel:
    if not settings.tls:
        return grpc.insecure_channel(settings.target)
    credentials = grpc.ssl_channel_credentials(
        root_certificates=settings.ca_certificates,
        private_key=settings.client_key,
        certificate_chain=settings.client_certificate,
    )
    return grpc.secure_channel(settings.target, credentials)
