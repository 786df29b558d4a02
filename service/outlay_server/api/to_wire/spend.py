"""What the ledger answered, and what is in it."""

from collections.abc import Iterable
from typing import Final

from google.rpc import status_pb2  # type: ignore[import-untyped]

from outlay.v1 import budget_service_pb2 as pb
from outlay.v1 import reservation_pb2, spend_record_pb2
from outlay_server.api.errors import status_of
from outlay_server.api.ledger_queries import SpendRow
from outlay_server.api.to_wire.budgets import ENFORCEMENTS
from outlay_server.api.to_wire.times import optional_timestamp, timestamp
from outlay_server.domain.budget import Enforcement
from outlay_server.domain.commands import CheckOutcome, CheckWarning, ExtendOutcome, Outcome, WarningType
from outlay_server.domain.decision import DenialReason, Verdict
from outlay_server.domain.errors import OutlayError
from outlay_server.domain.instant import MICROS_PER_SECOND
from outlay_server.domain.names import ApiKeyName, ReservationName, SpendRecordName
from outlay_server.domain.reservation import ExpiryAction, Reservation, ReservationState
from outlay_server.domain.spend import RecordKind, SpendRecord

_REASONS: Final = {
    None: pb.DENIAL_REASON_UNSPECIFIED,
    DenialReason.GATE_DISABLED: pb.DENIAL_REASON_GATE_DISABLED,
    DenialReason.FROZEN: pb.DENIAL_REASON_FROZEN,
    DenialReason.HARD_CAP_REACHED: pb.DENIAL_REASON_HARD_CAP_REACHED,
    DenialReason.ALLOTMENT_EXHAUSTED: pb.DENIAL_REASON_ALLOTMENT_EXHAUSTED,
    DenialReason.HELD_BY_RESERVATIONS: pb.DENIAL_REASON_HELD_BY_RESERVATIONS,
}
_WARNINGS: Final = {
    WarningType.SOFT_BUDGET_PASSED: pb.CHECK_WARNING_TYPE_SOFT_BUDGET_PASSED,
    WarningType.SHADOW_DENIAL: pb.CHECK_WARNING_TYPE_SHADOW_DENIAL,
}
_STATES: Final = {
    ReservationState.OPEN: reservation_pb2.RESERVATION_STATE_OPEN,
    ReservationState.SETTLED: reservation_pb2.RESERVATION_STATE_SETTLED,
    ReservationState.RELEASED: reservation_pb2.RESERVATION_STATE_RELEASED,
    ReservationState.EXPIRED: reservation_pb2.RESERVATION_STATE_EXPIRED,
}
_EXPIRY_ACTIONS: Final = {
    ExpiryAction.RELEASE: reservation_pb2.EXPIRY_ACTION_RELEASE,
    ExpiryAction.RECORD: reservation_pb2.EXPIRY_ACTION_RECORD,
}
_KINDS: Final = {
    RecordKind.SPEND: spend_record_pb2.SPEND_RECORD_KIND_SPEND,
    RecordKind.REFUND: spend_record_pb2.SPEND_RECORD_KIND_REFUND,
    RecordKind.EXPIRY: spend_record_pb2.SPEND_RECORD_KIND_EXPIRY,
}


_NANOS_PER_MICRO: Final = 1_000


def check(outcome: CheckOutcome, organization_id: str) -> pb.CheckSpendResponse:
    """The answer to a check."""
    answer = pb.CheckSpendResponse()
    fill_check(answer, outcome, f"organizations/{organization_id}")
    return answer


def fill_check(answer: pb.CheckSpendResponse, outcome: CheckOutcome, root: str) -> None:
    """Write the answer to a check into an empty message; `root` is the organization's name.

    The usual admission has six fields, set one by one: a third of what naming all twelve costs.
    """
    if outcome.reservation_id is None or outcome.verdicts or outcome.warnings:
        answer.CopyFrom(_check(outcome, root))
        return
    answer.decision = pb.DECISION_ALLOWED
    answer.granted_micros = outcome.granted_micros
    answer.reservation = f"{root}/reservations/{outcome.reservation_id}"
    assert outcome.expire_time is not None, "a reservation expires, within a day"
    seconds, micros = divmod(outcome.expire_time, MICROS_PER_SECOND)
    expire_time = answer.expire_time
    expire_time.seconds = seconds
    expire_time.nanos = micros * _NANOS_PER_MICRO
    if outcome.binding_budget_id is not None:
        answer.binding_budget = f"{root}/budgets/{outcome.binding_budget_id}"
    if outcome.affordable_micros is not None:
        answer.affordable_micros = outcome.affordable_micros


def _check(outcome: CheckOutcome, root: str) -> pb.CheckSpendResponse:
    binding, reservation_id, record_id = outcome.binding_budget_id, outcome.reservation_id, outcome.record_id
    answer = pb.CheckSpendResponse(
        decision=pb.DECISION_ALLOWED if outcome.allowed else pb.DECISION_DENIED,
        reason=_REASONS[outcome.reason],
        granted_micros=outcome.granted_micros,
        reservation=f"{root}/reservations/{reservation_id}" if reservation_id else "",
        expire_time=optional_timestamp(outcome.expire_time),
        binding_budget=f"{root}/budgets/{binding}" if binding else "",
        shortfall_micros=outcome.shortfall_micros,
        affordable_micros=outcome.affordable_micros,
        retryable=outcome.retryable,
        retry_time=optional_timestamp(outcome.retry_time),
        spend_record=f"{root}/spendRecords/{record_id}" if record_id else "",
        gate=outcome.gate_id or "",
    )
    if outcome.verdicts:
        answer.budgets.extend(_verdict(verdict, root) for verdict in outcome.verdicts)
    if outcome.warnings:
        answer.warnings.extend(_warning(warning, root) for warning in outcome.warnings)
    return answer


def check_batch(answers: Iterable[Outcome | OutlayError], organization_id: str) -> pb.BatchCheckSpendResponse:
    """The answers to checks, in order, each made where it stays: a message that is handed over is copied."""
    batch, root = pb.BatchCheckSpendResponse(), f"organizations/{organization_id}"
    add = batch.responses.add
    for answer in answers:
        if isinstance(answer, OutlayError):
            add().CopyFrom(failed_check(answer))
        else:
            assert isinstance(answer, CheckOutcome)
            fill_check(add(), answer, root)
    return batch


def extension(outcome: ExtendOutcome, organization_id: str) -> pb.CheckSpendResponse:
    """The answer to an extension, with the reservation as it is now."""
    answer = check(outcome.check, organization_id)
    answer.reservation = str(ReservationName(organization_id, outcome.reservation.reservation_id))
    answer.expire_time.CopyFrom(timestamp(outcome.reservation.expire_time))
    return answer


def failed_check(error: OutlayError) -> pb.CheckSpendResponse:
    """An item of a batch that could not be decided: who reads only the decision takes it for a denial."""
    return pb.CheckSpendResponse(decision=pb.DECISION_DENIED, error=status_of(error))


def record(entry: SpendRecord, organization_id: str, refunded_micros: int = 0) -> spend_record_pb2.SpendRecord:
    """An entry of the ledger, of which so much was credited back."""
    reservation_id, refunded_id = entry.reservation_id, entry.refunded_record_id
    return spend_record_pb2.SpendRecord(
        name=str(SpendRecordName(organization_id, entry.record_id)),
        kind=_KINDS[entry.kind],
        unit=entry.unit,
        amount_micros=entry.amount_micros,
        labels=dict(entry.labels),
        reservation=str(ReservationName(organization_id, reservation_id)) if reservation_id else "",
        refunded_record=str(SpendRecordName(organization_id, refunded_id)) if refunded_id else "",
        refunded_micros=refunded_micros,
        overrun_micros=entry.overrun_micros,
        late=entry.late,
        usage_time=timestamp(entry.usage_time),
        charge_time=timestamp(entry.charge_time),
        create_time=timestamp(entry.create_time),
        request_id=entry.request_id,
    )


def recorded(entry: SpendRecord, organization_id: str) -> pb.RecordSpendResponse:
    return pb.RecordSpendResponse(spend_record=record(entry, organization_id), overrun_micros=entry.overrun_micros)


def refunded(entry: SpendRecord, organization_id: str) -> pb.RefundSpendResponse:
    return pb.RefundSpendResponse(spend_record=record(entry, organization_id))


def batch_result(answer: SpendRecord | OutlayError, organization_id: str) -> pb.BatchRecordSpendResult:
    """What became of one item: its entry, or why there is none."""
    if isinstance(answer, OutlayError):
        status: status_pb2.Status = status_of(answer)
        return pb.BatchRecordSpendResult(status=status)
    return pb.BatchRecordSpendResult(record=record(answer, organization_id))


def reservation(held: Reservation, organization_id: str) -> reservation_pb2.Reservation:
    return reservation_pb2.Reservation(
        name=str(ReservationName(organization_id, held.reservation_id)),
        unit=held.unit,
        labels=dict(held.labels),
        granted_micros=held.granted_micros,
        held_micros=held.held_micros,
        recorded_micros=held.recorded_micros,
        state=_STATES[held.state],
        expiry_action=_EXPIRY_ACTIONS[held.expiry_action],
        create_time=timestamp(held.create_time),
        expire_time=timestamp(held.expire_time),
        close_time=optional_timestamp(held.close_time),
        request_id=held.request_id,
        api_key=str(ApiKeyName(organization_id, held.api_key_id)) if held.api_key_id else "",
    )


def row(found: SpendRow, group_by: tuple[str, ...]) -> pb.SpendRow:
    """One sum; every label that was grouped by is named, with "" where the records have none."""
    return pb.SpendRow(
        start_time=timestamp(found.start),
        labels=dict(zip(group_by, found.values, strict=True)),
        spent_micros=found.spent_micros,
        refunded_micros=found.refunded_micros,
        record_count=found.record_count,
    )


def _verdict(verdict: Verdict, root: str) -> pb.BudgetVerdict:
    limit = verdict.limit_micros
    left = None if limit is None else max(0, limit - verdict.spent_micros - verdict.reserved_micros)
    return pb.BudgetVerdict(
        budget=f"{root}/budgets/{verdict.budget_id}",
        limit_micros=limit,
        spent_micros=verdict.spent_micros,
        reserved_micros=verdict.reserved_micros,
        available_micros=left,
        reason=_REASONS[verdict.reason],
        admitted=verdict.reason is None or verdict.enforcement is Enforcement.SHADOW,
        enforcement=ENFORCEMENTS[verdict.enforcement],
        cycle_end=optional_timestamp(verdict.cycle_end),
    )


def _warning(warning: CheckWarning, root: str) -> pb.CheckWarning:
    if warning.type is WarningType.SHADOW_DENIAL:
        assert warning.reason is not None, "a shadow denial has the reason of the denial it stands for"
        message = f"Budget {warning.budget_id} would have denied this: {warning.reason.value}."
    else:
        message = f"Budget {warning.budget_id} is above its soft budget."
    return pb.CheckWarning(
        type=_WARNINGS[warning.type],
        budget=f"{root}/budgets/{warning.budget_id}",
        reason=_REASONS[warning.reason],
        message=message,
    )
