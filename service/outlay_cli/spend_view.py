"""Decisions, records, reservations and sums as a command prints them."""

from collections.abc import Sequence
from typing import Final

from outlay.v1 import budget_service_pb2 as pb
from outlay.v1.reservation_pb2 import Reservation, ReservationState
from outlay.v1.spend_record_pb2 import SpendRecord, SpendRecordKind
from outlay_cli import output, text

OPEN: Final = ReservationState.RESERVATION_STATE_OPEN


def show_decision(answer: pb.CheckSpendResponse, unit: str, form: str) -> None:
    """Print the answer to a check, the decision first."""
    if form == "json":
        output.print_json({"check": output.to_json(answer)})
        return
    output.print_details(decision_details(answer, unit))


def decision_details(answer: pb.CheckSpendResponse, unit: str) -> list[tuple[str, str]]:
    """Name and value of all that an answer says; a decision that is not ALLOWED reads as DENIED."""
    allowed = answer.decision == pb.Decision.DECISION_ALLOWED
    affordable = text.amount(answer.affordable_micros, unit) if answer.HasField("affordable_micros") else ""
    denial = [
        ("reason", text.enum_name(pb.DenialReason.Name(answer.reason), "DENIAL_REASON_")),
        ("gate", answer.gate),
        ("shortfall", text.amount(answer.shortfall_micros, unit) if answer.shortfall_micros else ""),
        ("affordable", affordable),
        ("retryable", "yes" if answer.retryable else "no"),
        ("retry at", text.instant(answer.retry_time)),
    ]
    grant = [
        ("granted", text.amount(answer.granted_micros, unit)),
        ("reservation", answer.reservation),
        ("expires", text.instant(answer.expire_time)),
        ("record", answer.spend_record),
    ]
    return [
        ("decision", "ALLOWED" if allowed else "DENIED"),
        *(grant if allowed else denial),
        ("binding budget", answer.binding_budget),
        *(("warning", f"{warning.budget}: {warning.message}") for warning in answer.warnings),
    ]


def show_record(record: SpendRecord, form: str) -> None:
    """Print one entry of the ledger."""
    if form == "json":
        output.print_json({"spend_record": output.to_json(record)})
        return
    unit = record.unit
    output.print_details(
        [
            ("name", record.name),
            ("kind", _kind(record)),
            ("amount", text.amount(record.amount_micros, unit)),
            ("overrun", text.amount(record.overrun_micros, unit) if record.overrun_micros else ""),
            ("late", "yes" if record.late else ""),
            ("labels", text.labels(record.labels)),
            ("reservation", record.reservation),
            ("refunds", record.refunded_record),
            ("refunded", text.amount(record.refunded_micros, unit) if record.refunded_micros else ""),
            ("counts at", text.instant(record.charge_time)),
            ("recorded", text.instant(record.create_time)),
        ]
    )


def show_records(found: Sequence[SpendRecord], form: str, *, has_more: bool) -> None:
    """Print the ledger; a refund's amount has a minus."""
    if form == "json":
        output.print_list(found, key="spend_records", has_more=has_more)
        return
    rows = [
        (
            text.instant(one.create_time),
            text.last_segment(one.name),
            _kind(one),
            text.amount(signed_micros(one)),
            one.unit,
            text.amount(one.overrun_micros) if one.overrun_micros else "",
            text.labels(one.labels),
        )
        for one in found
    ]
    output.print_table(("TIME", "RECORD", "KIND", "AMOUNT>", "UNIT", "OVERRUN>", "LABELS"), rows, has_more=has_more)


def signed_micros(record: SpendRecord) -> int:
    """What a record adds to the books: a refund takes away."""
    is_refund = record.kind == SpendRecordKind.SPEND_RECORD_KIND_REFUND
    return -record.amount_micros if is_refund else record.amount_micros


def show_reservation(reservation: Reservation, form: str) -> None:
    """Print one reservation."""
    if form == "json":
        output.print_json({"reservation": output.to_json(reservation)})
        return
    unit = reservation.unit
    output.print_details(
        [
            ("name", reservation.name),
            ("state", _state(reservation)),
            ("granted", text.amount(reservation.granted_micros, unit)),
            ("held", text.amount(reservation.held_micros, unit)),
            ("recorded", text.amount(reservation.recorded_micros, unit)),
            ("labels", text.labels(reservation.labels)),
            ("created", text.instant(reservation.create_time)),
            ("expires", text.instant(reservation.expire_time)),
            ("closed", text.instant(reservation.close_time)),
        ]
    )


def show_reservations(found: Sequence[Reservation], form: str, *, has_more: bool) -> None:
    """Print reservations."""
    if form == "json":
        output.print_list(found, key="reservations", has_more=has_more)
        return
    rows = [
        (
            text.last_segment(one.name),
            _state(one),
            text.amount(one.held_micros),
            text.amount(one.granted_micros),
            one.unit,
            text.instant(one.expire_time),
            text.last_segment(one.api_key),
            text.labels(one.labels),
        )
        for one in found
    ]
    headers = ("RESERVATION", "STATE", "HELD>", "GRANTED>", "UNIT", "EXPIRES", "KEY", "LABELS")
    output.print_table(headers, rows, has_more=has_more)


def show_sums(found: Sequence[pb.SpendRow], group_by: Sequence[str], form: str, *, has_more: bool) -> None:
    """Print sums of the ledger, a column for each label that was grouped by."""
    if form == "json":
        output.print_list(found, key="rows", has_more=has_more)
        return
    rows = [
        (
            text.instant(row.start_time),
            *(row.labels.get(key, "") for key in group_by),
            text.amount(row.spent_micros),
            text.amount(row.refunded_micros),
            str(row.record_count),
        )
        for row in found
    ]
    headers = ("FROM", *(key.upper() for key in group_by), "SPENT>", "REFUNDED>", "RECORDS>")
    output.print_table(headers, rows, has_more=has_more)


def _kind(record: SpendRecord) -> str:
    return text.enum_name(SpendRecordKind.Name(record.kind), "SPEND_RECORD_KIND_").lower()


def _state(reservation: Reservation) -> str:
    return text.enum_name(ReservationState.Name(reservation.state), "RESERVATION_STATE_").lower()
