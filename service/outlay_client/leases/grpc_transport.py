"""The transports over gRPC: a channel, a key, and the four methods of the service that leases need."""

from collections.abc import Sequence
from typing import Any, Final

import grpc
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]

from outlay.v1 import budget_service_pb2 as pb
from outlay.v1 import reservation_pb2
from outlay.v1.budget_service_pb2_grpc import BudgetServiceStub
from outlay_client.leases.errors import CallFailed
from outlay_client.leases.operations import Draw, Extend, Grant, Release, Reserve

CALL_TIMEOUT_SECONDS: Final = 2.0
"""Of one call, which waits so long for a connection too. What it did is unknown then; the next attempt finds out."""

CHANNEL_OPTIONS: Final = (
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1_000),
)
"""For the channel: without these, gRPC may look for a server that came back only after two minutes."""

_STATUS_TRAILER: Final = "grpc-status-details-bin"
_CODES: Final = {code.value[0]: code.name for code in grpc.StatusCode}


class GrpcLeaseTransport:
    """For threads. `organization` is needed with a platform key only: `organizations/acme`."""

    def __init__(
        self,
        channel: grpc.Channel,
        api_key: str,
        *,
        organization: str = "",
        timeout_seconds: float = CALL_TIMEOUT_SECONDS,
    ) -> None:
        self._stub = BudgetServiceStub(channel)
        self._organization = organization
        self._with: Any = {"metadata": _metadata(api_key), "timeout": timeout_seconds, "wait_for_ready": True}

    def reserve(self, request: Reserve) -> Grant:
        try:
            answer = self._stub.CheckSpend(_check(request, self._organization), **self._with)
        except grpc.RpcError as error:
            raise _failure(error) from None
        return _grant(answer, request.ttl_seconds)

    def extend(self, request: Extend) -> Grant:
        try:
            answer = self._stub.ExtendReservation(_extension(request), **self._with)
        except grpc.RpcError as error:
            raise _failure(error) from None
        return _grant(answer, request.ttl_seconds)

    def draw(self, draws: Sequence[Draw]) -> list[CallFailed | None]:
        try:
            answer = self._stub.BatchRecordSpend(_records(draws, self._organization), **self._with)
        except grpc.RpcError as error:
            raise _failure(error) from None
        return _results(answer)

    def release(self, request: Release) -> None:
        try:
            self._stub.ReleaseReservation(_release(request), **self._with)
        except grpc.RpcError as error:
            raise _failure(error) from None


class AsyncGrpcLeaseTransport:
    """For asyncio."""

    def __init__(
        self,
        channel: grpc.aio.Channel,
        api_key: str,
        *,
        organization: str = "",
        timeout_seconds: float = CALL_TIMEOUT_SECONDS,
    ) -> None:
        self._stub = BudgetServiceStub(channel)
        self._organization = organization
        self._with: Any = {"metadata": _metadata(api_key), "timeout": timeout_seconds, "wait_for_ready": True}

    async def reserve(self, request: Reserve) -> Grant:
        try:
            answer = await self._stub.CheckSpend(_check(request, self._organization), **self._with)
        except grpc.aio.AioRpcError as error:
            raise _failure(error) from None
        return _grant(answer, request.ttl_seconds)

    async def extend(self, request: Extend) -> Grant:
        try:
            answer = await self._stub.ExtendReservation(_extension(request), **self._with)
        except grpc.aio.AioRpcError as error:
            raise _failure(error) from None
        return _grant(answer, request.ttl_seconds)

    async def draw(self, draws: Sequence[Draw]) -> list[CallFailed | None]:
        try:
            answer = await self._stub.BatchRecordSpend(_records(draws, self._organization), **self._with)
        except grpc.aio.AioRpcError as error:
            raise _failure(error) from None
        return _results(answer)

    async def release(self, request: Release) -> None:
        try:
            await self._stub.ReleaseReservation(_release(request), **self._with)
        except grpc.aio.AioRpcError as error:
            raise _failure(error) from None


def _metadata(api_key: str) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {api_key}"),)


# --- requests ---------------------------------------------------------------------------------------------------------


def _check(request: Reserve, organization: str) -> pb.CheckSpendRequest:
    action = reservation_pb2.EXPIRY_ACTION_RECORD if request.record_on_expiry else reservation_pb2.EXPIRY_ACTION_RELEASE
    return pb.CheckSpendRequest(
        organization=organization,
        unit=request.unit,
        amount_micros=request.amount_micros,
        min_amount_micros=1,
        labels=dict(request.labels),
        mode=pb.CHECK_MODE_RESERVE,
        reservation_ttl=_duration(request.ttl_seconds),
        expiry_action=action,
        request_id=request.request_id,
        # The budgets' verdicts say when the cycle ends.
        view=pb.CHECK_VIEW_FULL,
    )


def _extension(request: Extend) -> pb.ExtendReservationRequest:
    return pb.ExtendReservationRequest(
        name=request.reservation,
        reservation_ttl=_duration(request.ttl_seconds),
        additional_micros=request.additional_micros or None,
        min_additional_micros=1 if request.additional_micros else None,
        request_id=request.request_id,
    )


def _records(draws: Sequence[Draw], organization: str) -> pb.BatchRecordSpendRequest:
    requests = [
        pb.RecordSpendRequest(
            reservation=draw.reservation,
            unit=draw.unit,
            amount_micros=draw.amount_micros,
            labels=dict(draw.labels),
            keep_open=bool(draw.reservation),
            request_id=draw.request_id,
        )
        for draw in draws
    ]
    return pb.BatchRecordSpendRequest(organization=organization, requests=requests)


def _release(request: Release) -> pb.ReleaseReservationRequest:
    return pb.ReleaseReservationRequest(name=request.reservation, request_id=request.request_id)


def _duration(seconds: float) -> Duration:
    duration = Duration()
    duration.FromMicroseconds(round(seconds * 1_000_000))
    return duration


# --- answers ----------------------------------------------------------------------------------------------------------


def _grant(answer: pb.CheckSpendResponse, ttl_seconds: float) -> Grant:
    created_micros = answer.expire_time.ToMicroseconds() - round(ttl_seconds * 1_000_000)
    ends_micros = [one.cycle_end.ToMicroseconds() for one in answer.budgets if one.HasField("cycle_end")]
    return Grant(
        allowed=answer.decision == pb.DECISION_ALLOWED,
        granted_micros=answer.granted_micros,
        reservation=answer.reservation,
        reason=pb.DenialReason.Name(answer.reason).removeprefix("DENIAL_REASON_") if answer.reason else "",
        affordable_micros=answer.affordable_micros if answer.HasField("affordable_micros") else None,
        cycle_seconds=(min(ends_micros) - created_micros) / 1_000_000 if ends_micros else None,
    )


def _results(answer: pb.BatchRecordSpendResponse) -> list[CallFailed | None]:
    return [_failure_of(one.status) if one.HasField("status") else None for one in answer.results]


def _failure(error: Any) -> CallFailed:
    trailers: Any = error.trailing_metadata() or ()
    for key, value in trailers:
        if key == _STATUS_TRAILER and isinstance(value, bytes):
            return _failure_of(status_pb2.Status.FromString(value))
    return CallFailed(error.code().name, "", error.details() or "")


def _failure_of(status: Any) -> CallFailed:
    info = error_details_pb2.ErrorInfo()
    for packed in status.details:
        if packed.Is(info.DESCRIPTOR):
            packed.Unpack(info)
    return CallFailed(_CODES.get(status.code, "UNKNOWN"), info.reason, status.message)
