"""From a host's name to a connection with an address that was looked at first.

A name is resolved once for each connection, every address in the answer is judged, and the connection goes to one of
those very addresses: a name that answers otherwise a moment later (DNS rebinding) changes nothing. TLS still asks for,
and checks the certificate of, the name.
"""

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import httpcore2

from outlay_server.domain.destination import is_public

RESOLVER_THREADS: Final = 64
"""Names that are looked up at once. A slow name server holds one of them, however often its name is asked for."""

ADDRESSES_TRIED_MAX: Final = 4

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""The addresses of a host; raises `OSError` where it has none."""


class AddressRefused(Exception):
    """A host has an address that nothing is sent to."""


class SystemResolver:
    """Asks the system: name servers, the hosts file, whatever it was set up with."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(RESOLVER_THREADS, thread_name_prefix="outlay-resolver")
        self._running: dict[str, asyncio.Future[list[str]]] = {}

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        running = self._running.get(host)
        if running is None:
            running = asyncio.get_running_loop().run_in_executor(self._threads, _look_up, host, port)
            self._running[host] = running
            running.add_done_callback(lambda _: self._running.pop(host))
        return await asyncio.shield(running)

    def close(self) -> None:
        """Let go of the threads; those that wait for a name server end by themselves."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def _look_up(host: str, port: int) -> list[str]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


class CheckedNetwork(httpcore2.AsyncNetworkBackend):
    """Opens connections to public addresses only, unless `allow_private`."""

    def __init__(self, resolve: Resolve, *, allow_private: bool) -> None:
        self._resolve = resolve
        self._allow_private = allow_private
        self._network = httpcore2.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """Raises `AddressRefused`, `OSError`, and httpcore's errors of connecting."""
        addresses = await self._resolve(host, port)
        if not self._allow_private and not all(map(_may_be_sent_to, addresses)):
            raise AddressRefused
        failure: Exception = OSError("the host has no address")
        for address in addresses[:ADDRESSES_TRIED_MAX]:
            try:
                return await self._network.connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                failure = error
        raise failure

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


def _may_be_sent_to(text: str) -> bool:
    try:
        # A scope (`fe80::1%eth0`) is part of link-local addresses alone, and those are refused anyway.
        return is_public(ipaddress.ip_address(text.partition("%")[0]))
    except ValueError:
        return False
