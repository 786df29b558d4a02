"""REST's way to the dispatcher: the same pipeline as gRPC's, with failures as REST knows them."""

from collections.abc import Mapping

from google.protobuf.message import Message

from outlay_rest import Call, CallFailed
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
