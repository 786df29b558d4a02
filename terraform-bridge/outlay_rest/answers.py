"""Responses: JSON with the headers that every answer carries."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Final

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from starlette.responses import Response

from outlay_rest.problems import DOMAIN, Problem

SECURITY_HEADERS: Final[Mapping[str, str]] = {
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}
"""On every answer. Amounts and keys belong in no cache, and an answer opened in a browser runs nothing."""

_ENCODER: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def to_json(message: Message) -> dict[str, Any]:
    """The JSON form of a message: names as in the proto, defaults always there, 64-bit integers as strings.

    Fields that can be absent (`optional` ones and messages) are left out where they are.
    """
    return MessageToDict(message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)


def encoded(body: Any) -> bytes:
    """A body as bytes, on one line."""
    return _ENCODER.encode(body).encode()


def json_response(
    body: Any, *, status: int = 200, correlation_id: str, headers: Mapping[str, str] | None = None
) -> Response:
    return Response(
        encoded(body),
        status_code=status,
        headers={
            **SECURITY_HEADERS,
            "content-type": "application/json",
            "x-request-id": correlation_id,
            **(headers or {}),
        },
    )


def problem_response(problem: Problem, correlation_id: str) -> Response:
    """A failure on the native face, as an answer."""
    return json_response(
        problem_body(problem, correlation_id),
        status=problem.http_status,
        correlation_id=correlation_id,
        headers=problem.headers,
    )


def problem_body(problem: Problem, correlation_id: str) -> dict[str, Any]:
    """A failure on the native face: `google.rpc.Status` as Google's APIs write it over HTTP (AIP-193)."""
    details: list[dict[str, Any]] = [
        {
            "@type": "type.googleapis.com/google.rpc.ErrorInfo",
            "reason": problem.reason,
            "domain": DOMAIN,
            "metadata": dict(problem.facts),
        }
    ]
    if problem.violations:
        violations = [{"field": each.field, "description": each.description} for each in problem.violations]
        details.append({"@type": "type.googleapis.com/google.rpc.BadRequest", "field_violations": violations})
    if problem.preconditions:
        failed = [asdict(each) for each in problem.preconditions]
        details.append({"@type": "type.googleapis.com/google.rpc.PreconditionFailure", "violations": failed})
    if problem.retry_after_seconds is not None:
        delay = f"{problem.retry_after_seconds}s"
        details.append({"@type": "type.googleapis.com/google.rpc.RetryInfo", "retry_delay": delay})
    details.append({"@type": "type.googleapis.com/google.rpc.RequestInfo", "request_id": correlation_id})
    error = {
        "code": problem.http_status,
        "status": problem.code,
        "message": problem.message,
        "details": details,
    }
    return {"error": error}
