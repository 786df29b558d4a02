"""Where every budget of an organization stands, kept up to date from a stream of changes. For several threads."""

import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from outlay.v1 import budget_service_pb2 as pb
from outlay.v1.budget_pb2 import Budget

RATE_SECONDS: Final = 60.0
"""Over how long the rate is taken."""


@dataclass(slots=True)
class Line:
    """One budget."""

    budget: Budget
    spends: deque[tuple[float, int]] = field(default_factory=deque)
    """(when, spent micros) of the last minute, and the newest before it."""

    def micros_per_minute(self, now: float) -> int:
        """How fast it was spent from in the last minute, or since it is watched. Refunds slow it, to 0 at least."""
        while len(self.spends) > 1 and self.spends[1][0] <= now - RATE_SECONDS:
            self.spends.popleft()
        if not self.spends:
            return 0
        seconds = max(1.0, min(RATE_SECONDS, now - self.spends[0][0]))
        spent = self.budget.spend.spent_micros - self.spends[0][1]
        return max(0, int(spent * RATE_SECONDS / seconds))


class Board:
    """All of them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lines: dict[str, Line] = {}
        self._state: list[Budget] = []
        self.sequence: int | None = None
        """Of the last change that can be resumed from; None before the first state is complete."""
        self.connected = False
        self.changes = 0

    def tell(self, change: pb.WatchBudgetsResponse, now: float) -> None:
        """Take one answer of the stream. A state that is sent anew replaces all there was, once it is complete."""
        with self._lock:
            self.connected = True
            if change.type == pb.BUDGET_CHANGE_TYPE_INITIAL:
                self._state.append(change.budget)
                if change.sequence:
                    self._start_anew(now)
            elif change.type == pb.BUDGET_CHANGE_TYPE_DELETED:
                self._lines.pop(change.budget.name, None)
                self.changes += 1
            else:
                self._note(change.budget, now)
                self.changes += 1
            if change.sequence:
                self.sequence = change.sequence

    def cut(self) -> None:
        """The stream ended; a state that was not complete is worth nothing."""
        with self._lock:
            self.connected = False
            self._state.clear()

    def lines(self) -> Sequence[Line]:
        """The fullest first; those without a limit or a soft budget by what they spent."""
        with self._lock:
            return sorted(self._lines.values(), key=_fullness, reverse=True)

    def _start_anew(self, now: float) -> None:
        kept = {budget.name for budget in self._state}
        self._lines = {name: line for name, line in self._lines.items() if name in kept}
        for budget in self._state:
            self._note(budget, now)
        self._state.clear()

    def _note(self, budget: Budget, now: float) -> None:
        line = self._lines.get(budget.name)
        spent = budget.spend.spent_micros
        if line is None or line.budget.spend.cycle_start != budget.spend.cycle_start:
            line = self._lines[budget.name] = Line(budget)
        line.budget = budget
        line.spends.append((now, spent))


def _fullness(line: Line) -> tuple[float, int, str]:
    spend = line.budget.spend
    return (spend.percent_used if spend.HasField("percent_used") else -1.0, spend.spent_micros, line.budget.name)
