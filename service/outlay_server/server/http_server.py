"""uvicorn in the loop of the gRPC server, on a socket that listens already."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Iterator
from typing import Final

import uvicorn
from starlette.applications import Starlette

from outlay_server.server.address import Address, listen
from outlay_server.server.grpc_server import CannotListen
from outlay_server.server.settings import Settings

_KEEP_ALIVE_SECONDS: Final = 75
"""Longer than the minute for which balancers keep idle connections: who closes first must not be the server."""

_STARTED_POLL_SECONDS: Final = 0.005


def listen_http(name: str, address: Address) -> tuple[socket.socket, Address]:
    """Return a listening socket and its address with the actual port. Raises `CannotListen`, naming the setting."""
    try:
        return listen(address)
    except OSError as error:
        raise CannotListen(
            f"OUTLAY_{name}_ADDRESS: {address} cannot be listened at: {error.strerror or error}."
        ) from error


class HttpServer:
    """One ASGI application at one socket."""

    def __init__(self, name: str, app: Starlette, listener: socket.socket, *, settings: Settings, tls: bool) -> None:
        config = uvicorn.Config(
            app,
            loop="none",
            http="httptools",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=max(1, round(settings.drain_seconds)),
        )
        if tls:
            config.ssl_certfile, config.ssl_keyfile = settings.tls_cert_file, settings.tls_key_file
        if tls and settings.tls_client_ca_file is not None:
            config.ssl_ca_certs, config.ssl_cert_reqs = str(settings.tls_client_ca_file), ssl.CERT_REQUIRED
        self._name = name
        self._server = _Server(config)
        self._listener = listener
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Return when requests are answered."""
        self._task = asyncio.create_task(self._server.serve(sockets=[self._listener]), name=f"outlay-{self._name}")
        while not self._server.started:
            if self._task.done():
                self._task.result()
                raise RuntimeError(f"{self._name} ended at its start")
            await asyncio.sleep(_STARTED_POLL_SECONDS)

    async def stop(self) -> None:
        """Stop accepting, let requests in flight end, return when all have."""
        if self._task is not None:
            self._server.should_exit = True
            await self._task


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to the process, which has more to end than this server."""
        yield
