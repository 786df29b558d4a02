"""The thread that reads the stream, and begins again where it was cut."""

import threading
import time
from typing import Final

import click

from outlay.v1 import budget_service_pb2 as pb
from outlay_cli.errors import CallFailed
from outlay_cli.remote import Remote
from outlay_cli.top.board import Board

PAUSE_SECONDS: Final = 1.0
"""Before a stream that was cut is asked for again."""

_COMES_BACK: Final = frozenset({"OVERLOADED", "STORAGE_UNAVAILABLE", "WATCHER_TOO_SLOW"})


class Reader(threading.Thread):
    """Fills the board until it is stopped or refused for good."""

    def __init__(self, service: Remote, parent: str, board: Board) -> None:
        super().__init__(name="outlay-top", daemon=True)
        self._service = service
        self._parent = parent
        self._board = board
        self._stopping = threading.Event()
        self.complete = threading.Event()
        """Set once the first state is there, or the service has refused."""
        self.refusal: click.ClickException | None = None

    def run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._read()
            except CallFailed as failure:
                self._board.cut()
                # Until something was seen, a service that does not answer is a wrong address and not an outage.
                if failure.reason not in _COMES_BACK and (failure.reason or self._board.sequence is None):
                    self.refusal = failure
                    self.complete.set()
                    return
            self._stopping.wait(PAUSE_SECONDS)

    def stop(self) -> None:
        """End the stream, whatever it waits for."""
        self._stopping.set()

    def _read(self) -> None:
        request = pb.WatchBudgetsRequest(parent=self._parent, after_sequence=self._board.sequence)
        for change in self._service.stream(self._service.budgets.WatchBudgets, request):
            if self._stopping.is_set():
                return
            self._board.tell(change, time.monotonic())
            if self._board.sequence is not None:
                self.complete.set()
