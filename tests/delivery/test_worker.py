"""Deliveries, on every store: at least once, with one id, until they arrive or are visibly dead."""

import asyncio
import itertools
from collections import Counter

import pytest

from delivery.outbox import (
    QUICK,
    Counts,
    all_delivered,
    change_endpoint,
    deliveries,
    endpoint,
    found_endpoint,
    happen,
    states,
    work,
    worker_of,
    working,
)
from delivery.receiver import receiving
from delivery.senders import SECRET, sending
from ledger.stores import DAY_MICROS, PLATFORM, SettableClock, disagreement, new_organization, opened, set_budget
from outlay_server.control import organizations, webhook_endpoints
from outlay_server.control.webhook_endpoints import Secret
from outlay_server.delivery.worker import LEASE_SECONDS
from outlay_server.domain.errors import EndpointDisabled, StorageUnavailable
from outlay_server.domain.instant import MICROS_PER_SECOND
from outlay_server.domain.webhook import THREE_DAYS, DeliveryState, DisableReason, WebhookFormat
from outlay_server.store import ledger_reads, outbox
from outlay_server.store.contract import Store
from outlay_server.store.sealing import PlainSealer

HOUR_MICROS = 3_600 * MICROS_PER_SECOND


async def test_an_event_goes_to_every_endpoint_that_asks_for_it(timed_store: Store) -> None:
    async with receiving() as receiver, worker_of(timed_store) as worker:
        await endpoint(timed_store, receiver.url("/all"), "all")
        await endpoint(timed_store, receiver.url("/named"), "named", event_types=("budget.updated",))
        await endpoint(timed_store, receiver.url("/other"), "other", event_types=("cap.reached",))
        await endpoint(timed_store, receiver.url("/paused"), "paused", disabled=True)
        await happen(timed_store)
        await work(worker)
    assert sorted(one.path for one in receiver.received) == ["/all", "/named"]
    assert len(set(receiver.ids())) == 1
    assert all(one.is_genuine(SECRET) for one in receiver.received)


async def test_an_event_of_another_organization_goes_nowhere(timed_store: Store) -> None:
    """Endpoints hear of their own organization alone."""
    await new_organization(timed_store, "other")
    async with receiving() as receiver, worker_of(timed_store) as worker:
        await endpoint(timed_store, receiver.url())
        await set_budget(timed_store, organization_id="other", display_name="Theirs")
        await work(worker)
    assert receiver.received == []


async def test_a_failure_is_repeated_with_the_same_id_and_body_until_it_arrives(
    timed_store: Store, clock: SettableClock
) -> None:
    counts = Counts()
    async with (
        receiving(lambda number, _: "500" if number < 3 else "200") as receiver,
        worker_of(timed_store, observer=counts) as worker,
    ):
        await endpoint(timed_store, receiver.url())
        await happen(timed_store)
        for _ in range(4):
            await work(worker)
            await clock.advance(HOUR_MICROS)
    assert (len(set(receiver.ids())), len(set(receiver.bodies()))) == (1, 1)
    assert counts.results == ["failed", "failed", "failed", "delivered"]
    (delivery,) = await deliveries(timed_store)
    assert (delivery.state, delivery.attempts, delivery.last_http_status) == (DeliveryState.DELIVERED, 4, 200)


async def test_attempts_become_rarer_and_end_after_three_days(timed_store: Store, clock: SettableClock) -> None:
    """The last one is made at the very end; then the delivery is dead, and says why."""
    start = clock.now
    async with receiving(lambda *_: "500") as receiver, worker_of(timed_store) as worker:
        await endpoint(timed_store, receiver.url())
        await happen(timed_store)
        tried = []
        while (
            delivery := next(iter(await deliveries(timed_store)), None)
        ) is None or delivery.state.value == "WAITING":
            await work(worker)
            tried.append(clock.now)
            await clock.set(max(clock.now, (await deliveries(timed_store))[0].due_time))
    waits = [later - earlier for earlier, later in itertools.pairwise(tried)]
    limits = [*THREE_DAYS.delays_seconds, *[THREE_DAYS.delays_seconds[-1]] * 30]
    for wait, limit in zip(waits[:-1], limits, strict=False):
        assert limit / 2 <= wait / MICROS_PER_SECOND <= limit
    assert tried[-1] == start + 3 * DAY_MICROS
    assert len(receiver.received) == len(tried)
    (dead,) = await deliveries(timed_store)
    assert (dead.state, dead.last_error, dead.complete_time) == (DeliveryState.DEAD, "it answered 500", clock.now)


async def test_a_pause_that_a_receiver_asks_for_is_kept(timed_store: Store, clock: SettableClock) -> None:
    async with receiving(lambda *_: "429 Retry-After: 1800") as receiver, worker_of(timed_store) as worker:
        await endpoint(timed_store, receiver.url())
        await happen(timed_store)
        await work(worker)
    (delivery,) = await deliveries(timed_store)
    assert delivery.due_time == clock.now + 1_800 * MICROS_PER_SECOND


async def test_an_endpoint_that_is_gone_is_disabled_with_all_that_waits(
    timed_store: Store, clock: SettableClock
) -> None:
    """410: nobody is asked again, and what waited is dead and can be seen."""
    script = {"first": "500"}
    async with receiving(lambda *_: script["first"]) as receiver, worker_of(timed_store) as worker:
        await endpoint(timed_store, receiver.url())
        await happen(timed_store, 3)
        await work(worker)
        script["first"] = "410"
        await clock.advance(HOUR_MICROS)
        await worker.round()
        await asyncio.wait(list(worker._attempts))
        await work(worker)
        asked = len(receiver.received)
        await happen(timed_store)
        await clock.advance(HOUR_MICROS)
        await work(worker)
    found = await found_endpoint(timed_store)
    assert (found.disabled, found.disable_reason) == (True, DisableReason.GONE)
    assert (set(await states(timed_store)), len(receiver.received)) == ({"DEAD"}, asked)


async def test_an_endpoint_that_nothing_reaches_for_five_days_is_disabled(
    timed_store: Store, clock: SettableClock
) -> None:
    async with receiving(lambda *_: "500") as receiver, worker_of(timed_store) as worker:
        await endpoint(timed_store, receiver.url())
        for _ in range(5):
            await happen(timed_store)
            await work(worker)
            assert not (await found_endpoint(timed_store)).disabled
            await clock.advance(DAY_MICROS)
        await work(worker)
    found = await found_endpoint(timed_store)
    assert (found.disabled, found.disable_reason) == (True, DisableReason.FAILING)


async def test_one_success_begins_the_five_days_anew(timed_store: Store, clock: SettableClock) -> None:
    script = {"now": "500"}
    async with receiving(lambda *_: script["now"]) as receiver, worker_of(timed_store) as worker:
        await endpoint(timed_store, receiver.url())
        for day in range(9):
            script["now"] = "200" if day == 4 else "500"
            await happen(timed_store)
            await work(worker)
            await clock.advance(DAY_MICROS)
    found = await found_endpoint(timed_store)
    assert not found.disabled
    assert found.failing_since is not None


async def test_an_endpoint_that_is_enabled_again_starts_afresh(timed_store: Store, clock: SettableClock) -> None:
    """Its failing days are forgotten, and what happened meanwhile is not sent."""
    script = {"now": "500"}
    async with receiving(lambda *_: script["now"]) as receiver, worker_of(timed_store) as worker:
        await endpoint(timed_store, receiver.url())
        await happen(timed_store)
        await work(worker)
        await change_endpoint(timed_store, disabled=True)
        await happen(timed_store)
        await work(worker)
        await clock.advance(6 * DAY_MICROS)
        enabled = await change_endpoint(timed_store, disabled=False)
        await happen(timed_store)
        await work(worker)
    assert (enabled.disabled, enabled.disable_reason, enabled.failing_since) == (False, None, None)
    assert await states(timed_store) == ["DEAD", "WAITING"]
    assert len(receiver.received) == 2


async def test_dead_deliveries_are_replayed_with_their_ids(timed_store: Store, clock: SettableClock) -> None:
    script = {"now": "410"}
    async with receiving(lambda *_: script["now"]) as receiver, worker_of(timed_store) as worker:
        await endpoint(timed_store, receiver.url())
        await happen(timed_store, 2)
        await work(worker)
        with pytest.raises(EndpointDisabled):
            await timed_store.change(lambda tx: webhook_endpoints.replay_dead(tx, "acme", "hooks"))
        await change_endpoint(timed_store, disabled=False)
        script["now"] = "200"
        first = {*receiver.ids()}
        await clock.advance(10 * DAY_MICROS)
        assert await timed_store.change(lambda tx: webhook_endpoints.replay_dead(tx, "acme", "hooks")) == 2
        await work(worker)
    assert (await states(timed_store), {*receiver.ids()} >= first) == (["DELIVERED", "DELIVERED"], True)
    assert Counter(one.behaviour for one in receiver.received)["200"] == 2


async def test_a_delivered_one_can_be_sent_again(timed_store: Store) -> None:
    """For a receiver that lost it."""
    async with receiving() as receiver, worker_of(timed_store) as worker:
        await endpoint(timed_store, receiver.url())
        await happen(timed_store)
        await work(worker)
        event_id = receiver.ids()[0]
        again = await timed_store.change(lambda tx: webhook_endpoints.replay_delivery(tx, "acme", "hooks", event_id))
        assert again.state is DeliveryState.WAITING
        await work(worker)
    assert receiver.ids() == [event_id, event_id]


async def test_after_a_rotation_both_secrets_sign_until_the_overlap_is_over(
    timed_store: Store, clock: SettableClock
) -> None:
    other = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
    async with receiving() as receiver, worker_of(timed_store) as worker:
        await endpoint(timed_store, receiver.url())
        secret = Secret(PlainSealer().seal(other), is_given=True)
        await timed_store.change(
            lambda tx: webhook_endpoints.rotate_secret(tx, PLATFORM, "acme", "hooks", secret, DAY_MICROS)
        )
        await happen(timed_store)
        await work(worker)
        await clock.advance(DAY_MICROS)
        await happen(timed_store)
        await work(worker)
    genuine = [[one.is_genuine(SECRET), one.is_genuine(other)] for one in receiver.received]
    assert genuine == [[True, True], [False, True]]


async def test_a_deleted_endpoint_takes_its_deliveries_along(timed_store: Store, clock: SettableClock) -> None:
    """And one with the same id that comes later has nothing to do with them."""
    async with receiving(lambda *_: "500") as receiver, worker_of(timed_store) as worker:
        await endpoint(timed_store, receiver.url())
        await happen(timed_store)
        await work(worker)
        await timed_store.change(lambda tx: webhook_endpoints.delete(tx, PLATFORM, "acme", "hooks"))
        await endpoint(timed_store, receiver.url())
        await clock.advance(HOUR_MICROS)
        await work(worker)
    assert (len(receiver.received), await deliveries(timed_store)) == (1, [])


async def test_a_deleted_organization_is_told_nothing_more(timed_store: Store, clock: SettableClock) -> None:
    async with receiving(lambda *_: "500") as receiver, worker_of(timed_store) as worker:
        await endpoint(timed_store, receiver.url())
        await happen(timed_store)
        await work(worker)
        await happen(timed_store)
        await timed_store.change(lambda tx: organizations.delete(tx, PLATFORM, "acme"))
        await clock.advance(HOUR_MICROS)
        await work(worker)
    assert len(receiver.received) == 1


async def test_old_events_are_pruned_with_their_deliveries(timed_store: Store, clock: SettableClock) -> None:
    """But for one that still waits to be sent."""
    script = {"/a": "200", "/b": "500"}
    async with receiving(lambda _, path: script[path]) as receiver, worker_of(timed_store) as worker:
        await endpoint(timed_store, receiver.url("/a"), "a")
        await happen(timed_store, 2)
        await work(worker)
        await clock.advance(28 * DAY_MICROS)
        await endpoint(timed_store, receiver.url("/b"), "b")
        await happen(timed_store)
        await work(worker)
        await clock.advance(3 * DAY_MICROS)
        await worker.prune_once()
        assert (await states(timed_store, "a"), await states(timed_store, "b")) == (["DELIVERED"], ["WAITING"])
        await clock.advance(30 * DAY_MICROS)
        await worker.prune_once()
        assert (await states(timed_store, "a"), await states(timed_store, "b")) == (["DELIVERED"], ["WAITING"])
        await work(worker)
        await worker.prune_once()
    assert (await states(timed_store, "a"), await states(timed_store, "b")) == ([], [])


async def test_the_backlog_tells_what_is_to_be_done(timed_store: Store, clock: SettableClock) -> None:
    async with receiving(lambda *_: "500") as receiver, worker_of(timed_store) as worker:
        await endpoint(timed_store, receiver.url())
        start = clock.now
        await happen(timed_store, 2)
        before = await timed_store.read(outbox.backlog)
        await work(worker)
        await clock.advance(1)
        await happen(timed_store)
        after = await timed_store.read(outbox.backlog)
    assert (before.new_events, before.waiting, before.oldest_create_time) == (2, 0, start)
    assert (after.new_events, after.waiting, after.oldest_create_time) == (1, 2, start)


# Several at once


async def test_one_slow_receiver_delays_no_other(store: Store) -> None:
    """One that hangs keeps its own slots busy; the others' events arrive meanwhile."""
    async with receiving(lambda _, path: "hang" if path == "/slow" else "200") as receiver:
        await endpoint(store, receiver.url("/slow"), "slow")
        await endpoint(store, receiver.url("/quick"), "quick")
        await happen(store, 30)
        async with working(store, attempt_seconds=8):
            await all_delivered(store, "quick")
        assert sum(one.path == "/slow" for one in receiver.received) <= 10


async def test_workers_of_several_replicas_never_deliver_twice_at_once(store: Store, store_url: str) -> None:
    """Each delivery is leased to one of them; with receivers that answer there is one attempt for each event."""
    if not store.capabilities.replicas:
        pytest.skip("one process serves this store")
    async with receiving() as receiver, opened(store_url) as second, opened(store_url) as third:
        await endpoint(store, receiver.url())
        await happen(store, 60)
        async with working(store), working(second), working(third):
            await receiver.has(60)
            await all_delivered(store)
    assert sorted(Counter(receiver.ids()).values()) == [1] * 60


async def test_what_a_dead_replica_was_trying_is_tried_again_when_its_lease_ends(
    timed_store: Store, clock: SettableClock
) -> None:
    """Nobody touches it before: its first holder may still be at it."""
    async with receiving() as receiver, worker_of(timed_store) as dead, worker_of(timed_store) as alive:
        await endpoint(timed_store, receiver.url())
        await happen(timed_store)
        await dead.round()
        await asyncio.wait(list(dead._attempts))
        # It dies here, with what came of the attempt in its memory.
        await work(alive)
        assert (len(receiver.received), await states(timed_store)) == (1, ["WAITING"])
        await clock.advance((LEASE_SECONDS - 1) * MICROS_PER_SECOND)
        await work(alive)
        assert len(receiver.received) == 1
        await clock.advance(MICROS_PER_SECOND)
        await work(alive)
    assert (receiver.ids(), await states(timed_store)) == ([receiver.ids()[0]] * 2, ["DELIVERED"])


async def test_a_failure_that_is_told_after_the_lease_ended_changes_nothing(
    timed_store: Store, clock: SettableClock
) -> None:
    """The row is another replica's by then; a success is written all the same."""
    async with (
        receiving(lambda number, _: "500" if number == 0 else "200") as receiver,
        worker_of(timed_store) as late,
        worker_of(timed_store) as second,
    ):
        await endpoint(timed_store, receiver.url())
        await happen(timed_store)
        await late.round()
        await asyncio.wait(list(late._attempts))
        await clock.advance(LEASE_SECONDS * MICROS_PER_SECOND)
        await work(second)
        await work(late)
    (delivery,) = await deliveries(timed_store)
    assert (delivery.state, delivery.attempts) == (DeliveryState.DELIVERED, 1)


async def test_a_stop_writes_what_has_ended_and_lets_go_of_the_rest(store: Store) -> None:
    """Another replica need not wait for the leases to end."""
    async with receiving(lambda number, _: "200" if number == 0 else "hang") as receiver:
        await endpoint(store, receiver.url())
        await happen(store, 2)
        async with working(store, attempt_seconds=60):
            await receiver.has(2)
        found = await deliveries(store)
        now = await store.now()
    assert sorted(one.state.value for one in found) == ["DELIVERED", "WAITING"]
    (waiting,) = [one for one in found if one.state is DeliveryState.WAITING]
    assert (waiting.is_being_tried, waiting.attempts) == (False, 0)
    assert waiting.due_time <= now


async def test_a_worker_survives_an_outage_of_its_store(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Results wait in memory, within bounds, until they can be written."""
    async with receiving() as receiver:
        await endpoint(store, receiver.url())
        await happen(store, 5)
        real, failing = store.change, True

        async def change(work: object) -> object:
            if failing and receiver.received:
                raise StorageUnavailable
            return await real(work)  # type: ignore[arg-type]

        monkeypatch.setattr(store, "change", change)
        async with working(store, policy=QUICK):
            await receiver.has(5)
            await asyncio.sleep(0.2)
            failing = False
            await all_delivered(store)
    assert len(receiver.received) == 5


async def test_slack_and_standard_endpoints_stand_side_by_side(timed_store: Store) -> None:
    async with receiving() as receiver, sending() as sender, worker_of(timed_store, sender) as worker:
        await endpoint(timed_store, receiver.url("/slack"), "slack", format=WebhookFormat.SLACK)
        await endpoint(timed_store, receiver.url("/standard"), "standard")
        await happen(timed_store)
        await work(worker)
    by_path = {one.path: one for one in receiver.received}
    assert by_path["/slack"].message_id == ""
    assert by_path["/standard"].is_genuine(SECRET)


async def test_the_server_tells_the_audit_what_it_disabled_by_itself(timed_store: Store) -> None:
    """With nobody as its actor, in the chain like every change."""
    async with receiving(lambda *_: "410") as receiver, worker_of(timed_store) as worker:
        await endpoint(timed_store, receiver.url())
        await happen(timed_store)
        await work(worker)
    newest = (await timed_store.read(lambda c: ledger_reads.audit_events(c, "acme", None, 1)))[0].draft
    assert (newest.action, newest.actor, newest.source) == ("webhook_endpoint.updated", "server", "server")
    assert newest.after is not None
    assert (newest.after["disabled"], newest.after["disable_reason"]) == (True, "GONE")
    assert await disagreement(timed_store) is None
