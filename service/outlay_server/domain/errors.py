"""The expected failures of a call. Anything else that is raised is a defect and reads as INTERNAL at the edge.

Each failure has a reason from the contract's `ErrorReason`, a message written for the caller, and facts that go into
`google.rpc.ErrorInfo.metadata`. Codes of gRPC and HTTP are the edge's business: one table there maps `reason`.
"""

import enum
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from outlay_server.domain.limits import ECHO_MAX_LENGTH, MOVED_NAMED_MAX, VIOLATIONS_MAX, WATCHER_BEHIND_MAX

_RESOURCE_NAME: Final = re.compile(r"organizations/[a-z0-9-]{1,63}(/[a-zA-Z]{1,32}/[a-z0-9-]{1,63}){0,2}", re.ASCII)
"""A name that is shown whole: cut after 64 characters it would lose the id that tells it from its siblings."""


class ErrorReason(enum.Enum):
    """Why a call failed. The values are the names in `error_reason.proto` without their prefix."""

    INVALID_API_KEY = "INVALID_API_KEY"
    MISSING_SCOPE = "MISSING_SCOPE"
    VALIDATION_FAILED = "VALIDATION_FAILED"
    NOT_FOUND = "NOT_FOUND"
    ALREADY_EXISTS = "ALREADY_EXISTS"
    ETAG_MISMATCH = "ETAG_MISMATCH"
    MANAGED_ELSEWHERE = "MANAGED_ELSEWHERE"
    REQUEST_ID_REUSED = "REQUEST_ID_REUSED"
    RESERVATION_CLOSED = "RESERVATION_CLOSED"
    ENDPOINT_DISABLED = "ENDPOINT_DISABLED"
    LIMIT_EXCEEDED = "LIMIT_EXCEEDED"
    OPEN_RESERVATIONS = "OPEN_RESERVATIONS"
    APPLY_REFUSED = "APPLY_REFUSED"
    OVERLOADED = "OVERLOADED"
    STORAGE_UNAVAILABLE = "STORAGE_UNAVAILABLE"
    DEADLINE_EXCEEDED = "DEADLINE_EXCEEDED"
    UNIMPLEMENTED = "UNIMPLEMENTED"
    WATCHER_TOO_SLOW = "WATCHER_TOO_SLOW"
    INTERNAL = "INTERNAL"


def escaped(text: str) -> str:
    """Return a caller's input for a program to compare: at most 64 characters of it, escaped to printable ASCII.

    Escaping keeps control characters, bidirectional marks and lone surrogates out of logs, terminals and trailers.
    """
    return text[:ECHO_MAX_LENGTH].encode("unicode_escape").decode("ascii")


def echo(text: str) -> str:
    """Return a caller's input for people to read: `escaped`, in quotation marks."""
    quoted = escaped(text).replace('"', '\\"')
    return f'"{quoted}"…' if len(text) > ECHO_MAX_LENGTH else f'"{quoted}"'


def _resource(name: str) -> str:
    """Return a resource name whole when it is well-formed, and otherwise as `echo` would show it."""
    return name if _RESOURCE_NAME.fullmatch(name) else escaped(name)


@dataclass(frozen=True, slots=True)
class Violation:
    """One thing that is wrong with a request, as in `google.rpc.BadRequest.FieldViolation`."""

    field: str
    """Path of the field in the request as its proto spells it, such as `budget.cycle.time_zone`."""

    description: str
    """What a valid value is, for a developer."""


class OutlayError(Exception):
    """An expected failure. Raise one of the subclasses."""

    reason: ErrorReason

    def __init__(self, message: str, facts: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.facts: Mapping[str, str] = dict(facts) if facts else {}


class InvalidApiKey(OutlayError):
    """No key, two keys, or one that does not open anything.

    One text for all of them, so that nobody learns from it whether a key exists, was revoked or has expired.
    """

    reason = ErrorReason.INVALID_API_KEY

    def __init__(self) -> None:
        super().__init__("Send exactly one valid API key, as 'Authorization: Bearer sk_…'.")


class MissingScope(OutlayError):
    """The key is valid but does not hold a scope that the method asks for."""

    reason = ErrorReason.MISSING_SCOPE

    def __init__(self, required_scope: str) -> None:
        super().__init__(f"This API key lacks the scope {required_scope}.", {"required_scope": required_scope})
        self.required_scope = required_scope


class ValidationFailed(OutlayError):
    """The request is malformed; nothing was changed. Lists every violation that was found, in order."""

    reason = ErrorReason.VALIDATION_FAILED

    def __init__(self, violations: Iterable[Violation]) -> None:
        self.violations = tuple(violations)
        assert self.violations, "a request without violations is valid"
        first = self.violations[0]
        more = len(self.violations) - 1
        text = f"{first.field}: {first.description}" if first.field else first.description
        super().__init__(f"{text} ({more} more)" if more else text, {"field": first.field})


class NotFound(OutlayError):
    """There is no such resource for this caller: missing, deleted, malformed, or another organization's."""

    reason = ErrorReason.NOT_FOUND

    def __init__(self, resource: str) -> None:
        super().__init__(f"{_resource(resource)} was not found.", {"resource": _resource(resource)})
        self.resource = resource


class AlreadyExists(OutlayError):
    """The id is taken, perhaps by a deleted organization, whose id is never given out again."""

    reason = ErrorReason.ALREADY_EXISTS

    def __init__(self, resource: str) -> None:
        super().__init__(f"{_resource(resource)} already exists.", {"resource": _resource(resource)})
        self.resource = resource


class EtagMismatch(OutlayError):
    """The resource has changed since the caller read it (AIP-154)."""

    reason = ErrorReason.ETAG_MISMATCH

    def __init__(self) -> None:
        super().__init__("The resource has changed since this etag was read. Read it again and repeat.")


class PlanOutdated(OutlayError):
    """Applying would no longer be exactly the plan that the caller was shown."""

    reason = ErrorReason.ETAG_MISMATCH

    def __init__(self, moved: Sequence[str], last_mover: str) -> None:
        """`moved` names what has changed since, the latest first; `last_mover` says who changed the first of them."""
        names = list(dict.fromkeys(map(_resource, moved)))[:MOVED_NAMED_MAX]
        what = f"{names[0]} was changed by {last_mover}" if names else "This request is not the one that was planned"
        super().__init__(f"{what}. Plan again, and look at it again.", {"moved": ",".join(names)})
        self.moved = tuple(names)


class ManagedElsewhere(OutlayError):
    """Another tool keeps this resource as code and would undo the change."""

    reason = ErrorReason.MANAGED_ELSEWHERE

    def __init__(self, manager: str) -> None:
        super().__init__(
            f"This resource is managed by {echo(manager)}. Change it there, or force the change.",
            {"managed_by": escaped(manager)},
        )
        self.manager = manager


class RequestIdReused(OutlayError):
    """The request_id was used before with other content; the earlier effect stands, this call had none."""

    reason = ErrorReason.REQUEST_ID_REUSED

    def __init__(self, field: str, request_id: str) -> None:
        super().__init__(
            f"request_id {echo(request_id)} was used before with another {field}. Use a new id for a new request.",
            {"field": field, "request_id": escaped(request_id)},
        )
        self.field = field
        self.request_id = request_id


class ReservationClosed(OutlayError):
    """The reservation is no longer open, so it can be neither extended nor released."""

    reason = ErrorReason.RESERVATION_CLOSED

    def __init__(self, reservation: str, state: str) -> None:
        super().__init__(
            f"{_resource(reservation)} is {state} and no longer open.",
            {"resource": _resource(reservation), "state": state},
        )
        self.reservation = reservation
        self.state = state


class EndpointDisabled(OutlayError):
    """Nothing is sent to a disabled webhook endpoint, so nothing can be replayed to it either."""

    reason = ErrorReason.ENDPOINT_DISABLED

    def __init__(self, endpoint: str) -> None:
        super().__init__(
            f"{_resource(endpoint)} is disabled. Enable it, then replay.", {"resource": _resource(endpoint)}
        )


class LimitExceeded(OutlayError):
    """A documented limit of count would be passed. Not about money: a spent budget is an answer, not an error."""

    reason = ErrorReason.LIMIT_EXCEEDED

    def __init__(self, limit_name: str, limit: int) -> None:
        super().__init__(
            f"There may be at most {limit} {limit_name}.",
            {"limit_name": limit_name, "limit": str(limit)},
        )
        self.limit_name = limit_name
        self.limit = limit


class OpenReservations(OutlayError):
    """A budget or an organization that still holds reservations is deleted only with `force`."""

    reason = ErrorReason.OPEN_RESERVATIONS

    def __init__(self, count: int) -> None:
        super().__init__(
            f"There are still {count} open reservations. Wait for them, or set force.",
            {"count": str(count)},
        )
        self.count = count


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why one resource's change was refused."""

    reason: str
    """A warning's reason, from the contract's `CapsWarningReason`."""

    resource: str
    description: str


class ApplyRefused(OutlayError):
    """Caps were not applied, none of them, because some need a word first."""

    reason = ErrorReason.APPLY_REFUSED

    def __init__(self, refusals: Iterable[Refusal]) -> None:
        self.refusals = tuple(refusals)
        assert self.refusals, "what nothing refuses is applied"
        first, count = self.refusals[0], len(self.refusals)
        more = f" ({count - 1} more)" if count > 1 else ""
        super().__init__(f"{_resource(first.resource)}: {first.description}{more}", {"count": str(count)})


class Overloaded(OutlayError):
    """The service sheds this call; it had no effect."""

    reason = ErrorReason.OVERLOADED

    def __init__(self, retry_after_seconds: int) -> None:
        super().__init__(
            f"The service is overloaded. Retry in {retry_after_seconds} s.",
            {"retry_after_seconds": str(retry_after_seconds)},
        )
        self.retry_after_seconds = retry_after_seconds


class StorageUnavailable(OutlayError):
    """The ledger cannot be read or written. Whether this call took effect may be unknown: request_id tells."""

    reason = ErrorReason.STORAGE_UNAVAILABLE

    def __init__(self) -> None:
        super().__init__("The ledger is unavailable. Retry with the same request_id.")


class WatcherTooSlow(OutlayError):
    """A stream was cut off because more waited for its reader than is kept. Nothing is lost: the log has it."""

    reason = ErrorReason.WATCHER_TOO_SLOW

    def __init__(self) -> None:
        super().__init__(
            f"More than {WATCHER_BEHIND_MAX} changes waited to be read. Watch again from the last sequence.",
            {"limit": str(WATCHER_BEHIND_MAX)},
        )


class DeadlineExceeded(OutlayError):
    """The caller's deadline passed first. Whether the call took effect may be unknown: request_id tells."""

    reason = ErrorReason.DEADLINE_EXCEEDED

    def __init__(self) -> None:
        super().__init__("The deadline passed. Retry with the same request_id.")


class Unimplemented(OutlayError):
    """The method is part of the contract and not served here, or is not part of it at all."""

    reason = ErrorReason.UNIMPLEMENTED

    def __init__(self) -> None:
        super().__init__("This method is not available on this server.")


class Violations:
    """Collects everything that is wrong with one request, so that its caller mends it in one go."""

    def __init__(self) -> None:
        self._found: list[Violation] = []

    def add(self, field: str, description: str | None) -> None:
        """Note a violation; `None`, what a checker returns for a valid value, notes nothing."""
        if description is not None and len(self._found) < VIOLATIONS_MAX:
            self._found.append(Violation(field, description))

    def __bool__(self) -> bool:
        return bool(self._found)

    def found(self) -> tuple[Violation, ...]:
        """Return what was noted so far, in the order it was noted, at most `VIOLATIONS_MAX`."""
        return tuple(self._found)

    def raise_if_any(self) -> None:
        """Raise `ValidationFailed` with all of them, if there is one."""
        if self._found:
            raise ValidationFailed(self._found)
