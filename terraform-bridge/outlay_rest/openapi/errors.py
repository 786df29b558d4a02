"""The error answers of the native face, and their schemas."""

from collections.abc import Mapping
from typing import Any, Final

from outlay.v1 import error_reason_pb2
from outlay_rest.denial import DENIAL_CODES
from outlay_rest.openapi.comments import comments
from outlay_rest.problems import DOMAIN, HTTP_STATUS, RETRY_AFTER_DEFAULT_SECONDS

_REASON_PREFIX: Final = "ERROR_REASON_"


def error_reasons() -> list[str]:
    """Every reason, without the enum's prefix and its zero value."""
    return [name.removeprefix(_REASON_PREFIX) for name in error_reason_pb2.ErrorReason.keys()[1:]]


def _reasons_text() -> str:
    texts = comments()
    prefix = "outlay.v1.ErrorReason"
    lines = [f"- `{reason}`: {texts.get(f'{prefix}.{_REASON_PREFIX}{reason}', '')}" for reason in error_reasons()]
    return "\n".join(["Why, for programs.", "", *lines])


def error_schemas() -> dict[str, Any]:
    """Components for `google.rpc.Status` as an error's body, and as the outcome of a batch's item."""
    detail = {
        "type": "object",
        "description": "An ErrorInfo, or another message of google.rpc, told apart by `@type`.",
        "properties": {
            "@type": {"type": "string"},
            "reason": {"type": "string", "enum": error_reasons(), "description": _reasons_text()},
            "domain": {"type": "string", "const": DOMAIN},
            "metadata": {"type": "object", "additionalProperties": {"type": "string"}},
            "field_violations": {"type": "array", "items": {"$ref": "#/components/schemas/FieldViolation"}},
            "violations": {
                "type": "array",
                "items": {
                    "type": "object",
                    "description": "Why caps were not applied: a CapsWarningReason, and the name of the resource.",
                    "properties": {name: {"type": "string"} for name in ("type", "subject", "description")},
                },
            },
            "retry_delay": {"type": "string"},
            "request_id": {"type": "string"},
        },
        "required": ["@type"],
    }
    error = {
        "type": "object",
        "properties": {
            "code": {"type": "integer", "description": "The HTTP status."},
            "status": {"type": "string", "enum": sorted(HTTP_STATUS), "description": "The canonical code."},
            "message": {"type": "string", "description": "For people; it may change."},
            "details": {"type": "array", "items": {"$ref": "#/components/schemas/ErrorDetail"}},
        },
        "required": ["code", "status", "message", "details"],
        "additionalProperties": False,
    }
    return {
        "Error": {
            "type": "object",
            "properties": {"error": error},
            "required": ["error"],
            "additionalProperties": False,
        },
        "ErrorDetail": detail,
        "FieldViolation": {
            "type": "object",
            "properties": {
                "field": {"type": "string", "description": "Path such as `budget.cycle.time_zone`."},
                "description": {"type": "string", "description": "What a valid value is."},
            },
            "required": ["field", "description"],
        },
        "Status": {
            "type": "object",
            "description": "Why one item of a batch failed.",
            "properties": {
                "code": {"type": "integer", "description": "The canonical code as a number (google.rpc.Code)."},
                "message": {"type": "string"},
                "details": {"type": "array", "items": {"type": "object"}},
            },
            "required": ["code", "message", "details"],
        },
    }


def denied_schema(allowed: Mapping[str, Any]) -> dict[str, Any]:
    """The body of a denied check: the answer of the RPC, and an `error` beside it."""
    error = {
        "type": "object",
        "description": "The denial as the billing faces write it.",
        "properties": {
            "code": {
                "type": "string",
                "description": f"{', '.join(DENIAL_CODES)}, or `<GATE_ID>_NOT_ENABLED` such as OPUS_NOT_ENABLED.",
            },
            "type": {"type": "string", "enum": ["payment_required", "forbidden"]},
            "message": {"type": "string"},
            "details": {
                "type": "object",
                "properties": {
                    "reason": {"type": "string"},
                    "budget": {"type": "string"},
                    "cycle_reset_at": {"type": "string", "format": "date-time"},
                    "retry_at": {"type": "string", "format": "date-time"},
                },
                "required": ["reason"],
            },
            "retryable": {"type": "boolean"},
            "request_id": {"type": "string"},
        },
        "required": ["code", "type", "message", "details", "retryable", "request_id"],
    }
    return {
        **allowed,
        "description": "A denied check: nothing is held, and the work must not be done.",
        "properties": {**allowed["properties"], "error": error},
        "required": [*allowed["required"], "error"],
    }


def error_responses() -> dict[str, Any]:
    """Components that operations refer to, by their HTTP status."""
    example = {
        "error": {
            "code": 400,
            "status": "INVALID_ARGUMENT",
            "message": "amount_micros: must be an integer: digits, as a number or a string",
            "details": [
                {
                    "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                    "reason": "VALIDATION_FAILED",
                    "domain": DOMAIN,
                    "metadata": {"field": "amount_micros"},
                },
                {
                    "@type": "type.googleapis.com/google.rpc.BadRequest",
                    "field_violations": [
                        {
                            "field": "amount_micros",
                            "description": "must be an integer: digits, as a number or a string",
                        }
                    ],
                },
            ],
        }
    }
    return {
        "400": _response(
            "VALIDATION_FAILED, REQUEST_ID_REUSED, or a precondition that does not hold.", example=example
        ),
        "401": _response(
            "INVALID_API_KEY: the key is missing, malformed, unknown, expired or revoked.",
            headers={"WWW-Authenticate": {"schema": {"type": "string"}, "required": True}},
        ),
        "403": _response("MISSING_SCOPE: the key is valid but holds none of the scopes that the call accepts."),
        "404": _response("NOT_FOUND: there is no such resource, or it belongs to another organization."),
        "408": _response("DEADLINE_EXCEEDED: the body did not arrive in time; nothing was done."),
        "409": _response("ALREADY_EXISTS or ETAG_MISMATCH."),
        "413": _response("The body is larger than 256 KiB (1 MiB for a batch)."),
        "415": _response("The body is not declared as application/json."),
        "500": _response("INTERNAL: a defect; the request id finds it in the server's logs."),
        "501": _response("UNIMPLEMENTED: this server does not offer the method."),
        "503": _response(
            "OVERLOADED or STORAGE_UNAVAILABLE. Retry with the same request_id.",
            headers={
                "Retry-After": {
                    "description": "Seconds.",
                    "schema": {"type": "integer", "examples": [RETRY_AFTER_DEFAULT_SECONDS]},
                    "required": True,
                }
            },
        ),
        "504": _response("DEADLINE_EXCEEDED: the effect is unknown; the same request_id finds out."),
    }


def _response(description: str, *, example: Any = None, headers: Mapping[str, Any] | None = None) -> dict[str, Any]:
    content: dict[str, Any] = {"schema": {"$ref": "#/components/schemas/Error"}}
    if example is not None:
        content["examples"] = {"error": {"value": example}}
    response: dict[str, Any] = {"description": description, "content": {"application/json": content}}
    return {**response, "headers": dict(headers)} if headers else response
