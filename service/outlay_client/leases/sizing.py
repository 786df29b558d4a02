"""How large a slice to hold: what the traffic spends within the horizon, between the bounds."""

from typing import Final

from outlay_client.leases.options import LeaseOptions

_SHRINK: Final = 0.1
"""Of the difference, how much one look moves the rate down; it goes up at once by half."""

_LEAST_LOOK_SECONDS: Final = 0.005
"""Between two looks; a shorter one says more about the scheduler than about the traffic."""


class Sizer:
    """Follows the observed traffic. Up fast, down slowly: too little denies, too much only waits."""

    def __init__(self, options: LeaseOptions, now: float) -> None:
        self._options = options
        self._rate_micros = 0.0
        """A second."""
        self._floor_micros = options.smallest_slice_micros
        self._looked_at = now

    def look(self, now: float, admitted_micros: int) -> bool:
        """Take in what was admitted since the last look; False: too early, tell it again with the next."""
        seconds = now - self._looked_at
        if seconds < _LEAST_LOOK_SECONDS:
            return False
        self._looked_at = now
        seen = max(0, admitted_micros) / seconds
        self._rate_micros += (seen - self._rate_micros) * (0.5 if seen > self._rate_micros else _SHRINK)
        smallest = self._options.smallest_slice_micros
        self._floor_micros = max(smallest, int(self._floor_micros * (1 - _SHRINK * min(1.0, seconds))))
        return True

    def ran_dry(self) -> None:
        """Something was denied for want of a slice: twice as much from here on."""
        self._floor_micros = min(2 * self.target_micros, self._options.max_slice_micros)

    @property
    def target_micros(self) -> int:
        """What to hold for admissions to come."""
        by_rate = int(self._rate_micros * self._options.horizon_seconds)
        return min(max(by_rate, self._floor_micros), self._options.max_slice_micros)
