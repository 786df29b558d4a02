"""What the edge and the ledger report to: metrics for every call and batch, the log for those that need attention."""

from collections.abc import Callable, Sequence

import grpc

from outlay_server.ledger import Answer
from outlay_server.server.call_log import CallLog
from outlay_server.server.metrics import Metrics


class Telemetry:
    """The `CallObserver` of the dispatcher and the `LedgerObserver` of the ledger."""

    def __init__(self, metrics: Metrics, log: CallLog, *, committed: Callable[[], None]) -> None:
        """`committed` is called after each batch that the ledger has made durable."""
        self._metrics = metrics
        self._log = log
        self._committed = committed
        self.calls_started = 0

    def call_started(self, method: str) -> None:
        self.calls_started += 1

    def call_finished(self, method: str, code: grpc.StatusCode, seconds: float, correlation_id: str) -> None:
        self._metrics.call_finished(method, code, seconds)
        self._log.call_finished(method, code, seconds, correlation_id)

    def batch_posted(self, commands: int, seconds: float) -> None:
        self._metrics.batch_posted(commands, seconds)
        self._committed()

    def answered(self, answers: Sequence[Answer]) -> None:
        self._metrics.answered(answers)
