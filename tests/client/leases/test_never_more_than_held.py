"""Whatever the line, the clocks and the callers do: a lease never admits what the server does not hold for it."""

from contextlib import nullcontext
from itertools import count

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from client.leases.fake import FakeClock, FakeServer
from outlay_client.leases import Admission, LeaseOptions
from outlay_client.leases.book import Book
from outlay_client.leases.keeper import Keeper

CAP_MICROS = 10_000
CYCLE_SECONDS = 120.0

amounts = st.integers(min_value=1, max_value=1_500)
faults = st.lists(st.sampled_from([None, "request lost", "answer lost"]), max_size=6)


class Holder:
    """One client, and its own journal of what it admitted in each cycle."""

    def __init__(self, server: FakeServer) -> None:
        options = LeaseOptions(unit="USD", max_slice_micros=2_000, min_slice_micros=100, ttl_seconds=20)
        numbers = count()
        self.book = Book(options, server.clock, lambda: None)
        self.keeper = Keeper(
            self.book,
            options,
            clock=server.clock,
            lock=nullcontext(),
            new_id=lambda: f"{id(self)}-{next(numbers)}",
        )
        self.open: list[tuple[int, Admission]] = []


class Leases(RuleBasedStateMachine):
    """Two holders of one budget."""

    @initialize(rate=st.sampled_from([0.95, 1.0, 1.05]))
    def begin(self, rate: float) -> None:
        self.server = FakeServer(FakeClock(), CAP_MICROS, rate=rate, cycle_length_seconds=CYCLE_SECONDS)
        self.holders = [Holder(self.server), Holder(self.server)]
        self.admitted: dict[int, int] = {}

    def note(self, amount_micros: int) -> int:
        cycle = self.server.cycle
        self.admitted[cycle] = self.admitted.get(cycle, 0) + amount_micros
        return cycle

    @rule(who=st.integers(0, 1), amount=amounts, labelled=st.booleans())
    def admit(self, who: int, amount: int, labelled: bool) -> None:
        if self.holders[who].book.admit(amount, {"model": "small"} if labelled else None):
            self.note(amount)

    @rule(who=st.integers(0, 1), amount=amounts)
    def hold(self, who: int, amount: int) -> None:
        if (admission := self.holders[who].book.hold(amount)) is not None:
            self.holders[who].open.append((self.note(amount), admission))

    @precondition(lambda self: any(holder.open for holder in self.holders))
    @rule(data=st.data())
    def settle(self, data: st.DataObject) -> None:
        holder = data.draw(st.sampled_from([one for one in self.holders if one.open]))
        cycle, admission = holder.open.pop(data.draw(st.integers(0, len(holder.open) - 1)))
        actual = data.draw(st.integers(0, admission.amount_micros))
        admission.settle(actual)
        self.admitted[cycle] += actual - admission.amount_micros

    @rule(seconds=st.sampled_from([0.01, 0.2, 1.1, 7.0, 11.0, 25.0, 130.0]))
    def time_passes(self, seconds: float) -> None:
        self.server.clock.advance(seconds)

    @rule(who=st.integers(0, 1), lost=faults)
    def keep(self, who: int, lost: list) -> None:
        self.server.faults = lost
        self.server.run(self.holders[who].keeper.round())
        self.server.faults = []

    @invariant()
    def what_was_admitted_is_held_or_spent_and_within_the_cap(self) -> None:
        """In the cycle in which it was admitted; and what a slice admitted adds up."""
        for cycle in {one.cycle for one in self.server.reservations.values()} | set(self.admitted):
            kept = self.server.spent_micros(cycle) + self.server.held_micros(cycle)
            assert self.admitted.get(cycle, 0) <= kept <= CAP_MICROS, cycle
        for holder in self.holders:
            for holding in holder.book.holdings():
                holding.check()
                assert holding.left_micros >= 0

    def teardown(self) -> None:
        """Once the server answers again, everything is recorded, once, and nothing is held."""
        if not hasattr(self, "server"):
            return
        for holder in self.holders:
            for cycle, admission in holder.open[::2]:
                admission.cancel()
                self.admitted[cycle] -= admission.amount_micros
            holder.book.close()
            for _ in range(3):
                self.server.run(holder.keeper.closing_round())
            assert holder.keeper.is_finished
            assert holder.keeper.undelivered == []
        assert self.server.recorded_micros() == sum(self.admitted.values())
        assert self.server.held_micros() == 0


TestLeases = Leases.TestCase
TestLeases.settings = settings(max_examples=100, stateful_step_count=40)
