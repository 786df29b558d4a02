"""What Outlay must answer, worked out by brute force from a log of what it acknowledged.

Shares no code with the service and keeps no counter: every figure is summed anew from the log each time it is asked
for. Amounts are micros, instants microseconds since 1970, windows half-open, time zones UTC.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

DAY = 86_400_000_000
FOREVER = 253_402_300_799_999_999
OLDEST_USAGE = 35 * DAY
SKEW = 300_000_000
DEFAULT_THRESHOLDS = (50, 75, 90, 100)
REASONS = ("FROZEN", "HARD_CAP_REACHED", "ALLOTMENT_EXHAUSTED", "HELD_BY_RESERVATIONS")

Labels = Mapping[str, str]
Window = tuple[int, int]


@dataclass(frozen=True)
class Spec:
    """A budget's settings."""

    unit: str = "USD"
    selector: tuple[tuple[str, str], ...] = ()
    period: str = "MONTH"
    soft: int | None = None
    cap: int | None = None
    cap_enabled: bool = False
    allotment: int | None = None
    thresholds: tuple[int, ...] | None = None
    alerts_enabled: bool = True
    enforcement: str = "ENFORCE"
    override: tuple[int, int] | None = None
    """(cap, until)"""

    def covers(self, unit: str, labels: Labels) -> bool:
        def fits(label: str, pattern: str) -> bool:
            if label not in labels:
                return False
            return labels[label][: len(pattern) - 1] == pattern[:-1] if pattern[-1] == "*" else labels[label] == pattern

        return unit == self.unit and all(fits(label, pattern) for label, pattern in self.selector)

    def caps(self, now: int) -> tuple[int | None, int | None]:
        """(hard cap, allotment) in force."""
        if self.override is not None and now < self.override[1]:
            return self.override[0], self.allotment
        return (self.cap if self.cap_enabled else None), self.allotment

    def limit(self, now: int) -> int | None:
        return min((micros for micros in self.caps(now) if micros is not None), default=None)


def window_of(period: str, instant: int) -> Window:
    """The calendar's day, month, quarter or year in UTC; a lifetime begins in 1970."""
    if period == "LIFETIME":
        return 0, FOREVER
    if period == "DAY":
        return instant - instant % DAY, instant - instant % DAY + DAY
    date = datetime.fromtimestamp(instant // 1_000_000, UTC)
    months = {"MONTH": 1, "QUARTER": 3, "YEAR": 12}[period]
    first = date.month - 1 - (date.month - 1) % months

    def start(month_index: int) -> int:
        year, month = date.year + month_index // 12, month_index % 12 + 1
        return int(datetime(year, month, 1, tzinfo=UTC).timestamp()) * 1_000_000

    return start(first), start(first + months)


# The log


@dataclass(frozen=True)
class Held:
    at: int
    reservation: str
    unit: str
    labels: Labels
    amount: int
    until: int
    on_expiry: str


@dataclass(frozen=True)
class Prolonged:
    at: int
    reservation: str
    more: int
    until: int


@dataclass(frozen=True)
class Released:
    at: int
    reservation: str


@dataclass(frozen=True)
class Spent:
    at: int
    record: str
    unit: str
    labels: Labels
    amount: int
    charged: int
    reservation: str | None = None
    keep_open: bool = False


@dataclass(frozen=True)
class Refunded:
    at: int
    record: str
    of: str
    """A record's id, or `expiry:` and a reservation's for what its expiry recorded."""
    amount: int


Entry = Held | Prolonged | Released | Spent | Refunded


@dataclass
class Facts:
    """One reservation, as the log tells it at some instant."""

    born: Held
    until: int
    granted: int
    held: int
    state: str = "OPEN"
    automatic: int = 0
    """What its expiry recorded."""
    left_at_close: int = 0
    """What was held and not recorded when it closed, less what came late."""

    def close(self, state: str) -> None:
        self.state, self.left_at_close, self.held = state, self.held, 0
        if state == "EXPIRED" and self.born.on_expiry == "RECORD":
            self.automatic = self.left_at_close


@dataclass
class Figures:
    spent: int
    reserved: int
    open: int


class Refused(Exception):
    """The model's error; `reason` is the contract's."""

    def __init__(self, reason: str, field: str = "") -> None:
        super().__init__(f"{reason} {field}".strip())
        self.reason = reason
        self.field = field


@dataclass
class Model:
    """One organization."""

    now: int
    budgets: dict[str, Spec] = field(default_factory=dict)
    gates: dict[str, tuple[str, str, bool]] = field(default_factory=dict)
    """(label, pattern, enabled)"""
    log: list[Entry] = field(default_factory=list)
    births: Counter[str] = field(default_factory=Counter)
    """How often a budget of that id has been created."""
    alerts: set[tuple[str, int, int, str, int]] = field(default_factory=set)
    """(budget, its birth, cycle start, basis, percent)"""
    denials: Counter[tuple[str, int]] = field(default_factory=Counter)
    """By (budget, cycle start); forgotten when the budget counts something else."""
    met: set[str] = field(default_factory=set)
    """Reservations whose expiry has been written down."""

    # Settings

    def create(self, budget_id: str, spec: Spec) -> None:
        self.budgets[budget_id] = spec
        self.births[budget_id] += 1
        self.cross(budget_id, self.now)

    def update(self, budget_id: str, spec: Spec) -> None:
        old = self.budgets[budget_id]
        if spec == old:
            return
        if (spec.selector, spec.period) != (old.selector, old.period):
            self._forget_denials(budget_id)
        self.budgets[budget_id] = spec
        self.cross(budget_id, self.now)

    def delete(self, budget_id: str) -> None:
        del self.budgets[budget_id]
        self._forget_denials(budget_id)

    def _forget_denials(self, budget_id: str) -> None:
        for key in [key for key in self.denials if key[0] == budget_id]:
            del self.denials[key]

    # Sums

    def facts(self, reservation: str, now: int | None = None) -> Facts | None:
        now = self.now if now is None else now
        found: Facts | None = None
        for entry in self.log:
            if isinstance(entry, Refunded) or entry.reservation != reservation:
                continue
            if isinstance(entry, Held):
                found = Facts(entry, entry.until, entry.amount, entry.amount)
                continue
            assert found is not None
            if found.state == "OPEN" and entry.at >= found.until:
                found.close("EXPIRED")
            match entry:
                case Prolonged():
                    found.granted += entry.more
                    found.held += entry.more
                    found.until = entry.until
                case Released():
                    found.close("RELEASED")
                case Spent() if found.state != "OPEN":
                    found.left_at_close = max(0, found.left_at_close - entry.amount)
                case Spent() if entry.keep_open:
                    found.held = max(0, found.held - entry.amount)
                case Spent():
                    found.close("SETTLED")
        if found is not None and found.state == "OPEN" and now >= found.until:
            found.close("EXPIRED")
        return found

    def reservations(self) -> Iterator[tuple[str, Facts]]:
        for entry in self.log:
            if isinstance(entry, Held):
                facts = self.facts(entry.reservation)
                assert facts is not None
                yield entry.reservation, facts

    def credited(self, of: str) -> int:
        return sum(entry.amount for entry in self.log if isinstance(entry, Refunded) and entry.of == of)

    def left_of_expiry(self, reservation: str) -> int:
        """What is left of what a reservation's expiry recorded: late records and refunds take from it."""
        facts = self.facts(reservation)
        assert facts is not None
        late = sum(
            entry.amount
            for entry in self.log
            if isinstance(entry, Spent) and entry.reservation == reservation and entry.at >= facts.until
        )
        return max(0, facts.automatic - late - self.credited(f"expiry:{reservation}"))

    def left_of(self, record: str) -> int | None:
        """What can still be refunded; None for what is no record of spend."""
        if record.startswith("expiry:"):
            return self.left_of_expiry(record.removeprefix("expiry:"))
        for entry in self.log:
            if isinstance(entry, Spent) and entry.record == record:
                return entry.amount - self.credited(record)
        return None

    def figures(self, spec: Spec, window: Window) -> Figures:
        def counted(unit: str, labels: Labels, instant: int) -> bool:
            return spec.covers(unit, labels) and window[0] <= instant < window[1]

        total = Figures(0, 0, 0)
        for entry in self.log:
            if isinstance(entry, Spent) and counted(entry.unit, entry.labels, entry.charged):
                total.spent += entry.amount - self.credited(entry.record)
        for reservation, facts in self.reservations():
            if counted(facts.born.unit, facts.born.labels, facts.born.at):
                total.spent += self.left_of_expiry(reservation)
                total.reserved += facts.held
                total.open += facts.state == "OPEN"
        return total

    def standing(self, budget_id: str, at: int | None = None) -> Figures:
        spec = self.budgets[budget_id]
        return self.figures(spec, window_of(spec.period, self.now if at is None else at))

    # Alerts

    def cross(self, budget_id: str, at: int) -> None:
        """Note the alerts of the cycle that contains `at`."""
        spec = self.budgets[budget_id]
        spent = self.standing(budget_id, at).spent
        basis, micros = ("BUDGET", spec.soft) if spec.soft is not None else ("LIMIT", spec.limit(self.now))
        if not spec.alerts_enabled or micros is None or spent <= 0:
            return
        start = window_of(spec.period, at)[0]
        for percent in DEFAULT_THRESHOLDS if spec.thresholds is None else spec.thresholds:
            if spent * 100 >= percent * micros:
                self.alerts.add((budget_id, self.births[budget_id], start, basis, percent))

    def cross_all(self, unit: str, labels: Labels, at: int) -> None:
        for budget_id, spec in self.budgets.items():
            if spec.covers(unit, labels):
                self.cross(budget_id, at)

    def alert_rows(self) -> Counter[tuple[str, int, str, int]]:
        """How many rows there must be of each (budget, cycle start, basis, percent)."""
        return Counter((budget, start, basis, percent) for budget, _, start, basis, percent in self.alerts)

    def meet(self) -> None:
        """A decision is taken: what has expired is written down."""
        for reservation, facts in self.reservations():
            if facts.state == "EXPIRED" and reservation not in self.met:
                self.met.add(reservation)
                if facts.automatic:
                    self.cross_all(facts.born.unit, facts.born.labels, facts.born.at)

    # Decisions

    def refusal(self, spec: Spec, figures: Figures, amount: int) -> str | None:
        if spec.enforcement == "FREEZE":
            return "FROZEN"
        for micros, reason in zip(self.caps_of(spec), REASONS[1:3], strict=True):
            if micros is not None and (figures.spent + amount > micros or (amount == 0 and figures.spent >= micros)):
                return reason
        limit = spec.limit(self.now)
        if limit is not None and figures.spent + figures.reserved + amount > limit:
            return "HELD_BY_RESERVATIONS"
        return None

    def caps_of(self, spec: Spec) -> tuple[int | None, int | None]:
        return spec.caps(self.now)

    def closed_gate(self, labels: Labels) -> str | None:
        for gate_id, (label, pattern, enabled) in self.gates.items():
            if not enabled and Spec(selector=((label, pattern),)).covers("USD", labels):
                return gate_id
        return None

    def decide(
        self, unit: str, labels: Labels, amount: int, minimum: int | None, at: int, *, full_view: bool = False
    ) -> dict[str, Any]:
        """The answer to a question of `amount`, without what only a yes brings about."""
        answer: dict[str, Any] = {
            "allowed": True, "reason": None, "granted": amount, "binding": None, "shortfall": 0, "affordable": None,
            "retry_time": None, "gate": None, "verdicts": [], "warnings": [],
        }  # fmt: skip
        matching = {id_: spec for id_, spec in sorted(self.budgets.items()) if spec.covers(unit, labels)}
        stand = {id_: self.standing(id_, at) for id_ in matching}
        rooms: dict[str, int] = {}
        refusals: list[tuple[int, str, str]] = []
        shadows = []
        for id_, spec in matching.items():
            reason, limit = self.refusal(spec, stand[id_], amount), spec.limit(self.now)
            if spec.enforcement == "SHADOW":
                shadows += [("SHADOW_DENIAL", id_, reason)] if reason else []
                continue
            if reason == "FROZEN":
                rooms[id_] = 0
            elif limit is not None:
                rooms[id_] = max(0, limit - stand[id_].spent - stand[id_].reserved)
            if reason:
                refusals.append((REASONS.index(reason), id_, reason))
        gate = self.closed_gate(labels)
        room = min(rooms.values(), default=None)
        if gate is not None:
            answer |= {"allowed": False, "reason": "GATE_DISABLED", "gate": gate, "affordable": 0}
        elif not refusals or (minimum is not None and amount > 0 and (room or 0) >= max(1, minimum)):
            granted = amount if not refusals else room
            binding = next((id_ for id_ in rooms if rooms[id_] == room), None)
            answer |= {"granted": granted, "binding": binding, "affordable": room, "warnings": shadows}
        else:
            _, binding, reason = min(refusals)
            answer |= {"allowed": False, "reason": reason, "binding": binding, "affordable": room, "warnings": shadows}
            answer["retry_time"] = self.retry_time(reason, binding, at)
        if not answer["allowed"]:
            answer["granted"] = 0
            answer["shortfall"] = max(0, amount - (answer["affordable"] or 0))
        if full_view or not answer["allowed"]:
            asked = answer["granted"] if answer["allowed"] else amount
            answer["verdicts"] = [
                (id_, spec.enforcement, self.refusal(spec, stand[id_], asked), spec.limit(self.now),
                 stand[id_].spent, stand[id_].reserved)
                for id_, spec in matching.items()
            ]  # fmt: skip
        return answer

    def retry_time(self, reason: str, budget_id: str, at: int) -> int | None:
        spec = self.budgets[budget_id]
        window = window_of(spec.period, at)
        if reason == "HELD_BY_RESERVATIONS":
            ends = [
                facts.until
                for _, facts in self.reservations()
                if facts.held > 0
                and spec.covers(facts.born.unit, facts.born.labels)
                and window[0] <= facts.born.at < window[1]
            ]
            return min(ends, default=None)
        if reason == "FROZEN":
            return None
        end = window[1]
        if reason == "HARD_CAP_REACHED" and spec.override is not None and self.now < spec.override[1]:
            end = min(end, spec.override[1])
        return None if end >= FOREVER else end

    def soft_warnings(self, unit: str, labels: Labels, at: int) -> list[tuple[str, str, None]]:
        found = []
        for id_, spec in sorted(self.budgets.items()):
            if spec.soft is not None and spec.covers(unit, labels):
                stand = self.standing(id_, at)
                if stand.spent + stand.reserved > spec.soft:
                    found.append(("SOFT_BUDGET_PASSED", id_, None))
        return found

    def count_denials(self, answer: Mapping[str, Any], at: int) -> None:
        named = [id_ for kind, id_, _ in answer["warnings"] if kind == "SHADOW_DENIAL"]
        if not answer["allowed"] and answer["binding"] is not None:
            named.append(answer["binding"])
        for id_ in named:
            self.denials[(id_, window_of(self.budgets[id_].period, at)[0])] += 1

    # Records

    def charged_at(self, usage_time: int | None) -> int:
        if usage_time is None:
            return self.now
        if usage_time < self.now - OLDEST_USAGE or usage_time > self.now + SKEW:
            raise Refused("VALIDATION_FAILED", "usage_time")
        return min(usage_time, self.now)

    def settling(
        self, reservation: str, unit: str, amount: int, labels: Labels, usage_time: int | None
    ) -> tuple[Facts, Labels, int, bool]:
        """(reservation before, labels of the record, overrun, late)."""
        facts = self.facts(reservation)
        if facts is None:
            raise Refused("NOT_FOUND")
        if facts.state == "SETTLED":
            raise Refused("RESERVATION_CLOSED")
        if unit not in ("", facts.born.unit):
            raise Refused("VALIDATION_FAILED", "unit")
        if any(facts.born.labels.get(key, value) != value for key, value in labels.items()):
            raise Refused("VALIDATION_FAILED", "labels")
        self.charged_at(usage_time)
        late = facts.state != "OPEN"
        covered = facts.left_at_close if late else facts.held
        return facts, {**facts.born.labels, **labels}, max(0, amount - covered), late

    def refunding(self, record: str, amount: int | None) -> int:
        if any(isinstance(entry, Refunded) and entry.record == record for entry in self.log):
            raise Refused("VALIDATION_FAILED", "spend_record")
        left = self.left_of(record)
        if left is None:
            raise Refused("NOT_FOUND")
        if left == 0:
            raise Refused("VALIDATION_FAILED", "spend_record")
        if amount is not None and amount > left:
            raise Refused("VALIDATION_FAILED", "amount_micros")
        return left if amount is None else amount

    def still_open(self, reservation: str) -> Facts:
        facts = self.facts(reservation)
        if facts is None:
            raise Refused("NOT_FOUND")
        if facts.state != "OPEN":
            raise Refused("RESERVATION_CLOSED")
        return facts

    def prolonging(self, reservation: str, more: int, ttl: int) -> tuple[Facts, dict[str, Any], int]:
        """(reservation before, answer, its new end)."""
        facts = self.still_open(reservation)
        unit, labels, born = facts.born.unit, facts.born.labels, facts.born.at
        for spec in self.budgets.values():
            if more > 0 and spec.covers(unit, labels) and window_of(spec.period, born)[1] <= self.now:
                raise Refused("RESERVATION_CLOSED")
        until = max(facts.until, self.now + ttl)
        if more > 0:
            return facts, self.decide(unit, labels, more, None, born), until
        nothing: dict[str, Any] = {
            "allowed": True, "reason": None, "granted": 0, "binding": None, "shortfall": 0, "affordable": None,
            "retry_time": None, "gate": None, "verdicts": [], "warnings": [],
        }  # fmt: skip
        return facts, nothing, until
