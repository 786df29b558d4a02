"""What went wrong with a request, once, before any face writes it down in its own shape.

A problem comes from a failed call (`from_status`) or is raised here as `Refused`, before a call was made.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from google.rpc import code_pb2, error_details_pb2, status_pb2  # type: ignore[import-untyped]

from outlay_rest.limits import ECHO_MAX_LENGTH, VIOLATIONS_MAX

DOMAIN: Final = "outlay.dev"
"""The `domain` of every ErrorInfo."""

HTTP_STATUS: Final[Mapping[str, int]] = {
    "OK": 200,
    "CANCELLED": 499,
    "UNKNOWN": 500,
    "INVALID_ARGUMENT": 400,
    "DEADLINE_EXCEEDED": 504,
    "NOT_FOUND": 404,
    "ALREADY_EXISTS": 409,
    "PERMISSION_DENIED": 403,
    "UNAUTHENTICATED": 401,
    "RESOURCE_EXHAUSTED": 503,
    "FAILED_PRECONDITION": 400,
    "ABORTED": 409,
    "OUT_OF_RANGE": 400,
    "UNIMPLEMENTED": 501,
    "INTERNAL": 500,
    "UNAVAILABLE": 503,
    "DATA_LOSS": 500,
}
"""The HTTP status of each canonical code.

RESOURCE_EXHAUSTED, a message beyond gRPC's own size limits, is no 429: clients retry that.
"""

RETRY_AFTER_DEFAULT_SECONDS: Final = 1
"""For a 503 whose status brings no RetryInfo."""


def echo(text: str) -> str:
    """A caller's input quoted for an error message: at most 64 characters of it, escaped to printable ASCII."""
    escaped = text[:ECHO_MAX_LENGTH].encode("unicode_escape").decode("ascii").replace('"', '\\"')
    return f'"{escaped}"…' if len(text) > ECHO_MAX_LENGTH else f'"{escaped}"'


@dataclass(frozen=True, slots=True)
class Violation:
    """One thing that is wrong with a request."""

    field: str
    """Path as the proto spells it, such as `budget.cycle.time_zone`; empty for the request as a whole."""

    description: str
    """What a valid value is."""


@dataclass(frozen=True, slots=True)
class Precondition:
    """One thing that has to be so before a request takes effect, and is not."""

    type: str
    """A name of `CapsWarningReason`, without its prefix."""

    subject: str
    """The name of the resource."""

    description: str


@dataclass(frozen=True, slots=True)
class Problem:
    """Everything that the faces say about one failure."""

    http_status: int
    """On the native face; the seed faces answer 422 where `reason` is VALIDATION_FAILED and this is 400."""

    code: str
    """Canonical code, such as `INVALID_ARGUMENT`."""

    reason: str
    """From the contract's `ErrorReason`, without its prefix."""

    message: str
    facts: Mapping[str, str] = field(default_factory=dict)
    violations: tuple[Violation, ...] = ()
    preconditions: tuple[Precondition, ...] = ()
    retry_after_seconds: int | None = None
    allow: str = ""
    """Of a 405: the methods that the path knows."""

    @property
    def headers(self) -> dict[str, str]:
        """The response headers that its status asks for (RFC 9110)."""
        headers: dict[str, str] = {}
        if self.http_status == 401:
            headers["www-authenticate"] = 'Bearer realm="outlay"'
        if self.http_status == 405:
            headers["allow"] = self.allow
        if self.retry_after_seconds is not None:
            headers["retry-after"] = str(self.retry_after_seconds)
        return headers


class Refused(Exception):
    """The request is answered with this problem; no call was made for it."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


def invalid(violations: Sequence[Violation], http_status: int = 400) -> Refused:
    """Refuse a request that is malformed, with everything that is wrong with it."""
    first, more = violations[0], len(violations) - 1
    text = f"{first.field}: {first.description}" if first.field else first.description
    return Refused(
        Problem(
            http_status=http_status,
            code="INVALID_ARGUMENT",
            reason="VALIDATION_FAILED",
            message=f"{text} ({more} more)" if more else text,
            facts={"field": first.field},
            violations=tuple(violations[:VIOLATIONS_MAX]),
        )
    )


def unknown_path() -> Refused:
    return Refused(Problem(404, "NOT_FOUND", "NOT_FOUND", "There is nothing at this path.", {"resource": ""}))


def wrong_method(allowed: Sequence[str]) -> Refused:
    allow = ", ".join(allowed)
    return Refused(Problem(405, "UNIMPLEMENTED", "UNIMPLEMENTED", f"This path knows {allow}.", allow=allow))


def too_large(limit_bytes: int) -> Refused:
    return invalid([Violation("", f"the body is larger than {limit_bytes} bytes")], 413)


def too_slow() -> Refused:
    return Refused(Problem(408, "DEADLINE_EXCEEDED", "DEADLINE_EXCEEDED", "The body did not arrive in time."))


def wrong_content_type() -> Refused:
    return invalid([Violation("content-type", "must be application/json")], 415)


def internal(correlation_id: str) -> Problem:
    """A defect. The text is fixed, so that nothing of the inside leaks; the id finds the traceback in the logs."""
    return Problem(500, "INTERNAL", "INTERNAL", "Internal error.", {"request_id": correlation_id})


def from_status(status: status_pb2.Status) -> Problem:
    """Read a failed call's status with its details."""
    code = code_pb2.Code.Name(status.code) if status.code in code_pb2.Code.values() else "UNKNOWN"
    info, bad_request, failed, retry = (
        error_details_pb2.ErrorInfo(),
        error_details_pb2.BadRequest(),
        error_details_pb2.PreconditionFailure(),
        error_details_pb2.RetryInfo(),
    )
    retry_after_seconds: int | None = None
    for detail in status.details:
        detail.Unpack(info)
        detail.Unpack(bad_request)
        detail.Unpack(failed)
        if detail.Unpack(retry):
            retry_after_seconds = retry.retry_delay.seconds + (retry.retry_delay.nanos > 0)
    if HTTP_STATUS[code] == 503:
        retry_after_seconds = max(1, retry_after_seconds or RETRY_AFTER_DEFAULT_SECONDS)
    return Problem(
        http_status=HTTP_STATUS[code],
        code=code,
        reason=info.reason or code,
        message=status.message,
        facts=dict(info.metadata),
        violations=tuple(Violation(each.field, each.description) for each in bad_request.field_violations),
        preconditions=tuple(Precondition(each.type, each.subject, each.description) for each in failed.violations),
        retry_after_seconds=retry_after_seconds,
    )
