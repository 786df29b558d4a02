"""A client of the edge, and errors as it sees them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import grpc
import grpc.aio
import pytest
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from outlay.v1 import admin_service_pb2 as admin
from outlay.v1 import admin_service_pb2_grpc, api_key_pb2, budget_service_pb2_grpc
from outlay_server.api.authentication import Authenticator
from outlay_server.api.dispatcher import Dispatcher
from outlay_server.domain.instant import MICROS_PER_SECOND, Instant
from outlay_server.ledger import Ledger
from outlay_server.store.sqlite import SqliteStore

NOON = Instant(1_768_478_400_000_000)
"""2026-01-15T12:00:00Z."""

UNIT = 1_000_000
"""One whole unit, in micros."""


class SettableClock:
    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> Instant:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now = Instant(self.now + int(seconds * MICROS_PER_SECOND))


class Calls:
    """An observer that remembers."""

    def __init__(self) -> None:
        self.started: list[str] = []
        self.finished: list[tuple[str, grpc.StatusCode, str]] = []

    def call_started(self, method: str) -> None:
        self.started.append(method)

    def call_finished(self, method: str, code: grpc.StatusCode, seconds: float, correlation_id: str) -> None:
        assert seconds >= 0
        self.finished.append((method, code, correlation_id))


@dataclass(frozen=True)
class Failure:
    """An error as a client sees it."""

    code: grpc.StatusCode
    reason: str
    facts: dict[str, str]
    violations: list[tuple[str, str]]
    message: str
    trailers: dict[str, Any]

    @property
    def fields(self) -> list[str]:
        return [name for name, _ in self.violations]

    @property
    def essence(self) -> tuple[Any, ...]:
        """All of it but the id of the call."""
        return self.code, self.message, self.trailers.get("grpc-status-details-bin")


def failure_of(error: grpc.aio.AioRpcError) -> Failure:
    trailers = dict(list(error.trailing_metadata() or ()))
    info, violations = error_details_pb2.ErrorInfo(), []
    status = status_pb2.Status.FromString(trailers.get("grpc-status-details-bin", b""))
    for detail in status.details:
        if detail.Is(error_details_pb2.ErrorInfo.DESCRIPTOR):
            detail.Unpack(info)
        if detail.Is(error_details_pb2.BadRequest.DESCRIPTOR):
            request = error_details_pb2.BadRequest()
            detail.Unpack(request)
            violations += [(found.field, found.description) for found in request.field_violations]
    return Failure(error.code(), info.reason, dict(info.metadata), violations, error.details() or "", trailers)


@dataclass
class Client:
    """Both services, with one key."""

    channel: grpc.aio.Channel
    key: str
    more: Sequence[tuple[str, str]] = ()
    budgets: Any = field(init=False)
    admin: Any = field(init=False)

    def __post_init__(self) -> None:
        self.budgets = budget_service_pb2_grpc.BudgetServiceStub(self.channel)
        self.admin = admin_service_pb2_grpc.AdminServiceStub(self.channel)

    async def call(self, method: str, request: Message, **options: Any) -> Any:
        """Call a method by its name; of a stream, the first answer."""
        stub = self.budgets if hasattr(self.budgets, method) else self.admin
        metadata = [("authorization", f"Bearer {self.key}"), *self.more]
        call = getattr(stub, method)(request, metadata=metadata, **options)
        return await (call.read() if isinstance(call, grpc.aio.UnaryStreamCall) else call)

    async def failure(self, method: str, request: Message, **options: Any) -> Failure:
        """The error that a method must answer."""
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await self.call(method, request, **options)
        return failure_of(caught.value)


@dataclass
class Edge:
    """A running server, and what it is made of."""

    store: SqliteStore
    ledger: Ledger
    authenticator: Authenticator
    dispatcher: Dispatcher
    channel: grpc.aio.Channel
    clock: SettableClock
    calls: Calls
    platform: Client

    async def client(self, *scopes: str, organization: str = "acme") -> Client:
        """A client with a new key of an organization."""
        key = await self.platform.call(
            "CreateApiKey",
            admin.CreateApiKeyRequest(
                parent=f"organizations/{organization}", api_key=api_key_pb2.ApiKey(scopes=scopes)
            ),
        )
        return Client(self.channel, key.secret)

    async def organization(self, organization_id: str) -> None:
        await self.platform.call("CreateOrganization", admin.CreateOrganizationRequest(organization_id=organization_id))
