"""The faces of a running server: the same messages over gRPC, and over HTTP by their `google.api.http` rules."""

import itertools
import re
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import httpx2
from google.api import annotations_pb2
from google.protobuf import json_format
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc import error_details_pb2, status_pb2

from outlay.v1 import (
    admin_service_pb2,
    budget_pb2,
    budget_service_pb2,
    organization_pb2,
    reservation_pb2,
)
from properties.model import Spec
from scenarios.face import Answer, Check, Record, error, recorded_word
from scenarios.rows import units
from support.tenants import Tenant
from support.wire import METHODS, Failure

MASK = FieldMask(
    paths=[
        "selector",
        "cycle.period",
        "budget_micros",
        "hard_cap_micros",
        "hard_cap_enabled",
        "allotment_micros",
        "alert_thresholds",
        "alerts_enabled",
        "enforcement",
        "cap_override",
    ]
)


class CallError(Exception):
    """A call that did not answer OK, on whichever wire."""

    def __init__(self, reason: str, fields: Sequence[str]) -> None:
        super().__init__(reason, fields)
        self.answer = error(reason, fields)


class Transport(Protocol):
    def call(self, name: str, request: Message) -> Any:
        """The answer's message. Raises `CallError`."""


class GrpcTransport:
    def __init__(self, tenant: Tenant) -> None:
        self._caller = tenant.admin

    def call(self, name: str, request: Message) -> Any:
        try:
            return self._caller.call(name, request)
        except Failure as failure:
            raise CallError(failure.reason, _fields(failure.fields, failure.metadata)) from None


class RestTransport:
    """JSON over HTTP, put together from the rule of each method."""

    def __init__(self, client: httpx2.Client) -> None:
        self._client = client

    def call(self, name: str, request: Message) -> Any:
        verb, path, body, query = _http_request(name, request)
        answer = self._client.request(verb, path, json=body, params=query)
        content = answer.json()
        answer_type = GetMessageClass(METHODS[name].output_type)
        if answer.status_code in (402, 403) and "decision" in content:
            # A denial: the whole answer, and beside it what the billing faces say.
            assert content.pop("error")["details"]["reason"] == content["reason"].removeprefix("DENIAL_REASON_")
        elif answer.status_code != 200:
            details = {detail["@type"].rpartition(".")[2]: detail for detail in content["error"]["details"]}
            violations = details.get("BadRequest", {}).get("field_violations", [])
            info = details["ErrorInfo"]
            raise CallError(info["reason"], _fields([each["field"] for each in violations], info.get("metadata", {})))
        return json_format.ParseDict(content, answer_type())


def _http_request(name: str, request: Message) -> tuple[str, str, Any, dict[str, Any]]:
    """(verb, path, JSON body or None, query) by the method's rule."""
    rule = METHODS[name].GetOptions().Extensions[annotations_pb2.http]
    verb = rule.WhichOneof("pattern")
    fields = json_format.MessageToDict(request, preserving_proto_field_name=True)

    def bound(match: "re.Match[str]") -> str:
        value: Any = fields
        *parents, last = match[1].split(".")
        for parent in parents:
            value = value[parent]
        return str(value.pop(last))

    path = re.sub(r"\{([a-z_.]+)=[^}]*\}", bound, getattr(rule, verb))
    if rule.body == "*":
        return verb.upper(), path, fields, {}
    body = fields.pop(rule.body, {}) if rule.body else None
    if isinstance(body, dict) and name == "UpdateBudget":
        body |= {field: None for field in ("cap_override", "alert_thresholds") if field not in body}
    query = {key: str(value).lower() if isinstance(value, bool) else value for key, value in fields.items()}
    return verb.upper(), path, body, query


def _fields(violations: Sequence[str], metadata: Mapping[str, str]) -> Sequence[str]:
    return violations or [metadata[key] for key in ("field",) if key in metadata]


class WireFace:
    _numbers = itertools.count(1)

    def __init__(self, tenant: Tenant, transport: Transport) -> None:
        self._tenant = tenant
        self._call = transport.call

    def create(self, budget_id: str, spec: Spec) -> None:
        self._call(
            "CreateBudget",
            budget_service_pb2.CreateBudgetRequest(
                parent=self._tenant.name, budget_id=budget_id, budget=_budget("", spec)
            ),
        )

    def update(self, budget_id: str, spec: Spec) -> None:
        name = self._tenant.child("budgets", budget_id)
        self._call("UpdateBudget", budget_service_pb2.UpdateBudgetRequest(budget=_budget(name, spec), update_mask=MASK))

    def delete(self, budget_id: str, *, force: bool) -> Answer:
        name = self._tenant.child("budgets", budget_id)
        return self._answer("DeleteBudget", budget_service_pb2.DeleteBudgetRequest(name=name, force=force), "deleted")

    def set_gate(self, *, enabled: bool) -> None:
        gate = organization_pb2.Gate(gate_id="opus", label="model", pattern="claude-opus-*", enabled=enabled)
        self._call(
            "UpdateOrganization",
            admin_service_pb2.UpdateOrganizationRequest(
                organization=organization_pb2.Organization(name=self._tenant.name, gates=[gate]),
                update_mask=FieldMask(paths=["gates"]),
            ),
        )

    def check(self, checks: Sequence[Check]) -> list[Answer]:
        requests = [self._check(each) for each in checks]
        if len(requests) == 1:
            return [self._answer("CheckSpend", requests[0])]
        for request in requests:
            request.ClearField("organization")
        batch = budget_service_pb2.BatchCheckSpendRequest(organization=self._tenant.name, requests=requests)
        return [_checked(each) for each in self._call("BatchCheckSpend", batch).responses]

    def _check(self, asked: Check) -> budget_service_pb2.CheckSpendRequest:
        return budget_service_pb2.CheckSpendRequest(
            organization=self._tenant.name,
            unit=asked.unit,
            amount_micros=asked.amount,
            min_amount_micros=asked.minimum,
            labels=asked.labels,
            mode=f"CHECK_MODE_{asked.mode}",
            reservation_ttl=Duration(seconds=asked.ttl_seconds),
            expiry_action=reservation_pb2.ExpiryAction.Value(f"EXPIRY_ACTION_{asked.on_expiry}"),
            request_id=asked.request_id,
            view="CHECK_VIEW_FULL" if asked.full_view else "CHECK_VIEW_BASIC",
        )

    def record(self, records: Sequence[Record]) -> list[Answer]:
        requests = [self._record(each) for each in records]
        if len(requests) == 1:
            try:
                answer = self._call("RecordSpend", requests[0])
            except CallError as failure:
                return [failure.answer]
            assert answer.overrun_micros == answer.spend_record.overrun_micros
            return [_recorded(records[0], answer.spend_record)]
        for request in requests:
            request.ClearField("organization")
        batch = budget_service_pb2.BatchRecordSpendRequest(organization=self._tenant.name, requests=requests)
        return [
            _recorded(asked, result.record) if result.HasField("record") else _status(result.status)
            for asked, result in zip(records, self._call("BatchRecordSpend", batch).results, strict=True)
        ]

    def _record(self, asked: Record) -> budget_service_pb2.RecordSpendRequest:
        usage_time = None
        if asked.ago_seconds is not None:
            usage_time = Timestamp()
            usage_time.GetCurrentTime()
            usage_time.seconds -= asked.ago_seconds
        return budget_service_pb2.RecordSpendRequest(
            organization=self._tenant.name,
            reservation=asked.reservation or "",
            unit=asked.unit if asked.reservation else asked.unit or "USD",
            amount_micros=asked.amount,
            labels=asked.labels,
            usage_time=usage_time,
            keep_open=asked.keep_open,
            request_id=self._id(asked.request_id),
        )

    def _id(self, request_id: str) -> str:
        """Records and refunds must have one."""
        return request_id or f"own-{next(self._numbers)}"

    def refund(self, record: str, amount: int | None, request_id: str) -> Answer:
        request = budget_service_pb2.RefundSpendRequest(
            organization=self._tenant.name, spend_record=record, amount_micros=amount, request_id=self._id(request_id)
        )
        return self._answer("RefundSpend", request)

    def release(self, reservation: str, request_id: str) -> Answer:
        request = budget_service_pb2.ReleaseReservationRequest(name=reservation, request_id=request_id)
        return self._answer("ReleaseReservation", request, "released")

    def extend(self, reservation: str, more: int, ttl_seconds: int, request_id: str) -> Answer:
        request = budget_service_pb2.ExtendReservationRequest(
            name=reservation,
            reservation_ttl=Duration(seconds=ttl_seconds),
            additional_micros=more or None,
            request_id=request_id,
        )
        answer = self._answer("ExtendReservation", request)
        return Answer("extended", answer.facts) if answer.word == "allowed" else answer

    def spend(self, budget_id: str) -> Mapping[str, str]:
        name = self._tenant.child("budgets", budget_id)
        found = self._call("GetBudget", budget_service_pb2.GetBudgetRequest(name=name)).spend
        return {
            "spent": units(found.spent_micros),
            "reserved": units(found.reserved_micros),
            "available": units(found.available_micros if found.HasField("available_micros") else None),
            "overrun": units(found.overrun_micros),
            "denied": str(found.denied_count),
        }

    def alerts(self, budget_id: str) -> Sequence[str]:
        found = self._call("ListAlerts", admin_service_pb2.ListAlertsRequest(parent=self._tenant.name)).alerts
        return [
            f"{_name(alert, 'basis', 'ALERT_BASIS_')}:{alert.threshold_percent}"
            for alert in reversed(found)
            if alert.budget.endswith(f"/{budget_id}")
        ]

    def wait(self, seconds: int) -> None:
        raise AssertionError("time passes by itself over the wire")

    def close(self) -> None:
        pass

    def _answer(self, name: str, request: Message, word: str = "") -> Answer:
        try:
            answer = self._call(name, request)
        except CallError as failure:
            return failure.answer
        if isinstance(answer, budget_service_pb2.CheckSpendResponse):
            return _checked(answer)
        if isinstance(answer, budget_service_pb2.RefundSpendResponse):
            return Answer("refunded", {"amount": units(answer.spend_record.amount_micros)}, answer.spend_record.name)
        return Answer(word)


def _budget(name: str, spec: Spec) -> budget_pb2.Budget:
    override = None
    if spec.override is not None:
        override = budget_pb2.CapOverride(hard_cap_micros=spec.override[0], reason="drill")
    return budget_pb2.Budget(
        name=name,
        unit=spec.unit,
        selector=dict(spec.selector),
        budget_micros=spec.soft,
        hard_cap_micros=spec.cap,
        hard_cap_enabled=spec.cap_enabled,
        allotment_micros=spec.allotment,
        alert_thresholds=None if spec.thresholds is None else budget_pb2.AlertThresholds(percents=spec.thresholds),
        alerts_enabled=spec.alerts_enabled,
        cycle=budget_pb2.Cycle(period=budget_pb2.Period.Value(f"PERIOD_{spec.period}")),
        enforcement=budget_pb2.Enforcement.Value(f"ENFORCEMENT_{spec.enforcement}"),
        cap_override=override,
    )


def _recorded(asked: Record, made: Any) -> Answer:
    facts = {"amount": units(made.amount_micros), "overrun": units(made.overrun_micros), "unit": made.unit}
    return Answer(recorded_word(asked, late=made.late), facts, made.name)


def _status(status: status_pb2.Status) -> Answer:
    info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    for detail in status.details:
        for known in (info, bad):
            if detail.Is(known.DESCRIPTOR):
                detail.Unpack(known)
    return error(info.reason, _fields([each.field for each in bad.field_violations], info.metadata))


def _checked(answer: budget_service_pb2.CheckSpendResponse) -> Answer:
    if answer.HasField("error"):
        return _status(answer.error)
    allowed = answer.decision == budget_service_pb2.DECISION_ALLOWED
    facts = {
        "reason": "" if allowed else _name(answer, "reason", "DENIAL_REASON_"),
        "granted": units(answer.granted_micros),
        "by": answer.binding_budget.rpartition("/")[2] or "nobody",
        "short": units(answer.shortfall_micros),
        "affordable": units(answer.affordable_micros if answer.HasField("affordable_micros") else None),
        "gate": answer.gate or "none",
        "retryable": "yes" if answer.retryable else "no",
        "retry": "later" if answer.HasField("retry_time") else "never",
        "warns": ",".join(f"{_short(each.budget)}:{_reason(each) or 'SOFT'}" for each in answer.warnings) or "nothing",
        "verdicts": ",".join(f"{_short(each.budget)}:{_reason(each) or 'ok'}" for each in answer.budgets) or "none",
    }
    # One in shadow says what it would have denied, and admits.
    in_shadow = budget_pb2.ENFORCEMENT_SHADOW
    assert all(each.admitted == (not each.reason or each.enforcement == in_shadow) for each in answer.budgets)
    return Answer("allowed" if allowed else "denied", facts, answer.reservation or answer.spend_record)


def _short(name: str) -> str:
    return name.rpartition("/")[2]


def _reason(message: Any) -> str:
    return _name(message, "reason", "DENIAL_REASON_") if message.reason else ""


def _name(message: Any, field: str, prefix: str) -> str:
    """The name of an enum's value without its prefix."""
    values = message.DESCRIPTOR.fields_by_name[field].enum_type.values_by_number
    name: str = values[getattr(message, field)].name
    return name.removeprefix(prefix)
