"""What a failed call becomes: one line that says what is wrong and what to do, and no traceback."""

from collections.abc import Mapping, Sequence
from typing import Final, cast

import click
import grpc
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]
from grpc_status import rpc_status

from outlay_cli.text import printable

_EFFECT_UNKNOWN: Final = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
_NOT_CONNECTED: Final = "failed to connect to all addresses"


class CommandFailed(click.ClickException):
    """An expected failure; `main` exits 1 with its message."""


class CallFailed(CommandFailed):
    """A call that the service refused or did not answer; beside the line what a program may need of it."""

    def __init__(
        self,
        message: str,
        *,
        reason: str,
        violations: Sequence[tuple[str, str]] = (),
        preconditions: Sequence[tuple[str, str, str]] = (),
        is_effect_unknown: bool = False,
    ) -> None:
        super().__init__(message)
        self.reason = reason
        """Of the contract's `ErrorReason`; empty where the service itself did not answer."""
        self.violations = tuple(violations)
        """(field, description)."""
        self.preconditions = tuple(preconditions)
        """(type, subject, description)."""
        self.is_effect_unknown = is_effect_unknown
        """Whether a change may have been made all the same."""


def from_rpc_error(error: grpc.RpcError, *, endpoint: str, timeout_seconds: float, request_id: str) -> CallFailed:
    """Say what a failed call means. `request_id` is that of a change, whose effect may be unknown; empty for a read."""
    # What a failed call raises is the call itself, though the types cannot say so.
    call = cast(grpc.Call, error)
    code, details = call.code(), str(call.details())
    status = _status(call)
    info = error_details_pb2.ErrorInfo()
    _unpack(status, info)
    if info.reason:
        line = f"{info.reason}: {_what(status, details)}{_facts(info.metadata)}"
    else:
        line = f"{code.name}: {_unanswered(code, details, endpoint, timeout_seconds)}"
    # What could not be connected to was not sent; and OVERLOADED says that nothing was changed.
    is_unknown = code in _EFFECT_UNKNOWN and info.reason != "OVERLOADED" and not details.startswith(_NOT_CONNECTED)
    if request_id and is_unknown:
        line += f" Whether the change was made is unknown: repeat the command with --request-id {request_id}"
    bad_request, failure = error_details_pb2.BadRequest(), error_details_pb2.PreconditionFailure()
    _unpack(status, bad_request)
    _unpack(status, failure)
    return CallFailed(
        printable(line),
        reason=info.reason,
        violations=[(one.field, one.description) for one in bad_request.field_violations],
        preconditions=[(one.type, one.subject, one.description) for one in failure.violations],
        is_effect_unknown=is_unknown,
    )


def _what(status: status_pb2.Status, details: str) -> str:
    """Every field violation where there are some, else the server's sentence."""
    bad_request = error_details_pb2.BadRequest()
    _unpack(status, bad_request)
    violations = [
        f"{violation.field}: {violation.description}" if violation.field else violation.description
        for violation in bad_request.field_violations
    ]
    return "; ".join(violations) or details


def _facts(metadata: Mapping[str, str]) -> str:
    """The one fact that no sentence of the server's holds: by which id its log knows the call."""
    request_id = metadata.get("request_id", "")
    field = metadata.get("field", "")
    return f" (request id {request_id} in the server's log)" if request_id and not field else ""


def _unanswered(code: grpc.StatusCode, details: str, endpoint: str, timeout_seconds: float) -> str:
    """For a failure that is not the service's own answer: what to check."""
    match code:
        case grpc.StatusCode.UNAVAILABLE:
            return (
                f"nothing answers at {endpoint}. Check that `outlay serve` runs there and that OUTLAY_ENDPOINT names"
                f" its gRPC address (https:// where it has TLS). [{details}]"
            )
        case grpc.StatusCode.DEADLINE_EXCEEDED:
            return f"no answer from {endpoint} within {timeout_seconds:g} s. Check OUTLAY_ENDPOINT and the network."
        case grpc.StatusCode.UNIMPLEMENTED:
            return f"what answers at {endpoint} does not serve this method. Check OUTLAY_ENDPOINT. [{details}]"
        case _:
            return details or "the service gave no reason"


def _status(call: grpc.Call) -> status_pb2.Status:
    try:
        status = rpc_status.from_call(call)
    except ValueError:
        # The details contradict the code: a proxy rewrote one of them. The code and its text are still true.
        status = None
    return status if status is not None else status_pb2.Status()


def _unpack(
    status: status_pb2.Status,
    wanted: error_details_pb2.ErrorInfo | error_details_pb2.BadRequest | error_details_pb2.PreconditionFailure,
) -> None:
    for detail in status.details:
        if detail.Unpack(wanted):
            return
