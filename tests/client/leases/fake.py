"""A server small enough to be believed, with a clock of its own and a line that fails as told.

It keeps the contract's rules for the four methods that leases use: a cap for each cycle, holding, drawing, expiry with
RECORD, late records, answers repeated by request_id.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from outlay_client.leases import CallFailed, Draw, Extend, Grant, Release, Reserve
from outlay_client.leases.keeper import Steps
from outlay_client.leases.operations import DrawBatch

Fault = Literal["request lost", "answer lost"]


class FakeClock:
    """Stands still until it is told."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


@dataclass
class Held:
    """A reservation of the server's."""

    cycle: int
    held_micros: int
    expires_at: float
    granted_micros: int = 0
    recorded_micros: int = 0
    expiry_micros: int = 0
    """What expiry recorded, less what late records replaced."""
    is_open: bool = True


@dataclass
class FakeServer:
    """One budget with a cap in each cycle. Its clock runs `rate` times as fast as the client's."""

    clock: FakeClock
    cap_micros: int
    rate: float = 1.0
    cycle_length_seconds: float = 1e9
    faults: list[Fault | None] = field(default_factory=list)
    """For the next calls in order; then none."""
    is_away: bool = False
    reservations: dict[str, Held] = field(default_factory=dict)
    unreserved_micros: int = 0
    answers: dict[str, Any] = field(default_factory=dict)
    calls: list[Any] = field(default_factory=list)
    refuse_labels: bool = False
    records: list[Draw] = field(default_factory=list)

    # --- its books ----------------------------------------------------------------------------------------------------

    @property
    def now(self) -> float:
        return self.clock.now * self.rate

    @property
    def cycle(self) -> int:
        return int(self.now // self.cycle_length_seconds)

    def held_micros(self, cycle: int | None = None) -> int:
        self.expire()
        return sum(one.held_micros for one in self._of(cycle))

    def recorded_micros(self, cycle: int | None = None) -> int:
        """By records, without what expiry recorded."""
        return sum(one.recorded_micros for one in self._of(cycle)) + self.unreserved_micros

    def spent_micros(self, cycle: int | None = None) -> int:
        self.expire()
        return self.recorded_micros(cycle) + sum(one.expiry_micros for one in self._of(cycle))

    def expire(self) -> None:
        for one in self.reservations.values():
            if one.is_open and self.now >= one.expires_at:
                one.is_open = False
                one.expiry_micros, one.held_micros = one.held_micros, 0

    def _of(self, cycle: int | None) -> Iterable[Held]:
        return (one for one in self.reservations.values() if cycle is None or one.cycle == cycle)

    # --- the line -----------------------------------------------------------------------------------------------------

    def perform(self, request: Any) -> Any:
        """Answer one operation of a keeper, or raise CallFailed."""
        fault = self.faults.pop(0) if self.faults else None
        if self.is_away or fault == "request lost":
            raise CallFailed("UNAVAILABLE")
        self.calls.append(request)
        self.expire()
        match request:
            case Reserve():
                answer: Any = self._once(request, self._reserve)
            case Extend():
                answer = self._once(request, self._extend)
            case DrawBatch():
                answer = [self._drawn(draw) for draw in request.draws]
            case Release():
                answer = self._once(request, self._release)
        if fault == "answer lost":
            raise CallFailed("DEADLINE_EXCEEDED")
        return answer

    def run(self, steps: Steps) -> None:
        """Play the part of a driver."""
        try:
            step = next(steps)
            while True:
                try:
                    answer = self.perform(step)
                except CallFailed as error:
                    step = steps.throw(error)
                else:
                    step = steps.send(answer)
        except StopIteration:
            return

    # --- the methods --------------------------------------------------------------------------------------------------

    def _once(self, request: Any, method: Any) -> Any:
        if (seen := self.answers.get(request.request_id)) is not None:
            assert seen[0] == request, "a request_id was used again with other content"
            return seen[1]
        answer = method(request)
        if not isinstance(answer, Grant) or answer.allowed:
            self.answers[request.request_id] = (request, answer)
        return answer

    def _left(self, cycle: int) -> int:
        return self.cap_micros - self.spent_micros(cycle) - self.held_micros(cycle)

    def _reserve(self, request: Reserve) -> Grant:
        granted = min(request.amount_micros, self._left(self.cycle))
        if granted <= 0:
            return Grant(False, 0, "", "HARD_CAP_REACHED", 0)
        name = f"reservations/{len(self.reservations)}"
        self.reservations[name] = Held(self.cycle, granted, self.now + request.ttl_seconds, granted)
        cycle_seconds = (self.cycle + 1) * self.cycle_length_seconds - self.now
        # Told in seconds of the server's clock; it runs at another rate, which no client can know.
        return Grant(True, granted, name, cycle_seconds=cycle_seconds / self.rate)

    def _extend(self, request: Extend) -> Grant:
        one = self.reservations[request.reservation]
        if not one.is_open or (request.additional_micros and one.cycle != self.cycle):
            raise CallFailed("FAILED_PRECONDITION", "RESERVATION_CLOSED")
        granted_micros = min(request.additional_micros, max(0, self._left(one.cycle)))
        if request.additional_micros and not granted_micros:
            return Grant(False, 0, "", "HARD_CAP_REACHED", 0)
        one.expires_at = max(one.expires_at, self.now + request.ttl_seconds)
        one.held_micros += granted_micros
        one.granted_micros += granted_micros
        return Grant(True, granted_micros, "")

    def _drawn(self, draw: Draw) -> CallFailed | None:
        try:
            self._once(draw, self._draw)
        except CallFailed as error:
            return error
        return None

    def _draw(self, draw: Draw) -> str:
        if self.refuse_labels and draw.labels:
            raise CallFailed("INVALID_ARGUMENT", "VALIDATION_FAILED")
        if not draw.reservation:
            self.unreserved_micros += draw.amount_micros
        else:
            one = self.reservations.get(draw.reservation)
            if one is None:
                raise CallFailed("NOT_FOUND", "NOT_FOUND")
            one.recorded_micros += draw.amount_micros
            one.held_micros -= min(one.held_micros, draw.amount_micros)
            one.expiry_micros -= min(one.expiry_micros, draw.amount_micros)
        self.records.append(draw)
        return "recorded"

    def _release(self, request: Release) -> str:
        one = self.reservations[request.reservation]
        if not one.is_open:
            raise CallFailed("FAILED_PRECONDITION", "RESERVATION_CLOSED")
        one.is_open, one.held_micros = False, 0
        return "released"


class FakeTransport:
    """A FakeServer as threads reach it."""

    def __init__(self, server: FakeServer) -> None:
        self._server = server

    def reserve(self, request: Reserve) -> Grant:
        answer: Grant = self._server.perform(request)
        return answer

    def extend(self, request: Extend) -> Grant:
        answer: Grant = self._server.perform(request)
        return answer

    def draw(self, draws: Sequence[Draw]) -> list[CallFailed | None]:
        answer: list[CallFailed | None] = self._server.perform(DrawBatch(tuple(draws)))
        return answer

    def release(self, request: Release) -> None:
        self._server.perform(request)


class AsyncFakeTransport:
    """A FakeServer as asyncio reaches it."""

    def __init__(self, server: FakeServer) -> None:
        self._inner = FakeTransport(server)

    async def reserve(self, request: Reserve) -> Grant:
        return self._inner.reserve(request)

    async def extend(self, request: Extend) -> Grant:
        return self._inner.extend(request)

    async def draw(self, draws: Sequence[Draw]) -> list[CallFailed | None]:
        return self._inner.draw(draws)

    async def release(self, request: Release) -> None:
        self._inner.release(request)
