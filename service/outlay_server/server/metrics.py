"""Metrics for Prometheus. Every label has few values that are known beforehand: none is a name that a caller chose.

What calls and batches add is counted in plain integers, on the event loop's thread alone, and put into Prometheus' form
when somebody asks: its own counters take a lock for each addition, which cost every check 6 µs.
"""

import platform
import time
from bisect import bisect_left
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from typing import Final

import grpc
from prometheus_client import CollectorRegistry, Gauge, GCCollector, Metric, PlatformCollector, ProcessCollector
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from outlay_server.api.errors import CODES
from outlay_server.domain.commands import CheckOutcome, ExtendOutcome, Outcome, RecordOutcome
from outlay_server.domain.decision import DenialReason
from outlay_server.domain.spend import RecordKind
from outlay_server.ledger import Answer

_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_COMMANDS: Final = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000)

OPEN_RESERVATIONS_MAX_AGE_SECONDS: Final = 10.0
"""They are counted when somebody asks, and not more often than this: a count reads every one of them."""


_CODES: Final = (grpc.StatusCode.OK, grpc.StatusCode.CANCELLED, *dict.fromkeys(CODES.values()))
"""Every code that a call can end with."""

_OK: Final = grpc.StatusCode.OK  # At hand: to ask an enum for a member costs more than to compare it.


class _Distribution:
    """How many values fell between which bounds, and their sum."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def add(self, value: float) -> None:
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def add_to(self, family: HistogramMetricFamily, labels: Sequence[str]) -> None:
        total, buckets = 0, []
        for bound, count in zip((*self._bounds, float("inf")), self._counts, strict=True):
            total += count
            buckets.append((floatToGoString(bound), total))  # type: ignore[no-untyped-call]
        family.add_metric(labels, buckets, self._sum)


class _Method:
    """What is counted of one method.

    Of every code, so that the first failure shows as a rise; and of no method that nobody calls, because each scrape
    formats all there are.
    """

    def __init__(self) -> None:
        self.answered = 0
        """Calls that ended OK: apart, because to hash an enum costs as much as all the rest of a call's counting."""
        self.others = dict.fromkeys(_CODES, 0)
        self.seconds = _Distribution(_SECONDS)


class Metrics(Collector):
    """Everything the service counts."""

    def __init__(self, *, version: str, storage: str) -> None:
        self._methods: dict[str, _Method] = {}
        self._allowed = 0
        self._denied = dict.fromkeys(DenialReason, 0)
        self._records = {RecordKind.SPEND: 0, RecordKind.REFUND: 0}
        self._batch_commands = _Distribution(_COMMANDS)
        self._batch_seconds = _Distribution(_SECONDS)
        self._calls_in_flight: Callable[[], int] = int
        self._queue_depth: Callable[[], int] = int
        self._open_reservations_counted = float("-inf")
        self.registry = CollectorRegistry()
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self.registry)
        self._declare_gauges(version, storage)
        self.registry.register(self)

    def _declare_gauges(self, version: str, storage: str) -> None:
        self._storage_up = Gauge("outlay_storage_up", "1 while the ledger's storage answers.", registry=self.registry)
        self._open_reservations = Gauge(
            "outlay_open_reservations",
            f"Reservations that hold an amount, as of at most {OPEN_RESERVATIONS_MAX_AGE_SECONDS:g} s ago.",
            registry=self.registry,
        )
        Gauge(
            "outlay_build_info",
            "Always 1; what is running.",
            ("version", "python", "grpc", "storage"),
            registry=self.registry,
        ).labels(version, platform.python_version(), grpc.__version__, storage).set(1)

    # The calls' observer

    def call_finished(self, method: str, code: grpc.StatusCode, seconds: float) -> None:
        """Count an answer to a method of the contract, `/outlay.v1.BudgetService/CheckSpend`."""
        counted = self._methods.get(method)
        if counted is None:
            counted = self._methods[method] = _Method()
        if code is _OK:
            counted.answered += 1
        else:
            counted.others[code] += 1
        counted.seconds.add(seconds)

    # The ledger's observer

    def batch_posted(self, commands: int, seconds: float) -> None:
        self._batch_commands.add(commands)
        self._batch_seconds.add(seconds)

    def answered(self, answers: Sequence[Answer]) -> None:
        reserved = 0
        for answer in answers:
            if type(answer) is CheckOutcome and answer.reservation_id is not None:
                reserved += 1  # Nearly all of them.
            elif not isinstance(answer, Exception):
                self._decided(answer)
        self._allowed += reserved

    def _decided(self, outcome: Outcome) -> None:
        match outcome:
            case CheckOutcome(allowed=True, record_id=record_id):
                self._allowed += 1
                if record_id is not None:
                    self._records[RecordKind.SPEND] += 1
            case CheckOutcome(reason=reason) | ExtendOutcome(check=CheckOutcome(allowed=False, reason=reason)):
                assert reason is not None, "a denial has a reason"
                self._denied[reason] += 1
            case ExtendOutcome():
                self._allowed += 1
            case RecordOutcome(record=record):
                self._records[record.kind] += 1
            case _:
                pass

    # What is asked for

    def collect(self) -> Iterator[Metric]:
        """All that is counted here, in Prometheus' form."""
        yield from self._collect_calls()
        yield from self._collect_ledger()

    def _collect_calls(self) -> Iterable[Metric]:
        calls = CounterMetricFamily(
            "outlay_calls", "Calls that were answered, over gRPC and REST.", labels=("method", "code")
        )
        seconds = HistogramMetricFamily(
            "outlay_call_seconds", "From a call's arrival to its answer.", labels=("method",)
        )
        for path, counted in self._methods.items():
            name = path.rpartition("/")[2]
            for code, count in (counted.others | {_OK: counted.answered}).items():
                calls.add_metric((name, code.name), count)
            counted.seconds.add_to(seconds, (name,))
        in_flight = GaugeMetricFamily(
            "outlay_calls_in_flight", "Calls that are being answered.", value=self._calls_in_flight()
        )
        return (calls, seconds, in_flight)

    def _collect_ledger(self) -> Iterable[Metric]:
        decisions = CounterMetricFamily(
            "outlay_decisions", "Checks that were decided; the reason of a denial.", labels=("decision", "reason")
        )
        decisions.add_metric(("allowed", ""), self._allowed)
        for reason, count in self._denied.items():
            decisions.add_metric(("denied", reason.value), count)
        records = CounterMetricFamily(
            "outlay_spend_records", "Entries of spend that calls wrote to the ledger.", labels=("kind",)
        )
        for kind, count in self._records.items():
            records.add_metric((kind.value,), count)
        commands = HistogramMetricFamily(
            "outlay_ledger_batch_commands", "Commands that became durable by one commit.", labels=()
        )
        self._batch_commands.add_to(commands, ())
        seconds = HistogramMetricFamily(
            "outlay_ledger_batch_seconds", "From taking a batch to its commit on disk.", labels=()
        )
        self._batch_seconds.add_to(seconds, ())
        depth = GaugeMetricFamily(
            "outlay_ledger_queue_depth", "Commands that wait for the next batch.", value=self._queue_depth()
        )
        return (decisions, records, commands, seconds, depth)

    # The storage's state

    def storage_answers(self, answers: bool) -> None:
        self._storage_up.set(answers)

    def watch(self, *, calls_in_flight: Callable[[], int], queue_depth: Callable[[], int]) -> None:
        """Ask for these whenever metrics are read."""
        self._calls_in_flight, self._queue_depth = calls_in_flight, queue_depth

    async def refresh(self, count_open_reservations: Callable[[], Awaitable[int]]) -> None:
        """Count what is too dear to count at each change, unless that was done a moment ago."""
        now = time.monotonic()
        if now - self._open_reservations_counted >= OPEN_RESERVATIONS_MAX_AGE_SECONDS:
            self._open_reservations_counted = now
            self._open_reservations.set(await count_open_reservations())
