"""Bounds and examples that the protos state in words, as keywords of JSON Schema, by the full name of the field."""

from collections.abc import Mapping
from typing import Any, Final

from outlay_rest.limits import CAP_MICROS_MAX, THRESHOLDS_MAX

_AMOUNT: Final = {"minimum": 0, "maximum": 10**15}
_CAP: Final = {"minimum": 0, "maximum": CAP_MICROS_MAX}
_ID: Final = {"pattern": "^[a-z][a-z0-9-]{0,62}$"}
_UNIT: Final = {"pattern": "^[A-Z][A-Z0-9_]{2,31}$", "examples": ["USD"]}
_REQUEST_ID: Final = {"pattern": "^[ -~]{0,128}$", "examples": ["8d4f7a52-check-1"]}
_NEEDED_REQUEST_ID: Final = {"pattern": "^[ -~]{1,128}$", "examples": ["8d4f7a52-record-1"]}
_DISPLAY_NAME: Final = {"maxLength": 128}
_LABELS: Final = {"maxProperties": 16, "examples": [{"model": "claude-sonnet-4-5", "team": "search"}]}
_PAGE_SIZE: Final = {"minimum": 0}
_BATCH: Final = {"minItems": 1, "maxItems": 1000}

BOUNDS: Final[Mapping[str, Mapping[str, Any]]] = {
    "Budget.display_name": _DISPLAY_NAME,
    "Budget.unit": _UNIT,
    "Budget.selector": {"maxProperties": 16, "examples": [{"model": "claude-opus-*"}]},
    "Budget.budget_micros": {**_CAP, "examples": ["100000000"]},
    "Budget.hard_cap_micros": {**_CAP, "examples": ["500000000"]},
    "Budget.allotment_micros": _CAP,
    "Budget.managed_by": {"maxLength": 128},
    "AlertThresholds.percents": {"maxItems": THRESHOLDS_MAX, "uniqueItems": True, "examples": [[50, 75, 90, 100]]},
    "AlertThresholds.percents[]": {"minimum": 0, "maximum": 1000},
    "Cycle.anchor": {"examples": ["2026-01-01"]},
    "Cycle.time_zone": {"examples": ["Europe/Berlin"]},
    "CapOverride.hard_cap_micros": _CAP,
    "CapOverride.reason": {"maxLength": 512},
    "CheckSpendRequest.unit": _UNIT,
    "CheckSpendRequest.amount_micros": {**_AMOUNT, "examples": ["250000"]},
    "CheckSpendRequest.min_amount_micros": _AMOUNT,
    "CheckSpendRequest.labels": _LABELS,
    "CheckSpendRequest.request_id": _REQUEST_ID,
    "CheckSpendRequest.reservation_ttl": {"examples": ["300s"]},
    "BatchCheckSpendRequest.requests": _BATCH,
    "RecordSpendRequest.unit": {"examples": ["USD"]},
    "RecordSpendRequest.amount_micros": {"minimum": 1, "maximum": 10**15, "examples": ["180000"]},
    "RecordSpendRequest.labels": _LABELS,
    "RecordSpendRequest.request_id": _NEEDED_REQUEST_ID,
    "BatchRecordSpendRequest.requests": _BATCH,
    "RefundSpendRequest.amount_micros": {"minimum": 1, "maximum": 10**15},
    "RefundSpendRequest.request_id": _NEEDED_REQUEST_ID,
    "ReleaseReservationRequest.request_id": _REQUEST_ID,
    "ExtendReservationRequest.additional_micros": _AMOUNT,
    "ExtendReservationRequest.request_id": _REQUEST_ID,
    "ExtendReservationRequest.reservation_ttl": {"examples": ["600s"]},
    "QuerySpendRequest.unit": _UNIT,
    "QuerySpendRequest.group_by": {"maxItems": 4},
    "QuerySpendRequest.label_filters": {"maxItems": 16},
    "QuerySpendRequest.page_size": _PAGE_SIZE,
    "ListSpendRecordsRequest.label_filters": {"maxItems": 16},
    "Organization.display_name": _DISPLAY_NAME,
    "Organization.gates": {"maxItems": 100},
    "Organization.managed_by": {"maxLength": 128},
    "Gate.gate_id": _ID,
    "ApiKey.display_name": _DISPLAY_NAME,
    "ApiKey.scopes": {"minItems": 1, "uniqueItems": True},
    "ApiKey.scopes[]": {
        "enum": [
            "budgets:read",
            "budgets:write",
            "control:read",
            "control:webhooks",
            "spend:check",
            "spend:record",
        ]
    },
    "WebhookEndpoint.display_name": _DISPLAY_NAME,
    "WebhookEndpoint.uri": {"maxLength": 2048, "examples": ["https://example.com/hooks/outlay"]},
    "WebhookEndpoint.managed_by": {"maxLength": 128},
    "CreateBudgetRequest.budget_id": _ID,
    "CreateOrganizationRequest.organization_id": _ID,
    "CreateWebhookEndpointRequest.webhook_endpoint_id": _ID,
    "UpdateBudgetRequest.update_mask": {"examples": ["hard_cap_micros,hard_cap_enabled"]},
}
"""Keys are `Message.field`; with `[]`, of the field's items."""


def bounds_of(full_name: str, *, item: bool = False) -> Mapping[str, Any]:
    """The keywords for `outlay.v1.Message.field`, or for one item of it."""
    key = full_name.removeprefix("outlay.v1.") + ("[]" if item else "")
    if key in BOUNDS:
        return BOUNDS[key]
    if key.endswith("Request.page_size"):
        return _PAGE_SIZE
    if key.endswith("Request.request_id"):
        return _REQUEST_ID
    return {}
