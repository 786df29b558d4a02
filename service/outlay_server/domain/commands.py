"""What can be asked of the ledger, and what it answers: plain values, the same for every face and every store.

Nobody changes one after it was made. They are not `frozen`, which would set each field through a call: half a
microsecond a value, and every check makes two.
"""

import enum
from dataclasses import dataclass

from outlay_server.domain.decision import DenialReason, Verdict
from outlay_server.domain.instant import Instant
from outlay_server.domain.reservation import ExpiryAction, Reservation
from outlay_server.domain.selector import CanonicalLabels
from outlay_server.domain.spend import SpendRecord


class CheckMode(enum.Enum):
    """What an admission leaves behind."""

    RESERVE = "RESERVE"
    CHECK_ONLY = "CHECK_ONLY"
    RECORD = "RECORD"


@dataclass(slots=True)
class CheckSpend:
    """Decide, and hold or record what is admitted."""

    organization_id: str
    unit: str
    amount_micros: int
    min_amount_micros: int | None
    labels: CanonicalLabels
    mode: CheckMode
    reservation_ttl_micros: int
    expiry_action: ExpiryAction
    full_view: bool
    """Name every matching budget on an admission too."""
    request_id: str
    """"" where the caller gave none."""
    api_key_id: str


@dataclass(slots=True)
class RecordSpend:
    """Record actual spend; settle the reservation, where one is named."""

    organization_id: str
    reservation_id: str | None
    unit: str
    """"" takes the reservation's."""
    amount_micros: int
    labels: CanonicalLabels
    usage_time: Instant | None
    keep_open: bool
    request_id: str
    api_key_id: str


@dataclass(slots=True)
class RefundSpend:
    """Credit back part of one record, or all that is left of it when `amount_micros` is None."""

    organization_id: str
    record_id: str
    amount_micros: int | None
    request_id: str
    api_key_id: str


@dataclass(slots=True)
class ReleaseReservation:
    """Give back what is still held."""

    organization_id: str
    reservation_id: str
    request_id: str
    api_key_id: str


@dataclass(slots=True)
class ExtendReservation:
    """Expire later (never earlier), and hold more where `additional_micros` > 0, admitted like a check."""

    organization_id: str
    reservation_id: str
    reservation_ttl_micros: int
    """Counted from the decision."""
    additional_micros: int
    request_id: str
    api_key_id: str
    min_additional_micros: int | None = None
    """Take less where the whole does not fit, but at least this; None is all or nothing."""


@dataclass(slots=True)
class SettleExpired:
    """Write down every reservation of the organization that has expired. The answer is None."""

    organization_id: str
    request_id: str = ""
    api_key_id: str = ""


Command = CheckSpend | RecordSpend | RefundSpend | ReleaseReservation | ExtendReservation | SettleExpired


class WarningType(enum.Enum):
    """What an admitted caller should know."""

    SOFT_BUDGET_PASSED = "SOFT_BUDGET_PASSED"
    SHADOW_DENIAL = "SHADOW_DENIAL"


@dataclass(slots=True)
class CheckWarning:
    """One warning of one budget."""

    type: WarningType
    budget_id: str
    reason: DenialReason | None
    """For a shadow denial: why the budget would have denied."""


@dataclass(slots=True)
class CheckOutcome:
    """The answer to a check or an extension."""

    allowed: bool
    granted_micros: int
    affordable_micros: int | None
    """None: no limit."""
    binding_budget_id: str | None
    verdicts: tuple[Verdict, ...] = ()
    warnings: tuple[CheckWarning, ...] = ()

    # An admission's

    reservation_id: str | None = None
    expire_time: Instant | None = None
    record_id: str | None = None
    """The record written in mode RECORD."""

    # A denial's

    reason: DenialReason | None = None
    shortfall_micros: int = 0
    retryable: bool = False
    retry_time: Instant | None = None
    gate_id: str | None = None


@dataclass(slots=True)
class RecordOutcome:
    """The answer to a record or a refund."""

    record: SpendRecord


@dataclass(slots=True)
class ReservationOutcome:
    """The answer to a release: the reservation as it stands then. A copy, safe to keep."""

    reservation: Reservation


@dataclass(slots=True)
class ExtendOutcome:
    """The answer to an extension. On a denial the reservation is unchanged."""

    check: CheckOutcome
    reservation: Reservation


Outcome = CheckOutcome | RecordOutcome | ReservationOutcome | ExtendOutcome | None
