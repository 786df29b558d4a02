"""The face without a wire: commands on the domain alone, or on a ledger over a store."""

from collections.abc import Mapping, Sequence
from typing import Any

from ledger.stores import check, extend, record, refund, release
from outlay_server.domain.commands import (
    CheckMode,
    CheckOutcome,
    Command,
    ExtendOutcome,
    Outcome,
    RecordOutcome,
    ReservationOutcome,
    SettleExpired,
)
from outlay_server.domain.errors import OutlayError, RequestIdReused, ValidationFailed
from outlay_server.domain.instant import MICROS_PER_SECOND, Instant
from outlay_server.domain.reservation import ExpiryAction
from properties.drivers import Driver
from properties.model import Spec
from scenarios.face import Answer, Check, Record, error, recorded_word
from scenarios.rows import units


class LedgerFace:
    def __init__(self, driver: Driver, now: Instant) -> None:
        self._driver = driver
        self._now = now

    def create(self, budget_id: str, spec: Spec) -> None:
        self._driver.create(budget_id, spec)

    def update(self, budget_id: str, spec: Spec) -> None:
        self._driver.update(budget_id, spec)

    def delete(self, budget_id: str, *, force: bool) -> Answer:
        try:
            self._driver.delete(budget_id, force=force)
        except OutlayError as failure:
            return _error(failure)
        return Answer("deleted")

    def set_gate(self, *, enabled: bool) -> None:
        self._driver.set_gate(enabled)

    def check(self, checks: Sequence[Check]) -> list[Answer]:
        return self._ask([self._check(each) for each in checks])

    def _check(self, asked: Check) -> Command:
        return check(
            asked.amount,
            unit=asked.unit,
            minimum=asked.minimum,
            labels=asked.labels,
            mode=CheckMode(asked.mode),
            ttl_seconds=asked.ttl_seconds,
            on_expiry=ExpiryAction(asked.on_expiry),
            full_view=asked.full_view,
            request_id=asked.request_id,
        )

    def record(self, records: Sequence[Record]) -> list[Answer]:
        answers = self._ask([self._record(each) for each in records])
        return [
            Answer(recorded_word(asked, late=answer.word == "late"), answer.facts, answer.handle)
            if answer.word != "error"
            else answer
            for asked, answer in zip(records, answers, strict=True)
        ]

    def _record(self, asked: Record) -> Command:
        ago = asked.ago_seconds
        return record(
            asked.amount,
            asked.reservation,
            unit=asked.unit if asked.reservation else asked.unit or "USD",
            labels=asked.labels,
            usage_time=None if ago is None else Instant(self._now - ago * MICROS_PER_SECOND),
            keep_open=asked.keep_open,
            request_id=asked.request_id,
        )

    def refund(self, record: str, amount: int | None, request_id: str) -> Answer:
        return self._ask([refund(record, amount, request_id=request_id)])[0]

    def release(self, reservation: str, request_id: str) -> Answer:
        return self._ask([release(reservation, request_id=request_id)])[0]

    def extend(self, reservation: str, more: int, ttl_seconds: int, request_id: str) -> Answer:
        return self._ask([extend(reservation, more, ttl_seconds=ttl_seconds, request_id=request_id)])[0]

    def spend(self, budget_id: str) -> Mapping[str, str]:
        counter, limits = self._driver.views()[budget_id], self._driver.limits(budget_id)
        return {
            "spent": units(counter.spent_micros),
            "reserved": units(counter.reserved_micros),
            "available": units(counter.available_micros(limits)),
            "overrun": units(counter.overrun_micros(limits)),
            "denied": str(counter.denied_count),
        }

    def alerts(self, budget_id: str) -> Sequence[str]:
        return [f"{basis}:{percent}" for basis, percent in self._driver.alerts_of(budget_id)]

    def wait(self, seconds: int) -> None:
        self._now = Instant(self._now + seconds * MICROS_PER_SECOND)
        self._driver.set_time(self._now)
        # Books in memory have no reader that knows of an expiry which no decision has met.
        if self._driver.settles_before_changes:
            self._driver.submit([SettleExpired("acme")])

    def close(self) -> None:
        self._driver.close()

    def _ask(self, commands: Sequence[Command]) -> list[Answer]:
        return [_answer(outcome) for outcome in self._driver.submit(commands)]


def _answer(outcome: Outcome | OutlayError) -> Answer:
    match outcome:
        case OutlayError():
            return _error(outcome)
        case CheckOutcome():
            return Answer(
                "allowed" if outcome.allowed else "denied",
                _facts(outcome),
                outcome.reservation_id or outcome.record_id or "",
            )
        case ExtendOutcome():
            return Answer("extended" if outcome.check.allowed else "denied", _facts(outcome.check))
        case ReservationOutcome():
            return Answer("released")
        case RecordOutcome():
            made = outcome.record
            word = "refunded" if made.kind.value == "REFUND" else "late" if made.late else "recorded"
            facts = {"amount": units(made.amount_micros), "overrun": units(made.overrun_micros), "unit": made.unit}
            return Answer(word, facts, made.record_id)
    raise AssertionError(f"no answer: {outcome}")


def _error(failure: OutlayError) -> Answer:
    fields: list[str] = []
    if isinstance(failure, ValidationFailed):
        fields = [violation.field for violation in failure.violations]
    elif isinstance(failure, RequestIdReused):
        fields = [failure.field]
    return error(failure.reason.value, fields)


def _facts(outcome: CheckOutcome) -> dict[str, str]:
    def named(value: Any) -> str:
        return value.value if value is not None else "ok"

    return {
        "reason": "" if outcome.reason is None else outcome.reason.value,
        "granted": units(outcome.granted_micros),
        "by": outcome.binding_budget_id or "nobody",
        "short": units(outcome.shortfall_micros),
        "affordable": units(outcome.affordable_micros),
        "gate": outcome.gate_id or "none",
        "retryable": "yes" if outcome.retryable else "no",
        "retry": "never" if outcome.retry_time is None else "later",
        "warns": ",".join(
            f"{warning.budget_id}:{named(warning.reason) if warning.reason else 'SOFT'}" for warning in outcome.warnings
        )
        or "nothing",
        "verdicts": ",".join(f"{verdict.budget_id}:{named(verdict.reason)}" for verdict in outcome.verdicts) or "none",
    }
