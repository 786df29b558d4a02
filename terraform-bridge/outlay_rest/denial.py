"""A denied check over HTTP: 402, or 403 where a gate is off; never 429, which clients retry.

The body is the whole answer of the RPC, with an object `error` beside it that carries the code of the billing faces.
"""

from typing import Any, Final

from google.protobuf.message import Message

from outlay.v1 import budget_service_pb2 as pb

RESPONSE_TYPE: Final = "outlay.v1.CheckSpendResponse"

CREDITS_UNIT: Final = "CREDITS"

DENIAL_CODES: Final = ("AI_CREDITS_EXHAUSTED", "BUDGET_FROZEN", "HELD_BY_RESERVATIONS", "SPENDING_CAP_REACHED")
"""Codes of a 402, in alphabetical order; a 403 has `<GATE_ID>_NOT_ENABLED`."""


def denial_error(request: Message, answer: pb.CheckSpendResponse, correlation_id: str) -> tuple[int, dict[str, Any]]:
    """Return the HTTP status of a denial, and the `error` object of its body."""
    gate_off = answer.reason == pb.DENIAL_REASON_GATE_DISABLED
    details: dict[str, Any] = {"reason": pb.DenialReason.Name(answer.reason).removeprefix("DENIAL_REASON_")}
    if answer.binding_budget:
        details["budget"] = answer.binding_budget
    if answer.HasField("retry_time"):
        details["cycle_reset_at" if not answer.retryable else "retry_at"] = answer.retry_time.ToJsonString()
    status = 403 if gate_off else 402
    return status, {
        "code": _code(request, answer),
        "type": "forbidden" if gate_off else "payment_required",
        "message": _message(answer),
        "details": details,
        "retryable": answer.retryable,
        "request_id": correlation_id,
    }


def _code(request: Message, answer: pb.CheckSpendResponse) -> str:
    match answer.reason:
        case pb.DENIAL_REASON_GATE_DISABLED:
            return f"{answer.gate.upper().replace('-', '_')}_NOT_ENABLED"
        case pb.DENIAL_REASON_FROZEN:
            return "BUDGET_FROZEN"
        case pb.DENIAL_REASON_ALLOTMENT_EXHAUSTED:
            return "AI_CREDITS_EXHAUSTED"
        case pb.DENIAL_REASON_HELD_BY_RESERVATIONS:
            return "HELD_BY_RESERVATIONS"
        case _:
            return "AI_CREDITS_EXHAUSTED" if _counts_credits(request, answer) else "SPENDING_CAP_REACHED"


def _counts_credits(request: Message, answer: pb.CheckSpendResponse) -> bool:
    # An extension does not repeat the unit of its reservation; the budget that every organization has for credits
    # then tells.
    unit = getattr(request, "unit", "")
    return unit == CREDITS_UNIT or (not unit and answer.binding_budget.endswith("/budgets/credits"))


def _message(answer: pb.CheckSpendResponse) -> str:
    budget = answer.binding_budget.rpartition("/")[2]
    match answer.reason:
        case pb.DENIAL_REASON_GATE_DISABLED:
            return f"{answer.gate} is not enabled for this organization."
        case pb.DENIAL_REASON_FROZEN:
            return f"The budget {budget} is frozen."
        case pb.DENIAL_REASON_ALLOTMENT_EXHAUSTED:
            return f"The allotment of the budget {budget} is used up for this cycle."
        case pb.DENIAL_REASON_HELD_BY_RESERVATIONS:
            return f"What is left of the budget {budget} is held by open reservations."
        case _:
            return f"The hard cap of the budget {budget} is reached for this cycle."
