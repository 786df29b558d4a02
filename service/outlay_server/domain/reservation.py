"""Reservations: admitted amounts that are held until they are settled, released or expire."""

import enum
from dataclasses import dataclass

from outlay_server.domain.instant import Instant
from outlay_server.domain.selector import CanonicalLabels, canonical


class ReservationState(enum.Enum):
    """OPEN becomes one of the others, once."""

    OPEN = "OPEN"
    SETTLED = "SETTLED"
    RELEASED = "RELEASED"
    EXPIRED = "EXPIRED"


class ExpiryAction(enum.Enum):
    """What becomes of the amount that is still held when a reservation expires."""

    RELEASE = "RELEASE"
    RECORD = "RECORD"
    """Count it as spent: the choice of a caller who would rather pay twice than spend unseen."""


@dataclass(slots=True)
class Reservation:
    """One reservation; part of a working set and changed in place.

    It is held against every budget of `unit` whose selector matches `labels`, in the cycle that contains `create_time`.
    """

    reservation_id: str
    organization_key: int
    unit: str
    labels: CanonicalLabels
    granted_micros: int
    """All that was ever admitted for it, extensions included."""
    held_micros: int
    """What is held now; 0 once it is closed."""
    recorded_micros: int
    """What records that named it have recorded."""
    state: ReservationState
    expiry_action: ExpiryAction
    create_time: Instant
    expire_time: Instant
    """Exclusive: at this instant it no longer holds anything."""
    close_time: Instant | None
    request_id: str
    api_key_id: str
    expiry_record_id: str | None = None
    """The record that expiry wrote, where `expiry_action` says so. Records that come late replace it bit by bit."""

    def is_open_at(self, now: Instant) -> bool:
        return self.state is ReservationState.OPEN and now < self.expire_time

    def state_at(self, now: Instant) -> ReservationState:
        """The state as callers see it: expiry takes effect by itself, before anything has written it down."""
        if self.state is ReservationState.OPEN and now >= self.expire_time:
            return ReservationState.EXPIRED
        return self.state


def joined_labels(reservation: Reservation, labels: CanonicalLabels) -> CanonicalLabels | None:
    """The reservation's labels with a record's added, or None where one contradicts.

    A record may say more than the check did; saying something else would charge budgets that were never asked.
    """
    if not labels or labels == reservation.labels:
        return reservation.labels
    joined = dict(reservation.labels)
    for key, value in labels:
        if joined.setdefault(key, value) != value:
            return None
    return canonical(joined)
