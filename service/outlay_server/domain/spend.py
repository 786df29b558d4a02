"""Spend records: the immutable entries of the ledger."""

import enum
from dataclasses import dataclass

from outlay_server.domain.instant import Instant
from outlay_server.domain.selector import CanonicalLabels


class RecordKind(enum.Enum):
    """What an entry stands for."""

    SPEND = "SPEND"
    REFUND = "REFUND"
    """Takes its amount off the spend of the cycle of the record it names."""
    EXPIRY = "EXPIRY"
    """What a reservation with `expiry_action` RECORD still held when it expired."""


@dataclass(frozen=True, slots=True)
class SpendRecord:
    """One entry. It counts in every budget of `unit` whose selector matches `labels`, in the cycle of `charge_time`."""

    record_id: str
    organization_key: int
    kind: RecordKind
    unit: str
    amount_micros: int
    """Positive for every kind; a refund subtracts it."""
    labels: CanonicalLabels
    reservation_id: str | None
    refunded_record_id: str | None
    overrun_micros: int
    """How much of the amount stands above what was held for it; 0 for a record that names no reservation."""
    late: bool
    """Its reservation had expired or been released when it arrived."""
    charge_time: Instant
    """The instant whose cycle it counts in."""
    usage_time: Instant
    create_time: Instant
    request_id: str
    api_key_id: str

    @property
    def signed_micros(self) -> int:
        """The amount as it enters a sum."""
        return -self.amount_micros if self.kind is RecordKind.REFUND else self.amount_micros
