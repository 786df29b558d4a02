"""Where a server listens: `host:port`, read strictly, because a misread one exposes a service or hides it."""

import ipaddress
import re
import socket
from dataclasses import dataclass
from typing import Final

_ADDRESS: Final = re.compile(r"(?:\[(?P<v6>[0-9A-Fa-f:.]+)\]|(?P<host>[A-Za-z0-9._-]+)):(?P<port>[0-9]{1,5})", re.ASCII)
_BACKLOG: Final = 2048
"""Connections that may wait to be accepted; a burst of new clients after a deploy is larger than the usual 128."""


@dataclass(frozen=True, slots=True)
class Address:
    """A host name or literal address, without brackets, and a port; port 0 asks for a free one."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it. A host name other than localhost counts as reachable."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host.lower() == "localhost"


def parse_address(text: str) -> Address:
    """Return the address. Raises `ValueError`, with what a valid one is, for anything else."""
    parsed = _ADDRESS.fullmatch(text)
    if parsed is None or int(parsed["port"]) > 65535:
        raise ValueError("must be host:port, such as 127.0.0.1:50051 or [::1]:50051; port 0 picks a free one")
    if parsed["v6"] is not None:
        try:
            ipaddress.IPv6Address(parsed["v6"])
        except ValueError:
            raise ValueError("holds no IPv6 address between its brackets") from None
    return Address(parsed["v6"] or parsed["host"], int(parsed["port"]))


def listen(address: Address) -> tuple[socket.socket, Address]:
    """Return a socket that already listens there, and the address with its actual port. Raises `OSError`."""
    listener, actual = _bound(address)
    try:
        listener.listen(_BACKLOG)
        listener.setblocking(False)
    except OSError:
        listener.close()
        raise
    return listener, actual


def hold(address: Address) -> tuple[socket.socket, Address]:
    """Return a socket that keeps a port for processes that share it by SO_REUSEPORT, and the address with that port.

    It does not listen, so it takes no connections from them. Raises `OSError` where anybody is at that port already,
    though they would share it.
    """
    alone, actual = _bound(address)
    alone.close()
    return _bound(actual, socket.SO_REUSEPORT)


def _bound(address: Address, *options: int) -> tuple[socket.socket, Address]:
    found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    # Where a name has both, as localhost has, IPv4 is what older clients look for.
    family, _, _, _, where = min(found, key=lambda one: one[0] != socket.AF_INET)
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        # Only over connections that still linger; a second server at the same port is refused all the same.
        for option in (socket.SO_REUSEADDR, *options):
            bound.setsockopt(socket.SOL_SOCKET, option, 1)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        bound.bind(where)
    except OSError:
        bound.close()
        raise
    return bound, Address(address.host, bound.getsockname()[1])
