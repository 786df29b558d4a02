"""Failures in the shapes of the two faces. Both say 422 where the native face says VALIDATION_FAILED as 400 or 415."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Final

from starlette.responses import Response

from outlay_rest.answers import json_response
from outlay_rest.problems import Problem, Violation

_TYPES: Final[Mapping[int, str]] = {401: "unauthorized", 402: "payment_required", 403: "forbidden"}

_PARAMETERS: Final[Mapping[str, str]] = {
    "name": "organization",
    "parent": "organization",
    "budget.name": "organization",
}
"""Fields of the RPC under the names that callers of these faces know."""


def as_seen(problem: Problem) -> Problem:
    """The problem with the status, and the names of fields, of these faces."""
    if problem.reason != "VALIDATION_FAILED":
        return problem
    status = 422 if problem.http_status in (400, 415) else problem.http_status
    violations = tuple(_translated(each) for each in problem.violations)
    message = problem.message if violations == problem.violations else _message(violations)
    return dataclasses.replace(problem, http_status=status, message=message, violations=violations)


def _message(violations: Sequence[Violation]) -> str:
    return "; ".join(f"{each.field}: {each.description}" for each in violations)


def _translated(violation: Violation) -> Violation:
    if violation.field not in _PARAMETERS:
        return violation
    return Violation(_PARAMETERS[violation.field], "must name the organization, for this key belongs to none")


def _type(problem: Problem) -> str:
    return _TYPES.get(problem.http_status, "internal" if problem.http_status >= 500 else "invalid_request")


def _details(problem: Problem) -> dict[str, Any]:
    details: dict[str, Any] = dict(problem.facts) if problem.reason != "VALIDATION_FAILED" else {}
    if problem.violations:
        details["violations"] = [{"field": each.field, "description": each.description} for each in problem.violations]
    return details


def billing_failure(problem: Problem, correlation_id: str) -> Response:
    """`/v1/organizations/billing/spending-caps`."""
    problem = as_seen(problem)
    body = {
        "success": False,
        "status": problem.http_status,
        "error": {
            "message": problem.message,
            "type": _type(problem),
            "code": problem.reason,
            "details": _details(problem),
        },
    }
    return json_response(body, status=problem.http_status, correlation_id=correlation_id, headers=problem.headers)


def usage_failure(problem: Problem, correlation_id: str) -> Response:
    """`/v1/usage/budget`."""
    problem = as_seen(problem)
    body = {
        "success": False,
        "error": {
            "code": problem.reason,
            "type": _type(problem),
            "message": problem.message,
            "param": problem.violations[0].field or None if problem.violations else None,
            "details": _details(problem),
            "retryable": problem.http_status == 503,
            "request_id": correlation_id,
        },
        "meta": {"request_id": correlation_id},
    }
    return json_response(body, status=problem.http_status, correlation_id=correlation_id, headers=problem.headers)
