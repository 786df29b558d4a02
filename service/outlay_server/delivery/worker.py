"""The worker: fans events out, leases what is due, makes attempts side by side, writes down what came of them.

One task of each server process does the bookkeeping, in few short transactions; attempts are tasks of their own. What
is held in memory is bounded by `IN_FLIGHT_MAX`: everything else waits in the database. A receiver that hangs holds only
its own endpoint's slots, and one slot once it fails.
"""

import asyncio
import logging
import random
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from outlay_server.delivery.sending import ATTEMPT_SECONDS, Attempt, Message, Sender
from outlay_server.domain.errors import OutlayError
from outlay_server.domain.instant import Instant, plus_seconds
from outlay_server.domain.limits import ENDPOINT_FAILING_MAX_SECONDS, EVENTS_KEPT_SECONDS
from outlay_server.domain.webhook import THREE_DAYS, DeliveryState, DisableReason, RetryPolicy
from outlay_server.store import outbox
from outlay_server.store.contract import ControlTransaction, Store
from outlay_server.store.ids import wall_clock
from outlay_server.store.outbox import Lease, Settlement

logger = logging.getLogger(__name__)

IN_FLIGHT_MAX: Final = 256
"""Attempts at once, and results that wait to be written."""

IN_FLIGHT_PER_ORGANIZATION_MAX: Final = 40
IN_FLIGHT_PER_ENDPOINT_MAX: Final = 10

CLAIMED_ENDPOINTS_MAX: Final = 10
"""Endpoints that one transaction takes from: it holds the ledger of the embedded store meanwhile."""

LEASE_SECONDS: Final = 60
"""Four times what an attempt may take: results are written in between, also where the database is slow."""

POLL_SECONDS: Final = 0.5
"""How long an event waits at most for somebody to look."""

GATHER_SECONDS: Final = 0.02
"""Results that come in so short a time are written together."""

STOP_SECONDS: Final = 3.0
"""What attempts get to end by themselves when the server stops."""

PRUNE_SECONDS: Final = 600.0
PRUNE_PAUSE_SECONDS: Final = 0.2

Disable = Callable[[ControlTransaction, int, int, DisableReason], bool]
"""Disables an endpoint, by the keys of its organization and itself; False where that had been done."""


class Observer(Protocol):
    """Who counts."""

    def delivery_attempted(self, result: str) -> None:
        """`delivered`, `failed` (to be repeated) or `dead`."""


@dataclass(frozen=True, slots=True)
class _Result:
    lease: Lease
    attempt: Attempt
    chance: float


class DeliveryWorker:
    """Delivers until it is cancelled."""

    def __init__(
        self,
        store: Store,
        sender: Sender,
        disable: Disable,
        observer: Observer,
        *,
        policy: RetryPolicy = THREE_DAYS,
        attempt_seconds: float = ATTEMPT_SECONDS,
        lease_seconds: int = LEASE_SECONDS,
        clock: Callable[[], Instant] = wall_clock,
    ) -> None:
        """`clock` is the world's, by which receivers judge signatures; what is due the store's clock says."""
        self._store = store
        self._sender = sender
        self._disable = disable
        self._observer = observer
        self._policy = policy
        self._attempt_seconds = attempt_seconds
        self._lease_seconds = lease_seconds
        self._clock = clock
        self.holder: Final = uuid.uuid4().hex
        self._attempts: dict[asyncio.Task[None], Lease] = {}
        self._results: list[_Result] = []
        self._failing: set[int] = set()
        self._after = 0
        self._wake = asyncio.Event()

    async def run(self) -> None:
        """Deliver for ever. Cancelled, it gives attempts a moment, writes what came of them and lets go of the rest."""
        try:
            while True:
                await self._pause(await self._try_round())
        finally:
            await self._stop()

    async def prune(self) -> None:
        """Delete what is older than it is kept, for ever."""
        while True:
            # Replicas that started together do not all look at once.
            await asyncio.sleep(PRUNE_SECONDS * (0.5 + random.random()))  # noqa: S311
            try:
                await self.prune_once()
            except OutlayError as error:
                logger.debug("pruned in vain", extra={"reason": error.reason.value})
            except Exception:
                logger.exception("pruning events failed")

    async def prune_once(self) -> None:
        """Delete it once, a little at a time."""
        before = plus_seconds(await self._store.now(), -EVENTS_KEPT_SECONDS)
        pruned = outbox.PRUNED_EVENTS_MAX
        while pruned == outbox.PRUNED_EVENTS_MAX:
            pruned = await self._store.change(lambda tx: outbox.prune(tx.connection, before))
            await asyncio.sleep(PRUNE_PAUSE_SECONDS)

    async def _try_round(self) -> bool:
        try:
            return await self.round()
        except OutlayError as error:
            logger.debug("delivered in vain", extra={"reason": error.reason.value})
        except Exception:
            logger.exception("delivering failed")
        return False

    async def round(self) -> bool:
        """Do all that can be done at once; True where there is more."""
        await self._settle()
        fanned_out = await self._fan_out()
        started = await self._start_attempts()
        return fanned_out or started

    async def _pause(self, has_more: bool) -> None:
        if has_more:
            await asyncio.sleep(GATHER_SECONDS)
            return
        try:
            async with asyncio.timeout(POLL_SECONDS):
                await self._wake.wait()
            await asyncio.sleep(GATHER_SECONDS)
        except TimeoutError:
            pass

    # Events to deliveries

    async def _fan_out(self) -> bool:
        if not await self._store.read(outbox.has_new_events):
            return False
        give_up_micros = self._policy.give_up_seconds * 1_000_000
        done = await self._store.change(lambda tx: outbox.fan_out(tx.connection, tx.now, give_up_micros))
        return done > 0

    # Deliveries to attempts

    async def _start_attempts(self) -> bool:
        free = IN_FLIGHT_MAX - len(self._attempts) - len(self._results)
        if free <= 0:
            return False
        now, after = await self._store.now(), self._after
        due = await self._store.read(lambda connection: outbox.due_endpoints(connection, now, after))
        self._after = due[-1].endpoint_key if len(due) == outbox.DUE_ENDPOINTS_MAX else 0
        wanted = self._wanted(due, free)
        if not wanted:
            return False

        def claim(tx: ControlTransaction) -> list[Lease]:
            lease_end = plus_seconds(tx.now, self._lease_seconds)
            return outbox.claim(tx.connection, self.holder, tx.now, lease_end, wanted)

        leases = await self._store.change(claim)
        for lease in leases:
            task = asyncio.create_task(self._attempt(lease), name=f"outlay-delivery-{lease.event_id}")
            self._attempts[task] = lease
            task.add_done_callback(self._attempts.pop)
        return bool(leases)

    def _wanted(self, due: list[outbox.DueEndpoint], free: int) -> dict[int, int]:
        """How many deliveries to take of which endpoints: whose turn it is, chance says."""
        busy = [*self._attempts.values(), *(result.lease for result in self._results)]
        of_endpoint = Counter(lease.endpoint_key for lease in busy)
        of_organization = Counter(lease.organization_key for lease in busy)
        wanted: dict[int, int] = {}
        random.shuffle(due)
        for endpoint in due:
            key, organization = endpoint.endpoint_key, endpoint.organization_key
            most = 1 if key in self._failing else IN_FLIGHT_PER_ENDPOINT_MAX
            room = IN_FLIGHT_PER_ORGANIZATION_MAX - of_organization[organization]
            count = min(most - of_endpoint[key], room, free)
            if count > 0:
                wanted[key] = count
                of_organization[organization] += count
                free -= count
            if free <= 0 or len(wanted) == CLAIMED_ENDPOINTS_MAX:
                break
        return wanted

    async def _attempt(self, lease: Lease) -> None:
        message = Message(
            message_id=lease.event_id,
            event_type=lease.event_type,
            payload=lease.payload,
            uri=lease.uri,
            format=lease.format,
            stored_secrets=lease.stored_secrets,
        )
        attempt = await self._sender.send(message, self._clock(), self._attempt_seconds)
        self._results.append(_Result(lease, attempt, random.random()))  # noqa: S311
        self._wake.set()

    # What came of them

    async def _settle(self) -> None:
        self._wake.clear()
        results = list(self._results)
        if not results:
            return

        def settle(tx: ControlTransaction) -> tuple[list[Settlement], dict[int, Instant], Instant]:
            settled = [self._settlement(result, tx.now) for result in results]
            return settled, outbox.settle(tx.connection, settled, tx.now), tx.now

        settled, failing, now = await self._store.change(settle)
        del self._results[: len(results)]
        for one in settled:
            self._observer.delivery_attempted(_RESULTS[one.state])
        tried = {result.lease.endpoint_key for result in results}
        self._failing = self._failing - tried | failing.keys()
        await self._disable_endpoints(results, failing, now)

    def _settlement(self, result: _Result, now: Instant) -> Settlement:
        lease, attempt = result.lease, result.attempt
        state, next_attempt = DeliveryState.DEAD, None
        if attempt.is_delivered:
            state = DeliveryState.DELIVERED
        elif not attempt.is_gone:
            next_attempt = self._policy.next_attempt(
                lease.attempts + 1, now, lease.deadline, result.chance, attempt.wait_seconds
            )
            state = DeliveryState.DEAD if next_attempt is None else DeliveryState.WAITING
        return Settlement(lease, self.holder, state, next_attempt, attempt.http_status, attempt.error)

    async def _disable_endpoints(self, results: list[_Result], failing: dict[int, Instant], now: Instant) -> None:
        reasons: dict[tuple[int, int], DisableReason] = {}
        for result in results:
            endpoint_key = result.lease.endpoint_key
            key = (result.lease.organization_key, endpoint_key)
            since = failing.get(endpoint_key)
            if result.attempt.is_gone:
                reasons[key] = DisableReason.GONE
            elif since is not None and now >= plus_seconds(since, ENDPOINT_FAILING_MAX_SECONDS):
                reasons.setdefault(key, DisableReason.FAILING)
        for (organization_key, endpoint_key), reason in reasons.items():
            if await self._store.change(_disabling(self._disable, organization_key, endpoint_key, reason)):
                logger.warning("a webhook endpoint was disabled", extra={"reason": reason.value})

    # The end

    async def _stop(self) -> None:
        if self._attempts:
            await asyncio.wait(list(self._attempts), timeout=STOP_SECONDS)
        left = dict(self._attempts)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        try:
            await self._settle()
            await self._store.change(lambda tx: outbox.release(tx.connection, list(left.values()), self.holder, tx.now))
        except Exception as error:
            # Their leases end by themselves.
            logger.debug("leases were not let go of", extra={"error": type(error).__name__})


_RESULTS: Final = {
    DeliveryState.DELIVERED: "delivered",
    DeliveryState.WAITING: "failed",
    DeliveryState.DEAD: "dead",
}


def _disabling(
    disable: Disable, organization_key: int, endpoint_key: int, reason: DisableReason
) -> Callable[[ControlTransaction], bool]:
    return lambda tx: disable(tx, organization_key, endpoint_key, reason)
