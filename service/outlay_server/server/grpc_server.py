"""The gRPC server: its options, its credentials, and the services that are not ours."""

from collections.abc import Callable, Sequence
from typing import Any, Final

import grpc
from grpc_channelz.v1 import channelz, channelz_pb2
from grpc_health.v1 import health_pb2_grpc

from outlay_server.domain.limits import BATCH_RECEIVE_MAX_BYTES
from outlay_server.server import health
from outlay_server.server.address import Address
from outlay_server.server.health import Health
from outlay_server.server.reflection import add_reflection
from outlay_server.server.settings import Settings

_RECEIVE_SLACK_BYTES: Final = 64 * 1024
"""Above the largest request that is allowed, so that one slightly too large is refused by us, with its reason."""

OPTIONS: Final[tuple[tuple[str, Any], ...]] = (
    # Holds against rapid reset (CVE-2023-44487), and does not refuse honest bursts, which 100 does.
    ("grpc.max_concurrent_streams", 1_000),
    ("grpc.max_receive_message_length", BATCH_RECEIVE_MAX_BYTES + _RECEIVE_SLACK_BYTES),
    # Clients may keep idle connections alive by pings, usually every 10 s; by default these would draw GOAWAY.
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
    # And connections whose other end is gone are noticed.
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.enable_channelz", 1),
)


class CannotListen(Exception):
    """An address cannot be listened at, and why."""


def create_grpc_server(
    health_servicer: Health,
    service_names: tuple[str, ...],
    add_ours: Callable[[grpc.aio.Server], None],
    *,
    shares_port: bool = False,
    interceptors: Sequence[grpc.aio.ServerInterceptor] = (),
) -> grpc.aio.Server:
    """Return a server with health, reflection and channelz, which need no key, behind ours.

    At every call gRPC asks for its method in the order in which services were added. `shares_port` is for the workers
    of one parent alone: two servers at one port take turns, and on the embedded store would be two ledgers. Every
    interceptor costs each call about a tenth, so there is none unless it is asked for.
    """
    server = grpc.aio.server(options=(*OPTIONS, ("grpc.so_reuseport", int(shares_port))), interceptors=interceptors)
    add_ours(server)
    health_pb2_grpc.add_HealthServicer_to_server(health_servicer, server)
    channelz.add_channelz_servicer(server)
    channelz_name = channelz_pb2.DESCRIPTOR.services_by_name["Channelz"].full_name
    add_reflection(server, (*service_names, health.SERVICE_NAME, channelz_name))
    return server


def listen_grpc(server: grpc.aio.Server, settings: Settings) -> Address:
    """Bind the address of the settings and return it with its actual port. Raises `CannotListen`."""
    address = settings.grpc_address
    try:
        if settings.tls:
            port = server.add_secure_port(str(address), _credentials(settings))
        else:
            port = server.add_insecure_port(str(address))
    except RuntimeError:
        port = 0
    if port == 0:
        raise CannotListen(
            f"OUTLAY_GRPC_ADDRESS: {address} cannot be listened at: it is in use, or no address of this machine."
        )
    return Address(address.host, port)


def _credentials(settings: Settings) -> grpc.ServerCredentials:
    assert settings.tls_cert_file is not None
    assert settings.tls_key_file is not None
    authority = settings.tls_client_ca_file
    return grpc.ssl_server_credentials(
        [(settings.tls_key_file.read_bytes(), settings.tls_cert_file.read_bytes())],
        root_certificates=authority.read_bytes() if authority is not None else None,
        require_client_auth=authority is not None,
    )
