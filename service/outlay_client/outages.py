"""What a check answers while the service cannot be reached."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass

from outlay.v1 import budget_service_pb2 as pb
from outlay.v1 import reservation_pb2
from outlay_client.leases import Admission, AsyncLease, LeaseClosed, ThreadLease
from outlay_client.results import CheckResult


@dataclass(frozen=True, slots=True)
class AllowUpTo:
    """Allow, in this process, work of one unit up to an amount that the service does not know of yet."""

    amount_micros: int
    unit: str = "USD"


@dataclass(frozen=True, slots=True)
class LeaseOnly:
    """Admit work from a lease that the caller keeps: what it holds is taken from every cap already.

    For `spend` and what is built on it, where the unit and the labels are exactly those of the lease.
    """

    lease: ThreadLease | AsyncLease

    def admission(
        self, amount_micros: int, unit: str, labels: Mapping[str, str], min_amount_micros: int | None
    ) -> Admission | None:
        """Hold the amount, or the least that will do, as far as the lease has it."""
        options = self.lease.options
        if unit != options.unit or dict(labels) != dict(options.labels):
            # Other budgets and gates might choose it, which the lease was not admitted by.
            return None
        try:
            admission = self.lease.hold(amount_micros)
            if admission is None and min_amount_micros is not None:
                admission = self.lease.hold(min_amount_micros)
        except LeaseClosed:
            return None
        return admission


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
