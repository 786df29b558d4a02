"""Ask before metered work, record what it cost, give back what was held where it fails.

    OUTLAY_ENDPOINT=127.0.0.1:50051 OUTLAY_API_KEY=sk_… python examples/metered_work.py

The key needs the scopes spend:check and spend:record.
"""

import asyncio
import json
import os
import random
import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import grpc

from outlay.v1 import budget_service_pb2 as pb
from outlay.v1.budget_service_pb2_grpc import BudgetServiceStub

if TYPE_CHECKING:
    from outlay.v1.budget_service_pb2_grpc import BudgetServiceAsyncStub

SERVICE_CONFIG = {
    "methodConfig": [
        {
            "name": [{"service": "outlay.v1.BudgetService"}],
            "timeout": "5s",
            # Nothing but UNAVAILABLE is worth repeating, and a request_id makes every repetition safe.
            "retryPolicy": {
                "maxAttempts": 4,
                "initialBackoff": "0.1s",
                "maxBackoff": "2s",
                "backoffMultiplier": 2,
                "retryableStatusCodes": ["UNAVAILABLE"],
            },
        }
    ]
}

EFFECT_UNKNOWN = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
"""It may have taken effect or not. The same request_id finds out."""


class SpendDenied(Exception):
    """The work must not be done; `answer` says why and when to ask again."""

    def __init__(self, answer: pb.CheckSpendResponse) -> None:
        super().__init__(pb.DenialReason.Name(answer.reason).removeprefix("DENIAL_REASON_"))
        self.answer = answer


@dataclass(frozen=True)
class Meter:
    """Calls the service with one key."""

    budgets: "BudgetServiceAsyncStub"
    metadata: tuple[tuple[str, str], ...]

    async def run(
        self, work: Callable[[], Awaitable[int]], *, unit: str, most_micros: int, labels: Mapping[str, str]
    ) -> int:
        """Do `work`, which returns what it cost in micros, and return that. `most_micros` is the most it can cost.

        Raises `SpendDenied` before the work. An unreachable service is an error before the work too: fail closed.
        """
        question = pb.CheckSpendRequest(
            unit=unit, amount_micros=most_micros, labels=labels, request_id=f"check-{uuid.uuid4()}"
        )
        answer = await self.budgets.CheckSpend(question, metadata=self.metadata)
        if answer.decision != pb.DECISION_ALLOWED:
            raise SpendDenied(answer)
        cost_micros = 0
        try:
            cost_micros = await work()
        finally:
            if cost_micros == 0:
                release = pb.ReleaseReservationRequest(name=answer.reservation)
                await self.budgets.ReleaseReservation(release, metadata=self.metadata)
        if cost_micros > 0:
            await self.record(answer.reservation, cost_micros)
        return cost_micros

    async def record(self, reservation: str, cost_micros: int) -> None:
        """Record until it is acknowledged. A service that may die meanwhile writes the record to a journal first."""
        record = pb.RecordSpendRequest(
            reservation=reservation, amount_micros=cost_micros, request_id=f"record-{uuid.uuid4()}"
        )
        while True:
            try:
                await self.budgets.RecordSpend(record, metadata=self.metadata)
                return
            except grpc.aio.AioRpcError as error:
                if error.code() not in EFFECT_UNKNOWN:
                    raise
                await asyncio.sleep(random.uniform(0.5, 1.5))


async def answer_a_prompt() -> int:
    """Stand in for a call to a model that is billed by what it answers."""
    await asyncio.sleep(0.01)
    return 180_000  # 18 cents


async def fail_half_way() -> int:
    """Stand in for a call that costs nothing because it fails."""
    raise ConnectionError("the model did not answer")


async def main() -> None:
    """Pay for one piece of work, and for none that fails."""
    endpoint = os.environ.get("OUTLAY_ENDPOINT", "127.0.0.1:50051")
    options = (("grpc.service_config", json.dumps(SERVICE_CONFIG)),)
    async with grpc.aio.insecure_channel(endpoint, options) as channel:
        meter = Meter(BudgetServiceStub(channel), (("authorization", f"Bearer {os.environ['OUTLAY_API_KEY']}"),))
        for work in (answer_a_prompt, fail_half_way):
            try:
                cost_micros = await meter.run(work, unit="USD", most_micros=250_000, labels={"model": "small"})
                print(f"{work.__name__}: recorded {cost_micros / 1_000_000:.2f} USD")
            except SpendDenied as denied:
                print(f"{work.__name__}: denied, {denied}")
            except ConnectionError as error:
                print(f"{work.__name__}: {error}; what was held is given back")


if __name__ == "__main__":
    asyncio.run(main())
