"""REST's way to the dispatcher: the same pipeline as gRPC's, with failures as REST knows them."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing

from google.protobuf.message import Message

from outlay_rest import Call, CallFailed, Stream
from outlay_server.api.dispatcher import Dispatcher, correlation_id_of
from outlay_server.api.errors import status_of
from outlay_server.domain.audit import AuditSource
from outlay_server.domain.errors import OutlayError


def rest_call(dispatcher: Dispatcher) -> Call:
    """Return what `outlay_rest` is handed: it answers RPCs or raises `CallFailed`."""

    async def call(
        method: str, request: Message, headers: Mapping[str, str], deadline_seconds: float | None
    ) -> tuple[Message, str]:
        correlation_id = correlation_id_of(headers)
        try:
            answer = await dispatcher.call(
                method,
                request,
                headers,
                source=AuditSource.REST.value,
                deadline_seconds=deadline_seconds,
                correlation_id=correlation_id,
            )
        except OutlayError as error:
            raise CallFailed(status_of(error), correlation_id) from error
        return answer, correlation_id

    return call


def rest_stream(dispatcher: Dispatcher) -> Stream:
    """The same for streams: answers and pulses until either side ends it, or `CallFailed`."""

    async def stream(
        method: str, request: Message, headers: Mapping[str, str], correlation_id: str
    ) -> AsyncGenerator[Message | None, None]:
        answers = dispatcher.stream(
            method, request, headers, source=AuditSource.REST.value, correlation_id=correlation_id
        )
        try:
            async with aclosing(answers):
                async for answer in answers:
                    yield answer
        except OutlayError as error:
            raise CallFailed(status_of(error), correlation_id) from error

    return stream
