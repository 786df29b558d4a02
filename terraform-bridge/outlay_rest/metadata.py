"""What of a request's headers reaches the call: the credential, the correlation id, the trace, the deadline."""

import re
import uuid
from typing import Final

from starlette.requests import Request

from outlay_rest.limits import DEADLINE_MAX_SECONDS
from outlay_rest.problems import Violation, invalid

REQUEST_ID_HEADER: Final = "x-request-id"
TIMEOUT_HEADER: Final = "x-outlay-timeout"

_PASSED_ON: Final = ("traceparent", "tracestate", "user-agent")
_REQUEST_ID: Final = re.compile(r"[\x21-\x7e]{1,128}")
_TIMEOUT: Final = re.compile(r"(?:0|[1-9][0-9]{0,3})(?:\.[0-9]{1,3})?", re.ASCII)


def correlation_id_of(request: Request) -> str:
    """The caller's `x-request-id` where it is one line of printable ASCII, else a new id."""
    given = request.headers.getlist(REQUEST_ID_HEADER)
    return given[0] if len(given) == 1 and _REQUEST_ID.fullmatch(given[0]) else uuid.uuid4().hex


def call_headers(request: Request, correlation_id: str) -> dict[str, str]:
    """Headers for the call, lower-case.

    Two `Authorization` headers become one value that no key looks like, so that neither of them is chosen.
    """
    headers = {name: value for name in _PASSED_ON if (value := request.headers.get(name)) is not None}
    if authorization := request.headers.getlist("authorization"):
        headers["authorization"] = ", ".join(authorization)
    return headers | {REQUEST_ID_HEADER: correlation_id}


def deadline_seconds_of(request: Request) -> float | None:
    """The deadline that `x-outlay-timeout` asks for, in seconds, at most 30; None without the header."""
    given = request.headers.getlist(TIMEOUT_HEADER)
    if not given:
        return None
    seconds = float(given[0]) if len(given) == 1 and _TIMEOUT.fullmatch(given[0]) else 0.0
    if seconds <= 0:
        raise invalid([Violation(TIMEOUT_HEADER, "must be seconds above 0, such as 2.5")])
    return min(seconds, DEADLINE_MAX_SECONDS)
