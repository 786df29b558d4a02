"""The check that every variant sends, and an answer like the service's, so that the echo carries the same bytes."""

import os

from outlay.v1 import budget_service_pb2 as pb

UNIT = "USD"
BUDGET_ID = "spending"
TTL_SECONDS = 3600
"""No reservation expires before its trial's books are checked."""

LABELS = {"model": "large-2", "team": "search"}
CHECK_SPEND = "/outlay.v1.BudgetService/CheckSpend"
BATCH_CHECK_SPEND = "/outlay.v1.BudgetService/BatchCheckSpend"


def new_request_id() -> str:
    """Random, as callers' are: ids that ascend would be kinder to the index than real ones."""
    return os.urandom(16).hex()


def check_request(amount_micros: int) -> pb.CheckSpendRequest:
    """A RESERVE by an organization's own key, which need not name its organization."""
    request = pb.CheckSpendRequest(unit=UNIT, amount_micros=amount_micros, labels=LABELS, request_id=new_request_id())
    request.reservation_ttl.seconds = TTL_SECONDS
    return request


def sample_answer() -> pb.CheckSpendResponse:
    """An ALLOWED of the usual size."""
    answer = pb.CheckSpendResponse(
        decision=pb.DECISION_ALLOWED,
        granted_micros=500,
        reservation="organizations/bench-0000000000/reservations/0190a0a0-0000-7000-8000-000000000000",
        binding_budget=f"organizations/bench-0000000000/budgets/{BUDGET_ID}",
        affordable_micros=10**12,
    )
    answer.expire_time.FromMicroseconds(1_800_000_000_000_000)
    return answer


def metadata_of(key: str) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {key}"),)
