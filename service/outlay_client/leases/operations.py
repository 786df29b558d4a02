"""What a lease asks of a server, and what it is answered: values, so that a transport is four small methods."""

from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from typing import Protocol

from outlay_client.leases.errors import CallFailed

Labels = tuple[tuple[str, str], ...]
"""Labels in the order of their keys."""


@dataclass(frozen=True, slots=True)
class Reserve:
    """CheckSpend, mode RESERVE: hold `amount_micros`, or as much of it as there is."""

    request_id: str
    unit: str
    labels: Labels
    amount_micros: int
    ttl_seconds: float
    record_on_expiry: bool
    """Whether what is still held at expiry counts as spent (EXPIRY_ACTION_RECORD)."""


@dataclass(frozen=True, slots=True)
class Extend:
    """ExtendReservation: hold for `ttl_seconds` from now, and `additional_micros` more, or as much as there is."""

    request_id: str
    reservation: str
    ttl_seconds: float
    additional_micros: int


@dataclass(frozen=True, slots=True)
class Grant:
    """The answer to either."""

    allowed: bool
    granted_micros: int
    reservation: str
    """Empty on a denial, and in the answer to an extension."""

    reason: str = ""
    """On a denial why, such as `HARD_CAP_REACHED`."""

    affordable_micros: int | None = None
    """On a denial the most that would have been granted; None: not a matter of the amount."""

    cycle_seconds: float | None = None
    """To a reservation: how long after its creation the first cycle of a budget it counts in ends; None: never."""


@dataclass(frozen=True, slots=True)
class Draw:
    """RecordSpend with keep_open: one record, of all that was admitted with these labels since the last."""

    request_id: str
    reservation: str
    """Empty where the server would not take it from the reservation any more: spend without one is always taken."""
    unit: str
    labels: Labels
    """All labels of the record."""
    amount_micros: int


@dataclass(frozen=True, slots=True)
class DrawBatch:
    """BatchRecordSpend."""

    draws: tuple[Draw, ...]


@dataclass(frozen=True, slots=True)
class Release:
    """ReleaseReservation: give back what it still holds."""

    request_id: str
    reservation: str


Operation = Reserve | Extend | DrawBatch | Release
Answer = Grant | list[CallFailed | None] | None
"""A Grant to Reserve and Extend; to DrawBatch, for each draw in order, None where it is recorded; None to Release."""


class LeaseTransport(Protocol):
    """How a lease of threads reaches a server. Every method raises `CallFailed` and nothing else.

    Each call ends within a few seconds. A request may be sent again as it is after any failure; its `request_id` makes
    that safe.
    """

    def reserve(self, request: Reserve) -> Grant: ...

    def extend(self, request: Extend) -> Grant: ...

    def draw(self, draws: Sequence[Draw]) -> list[CallFailed | None]: ...

    def release(self, request: Release) -> None: ...


class AsyncLeaseTransport(Protocol):
    """The same for asyncio."""

    def reserve(self, request: Reserve) -> Awaitable[Grant]: ...

    def extend(self, request: Extend) -> Awaitable[Grant]: ...

    def draw(self, draws: Sequence[Draw]) -> Awaitable[list[CallFailed | None]]: ...

    def release(self, request: Release) -> Awaitable[None]: ...
