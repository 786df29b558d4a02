"""What a worker is given by the process that starts it, and how it notices that this process is gone."""

import os
import socket
import threading
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Inherited:
    """Of one worker among several that serve the same addresses."""

    http_listener: socket.socket
    """Listens already; all workers accept from it."""
    lifeline: int
    """The reading end of a pipe that nobody writes to: it ends when the parent does, however that ended."""

    def end_with_parent(self) -> None:
        """End this process at once when the parent has ended without having asked it to stop.

        In a thread, so that it also happens while the event loop is busy or has not begun. A crash loses nothing that
        was acknowledged, and a server that is started in the parent's place finds the addresses free.
        """
        threading.Thread(target=self._watch, name="outlay-lifeline", daemon=True).start()

    def _watch(self) -> None:
        os.read(self.lifeline, 1)
        os._exit(1)
