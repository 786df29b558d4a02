"""What a lease holds, what it admitted of that, and what the server knows of it.

For each slice, at every moment:

    granted = reported + sealed + pending + in flight + left

and only `left` is ever admitted from, so the lease never admits more than the server holds for it. Where work cost more
than was admitted for it, `left` goes below 0 and the next extension fills it up first.

Nothing here waits, locks or knows a server; time comes from the clock it is given.
"""

from collections.abc import Callable, Iterator, Mapping
from math import inf
from typing import Final

from outlay_client.leases.clock import Clock
from outlay_client.leases.errors import LeaseClosed
from outlay_client.leases.labels import added
from outlay_client.leases.operations import Draw, Labels
from outlay_client.leases.options import MAX_AMOUNT_MICROS, LeaseOptions

MAX_LABEL_SETS: Final = 10_000
"""Of one slice that wait to be reported. More are denied: a server that is away for long must not cost all memory."""


class Holding:
    """One slice: a reservation, as its holder sees it."""

    __slots__ = (
        "admit_before",
        "cycle_ends_at",
        "expires_at",
        "granted_micros",
        "in_flight_micros",
        "is_lost",
        "labelled_micros",
        "left_micros",
        "name",
        "plain_micros",
        "renew_at",
        "reported_micros",
        "sealed_micros",
    )

    def __init__(
        self, name: str, granted_micros: int, *, renew_at: float, expires_at: float, cycle_ends_at: float = inf
    ) -> None:
        self.name = name
        self.granted_micros = granted_micros
        self.left_micros = granted_micros
        self.renew_at = renew_at
        self.expires_at = expires_at
        """By the holder's clock, and a margin before the server's."""
        self.cycle_ends_at = cycle_ends_at
        """What is admitted later must not be charged to its cycle."""
        self.admit_before = min(expires_at, cycle_ends_at)
        self.plain_micros = 0
        """Admitted with the lease's own labels, and not yet in a draw."""
        self.labelled_micros: dict[Labels, int] = {}
        """The same with further labels."""
        self.in_flight_micros = 0
        """Admitted for work whose cost is not known yet."""
        self.sealed_micros = 0
        """In draws that are not acknowledged."""
        self.reported_micros = 0
        self.is_lost = False
        """The server said that it is closed."""

    @property
    def pending_micros(self) -> int:
        return self.plain_micros + sum(self.labelled_micros.values())

    @property
    def unreported_micros(self) -> int:
        """Admitted, and not acknowledged by the server."""
        return self.pending_micros + self.sealed_micros + self.in_flight_micros

    def add(self, labels: Labels | None, amount_micros: int) -> None:
        """Let an amount wait for the next draw."""
        if labels is None:
            self.plain_micros += amount_micros
        else:
            self.labelled_micros[labels] = self.labelled_micros.get(labels, 0) + amount_micros

    def check(self) -> None:
        """Assert the equation."""
        total = self.reported_micros + self.unreported_micros + self.left_micros
        assert total == self.granted_micros, (self.name, self.granted_micros, total)


class Admission:
    """An amount admitted for work whose cost is not known yet. Settle it once, by `settle` or `cancel`."""

    __slots__ = ("_book", "_holding", "_labels", "amount_micros")

    def __init__(self, book: "Book", holding: Holding, labels: Labels | None, amount_micros: int) -> None:
        self._book = book
        self._holding: Holding | None = holding
        self._labels = labels
        self.amount_micros = amount_micros

    def settle(self, actual_micros: int) -> None:
        """Say what the work cost. Less than was admitted goes back to the lease; more is recorded in full.

        Raises LeaseClosed where the lease was closed before: the admitted amount has been recorded then. Raises
        ValueError when it was settled before.
        """
        self._book.settle(self, actual_micros)

    def cancel(self) -> None:
        """The work was not done."""
        self.settle(0)

    def take(self) -> tuple[Holding, Labels | None]:
        """What it is charged to, once. For the book."""
        holding, self._holding = self._holding, None
        if holding is None:
            raise ValueError("the admission was settled before")
        return holding, self._labels


class Book:
    """All slices of one lease: the current one, from which it admits, and earlier ones that are not finished."""

    def __init__(self, options: LeaseOptions, clock: Clock, wake: Callable[[], None]) -> None:
        self._options = options
        self._clock = clock
        self._wake = wake
        self._own_labels = options.label_pairs
        self._known_labels: dict[Labels, Labels] = {}
        self.current = _nothing()
        self.retired: list[Holding] = []
        self.low_micros = -1
        """Once less than this is left, the keeper is woken."""
        self.wanted_micros = 0
        """The largest amount that was denied for want of a slice since the last grant."""
        self.ran_dry = False
        self.is_closed = False
        self._consumed_micros = 0
        self._finished_micros = 0
        """What was consumed of slices that are no longer known."""
        self._in_flight: set[Admission] = set()

    # --- admitting ----------------------------------------------------------------------------------------------------

    def admit(self, amount_micros: int, labels: Mapping[str, str] | None = None) -> bool:
        """Whether the amount may be spent; if so, it counts as spent. See `Lease.admit`."""
        current = self.current
        left = current.left_micros - amount_micros
        if left < 0 or amount_micros <= 0 or labels or self._clock() >= current.admit_before:
            return self._admit_with_care(amount_micros, labels)
        current.left_micros = left
        current.plain_micros += amount_micros
        if left < self.low_micros:
            self._is_low()
        return True

    def hold(self, amount_micros: int, labels: Mapping[str, str] | None = None) -> Admission | None:
        """Admit the most that work can cost; None: denied."""
        chosen = self._labels_of(labels)
        if not self._fits(amount_micros, chosen):
            return None
        self.current.left_micros -= amount_micros
        self.current.in_flight_micros += amount_micros
        admission = Admission(self, self.current, chosen, amount_micros)
        self._in_flight.add(admission)
        if self.current.left_micros < self.low_micros:
            self._is_low()
        return admission

    def settle(self, admission: Admission, actual_micros: int) -> None:
        """See `Admission.settle`."""
        if not 0 <= actual_micros <= MAX_AMOUNT_MICROS:
            raise ValueError(f"an amount must be 0 to 10^15 micros, is {actual_micros}")
        if self.is_closed and admission not in self._in_flight:
            raise LeaseClosed(f"{admission.amount_micros} micros of it were recorded when the lease was closed")
        holding, labels = admission.take()
        self._in_flight.discard(admission)
        holding.in_flight_micros -= admission.amount_micros
        holding.left_micros += admission.amount_micros - actual_micros
        if actual_micros:
            holding.add(labels, actual_micros)
        if holding.left_micros < self.low_micros:
            self._is_low()

    def _admit_with_care(self, amount_micros: int, labels: Mapping[str, str] | None) -> bool:
        chosen = self._labels_of(labels)
        if not self._fits(amount_micros, chosen):
            return False
        if amount_micros:
            self.current.left_micros -= amount_micros
            self.current.add(chosen, amount_micros)
        if self.current.left_micros < self.low_micros:
            self._is_low()
        return True

    def _fits(self, amount_micros: int, labels: Labels | None) -> bool:
        if self.is_closed:
            raise LeaseClosed("the lease is closed")
        if not 0 <= amount_micros <= MAX_AMOUNT_MICROS:
            raise ValueError(f"an amount must be 0 to 10^15 micros, is {amount_micros}")
        current = self.current
        is_new = labels is not None and labels not in current.labelled_micros
        if is_new and len(current.labelled_micros) >= MAX_LABEL_SETS:
            return False
        # An amount of 0 asks whether anything may be spent at all.
        if max(1, amount_micros) <= current.left_micros and self._clock() < current.admit_before:
            return True
        if amount_micros <= self._options.max_slice_micros:
            self.wanted_micros = max(self.wanted_micros, amount_micros, 1)
            # A slice that ended was not too small.
            self.ran_dry = self.ran_dry or (bool(current.name) and amount_micros > current.left_micros)
            self._wake()
        return False

    def _labels_of(self, labels: Mapping[str, str] | None) -> Labels | None:
        """All labels of a record; None: the lease's own."""
        if not labels:
            return None
        asked = tuple(labels.items())
        if (known := self._known_labels.get(asked)) is None:
            known = added(self._own_labels, labels)
            if len(self._known_labels) >= MAX_LABEL_SETS:
                self._known_labels.clear()
            self._known_labels[asked] = known
        return None if known == self._own_labels else known

    def _is_low(self) -> None:
        self.low_micros = -MAX_AMOUNT_MICROS
        self._wake()

    # --- slices -------------------------------------------------------------------------------------------------------

    def adopt(self, holding: Holding) -> None:
        """Admit from this one now."""
        self.retire_current()
        self.current = holding
        self.was_granted()

    def extend(self, name: str, granted_micros: int, expires_at: float, renew_at: float) -> None:
        """Take in an extension."""
        for holding in self.holdings():
            if holding.name != name:
                continue
            holding.granted_micros += granted_micros
            holding.left_micros += granted_micros
            holding.expires_at = max(holding.expires_at, expires_at)
            holding.renew_at = max(holding.renew_at, renew_at)
            holding.admit_before = min(holding.expires_at, holding.cycle_ends_at)
        if granted_micros:
            self.was_granted()

    def was_granted(self) -> None:
        """What was denied before may be asked for again."""
        self.wanted_micros = 0
        self.ran_dry = False

    def retire_current(self) -> None:
        """Admit nothing from it any more."""
        if self.current.name:
            self.retired.append(self.current)
        self.current = _nothing()

    def forget(self) -> None:
        """Hold nothing any more and know of nothing: what a fork's child must do, for the parent goes on."""
        self.current = _nothing()
        self.retired = []
        self._in_flight.clear()
        self.is_closed = True

    def close(self) -> None:
        """Admit nothing any more; what is in flight counts as it was admitted."""
        self.is_closed = True
        for admission in self._in_flight:
            holding, labels = admission.take()
            holding.in_flight_micros -= admission.amount_micros
            holding.add(labels, admission.amount_micros)
        self._in_flight.clear()
        self.retire_current()

    def holdings(self) -> Iterator[Holding]:
        if self.current.name:
            yield self.current
        yield from self.retired

    def consumed_micros(self) -> int:
        """What was admitted since this was last asked; below 0 where more was given back."""
        total = sum(one.granted_micros - one.left_micros for one in self.holdings()) + self._finished_micros
        consumed, self._consumed_micros = total - self._consumed_micros, total
        return consumed

    def finish(self, holding: Holding) -> None:
        """The server holds nothing for it any more, and all of it is reported."""
        assert not holding.unreported_micros, holding.name
        self._finished_micros += holding.granted_micros - holding.left_micros
        self.retired.remove(holding)

    # --- reporting ----------------------------------------------------------------------------------------------------

    def seal(self, new_id: Callable[[], str]) -> list[Draw]:
        """Make draws of all that waits: one for each slice and label set."""
        draws: list[Draw] = []
        for holding in self.holdings():
            waiting = holding.labelled_micros
            if holding.plain_micros:
                waiting = {**waiting, self._own_labels: holding.plain_micros}
            holding.labelled_micros, holding.plain_micros = {}, 0
            for labels, amount_micros in waiting.items():
                holding.sealed_micros += amount_micros
                for part_micros in _parts(amount_micros):
                    draws.append(Draw(new_id(), holding.name, self._options.unit, labels, part_micros))
        return draws

    def reported(self, reservation: str, amount_micros: int) -> None:
        """A draw from this slice was acknowledged."""
        for holding in self.holdings():
            if holding.name == reservation:
                holding.sealed_micros -= amount_micros
                holding.reported_micros += amount_micros


def _nothing() -> Holding:
    """A slice of nothing, so that admitting need not ask whether there is one."""
    return Holding("", 0, renew_at=-inf, expires_at=-inf)


def _parts(amount_micros: int) -> Iterator[int]:
    """The amount in pieces that a record can carry."""
    while amount_micros > 0:
        part_micros = min(amount_micros, MAX_AMOUNT_MICROS)
        yield part_micros
        amount_micros -= part_micros
