"""The most that a piece of work can cost."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from outlay_client.results import ExpiryAction


@dataclass(frozen=True, slots=True)
class Price:
    """What to hold for a piece of work; the arguments of `spend`."""

    amount_micros: int
    unit: str = "USD"
    labels: Mapping[str, str] = field(default_factory=dict)
    min_amount_micros: int | None = None
    ttl_seconds: float | None = None
    expiry_action: ExpiryAction = ExpiryAction.RELEASE

    def arguments(self) -> dict[str, Any]:
        return {
            "amount_micros": self.amount_micros,
            "unit": self.unit,
            "labels": self.labels,
            "min_amount_micros": self.min_amount_micros,
            "ttl_seconds": self.ttl_seconds,
            "expiry_action": self.expiry_action,
        }
