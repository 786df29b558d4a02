"""What the service answered, as values."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum
from typing import Final

from google.protobuf.timestamp_pb2 import Timestamp

from outlay.v1 import budget_service_pb2 as pb
from outlay.v1 import reservation_pb2, spend_record_pb2

CREDITS_UNIT: Final = "CREDITS"


class Mode(Enum):
    """What a check does beside answering."""

    RESERVE = pb.CHECK_MODE_RESERVE
    """Admit and hold."""
    CHECK_ONLY = pb.CHECK_MODE_CHECK_ONLY
    """Answer and hold nothing: advice, not a guarantee."""
    RECORD = pb.CHECK_MODE_RECORD
    """Admit and record at once, for work whose cost is known."""


class ExpiryAction(Enum):
    """What becomes of the amount that is still held when a reservation expires."""

    RELEASE = reservation_pb2.EXPIRY_ACTION_RELEASE
    """The work is taken not to have happened."""
    RECORD = reservation_pb2.EXPIRY_ACTION_RECORD
    """The work is taken to have happened."""


@dataclass(frozen=True, slots=True)
class CheckResult:
    """The answer to a check or an extension. Go ahead where `allowed`, up to `granted_micros`."""

    allowed: bool
    unit: str
    """As asked; empty for an extension."""
    granted_micros: int
    request_id: str
    reason: str = ""
    """On a denial: GATE_DISABLED, FROZEN, HARD_CAP_REACHED, ALLOTMENT_EXHAUSTED or HELD_BY_RESERVATIONS."""
    reservation: str = ""
    """What holds the amount, to name when recording; empty but in `Mode.RESERVE`."""
    expire_time: datetime | None = None
    """When it stops holding."""
    spend_record: str = ""
    """What `Mode.RECORD` wrote."""
    binding_budget: str = ""
    shortfall_micros: int = 0
    affordable_micros: int | None = None
    """None: nothing limits it."""
    retryable: bool = False
    """On a denial, whether the same check may soon be allowed without anybody changing settings."""
    retry_time: datetime | None = None
    """On a denial, when it is first worth asking again. None: time alone does not help."""
    gate: str = ""
    warnings: tuple[str, ...] = ()
    offline: bool = False
    """Allowed by `AllowUpTo` because the service could not be reached."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """As asked."""

    @property
    def http_status(self) -> int:
        """402, or 403 where a gate is off; 200 where allowed. Never 429: clients retry it."""
        if self.allowed:
            return 200
        return 403 if self.reason == "GATE_DISABLED" else 402

    @property
    def code(self) -> str:
        """The code of the REST faces for a denial; empty where allowed."""
        if self.allowed:
            return ""
        match self.reason:
            case "GATE_DISABLED":
                return f"{self.gate.upper().replace('-', '_')}_NOT_ENABLED"
            case "FROZEN":
                return "BUDGET_FROZEN"
            case "ALLOTMENT_EXHAUSTED":
                return "AI_CREDITS_EXHAUSTED"
            case "HELD_BY_RESERVATIONS":
                return "HELD_BY_RESERVATIONS"
            case _:
                return "AI_CREDITS_EXHAUSTED" if self._counts_credits else "SPENDING_CAP_REACHED"

    @property
    def message(self) -> str:
        """The denial for people; empty where allowed."""
        budget = self.binding_budget.rpartition("/")[2]
        match self.reason:
            case _ if self.allowed:
                return ""
            case "GATE_DISABLED":
                return f"{self.gate} is not enabled for this organization."
            case "FROZEN":
                return f"The budget {budget} is frozen."
            case "ALLOTMENT_EXHAUSTED":
                return f"The allotment of the budget {budget} is used up for this cycle."
            case "HELD_BY_RESERVATIONS":
                return f"What is left of the budget {budget} is held by open reservations."
            case _:
                return f"The hard cap of the budget {budget} is reached for this cycle."

    @property
    def _counts_credits(self) -> bool:
        # An extension does not repeat its unit; the budget that every organization has for credits then tells.
        return self.unit == CREDITS_UNIT or (not self.unit and self.binding_budget.endswith("/budgets/credits"))


@dataclass(frozen=True, slots=True)
class RecordResult:
    """What became of a record or a refund."""

    delivered: bool
    """Whether the service has it. False: the journal has it, and it is sent until the service acknowledges it."""
    amount_micros: int
    request_id: str
    spend_record: str = ""
    """The name of the entry of the ledger; empty until it is delivered."""
    overrun_micros: int = 0
    """How much of it was above what its reservation was granted."""
    late: bool = False
    """Whether it arrived after its reservation expired or was released."""


def check_result(
    request: pb.CheckSpendRequest | pb.ExtendReservationRequest, answer: pb.CheckSpendResponse
) -> CheckResult:
    reason = "" if not answer.reason else pb.DenialReason.Name(answer.reason).removeprefix("DENIAL_REASON_")
    asked = request if isinstance(request, pb.CheckSpendRequest) else None
    return CheckResult(
        allowed=answer.decision == pb.DECISION_ALLOWED,
        unit=asked.unit if asked is not None else "",
        granted_micros=answer.granted_micros,
        request_id=request.request_id,
        reason=reason,
        reservation=answer.reservation,
        expire_time=_time(answer.expire_time) if answer.HasField("expire_time") else None,
        spend_record=answer.spend_record,
        binding_budget=answer.binding_budget,
        shortfall_micros=answer.shortfall_micros,
        affordable_micros=answer.affordable_micros if answer.HasField("affordable_micros") else None,
        retryable=answer.retryable,
        retry_time=_time(answer.retry_time) if answer.HasField("retry_time") else None,
        gate=answer.gate,
        warnings=tuple(warning.message for warning in answer.warnings),
        labels=dict(asked.labels) if asked is not None else {},
    )


def record_result(request_id: str, record: spend_record_pb2.SpendRecord) -> RecordResult:
    return RecordResult(
        delivered=True,
        amount_micros=record.amount_micros,
        request_id=request_id,
        spend_record=record.name,
        overrun_micros=record.overrun_micros,
        late=record.late,
    )


def _time(stamp: Timestamp) -> datetime:
    return stamp.ToDatetime(tzinfo=UTC)
