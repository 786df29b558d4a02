"""What a check answers while the service cannot be reached."""

import threading
from dataclasses import dataclass

from outlay.v1 import budget_service_pb2 as pb
from outlay.v1 import reservation_pb2
from outlay_client.results import CheckResult


@dataclass(frozen=True, slots=True)
class AllowUpTo:
    """Allow, in this process, work of one unit up to an amount that the service does not know of yet."""

    amount_micros: int
    unit: str = "USD"


class Allowance:
    """Counts what was allowed without the service: from the check until the service acknowledged the record.

    So it is never more than the amount that this process has spent and the books lack, and it is whole again when the
    journal is empty. Work that was allowed and neither recorded nor released stays counted for the process's life.
    """

    def __init__(self, limit: AllowUpTo | None) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self.taken_micros = 0

    def grant(self, request: pb.CheckSpendRequest) -> CheckResult | None:
        """Allow a check that the service did not answer, if it may be.

        Only one that holds and gives back at expiry: where it did reach the service after all, what it held there comes
        back by itself, and the record is counted once.
        """
        limit = self._limit
        if (
            limit is None
            or request.unit != limit.unit
            or request.mode != pb.CHECK_MODE_RESERVE
            or request.expiry_action == reservation_pb2.EXPIRY_ACTION_RECORD
        ):
            return None
        with self._lock:
            left = limit.amount_micros - self.taken_micros
            least = request.min_amount_micros if request.HasField("min_amount_micros") else request.amount_micros
            if left <= 0 or left < least:
                return None
            granted = min(left, request.amount_micros)
            self.taken_micros += granted
        return CheckResult(
            allowed=True,
            unit=request.unit,
            granted_micros=granted,
            request_id=request.request_id,
            labels=dict(request.labels),
            offline=True,
        )

    def change(self, by_micros: int) -> None:
        """Count more, because the work cost more than was allowed, or less."""
        with self._lock:
            self.taken_micros += by_micros
