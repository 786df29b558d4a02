"""Requests from arguments, each with a request_id so that repeating it is safe."""

import uuid
from collections.abc import Mapping
from datetime import datetime
from typing import Final

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from outlay.v1 import budget_service_pb2 as pb
from outlay_client.results import ExpiryAction, Mode

MICROS: Final = 1_000_000
_NANOS_PER_SECOND: Final = 1_000_000_000


def new_request_id() -> str:
    return uuid.uuid4().hex


def check_request(
    organization: str,
    amount_micros: int,
    *,
    unit: str,
    labels: Mapping[str, str] | None,
    min_amount_micros: int | None,
    mode: Mode,
    ttl_seconds: float | None,
    expiry_action: ExpiryAction,
    request_id: str | None,
) -> pb.CheckSpendRequest:
    request = pb.CheckSpendRequest(
        organization=organization,
        unit=unit,
        amount_micros=whole_micros(amount_micros),
        labels=dict(labels or {}),
        mode=mode.value,
        request_id=request_id or new_request_id(),
    )
    if min_amount_micros is not None:
        request.min_amount_micros = whole_micros(min_amount_micros)
    if mode is Mode.RESERVE:
        request.expiry_action = expiry_action.value
        if ttl_seconds is not None:
            request.reservation_ttl.CopyFrom(_duration(ttl_seconds))
    return request


def record_request(
    organization: str,
    amount_micros: int,
    *,
    reservation: str,
    unit: str,
    labels: Mapping[str, str] | None,
    usage_time: datetime | None,
    keep_open: bool,
    request_id: str | None,
) -> pb.RecordSpendRequest:
    request = pb.RecordSpendRequest(
        organization=organization,
        reservation=reservation,
        # The reservation knows its unit.
        unit="" if reservation else unit,
        amount_micros=whole_micros(amount_micros),
        labels=dict(labels or {}),
        keep_open=keep_open,
        request_id=request_id or new_request_id(),
    )
    if usage_time is not None:
        if usage_time.tzinfo is None:
            raise ValueError("usage_time has no time zone")
        request.usage_time.CopyFrom(_timestamp(usage_time))
    return request


def refund_request(
    organization: str, spend_record: str, amount_micros: int, request_id: str | None
) -> pb.RefundSpendRequest:
    return pb.RefundSpendRequest(
        organization=organization,
        spend_record=spend_record,
        amount_micros=whole_micros(amount_micros),
        request_id=request_id or new_request_id(),
    )


def release_request(reservation: str, request_id: str | None = None) -> pb.ReleaseReservationRequest:
    return pb.ReleaseReservationRequest(name=reservation, request_id=request_id or new_request_id())


def extend_request(
    reservation: str,
    *,
    ttl_seconds: float | None,
    additional_micros: int,
    min_additional_micros: int | None,
    request_id: str | None,
) -> pb.ExtendReservationRequest:
    request = pb.ExtendReservationRequest(
        name=reservation,
        additional_micros=whole_micros(additional_micros),
        min_additional_micros=None if min_additional_micros is None else whole_micros(min_additional_micros),
        request_id=request_id or new_request_id(),
    )
    if ttl_seconds is not None:
        request.reservation_ttl.CopyFrom(_duration(ttl_seconds))
    return request


def whole_micros(amount: object) -> int:
    """The amount, where it is one. Raises `TypeError`.

    A bool is an int to Python and protobuf alike, and a float would be cut without a word.
    """
    if isinstance(amount, bool) or not isinstance(amount, int):
        raise TypeError(f"an amount is a whole number of micros, not {amount!r}")
    return amount


def _duration(seconds: float) -> Duration:
    nanos = round(seconds * _NANOS_PER_SECOND)
    return Duration(seconds=nanos // _NANOS_PER_SECOND, nanos=nanos % _NANOS_PER_SECOND)


def _timestamp(moment: datetime) -> Timestamp:
    stamp = Timestamp()
    stamp.FromDatetime(moment)
    return stamp
