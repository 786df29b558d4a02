"""What the user of a lease chooses."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from outlay_client.leases.labels import check_labels
from outlay_client.leases.operations import Labels

MIN_TTL_SECONDS: Final = 1.0
MAX_TTL_SECONDS: Final = 86_400.0
"""What the server accepts."""

MAX_AMOUNT_MICROS: Final = 10**15
"""The largest amount of the contract."""

MIN_HORIZON_SECONDS: Final = 0.02
"""A slice for less traffic is gone before the next one has come."""

MAX_HORIZON_SECONDS: Final = 5.0
"""A slice for more only keeps amounts from other holders."""

SMALLEST_SLICE_DIVISOR: Final = 100


@dataclass(frozen=True, kw_only=True)
class LeaseOptions:
    """One lease: what it is for, and how much it may hold. Raises ValueError."""

    unit: str

    max_slice_micros: int
    """The most that is held and not yet admitted: what a crash can cost, and what is kept from others meanwhile."""

    min_slice_micros: int = 0
    """The least that is held while it can be had. 0: a hundredth of `max_slice_micros`."""

    labels: Mapping[str, str] = field(default_factory=dict)
    """Of the reservation: by these, budgets and gates choose."""

    ttl_seconds: float = 60.0
    """How long the server holds a slice for a holder that is gone."""

    horizon_seconds: float = 1.0
    """A slice is what the observed traffic spends in this time, within the two bounds."""

    draw_interval_seconds: float = 0.1
    """How long admitted spend waits to be reported with more of its kind."""

    record_on_expiry: bool = True
    """Count what is held at expiry as spent. False: give it back, and with it what was admitted and not reported."""

    def __post_init__(self) -> None:
        check_labels(tuple(sorted(self.labels.items())))
        if not self.unit:
            raise ValueError("unit is empty")
        if not 0 < self.max_slice_micros <= MAX_AMOUNT_MICROS:
            raise ValueError(f"max_slice_micros must be 1 to 10^15, is {self.max_slice_micros}")
        if not 0 <= self.min_slice_micros <= self.max_slice_micros:
            raise ValueError(f"min_slice_micros must be 0 to max_slice_micros, is {self.min_slice_micros}")
        if not MIN_TTL_SECONDS <= self.ttl_seconds <= MAX_TTL_SECONDS:
            raise ValueError(f"ttl_seconds must be 1 to 86400, is {self.ttl_seconds}")
        if not MIN_HORIZON_SECONDS <= self.horizon_seconds <= MAX_HORIZON_SECONDS:
            raise ValueError(f"horizon_seconds must be 0.02 to 5, is {self.horizon_seconds}")
        if not 0 < self.draw_interval_seconds <= self.ttl_seconds / 2:
            raise ValueError(
                f"draw_interval_seconds must be at most half of ttl_seconds, is {self.draw_interval_seconds}"
            )

    @property
    def smallest_slice_micros(self) -> int:
        """`min_slice_micros`, or what stands for it."""
        return self.min_slice_micros or max(1, self.max_slice_micros // SMALLEST_SLICE_DIVISOR)

    @property
    def label_pairs(self) -> Labels:
        return tuple(sorted(self.labels.items()))

    @property
    def margin_seconds(self) -> float:
        """How long before the server a holder takes its slice to be expired: room for clocks that differ in rate."""
        return self.ttl_seconds / 10
