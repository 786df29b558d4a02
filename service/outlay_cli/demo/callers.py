"""The metered work: callers that hold, work, and record what it cost, through a crash of the server.

Each keeps a journal of what was acknowledged to it, as a service that bills its own customers would. A call that got no
answer is sent again with the same `request_id`, which is what makes the sum exact.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeVar

import grpc

from outlay.v1 import budget_service_pb2 as pb

if TYPE_CHECKING:
    # The stubs of the types name it; at run time there is one class for both kinds of channel.
    from outlay.v1.budget_service_pb2_grpc import BudgetServiceAsyncStub

CALLERS: Final = 64
UNIT: Final = "USD"
PRICE_MICROS_PER_TOKEN: Final = 17
TOKENS_MAX: Final = 40_000
"""What a call may use: the callers hold this much and pay for what was really used."""

_RETRY_SECONDS: Final = 0.05
_WORK_SECONDS: Final = (0.002, 0.01)
_MODELS: Final = ("small-3", "large-3")

T = TypeVar("T")
Metadata = tuple[tuple[str, str], ...]


@dataclass(slots=True)
class Shared:
    """What the callers have in common."""

    stub: "BudgetServiceAsyncStub"
    metadata: Metadata
    server_is_up: asyncio.Event
    acknowledged: dict[str, int] = field(default_factory=dict)
    """The journal: micros by the request_id of the record."""
    in_flight: int = 0
    """Checks and records that were sent and not answered."""
    repeated: int = 0
    """Calls that were sent again after they got no answer."""
    first_denial: pb.CheckSpendResponse | None = None
    denied_callers: int = 0


async def run_caller(number: int, shared: Shared) -> None:
    """Work until the cap denies, and stop there."""
    chance = random.Random(number)  # noqa: S311  # the same work in every run
    for request_id in _request_ids(number):
        tokens = chance.randint(2_000, TOKENS_MAX)
        labels = {"model": chance.choice(_MODELS), "caller": f"worker-{number:02}"}
        answer = await _admitted(request_id, labels, shared)
        if answer.decision != pb.Decision.DECISION_ALLOWED:
            shared.denied_callers += 1
            shared.first_denial = shared.first_denial or answer
            return
        await asyncio.sleep(chance.uniform(*_WORK_SECONDS))
        await record(answer.reservation, tokens * PRICE_MICROS_PER_TOKEN, request_id, shared)


async def spend_the_rest(shared: Shared) -> int:
    """Take what is left below the cap, however little, and return it in micros; 0 where nothing was left."""
    request = pb.CheckSpendRequest(
        unit=UNIT,
        amount_micros=TOKENS_MAX * PRICE_MICROS_PER_TOKEN,
        min_amount_micros=1,
        labels={"model": _MODELS[0], "caller": "last"},
        request_id="last-check",
    )
    answer = await _until_answered(lambda: shared.stub.CheckSpend(request, metadata=shared.metadata), shared)
    if answer.decision != pb.Decision.DECISION_ALLOWED:
        return 0
    await record(answer.reservation, answer.granted_micros, "last", shared)
    return answer.granted_micros


async def record(reservation: str, amount_micros: int, request_id: str, shared: Shared) -> None:
    """Record what the work cost, and write it into the journal once that is acknowledged."""
    request = pb.RecordSpendRequest(reservation=reservation, amount_micros=amount_micros, request_id=request_id)
    await _until_answered(lambda: shared.stub.RecordSpend(request, metadata=shared.metadata), shared)
    shared.acknowledged[request_id] = amount_micros


async def _admitted(request_id: str, labels: dict[str, str], shared: Shared) -> pb.CheckSpendResponse:
    """The answer to a check that is final: while others only hold what is left, it is asked again."""
    request = pb.CheckSpendRequest(
        unit=UNIT, amount_micros=TOKENS_MAX * PRICE_MICROS_PER_TOKEN, labels=labels, request_id=f"{request_id}-check"
    )
    while True:
        answer = await _until_answered(lambda: shared.stub.CheckSpend(request, metadata=shared.metadata), shared)
        if not answer.retryable:
            return answer
        await asyncio.sleep(_RETRY_SECONDS)


async def _until_answered(call: Callable[[], Awaitable[T]], shared: Shared) -> T:
    """Call again while the server is away. Any other failure ends the demo."""
    while True:
        await shared.server_is_up.wait()
        shared.in_flight += 1
        try:
            return await call()
        except grpc.aio.AioRpcError as error:
            if error.code() != grpc.StatusCode.UNAVAILABLE:
                raise
        finally:
            shared.in_flight -= 1
        shared.repeated += 1
        await asyncio.sleep(_RETRY_SECONDS)


def _request_ids(number: int) -> Iterator[str]:
    count = 0
    while True:
        yield f"worker-{number:02}-{count:04}"
        count += 1
