"""A Hypothesis state machine that asks a driver and the model the same, and compares answers and books."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from ledger.stores import DAY_MICROS, NOON, check, extend, record, refund, release
from outlay_server.domain.commands import (
    CheckMode,
    CheckOutcome,
    CheckSpend,
    Command,
    ExtendOutcome,
    ExtendReservation,
    Outcome,
    RecordOutcome,
    RecordSpend,
    RefundSpend,
    ReleaseReservation,
    ReservationOutcome,
)
from outlay_server.domain.errors import OutlayError, RequestIdReused, ValidationFailed
from outlay_server.domain.instant import Instant
from outlay_server.domain.reservation import ExpiryAction
from properties.drivers import Driver
from properties.model import Held, Model, Prolonged, Refunded, Refused, Released, Spec, Spent, window_of

UNKNOWN = "00000000-0000-7000-8000-00000000dead"

CONTENT = {
    CheckSpend: {
        "unit": "unit",
        "amount_micros": "amount_micros",
        "min_amount_micros": "min_amount_micros",
        "labels": "labels",
        "mode": "mode",
        "reservation_ttl_micros": "reservation_ttl",
        "expiry_action": "expiry_action",
        "full_view": "view",
    },
    RecordSpend: {
        "reservation_id": "reservation",
        "unit": "unit",
        "amount_micros": "amount_micros",
        "labels": "labels",
        "usage_time": "usage_time",
        "keep_open": "keep_open",
    },
    RefundSpend: {"record_id": "spend_record", "amount_micros": "amount_micros"},
    ReleaseReservation: {"reservation_id": "name"},
    ExtendReservation: {
        "reservation_id": "name",
        "reservation_ttl_micros": "reservation_ttl",
        "additional_micros": "additional_micros",
    },
}
"""What makes two requests the same, by the commands' own names, with the names that the wire uses."""

amounts = st.one_of(st.integers(0, 8), st.integers(0, 30), st.just(10**15))
limits = st.one_of(st.none(), st.integers(0, 25), st.integers(0, 25), st.just(10**16))
labels = st.fixed_dictionaries(
    {}, optional={"team": st.sampled_from(["a", "b", ""]), "model": st.sampled_from(["gpt", "claude-opus-4", "clau"])}
)
selectors = st.sampled_from(
    [
        (),
        (),
        (("team", "a"),),
        (("team", "*"),),
        (("model", "claude-*"),),
        (("model", "gpt"), ("team", "a")),
        (("model", "cla*"), ("team", "b")),
    ]
)
units = st.sampled_from(["USD", "USD", "USD", "CREDITS"])
specs = st.builds(
    Spec,
    unit=units,
    selector=selectors,
    period=st.sampled_from(["MONTH", "MONTH", "DAY", "QUARTER", "YEAR", "LIFETIME"]),
    soft=limits,
    cap=limits,
    cap_enabled=st.booleans(),
    allotment=st.one_of(st.none(), st.none(), limits),
    thresholds=st.sampled_from([None, None, (), (0,), (1, 50, 100), (100, 250)]),
    alerts_enabled=st.sampled_from([True, True, True, False]),
    enforcement=st.sampled_from(["ENFORCE"] * 5 + ["SHADOW", "FREEZE"]),
    override=st.one_of(st.none(), st.none(), st.tuples(st.integers(0, 30), st.just(0))),
)
indexes = st.integers(0, 50)
ttls = st.sampled_from([1, 30, 300, 86_400])


@dataclass(frozen=True)
class Wish:
    """An operation whose reservation or record is picked when its turn comes."""

    make: Callable[["OutlayMachine"], Command]


def _wish(build: Callable[..., Command], **parts: Any) -> "st.SearchStrategy[Wish]":
    return st.fixed_dictionaries(parts).map(lambda chosen: Wish(lambda machine: build(machine, **chosen)))


def _check(machine: "OutlayMachine", *, named: bool, **chosen: Any) -> Command:
    chosen["mode"] = CheckMode(chosen["mode"])
    chosen["on_expiry"] = ExpiryAction(chosen["on_expiry"])
    return check(request_id=machine.fresh_id() if named else "", **chosen)


def _record(machine: "OutlayMachine", *, amount: int, age: int | None, named: bool, **chosen: Any) -> Command:
    usage_time = None if age is None else Instant(machine.model.now - age)
    request_id = machine.fresh_id() if named else ""
    return record(max(1, amount), usage_time=usage_time, request_id=request_id, **chosen)


def _settle(machine: "OutlayMachine", *, index: int, amount: int, named: bool, **chosen: Any) -> Command:
    request_id = machine.fresh_id() if named else ""
    return record(max(1, amount), machine.a_reservation(index), request_id=request_id, **chosen)


checks = _wish(
    _check,
    amount=amounts,
    unit=units,
    minimum=st.one_of(st.none(), st.none(), amounts),
    labels=labels,
    mode=st.sampled_from(["RESERVE", "RESERVE", "RESERVE", "RECORD", "CHECK_ONLY"]),
    ttl_seconds=ttls,
    on_expiry=st.sampled_from(["RELEASE", "RECORD"]),
    full_view=st.booleans(),
    named=st.booleans(),
)
records = _wish(
    _record,
    amount=amounts,
    unit=units,
    labels=labels,
    age=st.sampled_from(
        [
            None,
            None,
            0,
            1_000_000,
            DAY_MICROS,
            20 * DAY_MICROS,
            35 * DAY_MICROS,
            35 * DAY_MICROS + 1,
            -300_000_000,
            -300_000_001,
        ]
    ),
    named=st.booleans(),
)
settlements = _wish(
    _settle,
    index=indexes,
    amount=amounts,
    unit=st.sampled_from(["", "", "", "USD"]),
    labels=st.one_of(st.just({}), labels, st.just({"job": "7"})),
    keep_open=st.booleans(),
    named=st.booleans(),
)
refunds = st.builds(
    lambda index, amount, named: Wish(
        lambda machine: refund(machine.a_record(index), amount, request_id=machine.fresh_id() if named else "")
    ),
    indexes,
    st.one_of(st.none(), st.integers(1, 8)),
    st.booleans(),
)
releases = st.builds(
    lambda index, named: Wish(
        lambda machine: release(machine.a_reservation(index), request_id=machine.fresh_id() if named else "")
    ),
    indexes,
    st.booleans(),
)
extensions = st.builds(
    lambda index, more, ttl, named: Wish(
        lambda machine: extend(
            machine.a_reservation(index), more, ttl_seconds=ttl, request_id=machine.fresh_id() if named else ""
        )
    ),
    indexes,
    st.one_of(st.just(0), amounts),
    ttls,
    st.booleans(),
)
replays = st.builds(
    lambda index, alteration: Wish(lambda machine: machine.sent_before(index, alteration)),
    indexes,
    st.one_of(st.none(), st.none(), indexes),
)


class OutlayMachine(RuleBasedStateMachine):
    """`make_driver` says what is under test."""

    make_driver: ClassVar[Callable[[], Driver]]

    def __init__(self) -> None:
        super().__init__()
        self.driver = type(self).make_driver()
        self.model = Model(NOON)
        self.model.create("spending", Spec())
        self.model.create("credits", Spec(unit="CREDITS", cap_enabled=True, thresholds=()))
        self.model.gates["opus"] = ("model", "claude-opus-*", False)
        self.reservations: list[str] = []
        self.records: list[str] = []
        self.sent: list[Command] = []
        self.done: dict[str, tuple[Command, Outcome]] = {}
        self.ids = 0
        self.real_ids: dict[str, str] = {}
        """By the model's name of what an expiry recorded: its record."""

    def teardown(self) -> None:
        self.driver.close()

    # What operations name

    def fresh_id(self) -> str:
        self.ids += 1
        return f"q{self.ids}"

    def a_reservation(self, index: int) -> str:
        return self.reservations[-1 - index % len(self.reservations)] if self.reservations else UNKNOWN

    def a_record(self, index: int) -> str:
        return self.records[-1 - index % len(self.records)] if self.records else UNKNOWN

    def sent_before(self, index: int, alteration: int | None) -> Command:
        """A request once more, perhaps with one field changed."""
        if not self.sent:
            return check(1)
        command = self.sent[-1 - index % len(self.sent)]
        if alteration is None:
            return command
        altered: Sequence[Callable[[], Command]] = (lambda: release(UNKNOWN, request_id=command.request_id),)
        match command:
            case CheckSpend():
                altered = (
                    lambda: replace(command, amount_micros=command.amount_micros + 1),
                    lambda: replace(command, labels=(*command.labels, ("zone", "x"))),
                    lambda: replace(command, mode=CheckMode.CHECK_ONLY),
                    lambda: replace(command, reservation_ttl_micros=command.reservation_ttl_micros + 1),
                    lambda: replace(command, full_view=not command.full_view),
                    *altered,
                )
            case RecordSpend():
                altered = (
                    lambda: replace(command, amount_micros=command.amount_micros + 1),
                    lambda: replace(command, keep_open=not command.keep_open),
                    lambda: replace(command, reservation_id=UNKNOWN),
                    lambda: replace(command, usage_time=Instant(self.model.now - 7)),
                    *altered,
                )
            case RefundSpend():
                altered = (lambda: replace(command, amount_micros=(command.amount_micros or 0) + 1), *altered)
            case ExtendReservation():
                altered = (lambda: replace(command, additional_micros=command.additional_micros + 1), *altered)
        return altered[alteration % len(altered)]()

    # Rules: spend

    @rule(wish=st.one_of(checks, checks, checks, records, settlements, settlements, refunds, releases, extensions))
    def ask(self, wish: Wish) -> None:
        self.submit([wish.make(self)])

    @rule(wish=replays)
    def ask_again(self, wish: Wish) -> None:
        self.submit([wish.make(self)])

    @rule(wishes=st.lists(st.one_of(checks, checks, records, settlements, releases, replays), min_size=2, max_size=6))
    def ask_together(self, wishes: list[Wish]) -> None:
        self.submit([wish.make(self) for wish in wishes])

    def submit(self, commands: list[Command]) -> None:
        outcomes = self.driver.submit(commands)
        self.model.meet()
        held_back: list[tuple[CheckOutcome, str, int]] = []
        for command, outcome in zip(commands, outcomes, strict=True):
            self.compare(command, outcome, held_back)
        for outcome, budget_id, at in held_back:
            assert outcome.retry_time == self.model.retry_time("HELD_BY_RESERVATIONS", budget_id, at), outcome
        self.compare_rows()

    def compare(self, command: Command, outcome: Outcome | OutlayError, held_back: list[Any]) -> None:
        """Hold one answer against the model's, and have the model take the effect."""
        if command.request_id:
            self.sent.append(command)
            earlier = self.done.get(command.request_id)
            if earlier is not None:
                expected = first_difference(earlier[0], command)
                if expected is None:
                    assert outcome == earlier[1], "a request sent again gets its first answer"
                else:
                    assert isinstance(outcome, RequestIdReused), outcome
                    assert outcome.field == expected
                return
        try:
            took_effect = self.predict(command, outcome, held_back)
        except Refused as refused:
            ensure_refused(outcome, refused)
            return
        assert not isinstance(outcome, OutlayError), outcome
        if took_effect and command.request_id:
            self.done[command.request_id] = (command, outcome)

    def predict(self, command: Command, outcome: Outcome | OutlayError, held_back: list[Any]) -> bool:
        match command:
            case CheckSpend():
                return self.predict_check(command, outcome, held_back)
            case RecordSpend(reservation_id=None):
                self.predict_record(command, outcome)
            case RecordSpend():
                self.predict_settlement(command, outcome)
            case RefundSpend():
                self.predict_refund(command, outcome)
            case ReleaseReservation():
                self.model.still_open(command.reservation_id)
                self.model.log.append(Released(self.model.now, command.reservation_id))
                assert isinstance(outcome, ReservationOutcome), outcome
                self.compare_reservation(outcome.reservation)
            case ExtendReservation():
                return self.predict_extension(command, outcome, held_back)
        return True

    def predict_check(self, command: CheckSpend, outcome: Outcome | OutlayError, held_back: list[Any]) -> bool:
        assert isinstance(outcome, CheckOutcome), outcome
        model, unit, labels = self.model, command.unit, dict(command.labels)
        expected = model.decide(
            unit, labels, command.amount_micros, command.min_amount_micros, model.now, full_view=command.full_view
        )
        asks_only = command.mode is CheckMode.CHECK_ONLY
        if not asks_only:
            model.count_denials(expected, model.now)
        held = expected["allowed"] and command.mode is CheckMode.RESERVE
        spent = expected["allowed"] and command.mode is CheckMode.RECORD and expected["granted"] > 0
        until = model.now + command.reservation_ttl_micros if held else None
        if held:
            assert outcome.reservation_id is not None
            self.reservations.append(outcome.reservation_id)
            model.log.append(
                Held(
                    model.now,
                    outcome.reservation_id,
                    unit,
                    labels,
                    expected["granted"],
                    until or 0,
                    command.expiry_action.value,
                )
            )
        if spent:
            assert outcome.record_id is not None
            self.records.append(outcome.record_id)
            model.log.append(Spent(model.now, outcome.record_id, unit, labels, expected["granted"], model.now))
            model.cross_all(unit, labels, model.now)
        assert (outcome.reservation_id is not None) == held
        assert (outcome.record_id is not None) == spent
        assert outcome.expire_time == until
        self.compare_answer(outcome, expected, unit, labels, model.now, held_back)
        if held or spent:
            self.ensure_within_limits(unit, labels, model.now)
        return bool(expected["allowed"]) and not asks_only

    def predict_record(self, command: RecordSpend, outcome: Outcome | OutlayError) -> None:
        model, labels = self.model, dict(command.labels)
        charged = model.charged_at(command.usage_time)
        assert isinstance(outcome, RecordOutcome), outcome
        made = outcome.record
        model.log.append(Spent(model.now, made.record_id, command.unit, labels, command.amount_micros, charged))
        self.records.append(made.record_id)
        model.cross_all(command.unit, labels, charged)
        assert (made.amount_micros, made.overrun_micros, made.late) == (command.amount_micros, 0, False)
        assert (dict(made.labels), made.charge_time) == (labels, charged)

    def predict_settlement(self, command: RecordSpend, outcome: Outcome | OutlayError) -> None:
        model, reservation = self.model, command.reservation_id or ""
        before, labels, overrun, late = model.settling(
            reservation, command.unit, command.amount_micros, dict(command.labels), command.usage_time
        )
        assert isinstance(outcome, RecordOutcome), outcome
        made = outcome.record
        unit, charged = before.born.unit, before.born.at
        model.log.append(
            Spent(
                model.now, made.record_id, unit, labels, command.amount_micros, charged, reservation, command.keep_open
            )
        )
        self.records.append(made.record_id)
        model.cross_all(unit, labels, charged)
        assert (made.amount_micros, made.overrun_micros, made.late) == (command.amount_micros, overrun, late)
        assert (made.unit, dict(made.labels), made.charge_time) == (unit, labels, charged)

    def predict_refund(self, command: RefundSpend, outcome: Outcome | OutlayError) -> None:
        model = self.model
        of = next((name for name, real in self.real_ids.items() if real == command.record_id), command.record_id)
        amount = model.refunding(of, command.amount_micros)
        assert isinstance(outcome, RecordOutcome), outcome
        model.log.append(Refunded(model.now, outcome.record.record_id, of, amount))
        self.records.append(outcome.record.record_id)
        assert outcome.record.amount_micros == amount
        assert outcome.record.refunded_record_id == command.record_id

    def predict_extension(
        self, command: ExtendReservation, outcome: Outcome | OutlayError, held_back: list[Any]
    ) -> bool:
        model, more = self.model, command.additional_micros
        before, expected, until = model.prolonging(command.reservation_id, more, command.reservation_ttl_micros)
        assert isinstance(outcome, ExtendOutcome), outcome
        if more > 0:
            model.count_denials(expected, before.born.at)
        if expected["allowed"]:
            model.log.append(Prolonged(model.now, command.reservation_id, more, until))
            assert outcome.check.expire_time == until
            assert outcome.check.reservation_id == command.reservation_id
        self.compare_reservation(outcome.reservation)
        unit, labels = before.born.unit, before.born.labels
        self.compare_answer(outcome.check, expected, unit, labels, before.born.at, held_back)
        if expected["allowed"] and more > 0:
            self.ensure_within_limits(unit, labels, before.born.at)
        return bool(expected["allowed"])

    def compare_answer(
        self,
        outcome: CheckOutcome,
        expected: dict[str, Any],
        unit: str,
        labels: Any,
        at: int,
        held_back: list[Any],
    ) -> None:
        if expected["allowed"]:
            expected = {**expected, "warnings": expected["warnings"] + self.model.soft_warnings(unit, labels, at)}
        answer = answer_of(outcome)
        if expected["reason"] == "HELD_BY_RESERVATIONS":
            # Completed once the whole batch is decided, so it is compared then.
            held_back.append((outcome, expected["binding"], at))
            answer["retry_time"] = expected["retry_time"]
        assert answer == expected
        assert outcome.retryable == (expected["reason"] == "HELD_BY_RESERVATIONS")

    def compare_reservation(self, reservation: Any) -> None:
        facts = self.model.facts(reservation.reservation_id)
        assert facts is not None
        shown = (reservation.state.value, reservation.granted_micros, reservation.held_micros, reservation.expire_time)
        assert shown == (facts.state, facts.granted, facts.held, facts.until)

    def ensure_within_limits(self, unit: str, labels: Any, at: int) -> None:
        """The promise itself: at the moment anything is admitted, spent + reserved <= limit."""
        for budget_id, spec in self.model.budgets.items():
            limit = spec.limit(self.model.now)
            if limit is not None and spec.enforcement != "SHADOW" and spec.covers(unit, labels):
                figures = self.model.standing(budget_id, at)
                assert figures.spent + figures.reserved <= limit, f"{budget_id} was overspent"

    # Rules: time, settings, restarts

    @rule(micros=st.sampled_from([1, 1_000_000, 30_000_000, 300_000_000, DAY_MICROS, 17 * DAY_MICROS, 31 * DAY_MICROS]))
    def pass_time(self, micros: int) -> None:
        self.go_to(self.model.now + micros)

    @precondition(lambda self: self.reservations)
    @rule(index=indexes, before=st.booleans())
    def go_to_an_expiry(self, index: int, before: bool) -> None:
        facts = self.model.facts(self.a_reservation(index))
        assert facts is not None
        self.go_to(facts.until - before)

    @rule(period=st.sampled_from(["DAY", "MONTH"]), before=st.booleans())
    def go_to_the_end_of_a_cycle(self, period: str, before: bool) -> None:
        self.go_to(window_of(period, self.model.now)[1] - before)

    def go_to(self, instant: int) -> None:
        if instant > self.model.now:
            self.model.now = instant
            self.driver.set_time(instant)

    @rule(name=st.sampled_from(["b0", "b1", "b2"]), spec=specs)
    def create_budget(self, name: str, spec: Spec) -> None:
        if name not in self.model.budgets:
            self.before_a_change()
            if self.is_changed(spec, lambda: self.driver.create(name, spec)):
                self.model.create(name, self.with_end(spec))

    @rule(index=indexes, spec=specs, fields=st.sets(st.sampled_from(sorted(Spec.__dataclass_fields__)), min_size=1))
    def update_budget(self, index: int, spec: Spec, fields: set[str]) -> None:
        if not self.model.budgets:
            return
        name = sorted(self.model.budgets)[index % len(self.model.budgets)]
        self.before_a_change()
        changes = {field: getattr(spec, field) for field in fields - {"unit"}}
        wanted = replace(self.model.budgets[name], **changes)
        if self.is_changed(wanted, lambda: self.driver.update(name, wanted)):
            self.model.update(name, self.with_end(wanted))

    @rule(index=indexes)
    def delete_budget(self, index: int) -> None:
        if len(self.model.budgets) > 2:
            name = sorted(self.model.budgets)[index % len(self.model.budgets)]
            self.before_a_change()
            self.driver.delete(name)
            self.model.delete(name)

    @rule(enabled=st.booleans())
    def switch_the_gate(self, enabled: bool) -> None:
        self.driver.set_gate(enabled)
        self.model.gates["opus"] = ("model", "claude-opus-*", enabled)

    @rule()
    def restart(self) -> None:
        self.driver.restart()

    @precondition(lambda self: self.reservations)
    @rule(index=indexes)
    def find_what_expiry_recorded(self, index: int) -> None:
        """Let refunds name it."""
        reservation = self.a_reservation(index)
        facts = self.model.facts(reservation)
        found = self.driver.expiry_record(reservation)
        assert facts is not None
        assert (found is not None) == (facts.automatic > 0 and reservation in self.model.met)
        if found is not None and f"expiry:{reservation}" not in self.real_ids:
            self.real_ids[f"expiry:{reservation}"] = found
            self.records.append(found)

    def before_a_change(self) -> None:
        if self.driver.settles_before_changes:
            self.submit([check(0, unit="NOTHING", mode=CheckMode.CHECK_ONLY)])

    def is_changed(self, spec: Spec, change: Callable[[], None]) -> bool:
        """Make the change, or see it refused where an override would never end."""
        if spec.period != "LIFETIME" or spec.override is None or spec.override[1]:
            change()
            return True
        try:
            change()
        except ValidationFailed:
            return False
        raise AssertionError("an override without end was taken")

    def with_end(self, spec: Spec) -> Spec:
        if spec.override is None or spec.override[1]:
            return spec
        return replace(spec, override=(spec.override[0], window_of(spec.period, self.model.now)[1]))

    # What always holds

    def compare_rows(self) -> None:
        """After a decision, everything that has expired is written down and every stored counter is exact."""
        for budget_id, start, spent, reserved, open_reservations in self.driver.counter_rows():
            figures = self.model.standing(budget_id, start)
            assert (spent, reserved, open_reservations) == (figures.spent, figures.reserved, figures.open), budget_id

    @invariant()
    def readers_see_what_the_log_says(self) -> None:
        if self.driver.settles_before_changes:
            return  # Its counters know of an expiry only once a decision has met it.
        views = self.driver.views()
        assert views.keys() == self.model.budgets.keys()
        for budget_id, spec in self.model.budgets.items():
            figures, counter = self.model.standing(budget_id), views[budget_id]
            shown = (counter.spent_micros, counter.reserved_micros, counter.open_reservations)
            assert shown == (figures.spent, figures.reserved, figures.open), budget_id
            start = window_of(spec.period, self.model.now)[0]
            assert counter.denied_count == self.model.denials[(budget_id, start)]

    @invariant()
    def every_crossing_has_its_row(self) -> None:
        assert self.driver.alert_rows() == self.model.alert_rows()

    @initialize(cap=st.integers(0, 25), soft=limits)
    def set_a_cap(self, cap: int, soft: int | None) -> None:
        """Most of what there is to see needs a limit."""
        spec = replace(self.model.budgets["spending"], cap=cap, cap_enabled=True, soft=soft)
        self.driver.update("spending", spec)
        self.model.update("spending", spec)


def answer_of(outcome: CheckOutcome) -> dict[str, Any]:
    return {
        "allowed": outcome.allowed,
        "reason": outcome.reason.value if outcome.reason else None,
        "granted": outcome.granted_micros,
        "binding": outcome.binding_budget_id,
        "shortfall": outcome.shortfall_micros,
        "affordable": outcome.affordable_micros,
        "retry_time": outcome.retry_time,
        "gate": outcome.gate_id,
        "verdicts": [
            (
                verdict.budget_id,
                verdict.enforcement.value,
                verdict.reason.value if verdict.reason else None,
                verdict.limit_micros,
                verdict.spent_micros,
                verdict.reserved_micros,
            )
            for verdict in outcome.verdicts
        ],
        "warnings": [
            (warning.type.value, warning.budget_id, warning.reason.value if warning.reason else None)
            for warning in outcome.warnings
        ],
    }


def ensure_refused(outcome: Outcome | OutlayError, refused: Refused) -> None:
    assert isinstance(outcome, OutlayError), f"{outcome} is not {refused}"
    assert outcome.reason.value == refused.reason
    if refused.field:
        assert isinstance(outcome, ValidationFailed)
        assert outcome.violations[0].field == refused.field


def first_difference(earlier: Command, later: Command) -> str | None:
    if type(earlier) is not type(later):
        return "method"
    for name, wire_name in CONTENT[type(earlier)].items():
        if getattr(earlier, name) != getattr(later, name):
            return wire_name
    return None
