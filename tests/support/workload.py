"""Callers that work as services do: check, hold, record, give back, refund, and repeat what was not answered.

Every request has a request_id and is repeated, the same, until it is answered. Each caller minds its own reservations,
so what a journal expects of one does not depend on the order in which others were served.
"""

import asyncio
import random
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Any, Final

import grpc
from google.protobuf.duration_pb2 import Duration

from outlay.v1 import budget_service_pb2 as pb
from support.journal import Entry, Journal
from support.tenants import Tenant, new_id
from support.wire import AsyncCaller, Failure

PATIENCE_SECONDS: Final = 60.0
"""How long one request is repeated. A service that takes longer to come back has not come back."""

_PAUSE_SECONDS: Final = 0.02
_TTL: Final = Duration(seconds=86_400)

_MAY_BE_REPEATED: Final = frozenset({"STORAGE_UNAVAILABLE", "OVERLOADED", "DEADLINE_EXCEEDED"})
_CONTRADICTIONS: Final = {"NOT_FOUND": "lost", "RESERVATION_CLOSED": "done twice"}
"""What a caller is told when the server has forgotten its earlier answer, or acted on one request twice."""

_TRANSPORT_CODES: Final = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        # gRPC's word to calls that a stopping server had received and not begun.
        grpc.StatusCode.CANCELLED,
    }
)


class _Contradiction(Exception):
    """The server denies what it had acknowledged."""


class Workload:
    """Callers of one organization until `stop`; what they did stands in `journal`."""

    def __init__(self, tenant: Tenant, key: str, addresses: Sequence[str], *, callers: int, seed: int) -> None:
        self.journal = Journal()
        self.failures: dict[str, int] = {}
        """How often callers were not answered, by reason or, where only the transport spoke, by code."""
        self.contradictions: list[str] = []
        """What callers were told that cannot be, given what they were told before."""
        self._tenant = tenant
        self._key = key
        self._addresses = addresses
        self._callers = callers
        self._seed = seed
        self._stopping = asyncio.Event()
        self._think_seconds = 0.0

    def slow_down(self) -> None:
        """Leave the machine to those who must start: from now on each caller thinks before each piece of work."""
        self._think_seconds = 0.1

    def stop(self) -> None:
        """Let each caller end what it is about, answered, and then end."""
        self._stopping.set()

    async def run(self) -> None:
        """Work until `stop`. Raises the first `Failure` that no caller should get."""
        async with AsyncExitStack() as stack:
            connections = [
                await stack.enter_async_context(AsyncCaller(address, self._key)) for address in self._addresses
            ]
            async with asyncio.TaskGroup() as group:
                for number in range(self._callers):
                    group.create_task(self._work(connections, random.Random(f"{self._seed}/{number}")))

    async def _work(self, connections: Sequence[AsyncCaller], chance: random.Random) -> None:
        while not self._stopping.is_set():
            try:
                await self._session(_Hand(self, connections, chance), chance)
            except _Contradiction as found:
                self.contradictions.append(str(found))
            await asyncio.sleep(self._think_seconds * chance.random())

    async def _session(self, ask: "_Hand", chance: random.Random) -> None:
        """One piece of metered work, of one of the shapes that callers have."""
        tenant, amount = self._tenant, chance.randint(1, 1_000_000)
        shape = chance.random()
        if shape < 0.12:
            written = await ask("RecordSpend", tenant.record(amount))
            if chance.random() < 0.4:
                refund = pb.RefundSpendRequest(
                    organization=tenant.name, spend_record=written.spend_record.name, amount_micros=1 + amount // 2
                )
                await ask("RefundSpend", refund)
            return
        if shape < 0.3:
            await ask("CheckSpend", tenant.check(amount, mode=pb.CHECK_MODE_RECORD))
            return
        answer = await ask("CheckSpend", tenant.check(amount, reservation_ttl=_TTL))
        if answer.decision == pb.DECISION_ALLOWED:
            await self._use(ask, answer.reservation, amount, chance)

    async def _use(self, ask: "_Hand", reservation: str, amount: int, chance: random.Random) -> None:
        tenant, shape = self._tenant, chance.random()
        if shape < 0.1:
            return
        if shape < 0.25:
            await ask("ReleaseReservation", pb.ReleaseReservationRequest(name=reservation))
            return
        if shape < 0.4:
            more = pb.ExtendReservationRequest(name=reservation, additional_micros=chance.randint(0, amount))
            await ask("ExtendReservation", more)
        elif shape < 0.6:
            part = tenant.record(1 + amount // 3, reservation=reservation, keep_open=True)
            await ask("RecordSpend", part)
        # A fifth of the work costs more than was thought.
        cost = chance.randint(1, amount) if chance.random() < 0.8 else amount + chance.randint(1, amount)
        await ask("RecordSpend", tenant.record(cost, reservation=reservation))

    async def send(self, entry: Entry, caller: AsyncCaller) -> bool:
        """Send an entry once; whether it was answered."""
        entry.sends += 1
        try:
            answer = await caller.call(entry.method, entry.request)
        except Failure as failure:
            if failure.reason in _CONTRADICTIONS:
                self.journal.entries.remove(entry)
                raise _Contradiction(f"{_CONTRADICTIONS[failure.reason]}: {entry.method} {failure}") from None
            expected = failure.reason in _MAY_BE_REPEATED if failure.reason else failure.code in _TRANSPORT_CODES
            if not expected:
                raise
            seen = failure.reason or failure.code.name
            self.failures[seen] = self.failures.get(seen, 0) + 1
            return False
        self.journal.acknowledge(entry, answer)
        return True


class _Hand:
    """Asks for one caller: at any replica, until it is answered."""

    def __init__(self, workload: Workload, connections: Sequence[AsyncCaller], chance: random.Random) -> None:
        self._workload = workload
        self._connections = connections
        self._chance = chance

    async def __call__(self, method: str, request: Any) -> Any:
        if not request.request_id:
            request.request_id = new_id("work")
        entry = self._workload.journal.begin(method, request)
        deadline = asyncio.get_running_loop().time() + PATIENCE_SECONDS
        while not await self._workload.send(entry, self._chance.choice(self._connections)):
            if asyncio.get_running_loop().time() > deadline:
                raise TimeoutError(f"{method} was not answered within {PATIENCE_SECONDS} s: {self._workload.failures}")
            await asyncio.sleep(_PAUSE_SECONDS)
        return entry.answer
