"""The clock by which a lease expires on its own."""

import time
from collections.abc import Callable
from functools import partial

Clock = Callable[[], float]
"""Seconds from any origin, never backwards."""


def boot_clock() -> Clock:
    """A monotonic clock that goes on while the machine sleeps, where the system has one.

    By one that stops, a machine that woke up would admit from a slice that expired in its sleep.
    """
    if hasattr(time, "CLOCK_BOOTTIME"):
        return partial(time.clock_gettime, time.CLOCK_BOOTTIME)
    return time.monotonic
