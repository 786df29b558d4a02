"""Ids and time from the outside world; the domain takes both as arguments."""

import time

import uuid_utils

from outlay_server.domain.instant import Instant


def new_id() -> str:
    """Return a UUIDv7 in its canonical text: ids sort by the time they were made, so inserts go to an index's end."""
    return str(uuid_utils.uuid7())


def wall_clock() -> Instant:
    """Return the system's time."""
    return Instant(time.time_ns() // 1_000)


class MonotonicClock:
    """Time that never goes back: where the system's clock is set back, it holds at the latest time it has told."""

    def __init__(self) -> None:
        self.latest = Instant(0)
        """What was told last."""

    def advance_to(self, instant: Instant) -> Instant:
        """Return `instant`, or the latest time told before where that is later."""
        self.latest = max(self.latest, instant)
        return self.latest
