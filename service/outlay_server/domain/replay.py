"""Idempotency: the same request_id with the same content is answered as it was the first time, and does nothing.

A request that took effect is remembered with what it asked and what it was answered, in the transaction of the effect.
Both are kept as JSON, by the names the wire uses, so that a difference can be named to the caller.
"""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from outlay_server.domain import json_text
from outlay_server.domain.books import Books, OrganizationState, StoredRequest
from outlay_server.domain.budget import Enforcement
from outlay_server.domain.commands import (
    CheckOutcome,
    CheckSpend,
    CheckWarning,
    Command,
    ExtendOutcome,
    ExtendReservation,
    Outcome,
    RecordOutcome,
    RecordSpend,
    RefundSpend,
    ReleaseReservation,
    ReservationOutcome,
    SettleExpired,
    WarningType,
)
from outlay_server.domain.decision import DenialReason, Verdict
from outlay_server.domain.errors import RequestIdReused
from outlay_server.domain.instant import Instant
from outlay_server.domain.reservation import ExpiryAction, Reservation, ReservationState
from outlay_server.domain.selector import CanonicalLabels
from outlay_server.domain.spend import RecordKind, SpendRecord

Json = Mapping[str, Any]


def replayed(books: Books, state: OrganizationState, command: Command) -> Outcome:
    """Return the first answer to this request_id, which has had an effect.

    Raises `RequestIdReused`, naming the first field that differs, when the id was used for something else.
    """
    stored = books.requests[(state.key, command.request_id)]
    method, content = content_of(command)
    difference = first_difference(stored, method, content)
    if difference is not None:
        raise RequestIdReused(difference, command.request_id)
    return _decoded(stored, state)


def remember(books: Books, state: OrganizationState, command: Command, outcome: Outcome) -> None:
    """Note the request and its answer, to be written with its effect."""
    method, content = content_of(command)
    stored = StoredRequest(state.key, command.request_id, method, content, _encoded(outcome), books.now)
    books.requests[(state.key, command.request_id)] = stored
    books.changes.requests.append(stored)


def first_difference(stored: StoredRequest, method: str, content: str) -> str | None:
    """The wire name of the first field in which a request differs from the one remembered, or None."""
    if stored.method != method:
        return "method"
    if stored.content == content:
        return None
    ours, theirs = json_text.load(content), json_text.load(stored.content)
    for name in (*ours, *theirs):
        if theirs.get(name) != ours.get(name):
            return str(name)
    return None


def content_of(command: Command) -> tuple[str, str]:
    """The method's name and everything that makes two requests the same: a JSON object, in the order of the message."""
    if type(command) is CheckSpend:
        return "CheckSpend", _check_content(command)
    method, content = _content_of(command)
    return method, json_text.dump(content)


def _check_content(check: CheckSpend) -> str:
    """Put together by hand, an eighth of what a dictionary and its encoding cost: every check is remembered.

    Nothing in it needs escaping but labels, whose text is kept: units and enums have none but plain letters.
    """
    minimum = "null" if check.min_amount_micros is None else check.min_amount_micros
    return (
        f'{{"unit":"{check.unit}","amount_micros":{check.amount_micros},"min_amount_micros":{minimum},'
        f'"labels":{json_text.dump_labels(check.labels)},"mode":"{check.mode._value_}",'
        f'"reservation_ttl":{check.reservation_ttl_micros},"expiry_action":"{check.expiry_action._value_}",'
        f'"view":{"true" if check.full_view else "false"}}}'
    )


def _content_of(command: Command) -> tuple[str, dict[str, Any]]:
    match command:
        case RecordSpend():
            return "RecordSpend", {
                "reservation": command.reservation_id,
                "unit": command.unit,
                "amount_micros": command.amount_micros,
                "labels": _pairs(command.labels),
                "usage_time": command.usage_time,
                "keep_open": command.keep_open,
            }
        case RefundSpend():
            return "RefundSpend", {"spend_record": command.record_id, "amount_micros": command.amount_micros}
        case ReleaseReservation():
            return "ReleaseReservation", {"name": command.reservation_id}
        case ExtendReservation():
            return "ExtendReservation", {
                "name": command.reservation_id,
                "reservation_ttl": command.reservation_ttl_micros,
                "additional_micros": command.additional_micros,
                "min_additional_micros": command.min_additional_micros,
            }
        case CheckSpend() | SettleExpired():
            raise AssertionError("a check has its own form, and settling what expired is nobody's request")


def _pairs(labels: CanonicalLabels) -> list[list[str]]:
    return [[key, value] for key, value in labels]


def _encoded(outcome: Outcome) -> str:
    if type(outcome) is CheckOutcome and not outcome.verdicts and not outcome.warnings:
        return _plain_admission(outcome)
    return json_text.dump(_to_json(outcome))


def _plain_admission(outcome: CheckOutcome) -> str:
    """What `_check_to_json` makes of the usual admission, put together by hand as `_check_content` is."""
    assert outcome.allowed
    text = f'{{"granted_micros":{outcome.granted_micros}'
    if outcome.reservation_id is not None:
        text += f',"reservation_id":"{outcome.reservation_id}"'
    if outcome.record_id is not None:
        text += f',"record_id":"{outcome.record_id}"'
    if outcome.expire_time is not None:
        text += f',"expire_time":{outcome.expire_time}'
    if outcome.binding_budget_id is not None:
        text += f',"binding_budget_id":"{outcome.binding_budget_id}"'
    if outcome.affordable_micros is not None:
        text += f',"affordable_micros":{outcome.affordable_micros}'
    return text + "}"


def _to_json(outcome: Outcome) -> dict[str, Any]:
    match outcome:
        case CheckOutcome():
            return _check_to_json(outcome)
        case RecordOutcome():
            return _plain(outcome.record)
        case ReservationOutcome():
            return _plain(outcome.reservation)
        case ExtendOutcome():
            return {"check": _check_to_json(outcome.check), "reservation": _plain(outcome.reservation)}
        case None:
            raise AssertionError("only an effect is remembered")


def _decoded(stored: StoredRequest, state: OrganizationState) -> Outcome:
    answer = json_text.load(stored.answer)
    match stored.method:
        case "CheckSpend":
            return _check_from_json(answer)
        case "RecordSpend" | "RefundSpend":
            return RecordOutcome(_record_from_json(answer, state.key))
        case "ReleaseReservation":
            return ReservationOutcome(_reservation_from_json(answer, state.key))
        case "ExtendReservation":
            reservation = _reservation_from_json(answer["reservation"], state.key)
            return ExtendOutcome(_check_from_json(answer["check"]), reservation)
    raise AssertionError(f"no command is called {stored.method}")


def _plain(entity: SpendRecord | Reservation) -> dict[str, Any]:
    """The entity's fields as JSON, without what is absent and without the organization, whose row it is."""
    values = {}
    for field in fields(entity):
        value = getattr(entity, field.name)
        if value is None or field.name == "organization_key":
            continue
        values[field.name] = getattr(value, "value", value)
    return values


def _labels(pairs: list[list[str]]) -> CanonicalLabels:
    return tuple((key, value) for key, value in pairs)


def _record_from_json(answer: Json, organization_key: int) -> SpendRecord:
    values: dict[str, Any] = {"reservation_id": None, "refunded_record_id": None, **answer}
    values["kind"] = RecordKind(answer["kind"])
    values["labels"] = _labels(answer["labels"])
    return SpendRecord(organization_key=organization_key, **values)


def _reservation_from_json(answer: Json, organization_key: int) -> Reservation:
    values: dict[str, Any] = {"close_time": None, **answer}
    values["state"] = ReservationState(answer["state"])
    values["expiry_action"] = ExpiryAction(answer["expiry_action"])
    values["labels"] = _labels(answer["labels"])
    return Reservation(organization_key=organization_key, **values)


def _check_to_json(outcome: CheckOutcome) -> dict[str, Any]:
    """An admission; denials are never remembered, so what only they carry is left out."""
    assert outcome.allowed
    answer: dict[str, Any] = {"granted_micros": outcome.granted_micros}
    for name in ("reservation_id", "record_id", "expire_time", "binding_budget_id", "affordable_micros"):
        value = getattr(outcome, name)
        if value is not None:
            answer[name] = value
    if outcome.verdicts:
        answer["verdicts"] = [
            [
                verdict.budget_id,
                verdict.enforcement.value,
                verdict.reason.value if verdict.reason else None,
                verdict.limit_micros,
                verdict.spent_micros,
                verdict.reserved_micros,
                verdict.cycle_end,
            ]
            for verdict in outcome.verdicts
        ]
    if outcome.warnings:
        answer["warnings"] = [
            [warning.type.value, warning.budget_id, warning.reason.value if warning.reason else None]
            for warning in outcome.warnings
        ]
    return answer


def _check_from_json(answer: Json) -> CheckOutcome:
    expire_time = answer.get("expire_time")
    return CheckOutcome(
        allowed=True,
        reason=None,
        granted_micros=answer["granted_micros"],
        reservation_id=answer.get("reservation_id"),
        record_id=answer.get("record_id"),
        expire_time=None if expire_time is None else Instant(expire_time),
        binding_budget_id=answer.get("binding_budget_id"),
        shortfall_micros=0,
        affordable_micros=answer.get("affordable_micros"),
        retryable=False,
        retry_time=None,
        gate_id=None,
        verdicts=tuple(
            Verdict(budget_id, Enforcement(enforcement), _reason(reason), limit, spent, reserved, Instant(cycle_end))
            for budget_id, enforcement, reason, limit, spent, reserved, cycle_end in answer.get("verdicts", ())
        ),
        warnings=tuple(
            CheckWarning(WarningType(kind), budget_id, _reason(reason))
            for kind, budget_id, reason in answer.get("warnings", ())
        ),
    )


def _reason(value: str | None) -> DenialReason | None:
    return None if value is None else DenialReason(value)
