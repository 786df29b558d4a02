"""The gRPC server of the process: the provider, and go-plugin's two services beside it."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import grpc

from outlay_terraform.framework.lifecycle import Lifecycle
from outlay_terraform.wire.servicer import Servicer
from tfplugin6.provider_pb2_grpc import add_ProviderServicer_to_server

WORKERS: Final = 24
"""Terraform asks about ten resources at once, or about as many as -parallelism says; the stream of standard output of
each connected process holds one for as long as it lives."""

_OPTIONS: Final = (
    # Terraform reads and writes up to 256 MiB; a plan of a great many resources must not stop at gRPC's 4 MiB.
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
)

_EMPTY: Final = b""
"""An empty message, which is all that go-plugin's services exchange here."""


class PluginServer:
    """Serves a provider on one Unix socket until it is told to stop."""

    def __init__(self, lifecycle: Lifecycle[Any], socket: str, credentials: grpc.ServerCredentials | None) -> None:
        self.shutdown_wanted = threading.Event()
        """Set when Terraform says that it needs the provider no more."""
        self._server = grpc.server(ThreadPoolExecutor(WORKERS, thread_name_prefix="outlay"), options=_OPTIONS)
        add_ProviderServicer_to_server(Servicer(lifecycle), self._server)
        self._server.add_generic_rpc_handlers((self._controller(), self._stdio()))
        address = f"unix:{socket}"
        if credentials is None:
            self._server.add_insecure_port(address)
        else:
            self._server.add_secure_port(address, credentials)

    def start(self) -> None:
        self._server.start()

    def stop(self, grace_seconds: float) -> None:
        """Take no new calls, and end when the running ones have or the time is up."""
        self.shutdown_wanted.set()
        self._server.stop(grace_seconds).wait()

    def _controller(self) -> Any:
        def shutdown(_request: bytes, _context: grpc.ServicerContext) -> bytes:
            self.shutdown_wanted.set()
            return _EMPTY

        handler: Any = grpc.unary_unary_rpc_method_handler(shutdown)
        return grpc.method_handlers_generic_handler("plugin.GRPCController", {"Shutdown": handler})

    def _stdio(self) -> Any:
        def stream(_request: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
            """Nothing: what the process prints goes to standard error, which Terraform reads itself."""
            ended = threading.Event()
            if context.add_callback(ended.set):
                _wait_for_either(ended, self.shutdown_wanted)
            yield from ()

        handler: Any = grpc.unary_stream_rpc_method_handler(stream)
        return grpc.method_handlers_generic_handler("plugin.GRPCStdio", {"StreamStdio": handler})


_WAIT_SECONDS: Final = 0.2


def _wait_for_either(one: threading.Event, other: threading.Event) -> None:
    wait: Callable[[float], bool] = one.wait
    while not wait(_WAIT_SECONDS) and not other.is_set():
        pass
