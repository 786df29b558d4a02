"""The body that a metered service answers over HTTP where the work is not done."""

from datetime import UTC, datetime
from typing import Any, Final, Literal

from outlay_client.results import CheckResult

Face = Literal["usage", "billing"]
"""The published faces whose error bodies there are: that of `/v1/usage/…` and that of `/v1/organizations/billing/…`."""

UNAVAILABLE_STATUS: Final = 503


def denial_body(result: CheckResult, request_id: str, face: Face = "usage") -> dict[str, Any]:
    """The body of a 402 or 403; the status is `result.http_status`."""
    details: dict[str, Any] = {"reason": result.reason}
    if result.binding_budget:
        details["budget"] = result.binding_budget
    if result.retry_time is not None:
        details["retry_at" if result.retryable else "cycle_reset_at"] = _rfc3339(result.retry_time)
    return _body(
        face,
        status=result.http_status,
        code=result.code,
        kind="forbidden" if result.http_status == 403 else "payment_required",
        message=result.message,
        details=details,
        retryable=result.retryable,
        request_id=request_id,
    )


def unavailable_body(request_id: str, face: Face = "usage") -> dict[str, Any]:
    """The body of a 503: nobody could say whether the work may be done."""
    return _body(
        face,
        status=UNAVAILABLE_STATUS,
        code="SPEND_CHECK_UNAVAILABLE",
        kind="internal",
        message="Spend cannot be checked at the moment.",
        details={},
        retryable=True,
        request_id=request_id,
    )


def _body(
    face: Face,
    *,
    status: int,
    code: str,
    kind: str,
    message: str,
    details: dict[str, Any],
    retryable: bool,
    request_id: str,
) -> dict[str, Any]:
    if face == "billing":
        error = {"message": message, "type": kind, "code": code, "details": details}
        return {"success": False, "status": status, "error": error}
    return {
        "success": False,
        "error": {
            "code": code,
            "type": kind,
            "message": message,
            "param": None,
            "details": details,
            "retryable": retryable,
            "request_id": request_id,
        },
        "meta": {"request_id": request_id},
    }


def _rfc3339(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
