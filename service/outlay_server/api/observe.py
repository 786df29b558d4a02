"""What the edge tells about calls, for metrics and traces."""

from typing import Protocol

import grpc


class CallObserver(Protocol):
    """Told of every call of the contract, by gRPC and by REST. Must not raise and must not wait."""

    def call_started(self, method: str) -> None:
        """A call of a method such as `/outlay.v1.BudgetService/CheckSpend` has arrived."""

    def call_finished(self, method: str, code: grpc.StatusCode, seconds: float, correlation_id: str) -> None:
        """It was answered, or given up by its caller (CANCELLED)."""


class NobodyWatches:
    """A `CallObserver` for where there is none."""

    def call_started(self, method: str) -> None:
        pass

    def call_finished(self, method: str, code: grpc.StatusCode, seconds: float, correlation_id: str) -> None:
        pass
