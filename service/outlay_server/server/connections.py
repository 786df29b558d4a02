"""Ending connections that gRPC has opened and gives nobody a handle on."""

import contextlib
import os
import socket
from pathlib import Path
from typing import Final

_OWN_DESCRIPTORS: Final = Path("/dev/fd")
"""The descriptors of the process that looks, on Linux and macOS."""


def end_connections(port: int) -> None:
    """Stop listening at a port of this process, and end what was accepted there once all that was written has left.

    The other end sees an orderly end of the connection, and a call without an answer as UNAVAILABLE. gRPC's own stop
    answers calls that it has received and not yet handed over with CANCELLED, which clients repeat only if told to.
    """
    for descriptor in _OWN_DESCRIPTORS.iterdir():
        # A descriptor that is no socket, or was closed meanwhile by the thread that owns it.
        with contextlib.suppress(OSError), socket.socket(fileno=os.dup(int(descriptor.name))) as found:
            if found.family not in (socket.AF_INET, socket.AF_INET6) or found.getsockname()[1] != port:
                continue
            if found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                # Its owner is left with one at which nothing ever arrives: a listener that is shut down under it
                # would make it complain.
                with socket.socket() as idle:
                    os.dup2(idle.fileno(), int(descriptor.name), inheritable=False)
            else:
                found.shutdown(socket.SHUT_WR)
