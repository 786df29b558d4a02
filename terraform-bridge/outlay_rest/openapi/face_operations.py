"""The operations of the two published faces."""

from typing import Any, Final

from outlay_rest.faces import spending_caps, usage_budget
from outlay_rest.limits import CAP_MICROS_MAX, THRESHOLDS_MAX, USAGE_THRESHOLDS_MAX

_CENTS: Final = {
    "type": ["integer", "null"],
    "minimum": 0,
    "maximum": CAP_MICROS_MAX // spending_caps.MICROS_PER_CENT,
}
_CREDITS: Final = {
    "type": ["integer", "null"],
    "minimum": 0,
    "maximum": CAP_MICROS_MAX // usage_budget.MICROS_PER_CREDIT,
}

_ORGANIZATION: Final = {
    "name": "organization",
    "in": "query",
    "description": "The id of the organization: needed with a platform key, which belongs to none.",
    "schema": {"type": "string", "pattern": "^[a-z][a-z0-9-]{0,62}$", "examples": ["acme"]},
}

_SPENDING_CAPS_EXAMPLE: Final = {
    "current_spending_cents": 23450,
    "current_spending_usd": 234.5,
    "monthly_spending_budget": 10000,
    "monthly_spending_budget_usd": 100,
    "spending_alert_thresholds": [50, 75, 90, 100],
    "spending_alerts_enabled": True,
    "spending_alerts_sent": [50, 75, 90, 100],
    "hard_spending_cap": 50000,
    "hard_spending_cap_usd": 500,
    "hard_cap_enabled": True,
    "budget_percentage_used": 234.5,
}

_USAGE_BUDGET_EXAMPLE: Final = {
    "success": True,
    "data": {"spend_cap": 50000, "alert_thresholds": [75, 90], "credits_allotment": 100000, "opus_enabled": False},
}


def face_paths() -> dict[str, Any]:
    """The path items."""
    return {
        spending_caps.PATH: {
            "get": _operation(
                "GetSpendingCaps",
                "Billing",
                "Spending cap configuration, and where the current cycle stands",
                "SpendingCaps",
                "BillingError",
            ),
            "post": _operation(
                "UpdateSpendingCaps",
                "Billing",
                "Update spending cap configuration",
                "SpendingCaps",
                "BillingError",
                body="SpendingCapsUpdate",
                body_required=True,
            ),
        },
        usage_budget.PATH: {
            "get": _operation("GetUsageBudget", "Usage", "Get budget settings", "UsageBudget", "UsageError"),
            "put": _operation(
                "UpdateUsageBudget",
                "Usage",
                "Update budget settings",
                "UsageBudget",
                "UsageError",
                body="UsageBudgetUpdate",
                body_required=False,
            ),
        },
    }


def _operation(
    operation_id: str,
    tag: str,
    summary: str,
    answer: str,
    error: str,
    *,
    body: str = "",
    body_required: bool = False,
) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": operation_id,
        "tags": [tag],
        "summary": summary,
        "parameters": [_ORGANIZATION],
        "responses": {
            "200": {"description": "OK", "content": _json(answer)},
            "401": {"description": "INVALID_API_KEY: invalid or revoked key.", "content": _json(error)},
            "403": {"description": "MISSING_SCOPE: the key lacks the scope `control:read`.", "content": _json(error)},
            "422": {"description": "VALIDATION_FAILED; nothing was changed.", "content": _json(error)},
            "default": {"description": "Every other failure.", "content": _json(error)},
        },
    }
    if body:
        operation["requestBody"] = {"required": body_required, "content": _json(body)}
    return operation


def _json(schema: str) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}


def face_schemas() -> dict[str, Any]:
    """Components that the path items refer to."""
    return {
        "SpendingCaps": _spending_caps(),
        "SpendingCapsUpdate": {
            "type": "object",
            "description": "Every key is optional. What is absent stays; `null` clears, or gives the default back.",
            "properties": {
                "monthly_spending_budget": {
                    **_CENTS,
                    "description": "Soft spending limit in US cents: alerts, never blocks. `null` removes it.",
                },
                "spending_alert_thresholds": {
                    "type": ["array", "null"],
                    "items": {"type": "integer", "minimum": 0, "maximum": 100},
                    "description": "Percentages at which an alert is sent, sorted by the server; at most"
                    f" {THRESHOLDS_MAX} different ones. `null`: 50, 75, 90 and 100.",
                },
                "spending_alerts_enabled": {
                    "type": ["boolean", "null"],
                    "description": "Whether alerts are sent; `null`: true.",
                },
                "hard_spending_cap": {
                    **_CENTS,
                    "description": "Hard spending limit in US cents: when reached, blocks. `null` removes it.",
                },
                "hard_cap_enabled": {
                    "type": ["boolean", "null"],
                    "description": "Whether the hard cap is enforced; `null`: false.",
                },
            },
            "additionalProperties": False,
            "examples": [{"monthly_spending_budget": 10000, "hard_spending_cap": 50000, "hard_cap_enabled": True}],
        },
        "BillingError": {
            "type": "object",
            "properties": {
                "success": {"const": False},
                "status": {"type": "integer", "description": "The HTTP status."},
                "error": {
                    "type": "object",
                    "properties": {
                        "message": {"type": "string"},
                        "type": _error_type(),
                        "code": {"type": "string"},
                        "details": _details(),
                    },
                    "required": ["message", "type", "code", "details"],
                },
            },
            "required": ["success", "status", "error"],
        },
        "UsageBudget": _usage_budget(),
        "UsageBudgetUpdate": {
            "type": "object",
            "description": "Every key is optional; an empty body changes nothing.",
            "properties": {
                "spend_cap": {**_CREDITS, "description": "Credit cap of the cycle. `null` removes it."},
                "alert_thresholds": {
                    "type": ["array", "null"],
                    "items": {"type": "integer", "minimum": 1, "maximum": 99},
                    "description": "Percentages, sorted by the server; at most"
                    f" {USAGE_THRESHOLDS_MAX} different ones. `[]` or `null` clears.",
                },
                "opus_enabled": {"type": "boolean", "description": "Whether the Opus model may be used."},
            },
            "additionalProperties": False,
            "examples": [{"spend_cap": 50000, "alert_thresholds": [75, 90], "opus_enabled": False}],
        },
        "UsageError": {
            "type": "object",
            "properties": {
                "success": {"const": False},
                "error": {
                    "type": "object",
                    "properties": {
                        "code": {"type": "string"},
                        "type": _error_type(),
                        "message": {"type": "string"},
                        "param": {"type": ["string", "null"], "description": "The first key that is wrong."},
                        "details": _details(),
                        "retryable": {"type": "boolean"},
                        "request_id": {"type": "string"},
                    },
                    "required": ["code", "type", "message", "param", "details", "retryable", "request_id"],
                },
                "meta": {
                    "type": "object",
                    "properties": {"request_id": {"type": "string"}},
                    "required": ["request_id"],
                },
            },
            "required": ["success", "error", "meta"],
        },
    }


def _error_type() -> dict[str, Any]:
    return {
        "type": "string",
        "enum": ["unauthorized", "forbidden", "payment_required", "invalid_request", "internal"],
    }


def _details() -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {
            "required_scope": {"type": "string"},
            "violations": {"type": "array", "items": {"$ref": "#/components/schemas/FieldViolation"}},
        },
    }


def _spending_caps() -> dict[str, Any]:
    amount, optional_amount = {"type": "number"}, {"type": ["number", "null"]}
    percents = {"type": "array", "items": {"type": "integer"}}
    properties = {
        "current_spending_cents": {"type": "integer", "description": "In the current cycle; part cents round up."},
        "current_spending_usd": {**amount, "description": "The same in US dollars."},
        "monthly_spending_budget": {"type": ["integer", "null"], "description": "In cents; `null`: unlimited."},
        "monthly_spending_budget_usd": optional_amount,
        "spending_alert_thresholds": percents,
        "spending_alerts_enabled": {"type": "boolean"},
        "spending_alerts_sent": {**percents, "description": "Thresholds that raised an alert in the current cycle."},
        "hard_spending_cap": {"type": ["integer", "null"], "description": "In cents; `null`: no hard cap."},
        "hard_spending_cap_usd": optional_amount,
        "hard_cap_enabled": {"type": "boolean"},
        "budget_percentage_used": {
            **optional_amount,
            "description": "Of the soft budget, to a tenth and rounded down; `null` without one.",
        },
    }
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
        "examples": [_SPENDING_CAPS_EXAMPLE],
    }


def _usage_budget() -> dict[str, Any]:
    data = {
        "spend_cap": {"type": ["integer", "null"], "description": "`null`: no cap; the whole allotment applies."},
        "alert_thresholds": {"type": "array", "items": {"type": "integer"}, "description": "Empty: no alerts."},
        "credits_allotment": {"type": ["integer", "null"], "description": "Set by the plan; `null`: none is set."},
        "opus_enabled": {"type": "boolean"},
    }
    return {
        "type": "object",
        "properties": {
            "success": {"const": True},
            "data": {
                "type": "object",
                "properties": data,
                "required": list(data),
                "additionalProperties": False,
            },
        },
        "required": ["success", "data"],
        "additionalProperties": False,
        "examples": [_USAGE_BUDGET_EXAMPLE],
    }
