"""How many calls are worked on at once, and which are shed first.

What waits longer than its caller does is worked on in vain, and then goodput falls as load rises. So calls beyond what
is answered in time are refused at once, in an order: reads first, then checks, and last what settles, because its money
is spent and what it frees lets others in.
"""

import enum
from typing import Final

from outlay_server.domain.errors import Overloaded

IN_FLIGHT_MAX: Final = 2_000
"""Calls at once: half of what a server that answers 800 a second can answer within the default deadline of 5 s."""

RETRY_AFTER_SECONDS: Final = 1
"""What a caller that was shed is told to wait."""


class Load(enum.Enum):
    """Kinds of calls, by the share of `IN_FLIGHT_MAX` up to which they are let in."""

    READ = 0.5
    CHECK = 0.8
    CHANGE = 0.9
    """Changes of settings: few, and in an incident they are what helps."""
    SETTLE = 1.0


_SETTLING: Final = frozenset({"RecordSpend", "BatchRecordSpend", "RefundSpend", "ReleaseReservation"})
_CHECKING: Final = frozenset({"CheckSpend", "BatchCheckSpend", "ExtendReservation"})
_READING: Final = ("Get", "List", "Query", "Watch")


def load_of(method: str) -> Load:
    """The kind of a method, by its name without its service."""
    if method in _SETTLING:
        return Load.SETTLE
    if method in _CHECKING:
        return Load.CHECK
    return Load.READ if method.startswith(_READING) else Load.CHANGE


class InFlight:
    """Counts calls in and out. For one event loop."""

    def __init__(self, in_flight_max: int = IN_FLIGHT_MAX) -> None:
        self.count = 0
        self.refuses = False
        """Whether every further call is shed, because the server is about to stop."""
        self._limits = {load: max(1, int(in_flight_max * load.value)) for load in Load}

    def limit(self, load: Load) -> int:
        """Calls of all kinds at once, at which one of this kind is refused."""
        return self._limits[load]

    def enter(self, limit: int) -> None:
        """Count a call in, or raise `Overloaded`. Whoever entered must leave."""
        if self.count >= limit or self.refuses:
            raise Overloaded(RETRY_AFTER_SECONDS)
        self.count += 1

    def enter_in_place(self) -> None:
        """Count a call in for which another was shed, which leaves as soon as its handler hears of it."""
        if self.refuses:
            raise Overloaded(RETRY_AFTER_SECONDS)
        self.count += 1

    def leave(self) -> None:
        self.count -= 1
