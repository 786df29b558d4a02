"""Every expected failure as the wire tells it: one table of codes, and `google.rpc` details (AIP-193)."""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]

from outlay_server.domain.errors import ApplyRefused, ErrorReason, OutlayError, Overloaded, ValidationFailed

ERROR_DOMAIN: Final = "outlay.dev"
STATUS_TRAILER: Final = "grpc-status-details-bin"
PUSHBACK_TRAILER: Final = "grpc-retry-pushback-ms"

BAD_REQUEST_MAX_BYTES: Final = 3 * 1024
"""Of violations in one error. It travels in base64 in a trailer, beside the others, and common clients
refuse trailers above 8 KiB."""

_FRAME_BYTES: Final = 4

_TYPE_URL_PREFIX: Final = "type.googleapis.com/"

CODES: Final[Mapping[ErrorReason, grpc.StatusCode]] = MappingProxyType(
    {
        ErrorReason.INVALID_API_KEY: grpc.StatusCode.UNAUTHENTICATED,
        ErrorReason.MISSING_SCOPE: grpc.StatusCode.PERMISSION_DENIED,
        ErrorReason.VALIDATION_FAILED: grpc.StatusCode.INVALID_ARGUMENT,
        ErrorReason.NOT_FOUND: grpc.StatusCode.NOT_FOUND,
        ErrorReason.ALREADY_EXISTS: grpc.StatusCode.ALREADY_EXISTS,
        ErrorReason.ETAG_MISMATCH: grpc.StatusCode.ABORTED,
        ErrorReason.MANAGED_ELSEWHERE: grpc.StatusCode.FAILED_PRECONDITION,
        ErrorReason.REQUEST_ID_REUSED: grpc.StatusCode.INVALID_ARGUMENT,
        ErrorReason.RESERVATION_CLOSED: grpc.StatusCode.FAILED_PRECONDITION,
        ErrorReason.ENDPOINT_DISABLED: grpc.StatusCode.FAILED_PRECONDITION,
        ErrorReason.LIMIT_EXCEEDED: grpc.StatusCode.FAILED_PRECONDITION,
        ErrorReason.OPEN_RESERVATIONS: grpc.StatusCode.FAILED_PRECONDITION,
        ErrorReason.APPLY_REFUSED: grpc.StatusCode.FAILED_PRECONDITION,
        ErrorReason.OVERLOADED: grpc.StatusCode.UNAVAILABLE,
        ErrorReason.STORAGE_UNAVAILABLE: grpc.StatusCode.UNAVAILABLE,
        ErrorReason.DEADLINE_EXCEEDED: grpc.StatusCode.DEADLINE_EXCEEDED,
        ErrorReason.WATCHER_TOO_SLOW: grpc.StatusCode.ABORTED,
        ErrorReason.UNIMPLEMENTED: grpc.StatusCode.UNIMPLEMENTED,
        ErrorReason.INTERNAL: grpc.StatusCode.INTERNAL,
    }
)


class Internal(OutlayError):
    """A defect of ours. Fixed text: whatever was raised stays in the log, which the request id finds."""

    reason = ErrorReason.INTERNAL

    def __init__(self, correlation_id: str) -> None:
        super().__init__(
            "The server met a defect. Its log tells more under the request id.", {"request_id": correlation_id}
        )


def code_of(error: OutlayError) -> grpc.StatusCode:
    """The canonical code of an error."""
    return CODES[error.reason]


def status_of(error: OutlayError) -> status_pb2.Status:
    """The error as a message: ErrorInfo always, BadRequest, PreconditionFailure and RetryInfo where they apply."""
    number, _ = code_of(error).value
    status = status_pb2.Status(code=number, message=error.message)
    _attach(
        status,
        error_details_pb2.ErrorInfo(reason=error.reason.value, domain=ERROR_DOMAIN, metadata=dict(error.facts)),
    )
    if isinstance(error, ValidationFailed):
        _attach(status, _bad_request(error))
    if isinstance(error, ApplyRefused):
        _attach(status, _precondition_failure(error))
    if isinstance(error, Overloaded):
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.seconds = error.retry_after_seconds
        _attach(status, retry)
    return status


def trailers_of(error: OutlayError, status: status_pb2.Status) -> tuple[tuple[str, str | bytes], ...]:
    """What an error adds to the trailing metadata of a gRPC call."""
    trailers: tuple[tuple[str, str | bytes], ...] = ((STATUS_TRAILER, status.SerializeToString()),)
    if isinstance(error, Overloaded):
        trailers = (*trailers, (PUSHBACK_TRAILER, str(error.retry_after_seconds * 1_000)))
    return trailers


def _bad_request(error: ValidationFailed) -> error_details_pb2.BadRequest:
    """The violations, as many as a trailer can carry; the message says how many there are in all."""
    return error_details_pb2.BadRequest(
        field_violations=_fitting(
            error_details_pb2.BadRequest.FieldViolation(field=violation.field, description=violation.description)
            for violation in error.violations
        )
    )


def _precondition_failure(error: ApplyRefused) -> error_details_pb2.PreconditionFailure:
    """The refusals, as many as a trailer can carry."""
    return error_details_pb2.PreconditionFailure(
        violations=_fitting(
            error_details_pb2.PreconditionFailure.Violation(
                type=refusal.reason, subject=refusal.resource, description=refusal.description
            )
            for refusal in error.refusals
        )
    )


def _fitting(messages: Iterable[Message]) -> list[Message]:
    listed: list[Message] = []
    room = BAD_REQUEST_MAX_BYTES
    for message in messages:
        # And the few bytes that frame it.
        room -= message.ByteSize() + _FRAME_BYTES
        if room < 0 and listed:
            break
        listed.append(message)
    return listed


def _attach(status: status_pb2.Status, detail: Message) -> None:
    packed = AnyMessage(type_url=_TYPE_URL_PREFIX + detail.DESCRIPTOR.full_name, value=detail.SerializeToString())
    status.details.append(packed)
