"""The books: what one batch of commands works on, loaded before and written after.

Entities in here are changed in place by `posting`; everything that has to be written is noted in `Changes`. Whoever
fails to write the changes throws the books away, so nothing is ever decided from memory that is not on disk.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from outlay_server.domain import event
from outlay_server.domain.alert import Alert, newly_crossed
from outlay_server.domain.budget import Budget, BudgetCounter, Limits
from outlay_server.domain.cycle import Window, cycle_containing
from outlay_server.domain.decision import Position
from outlay_server.domain.errors import LimitExceeded, NotFound
from outlay_server.domain.gate import Gate, first_refusing
from outlay_server.domain.instant import Instant
from outlay_server.domain.limits import COUNTER_MICROS_MAX
from outlay_server.domain.names import OrganizationName
from outlay_server.domain.reservation import Reservation
from outlay_server.domain.selector import CanonicalLabels, matches
from outlay_server.domain.spend import SpendRecord

MATCHES_REMEMBERED_MAX = 10_000
"""Distinct label sets whose matching budgets are remembered; above that all are forgotten and found again."""

COUNTERS_REMEMBERED_MAX = 20_000
"""Counters of one organization that are kept between batches; above that all are read again when they are needed."""


@dataclass(slots=True, unsafe_hash=True)
class Moment:
    """An instant at which every budget that matches has to have its counter at hand."""

    organization_id: str
    unit: str
    labels: CanonicalLabels
    instant: Instant


@dataclass(frozen=True, slots=True)
class Matching:
    """What one set of labels meets in an organization."""

    budgets: tuple[Budget, ...]
    closed_gate: Gate | None


class OrganizationState:
    """One organization's settings at one version, and those of its counters that were needed so far."""

    def __init__(
        self, key: int, organization_id: str, version: int, gates: Iterable[Gate], budgets: Iterable[Budget]
    ) -> None:
        self.key = key
        self.organization_id = organization_id
        self.version = version
        self.gates = tuple(gates)
        self.budgets = tuple(sorted(budgets, key=lambda budget: budget.budget_id))
        self._counters: dict[tuple[int, Instant], BudgetCounter] = {}
        self._latest: dict[int, BudgetCounter] = {}
        self._matching: dict[tuple[str, CanonicalLabels], Matching] = {}
        self.next_expiry: Instant | None = None
        """No open reservation expires before this; None where that is not known."""
        self.changes_unpruned = 0
        """Entries written to the log of changes since the old ones were last looked for."""

    def without_counters(self) -> "OrganizationState":
        """The same settings, and what was found out about them, with no counter loaded."""
        fresh = OrganizationState(self.key, self.organization_id, self.version, self.gates, self.budgets)
        fresh._matching = self._matching
        return fresh

    def matching(self, unit: str, labels: CanonicalLabels) -> Matching:
        """The budgets of the unit that the labels match, by ascending id, and the gate that refuses them."""
        found = self._matching.get((unit, labels))
        if found is None:
            as_mapping = dict(labels)
            found = Matching(
                tuple(b for b in self.budgets if b.unit == unit and matches(b.selector, as_mapping)),
                first_refusing(self.gates, as_mapping),
            )
            if len(self._matching) >= MATCHES_REMEMBERED_MAX:
                self._matching.clear()
            self._matching[(unit, labels)] = found
        return found

    def counter_at(self, budget: Budget, instant: Instant) -> BudgetCounter | None:
        """The counter of the cycle that contains the instant, or None when it has not been loaded."""
        latest = self._latest.get(budget.key)
        if latest is not None and latest.window.start <= instant < latest.window.end:
            return latest
        return self._counters.get((budget.key, cycle_containing(instant, budget.cycle).start))

    def missing_counters(self, moment: Moment) -> Iterator[tuple[Budget, Window]]:
        """The budgets and cycles whose counters must be loaded before `moment` can be worked on."""
        for budget in self.matching(moment.unit, moment.labels).budgets:
            if self.counter_at(budget, moment.instant) is None:
                yield budget, cycle_containing(moment.instant, budget.cycle)

    def forget_many_counters(self) -> None:
        """Between batches: drop all counters where there are too many, so that years of cycles fill no memory."""
        if len(self._counters) > COUNTERS_REMEMBERED_MAX:
            self._counters.clear()
            self._latest.clear()

    def add_counter(self, counter: BudgetCounter) -> None:
        """Put a loaded counter in its place."""
        self._counters[(counter.budget_key, counter.window.start)] = counter
        latest = self._latest.get(counter.budget_key)
        if latest is None or latest.window.start < counter.window.start:
            self._latest[counter.budget_key] = counter


@dataclass(slots=True)
class StoredRequest:
    """A request that took effect under a request_id: what it asked, field by field, and what it was answered.

    Both are the JSON text that the store keeps. Only a request that comes again has it read.
    """

    organization_key: int
    request_id: str
    method: str
    content: str
    """A JSON object, by the names that the wire uses."""
    answer: str
    """A JSON object."""
    create_time: Instant


@dataclass(slots=True)
class Standing:
    """What one set of labels meets in this batch: every matching budget where it stands now, and the closed gate."""

    positions: tuple[Position, ...]
    closed_gate: Gate | None


@dataclass(slots=True)
class Changes:
    """What a batch has to write, all in one transaction."""

    new_reservations: dict[tuple[int, str], Reservation] = field(default_factory=dict)
    changed_reservations: dict[tuple[int, str], Reservation] = field(default_factory=dict)
    new_records: list[SpendRecord] = field(default_factory=list)
    counters: dict[tuple[int, int, Instant], BudgetCounter] = field(default_factory=dict)
    alerts: list[Alert] = field(default_factory=list)
    events: list[event.Event] = field(default_factory=list)
    requests: list[StoredRequest] = field(default_factory=list)

    acknowledged: bool = False
    """Whether an answer rests on these changes. Counted denials and settled expiries alone are worth no refusal when a
    write fails: a denial says no by what is on disk already."""

    @property
    def is_empty(self) -> bool:
        return not (
            self.new_reservations
            or self.changed_reservations
            or self.new_records
            or self.counters
            or self.alerts
            or self.events
            or self.requests
        )


@dataclass(slots=True)
class Books:
    """The working set of one batch: what its commands name, as of `now`."""

    now: Instant
    """The decision time of the whole batch."""
    new_id: Callable[[], str]
    """Makes ids that sort by time (UUIDv7)."""
    organizations: dict[str, OrganizationState] = field(default_factory=dict)
    reservations: dict[tuple[int, str], Reservation] = field(default_factory=dict)
    """Those that the batch names, and every open one of its organizations that has expired."""
    records: dict[tuple[int, str], SpendRecord] = field(default_factory=dict)
    refunded_micros: dict[tuple[int, str], int] = field(default_factory=dict)
    """How much of each record in `records` has been credited back."""
    requests: dict[tuple[int, str], StoredRequest] = field(default_factory=dict)
    changes: Changes = field(default_factory=Changes)
    expiries_wanted: dict[tuple[int, str], tuple[Budget, Window]] = field(default_factory=dict)
    """By organization key and budget id: the budgets that denied for what reservations hold."""
    _limits: dict[int, Limits] = field(default_factory=dict)
    _standings: dict[tuple[int, str, CanonicalLabels], Standing] = field(default_factory=dict)

    def organization(self, organization_id: str) -> OrganizationState:
        """The organization's state; `NotFound` when there is none."""
        state = self.organizations.get(organization_id)
        if state is None:
            raise NotFound(str(OrganizationName(organization_id)))
        return state

    def limits(self, budget: Budget) -> Limits:
        """The budget's limits now; the same for the whole batch."""
        found = self._limits.get(budget.key)
        if found is None:
            found = self._limits[budget.key] = budget.limits_at(self.now)
        return found

    def standing(self, state: OrganizationState, unit: str, labels: CanonicalLabels) -> Standing:
        """What the labels meet now: found once a batch, whose checks bring few sets of labels."""
        key = (state.key, unit, labels)
        found = self._standings.get(key)
        if found is None:
            gate = state.matching(unit, labels).closed_gate
            found = self._standings[key] = Standing(self.positions(state, unit, labels, self.now), gate)
        return found

    def positions(
        self, state: OrganizationState, unit: str, labels: CanonicalLabels, instant: Instant
    ) -> tuple[Position, ...]:
        """Where every matching budget stands in the cycle that contains the instant."""
        found = []
        for budget in state.matching(unit, labels).budgets:
            counter = state.counter_at(budget, instant)
            assert counter is not None, "the counters of every moment are loaded before it is worked on"
            found.append(Position(budget, counter, self.limits(budget)))
        return tuple(found)

    def move(
        self,
        state: OrganizationState,
        positions: Iterable[Position],
        spent: int = 0,
        reserved: int = 0,
        opened: int = 0,
    ) -> None:
        """Move the counters of all positions by the same amounts, and note the alerts that the new spend crosses."""
        for position in positions:
            counter = position.counter
            counter.spent_micros += spent
            counter.reserved_micros += reserved
            counter.open_reservations += opened
            assert counter.spent_micros >= 0, "a refund never exceeds its record"
            assert counter.reserved_micros >= 0, "nothing is given back that was not held"
            assert counter.open_reservations >= 0, "a reservation closes once"
            self.note_counter(state, counter)
            if spent > 0:
                self._note_alerts(state, position)
                limit = position.limit_micros
                if limit is not None and counter.spent_micros - spent <= limit < counter.spent_micros:
                    self.changes.events.append(
                        event.spend_overrun(self.new_id(), position.budget, counter, position.limits, self.now)
                    )

    def note_counter(self, state: OrganizationState, counter: BudgetCounter) -> None:
        """Have the counter written."""
        self.changes.counters[(state.key, counter.budget_key, counter.window.start)] = counter

    def ensure_countable(self, positions: Iterable[Position], more_micros: int) -> None:
        """Raise `LimitExceeded` where the amount would take a counter out of the range that the store can hold."""
        for position in positions:
            if more_micros > COUNTER_MICROS_MAX - position.counter.spent_micros - position.counter.reserved_micros:
                raise LimitExceeded("micros counted by a budget in one cycle", COUNTER_MICROS_MAX)

    def note_cap_reached(self, position: Position, reason: str) -> None:
        """A limit has denied: tell of it once a cycle, and again when it has become another limit."""
        counter, limit = position.counter, position.limits.limit_micros
        if counter.cap_reached_micros == limit:
            return
        counter.cap_reached_micros = limit
        self.changes.events.append(
            event.cap_reached(self.new_id(), position.budget, counter, position.limits, reason, self.now)
        )

    def _note_alerts(self, state: OrganizationState, position: Position) -> None:
        """One row for each threshold that was crossed, and one event for all of them."""
        budget, counter = position.budget, position.counter
        crossed = newly_crossed(budget, counter, self.now)
        if not crossed:
            return
        made = [
            Alert(
                alert_id=self.new_id(),
                organization_id=state.organization_id,
                budget_id=budget.budget_id,
                budget_key=budget.key,
                cycle_start=counter.window.start,
                basis=basis,
                threshold_percent=percent,
                spent_micros=counter.spent_micros,
                basis_micros=basis_micros,
                create_time=self.now,
            )
            for basis, percent, basis_micros in crossed
        ]
        counter.alerts_sent += tuple((alert.basis, alert.threshold_percent) for alert in made)
        self.changes.alerts += made
        self.changes.events.append(event.alert_crossed(self.new_id(), budget, counter, position.limits, made))
