"""Metrics for Prometheus. Every label has few values that are known beforehand: none is a name that a caller chose."""

import platform
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final

import grpc
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)

from outlay_server.api.errors import CODES
from outlay_server.domain.commands import CheckOutcome, ExtendOutcome, Outcome, RecordOutcome
from outlay_server.domain.decision import DenialReason
from outlay_server.domain.spend import RecordKind

_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_COMMANDS: Final = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000)

OPEN_RESERVATIONS_MAX_AGE_SECONDS: Final = 10.0
"""They are counted when somebody asks, and not more often than this: a count reads every one of them."""


_CODES: Final = (grpc.StatusCode.OK, grpc.StatusCode.CANCELLED, *dict.fromkeys(CODES.values()))
"""Every code that a call can end with."""


@dataclass(frozen=True, slots=True)
class _Method:
    """Series of one method, kept at hand: `labels` takes a lock and costs more than the counting."""

    codes: Mapping[grpc.StatusCode, Counter]
    seconds: Histogram


class Metrics:
    """Everything the service counts."""

    def __init__(self, *, version: str, storage: str) -> None:
        # Series that say since when another is counted double the page, and scrapers do not need them.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self.registry)
        self._declare_calls()
        self._declare_ledger()
        self._storage_up = Gauge("outlay_storage_up", "1 while the ledger's storage answers.", registry=self.registry)
        self._queue_depth = Gauge(
            "outlay_ledger_queue_depth", "Commands that wait for the next batch.", registry=self.registry
        )
        self._open_reservations = Gauge(
            "outlay_open_reservations",
            f"Reservations that hold an amount, as of at most {OPEN_RESERVATIONS_MAX_AGE_SECONDS:g} s ago.",
            registry=self.registry,
        )
        self._open_reservations_counted = float("-inf")
        Gauge(
            "outlay_build_info",
            "Always 1; what is running.",
            ("version", "python", "grpc", "storage"),
            registry=self.registry,
        ).labels(version, platform.python_version(), grpc.__version__, storage).set(1)

    def _declare_calls(self) -> None:
        self._calls = Counter(
            "outlay_calls", "Calls that were answered, over gRPC and REST.", ("method", "code"), registry=self.registry
        )
        self._seconds = Histogram(
            "outlay_call_seconds",
            "From a call's arrival to its answer.",
            ("method",),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._in_flight = Gauge("outlay_calls_in_flight", "Calls that are being answered.", registry=self.registry)
        self._by_method: dict[str, _Method] = {}

    def _declare_ledger(self) -> None:
        decisions = Counter(
            "outlay_decisions",
            "Checks that were decided; the reason of a denial.",
            ("decision", "reason"),
            registry=self.registry,
        )
        self._allowed = decisions.labels("allowed", "")
        self._denied = {reason: decisions.labels("denied", reason.value) for reason in DenialReason}
        records = Counter(
            "outlay_spend_records",
            "Entries of spend that calls wrote to the ledger.",
            ("kind",),
            registry=self.registry,
        )
        self._records = {kind: records.labels(kind.value) for kind in (RecordKind.SPEND, RecordKind.REFUND)}
        self._batch_commands = Histogram(
            "outlay_ledger_batch_commands",
            "Commands that became durable by one commit.",
            buckets=_COMMANDS,
            registry=self.registry,
        )
        self._batch_seconds = Histogram(
            "outlay_ledger_batch_seconds",
            "From taking a batch to its commit on disk.",
            buckets=_SECONDS,
            registry=self.registry,
        )

    def call_finished(self, method: str, code: grpc.StatusCode, seconds: float) -> None:
        """Count an answer to a method of the contract, `/outlay.v1.BudgetService/CheckSpend`."""
        counted = self._by_method.get(method) or self._new_method(method)
        counted.codes[code].inc()
        counted.seconds.observe(seconds)

    def _new_method(self, method: str) -> "_Method":
        """Make the series of a method with its first call.

        Of every code, so that the first failure shows as a rise; and of no method that nobody calls, because each
        scrape formats all there are.
        """
        name = method.rpartition("/")[2]
        made = _Method({code: self._calls.labels(name, code.name) for code in _CODES}, self._seconds.labels(name))
        self._by_method[method] = made
        return made

    # The ledger's observer

    def batch_posted(self, commands: int, seconds: float) -> None:
        self._batch_commands.observe(commands)
        self._batch_seconds.observe(seconds)

    def decided(self, outcome: Outcome) -> None:
        match outcome:
            case CheckOutcome(allowed=True, record_id=record_id):
                self._allowed.inc()
                if record_id is not None:
                    self._records[RecordKind.SPEND].inc()
            case CheckOutcome(reason=reason) | ExtendOutcome(check=CheckOutcome(allowed=False, reason=reason)):
                assert reason is not None, "a denial has a reason"
                self._denied[reason].inc()
            case ExtendOutcome():
                self._allowed.inc()
            case RecordOutcome(record=record):
                self._records[record.kind].inc()
            case _:
                pass

    # The storage's state

    def storage_answers(self, answers: bool) -> None:
        self._storage_up.set(answers)

    def watch(self, *, calls_in_flight: Callable[[], int], queue_depth: Callable[[], int]) -> None:
        """Ask for these whenever metrics are read."""
        self._in_flight.set_function(calls_in_flight)
        self._queue_depth.set_function(queue_depth)

    async def refresh(self, count_open_reservations: Callable[[], Awaitable[int]]) -> None:
        """Count what is too dear to count at each change, unless that was done a moment ago."""
        now = time.monotonic()
        if now - self._open_reservations_counted >= OPEN_RESERVATIONS_MAX_AGE_SECONDS:
            self._open_reservations_counted = now
            self._open_reservations.set(await count_open_reservations())
