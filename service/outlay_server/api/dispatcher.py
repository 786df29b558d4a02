"""The one way into the service: every call, by gRPC or by REST, goes through `Dispatcher.call`.

    count in → authenticate → authorize → parse → handle → count out

What leaves is the answer or an `OutlayError`; anything else that is raised inside is logged and leaves as `Internal`,
with fixed text. Each method's class, handler, permission and bounds are looked up once, when the server is built.
"""

import asyncio
import logging
import os
import re
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Iterator, Mapping
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from typing import Any, Final

import grpc
from google.protobuf import message_factory
from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.message import DecodeError, Message

from outlay.v1 import admin_service_pb2, budget_service_pb2
from outlay_server.api.admin_servicer import AdminServicer
from outlay_server.api.authentication import Authenticator
from outlay_server.api.budget_servicer import BudgetServicer
from outlay_server.api.caller import Call, Caller
from outlay_server.api.errors import Internal, code_of
from outlay_server.api.in_flight import IN_FLIGHT_MAX, InFlight, load_of
from outlay_server.api.observe import CallObserver, NobodyWatches
from outlay_server.api.permissions import PERMISSIONS, Permission, Reach, ensure_complete
from outlay_server.api.webhook_methods import Webhooks
from outlay_server.domain.audit import AuditSource
from outlay_server.domain.errors import (
    DeadlineExceeded,
    MissingScope,
    OutlayError,
    Overloaded,
    Unimplemented,
    ValidationFailed,
    Violation,
)
from outlay_server.domain.limits import (
    BATCH_RECEIVE_MAX_BYTES,
    DEADLINE_DEFAULT_SECONDS,
    DEADLINE_MAX_SECONDS,
    RECEIVE_MAX_BYTES,
    REQUEST_ID_PATTERN,
)
from outlay_server.ledger import Ledger
from outlay_server.store.contract import Store
from outlay_server.watch import WatchHub

logger = logging.getLogger(__name__)

SERVICES: Final[tuple[ServiceDescriptor, ...]] = (
    budget_service_pb2.DESCRIPTOR.services_by_name["BudgetService"],
    admin_service_pb2.DESCRIPTOR.services_by_name["AdminService"],
)

CORRELATION_ID: Final = "x-request-id"
"""Names one call in logs, errors and the audit. Not a request_id: it makes nothing safe to repeat."""

SOURCE: Final = "outlay-source"
"""Metadata by which a tool of ours says what it is, for the audit."""

_CORRELATION_ID_BYTES: Final = 16

_LARGE: Final = ("Batch", "ApplyCaps")
"""How methods begin whose requests carry up to a thousand items."""

_TOOLS: Final = frozenset({AuditSource.YAML.value, AuditSource.TERRAFORM.value, AuditSource.CLI.value})
_CAPITAL: Final = re.compile(r"(?<!^)(?=[A-Z])")

Handler = Callable[[Any, Call], Awaitable[Message]]
StreamHandler = Callable[[Any, Call], AsyncGenerator[Message | None, None]]


@dataclass(frozen=True, slots=True)
class Method:
    """All that is known of an RPC before it is called."""

    path: str
    """`/outlay.v1.BudgetService/CheckSpend`."""
    name: str
    """`CheckSpend`."""
    is_stream: bool
    request_type: type[Message]
    receive_max_bytes: int
    permission: Permission
    scopes: frozenset[str]
    in_flight_limit: int
    handler: Any
    """A `Handler`, or a `StreamHandler` where `is_stream`."""


def correlation_id_of(metadata: Mapping[str, str]) -> str:
    """The id that the caller gave its call, where it is fit for a log, else a new one."""
    given = metadata.get(CORRELATION_ID)
    return given if given and REQUEST_ID_PATTERN.fullmatch(given) else os.urandom(_CORRELATION_ID_BYTES).hex()


class Dispatcher:
    """Serves every RPC of the contract to one event loop. Building it fails unless each has a permission."""

    def __init__(
        self,
        *,
        store: Store,
        ledger: Ledger,
        authenticator: Authenticator,
        observer: CallObserver | None = None,
        watch_hub: WatchHub | None = None,
        webhooks: Webhooks | None = None,
        in_flight_max: int = IN_FLIGHT_MAX,
    ) -> None:
        ensure_complete(contract_methods())
        self._authenticator = authenticator
        self._ledger = ledger
        self._observer = observer or NobodyWatches()
        self._in_flight = InFlight(in_flight_max)
        servicers = (
            BudgetServicer(store, ledger, watch_hub or WatchHub(store)),
            AdminServicer(store, authenticator.forget, webhooks or Webhooks()),
        )
        self.methods: Final[Mapping[str, Method]] = {
            method.path: method
            for service, servicer in zip(SERVICES, servicers, strict=True)
            for method in _methods(service, servicer, self._in_flight)
        }

    @property
    def in_flight(self) -> int:
        """Calls that are being worked on."""
        return self._in_flight.count

    def refuse(self) -> None:
        """Shed every further call, for good; those that are being worked on go on."""
        self._in_flight.refuses = True

    async def call(
        self,
        method: str,
        request: Message | bytes,
        metadata: Mapping[str, str],
        *,
        source: str,
        deadline_seconds: float | None,
        correlation_id: str | None = None,
    ) -> Message:
        """Answer one call. Raises `OutlayError` and nothing else, apart from the caller's own cancelling.

        `method` is a path such as `/outlay.v1.BudgetService/CheckSpend`; `metadata` has lower-case keys, and values of
        an `authorization` that was sent twice joined with commas, which makes them no key. `source` is grpc or rest.
        Without `deadline_seconds` the default holds. Without `correlation_id` it is read from the metadata or made.
        """
        observer, started = self._observer, time.perf_counter()
        correlation_id = correlation_id or correlation_id_of(metadata)
        served = self.methods.get(method)
        if served is None:
            raise Unimplemented
        code = grpc.StatusCode.OK
        observer.call_started(method)
        try:
            return await self._answer(served, request, metadata, source, deadline_seconds, correlation_id)
        except OutlayError as error:
            code = code_of(error)
            raise
        except asyncio.CancelledError:
            code = grpc.StatusCode.CANCELLED
            raise
        except Exception:
            code = grpc.StatusCode.INTERNAL
            logger.exception("a call met a defect", extra={"method": method, "correlation_id": correlation_id})
            raise Internal(correlation_id) from None
        finally:
            observer.call_finished(method, code, time.perf_counter() - started, correlation_id)

    async def stream(
        self,
        method: str,
        request: Message | bytes,
        metadata: Mapping[str, str],
        *,
        source: str,
        correlation_id: str,
    ) -> AsyncGenerator[Message | None, None]:
        """Answer a call of a streaming method, as `call` does; it lasts until either side ends it.

        None is a pulse: the first says that the caller was let in, further ones that nothing happened for a while. With
        each answer and pulse the key is looked at again, so that a stream ends with it.
        """
        served = self.methods[method]
        with self._observed(method, correlation_id) as opened:
            caller = await self._authenticator.authenticate(metadata)
            _authorize(served, caller)
            if isinstance(request, bytes):
                request = _parse(served, request)
            handler: StreamHandler = served.handler
            async with aclosing(handler(request, Call(served.name, caller, source, correlation_id))) as answers:
                async for answer in answers:
                    opened()
                    await self._authenticator.authenticate(metadata)
                    yield answer

    @contextmanager
    def _observed(self, method: str, correlation_id: str) -> Iterator[Callable[[], None]]:
        """Count a stream in and out, timed until it is opened: how long it lasts is its reader's choice."""
        started, code = time.perf_counter(), grpc.StatusCode.OK
        seconds_to_open: list[float] = []

        def opened() -> None:
            if not seconds_to_open:
                seconds_to_open.append(time.perf_counter() - started)

        self._observer.call_started(method)
        try:
            yield opened
        except OutlayError as error:
            code = code_of(error)
            raise
        except (asyncio.CancelledError, GeneratorExit):
            code = grpc.StatusCode.CANCELLED
            raise
        except Exception:
            code = grpc.StatusCode.INTERNAL
            logger.exception("a call met a defect", extra={"method": method, "correlation_id": correlation_id})
            raise Internal(correlation_id) from None
        finally:
            opened()
            self._observer.call_finished(method, code, seconds_to_open[0], correlation_id)

    async def _answer(
        self,
        method: Method,
        request: Message | bytes,
        metadata: Mapping[str, str],
        source: str,
        deadline_seconds: float | None,
        correlation_id: str,
    ) -> Message:
        if deadline_seconds is not None and deadline_seconds <= 0:
            raise DeadlineExceeded
        self._enter(method, metadata)
        try:
            if source == AuditSource.GRPC and deadline_seconds is not None and deadline_seconds <= DEADLINE_MAX_SECONDS:
                # gRPC cancels the call itself when this deadline passes; a timer of ours would cost each call one.
                return await self._handle(method, request, metadata, source, correlation_id)
            bound = (
                DEADLINE_DEFAULT_SECONDS if deadline_seconds is None else min(deadline_seconds, DEADLINE_MAX_SECONDS)
            )
            return await self._bounded(bound, self._handle(method, request, metadata, source, correlation_id))
        finally:
            self._in_flight.leave()

    def _enter(self, method: Method, metadata: Mapping[str, str]) -> None:
        """Count the call in, or raise `Overloaded`.

        Where there is no room, and an organization has more calls waiting than the caller's, its latest is shed: one
        that floods must not keep the others out.
        """
        try:
            self._in_flight.enter(method.in_flight_limit)
        except Overloaded:
            caller = self._authenticator.known(metadata)
            if caller is None or not self._ledger.shed_for(caller.organization_id):
                raise
            self._in_flight.enter_in_place()

    async def _bounded(self, seconds: float, work: Coroutine[Any, Any, Message]) -> Message:
        deadline = asyncio.timeout(seconds)
        try:
            async with deadline:
                return await work
        except TimeoutError:
            if deadline.expired():
                raise DeadlineExceeded from None
            raise

    async def _handle(
        self,
        method: Method,
        request: Message | bytes,
        metadata: Mapping[str, str],
        source: str,
        correlation_id: str,
    ) -> Message:
        caller = await self._authenticator.authenticate(metadata)
        _authorize(method, caller)
        if isinstance(request, bytes):
            request = _parse(method, request)
        if source == AuditSource.GRPC and (tool := metadata.get(SOURCE)) in _TOOLS:
            source = tool
        handler: Handler = method.handler
        return await handler(request, Call(method.name, caller, source, correlation_id))


def _authorize(method: Method, caller: Caller) -> None:
    if caller.scopes.isdisjoint(method.scopes):
        raise MissingScope(method.permission.required)
    if method.permission.reach is Reach.PLATFORM and not caller.is_platform:
        raise MissingScope(method.permission.required)


def _parse(method: Method, request: bytes) -> Message:
    if len(request) > method.receive_max_bytes:
        raise ValidationFailed([Violation("", f"the request must be at most {method.receive_max_bytes} bytes")])
    try:
        return method.request_type.FromString(request)
    except DecodeError:
        name = method.request_type.DESCRIPTOR.full_name
        raise ValidationFailed([Violation("", f"the request is no message of type {name}")]) from None


def _methods(service: ServiceDescriptor, servicer: object, in_flight: InFlight) -> Iterator[Method]:
    for descriptor in service.methods:
        path = f"/{service.full_name}/{descriptor.name}"
        permission = PERMISSIONS[path]
        yield Method(
            path=path,
            name=descriptor.name,
            is_stream=descriptor.server_streaming,
            request_type=message_factory.GetMessageClass(descriptor.input_type),
            receive_max_bytes=BATCH_RECEIVE_MAX_BYTES if descriptor.name.startswith(_LARGE) else RECEIVE_MAX_BYTES,
            permission=permission,
            scopes=frozenset(permission.scopes),
            in_flight_limit=in_flight.limit(load_of(descriptor.name)),
            handler=getattr(servicer, _CAPITAL.sub("_", descriptor.name).lower()),
        )


def contract_methods() -> list[str]:
    """The paths of all RPCs of the contract."""
    return [f"/{service.full_name}/{method.name}" for service in SERVICES for method in service.methods]
