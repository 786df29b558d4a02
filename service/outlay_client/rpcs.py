"""The RPCs that the SDK calls, and the channels it calls them on."""

import json
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

import grpc
from google.protobuf.message import Message

from outlay.v1 import budget_service_pb2 as pb
from outlay.v1 import reservation_pb2
from outlay_client.connection import Connection

RequestT = TypeVar("RequestT", bound=Message)
AnswerT = TypeVar("AnswerT", bound=Message)

_SERVICE: Final = "outlay.v1.BudgetService"


@dataclass(frozen=True, slots=True)
class Rpc(Generic[RequestT, AnswerT]):
    """One method, with the types that go in and come out."""

    name: str
    request_type: type[RequestT]
    answer_type: type[AnswerT]

    def on(self, channel: Any) -> Any:
        """What calls it on a channel of either kind."""
        return channel.unary_unary(
            f"/{_SERVICE}/{self.name}",
            request_serializer=self.request_type.SerializeToString,
            response_deserializer=self.answer_type.FromString,
        )


CHECK: Final = Rpc("CheckSpend", pb.CheckSpendRequest, pb.CheckSpendResponse)
BATCH_CHECK: Final = Rpc("BatchCheckSpend", pb.BatchCheckSpendRequest, pb.BatchCheckSpendResponse)
RECORD: Final = Rpc("RecordSpend", pb.RecordSpendRequest, pb.RecordSpendResponse)
BATCH_RECORD: Final = Rpc("BatchRecordSpend", pb.BatchRecordSpendRequest, pb.BatchRecordSpendResponse)
REFUND: Final = Rpc("RefundSpend", pb.RefundSpendRequest, pb.RefundSpendResponse)
RELEASE: Final = Rpc("ReleaseReservation", pb.ReleaseReservationRequest, reservation_pb2.Reservation)
EXTEND: Final = Rpc("ExtendReservation", pb.ExtendReservationRequest, pb.CheckSpendResponse)

SERVICE_CONFIG: Final[dict[str, Any]] = {
    "methodConfig": [
        {
            "name": [{"service": _SERVICE}],
            # A service that is away is an error at once, which fails closed, and not a wait for the deadline.
            "waitForReady": False,
            # Nothing but UNAVAILABLE is worth repeating, and the request_id makes every repetition safe. A server that
            # sheds load says by grpc-retry-pushback-ms when to come back.
            "retryPolicy": {
                "maxAttempts": 4,
                "initialBackoff": "0.1s",
                "maxBackoff": "1s",
                "backoffMultiplier": 2,
                "retryableStatusCodes": ["UNAVAILABLE"],
            },
        }
    ],
    # A replica that drains closes its connections, and one that lost its database answers UNAVAILABLE: the repetition
    # goes to the next. There is no healthCheckConfig: with it grpcio 1.76 ends the process with a segmentation fault
    # when a connection breaks under load, within some hundred breaks.
    "loadBalancingConfig": [{"round_robin": {}}],
}

CHANNEL_OPTIONS: Final = (
    ("grpc.service_config", json.dumps(SERVICE_CONFIG)),
    ("grpc.enable_retries", 1),
    # A service that was restarted is found again within a second; the default backs off to two minutes.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    ("grpc.max_receive_message_length", 16 * 1024 * 1024),
)


def sync_channel(settings: Connection) -> grpc.Channel:
    if settings.tls:
        return grpc.secure_channel(settings.target, _credentials(settings), options=CHANNEL_OPTIONS)
    return grpc.insecure_channel(settings.target, options=CHANNEL_OPTIONS)


def async_channel(settings: Connection) -> grpc.aio.Channel:
    """A channel of the running event loop."""
    if settings.tls:
        return grpc.aio.secure_channel(settings.target, _credentials(settings), options=CHANNEL_OPTIONS)
    return grpc.aio.insecure_channel(settings.target, options=CHANNEL_OPTIONS)


def metadata_of(settings: Connection) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {settings.api_key}"),)


def _credentials(settings: Connection) -> grpc.ChannelCredentials:
    return grpc.ssl_channel_credentials(settings.ca_certificates, settings.client_key, settings.client_certificate)
