"""What can go wrong: a denial, a service that cannot be reached, and everything else that it answers."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]

from outlay_client.results import CheckResult

_STATUS_TRAILER: Final = "grpc-status-details-bin"

_AWAY: Final = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED})

_FINAL: Final = frozenset(
    {
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.NOT_FOUND,
        grpc.StatusCode.ALREADY_EXISTS,
        grpc.StatusCode.FAILED_PRECONDITION,
        grpc.StatusCode.OUT_OF_RANGE,
        grpc.StatusCode.UNIMPLEMENTED,
    }
)

_CODES: Final[Mapping[int, grpc.StatusCode]] = {code.value[0]: code for code in grpc.StatusCode}


class OutlayError(Exception):
    """Every error of the SDK."""

    def for_request(self, request_id: str) -> "OutlayError":
        """The same error, for one of the requests that it struck together."""
        return self


class Denied(OutlayError):
    """The work must not be done."""

    def __init__(self, result: CheckResult) -> None:
        super().__init__(f"{result.code}: {result.message}")
        self.result = result

    @property
    def reason(self) -> str:
        """`HARD_CAP_REACHED` and its like, as the service names it."""
        return self.result.reason

    @property
    def code(self) -> str:
        """The code of the REST faces: `SPENDING_CAP_REACHED`, `OPUS_NOT_ENABLED` and their like."""
        return self.result.code


class Unavailable(OutlayError):
    """The service could not be reached or did not answer in time. Without an answer the work is not done."""

    def __init__(self, message: str, *, effect_unknown: bool, request_id: str = "") -> None:
        super().__init__(message)
        self.effect_unknown = effect_unknown
        """Whether the call may have taken effect. The same `request_id` finds out."""
        self.request_id = request_id

    def for_request(self, request_id: str) -> "Unavailable":
        return Unavailable(str(self), effect_unknown=self.effect_unknown, request_id=request_id)


class OutlayRpcError(OutlayError):
    """The service refused the call itself: a bad key, a bad field, a reservation that is closed."""

    def __init__(
        self,
        code: grpc.StatusCode,
        reason: str,
        message: str,
        violations: tuple["Violation", ...] = (),
        facts: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(f"{reason or code.name}: {message}")
        self._message = message
        self.code = code
        self.reason = reason
        """A name of `ErrorReason`; empty where something between answered."""
        self.violations = violations
        self.facts = dict(facts or {})

    def for_request(self, request_id: str) -> "OutlayRpcError":
        return OutlayRpcError(self.code, self.reason, self._message, self.violations, self.facts)

    @property
    def is_final(self) -> bool:
        """Whether the same request will fail for ever. A bad key may be put right, a bad amount may not."""
        return self.code in _FINAL


@dataclass(frozen=True, slots=True)
class Violation:
    """One field that the service refused."""

    field: str
    description: str


def from_grpc(error: grpc.RpcError, request_id: str = "") -> OutlayError:
    """The error of ours for an error of either kind of channel."""
    called: Any = error
    status = None
    for key, value in called.trailing_metadata() or ():
        if key == _STATUS_TRAILER:
            status = _parsed(value)
    return _made(called.code(), called.details() or "", status, request_id)


def from_status(status: status_pb2.Status, request_id: str = "") -> OutlayError:
    """The error of ours for one item of a batch."""
    return _made(_CODES.get(status.code, grpc.StatusCode.UNKNOWN), status.message, status, request_id)


def _made(code: grpc.StatusCode, message: str, status: status_pb2.Status | None, request_id: str) -> OutlayError:
    info, violations = _details(status)
    if code in _AWAY:
        unknown = info.reason != "OVERLOADED"
        return Unavailable(f"{info.reason or code.name}: {message}", effect_unknown=unknown, request_id=request_id)
    return OutlayRpcError(code, info.reason, message, violations, info.metadata)


def _details(status: status_pb2.Status | None) -> tuple[error_details_pb2.ErrorInfo, tuple[Violation, ...]]:
    info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    for packed in status.details if status is not None else ():
        for detail in (info, bad):
            if packed.Is(detail.DESCRIPTOR):
                packed.Unpack(detail)
    return info, tuple(Violation(each.field, each.description) for each in bad.field_violations)


def _parsed(value: str | bytes) -> status_pb2.Status | None:
    try:
        return status_pb2.Status.FromString(value) if isinstance(value, bytes) else None
    except DecodeError:
        return None
