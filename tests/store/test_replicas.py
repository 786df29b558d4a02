"""Several processes on one database: they see each other's effects whole, and at once."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from ledger.stores import (
    CENT,
    PLATFORM,
    SettableClock,
    alerts,
    budget,
    cap,
    check,
    disagreement,
    extend,
    is_file,
    new_organization,
    opened,
    record,
    release,
    reserved,
    running,
    set_budget,
    snapshot,
)
from outlay_server import control
from outlay_server.domain.commands import CheckOutcome, ReservationOutcome
from outlay_server.domain.errors import AlreadyExists, NotFound, OutlayError, StorageUnavailable
from outlay_server.domain.gate import DEFAULT_GATES
from outlay_server.domain.reservation import ExpiryAction
from outlay_server.domain.selector import selector_of
from outlay_server.domain.settings import OrganizationSettings
from outlay_server.ledger import Ledger
from outlay_server.store import postgres
from outlay_server.store.contract import Store
from store.faults import execute, value

ALTERNATIONS = 300
DEEP_ALTERNATIONS = int(os.environ.get("OUTLAY_DEEP_ALTERNATIONS", "10000"))

Replica = tuple[Store, Ledger]


@contextlib.asynccontextmanager
async def replicas(url: str, clock: SettableClock | None = None, *, count: int = 2) -> AsyncIterator[list[Replica]]:
    """So many stores with a ledger each on one database, and the organization `acme`."""
    async with contextlib.AsyncExitStack() as stack:
        found: list[Replica] = []
        for _ in range(count):
            store = await stack.enter_async_context(opened(url, clock))
            if not store.capabilities.replicas:
                pytest.skip("one process serves this store")
            found.append((store, await stack.enter_async_context(running(store))))
        await new_organization(found[0][0])
        yield found


@pytest_asyncio.fixture
async def pair(store_url: str) -> AsyncIterator[list[Replica]]:
    if is_file(store_url):
        pytest.skip("one process serves this store")
    async with replicas(store_url) as found:
        yield found


async def is_allowed(ledger: Ledger, amount: int = 1, **labels: str) -> bool:
    outcome = await ledger.submit(check(amount, labels=labels, ttl_seconds=1))
    assert isinstance(outcome, CheckOutcome)
    return outcome.allowed


async def alternate(pair: list[Replica], times: int) -> int:
    """Set a cap on one replica, ask the other at once; how often the answer was stale."""
    (store, _), (_, other) = pair
    stale = 0
    await is_allowed(other)
    for number in range(times):
        await cap(store, 10**15 if number % 2 else 0)
        stale += await is_allowed(other) != bool(number % 2)
    return stale


async def test_a_cap_binds_the_next_check_on_another_replica(pair: list[Replica]) -> None:
    """Never an answer by settings that were changed before the question was asked."""
    assert await alternate(pair, ALTERNATIONS) == 0


@pytest.mark.deep
@pytest.mark.timeout(0)
async def test_caps_bind_at_once_ten_thousand_times(pair: list[Replica]) -> None:
    """The same for the figure in the guarantees; `OUTLAY_DEEP_ALTERNATIONS` changes how often."""
    assert await alternate(pair, DEEP_ALTERNATIONS) == 0


async def test_gates_and_deletions_bind_on_another_replica(pair: list[Replica]) -> None:
    """All that a decision rests on travels with the organization's version."""
    (store, _), (_, other) = pair
    assert not await is_allowed(other, model="claude-opus-4")
    await set_budget(store, options={"gates": {"opus": True}})
    assert await is_allowed(other, model="claude-opus-4")
    settings = OrganizationSettings("", DEFAULT_GATES)
    await store.change(lambda tx: control.organizations.update(tx, PLATFORM, "acme", settings, frozenset({"gates"})))
    assert not await is_allowed(other, model="claude-opus-4")
    await cap(store, 0)
    assert not await is_allowed(other)
    await store.change(lambda tx: control.budgets.delete(tx, PLATFORM, "acme", "spending", force=True))
    assert await is_allowed(other)
    await store.change(lambda tx: control.organizations.delete(tx, PLATFORM, "acme", force=True))
    with pytest.raises(NotFound):
        await is_allowed(other)


async def test_one_request_id_has_one_effect_over_all_replicas(pair: list[Replica]) -> None:
    """64 callers, each on the replica that chance gave it."""
    for round_ in range(10):
        command = record(1, request_id=f"r{round_}")
        answers = await asyncio.gather(*(pair[number % 2][1].submit(command) for number in range(64)))
        assert all(answer == answers[0] for answer in answers)
    assert (await budget(pair[0][0])).counter.spent_micros == 10


async def test_a_reservation_closes_once_over_all_replicas(pair: list[Replica]) -> None:
    """Released on one of them only."""
    for _ in range(20):
        hold = await reserved(pair[0][1], check(CENT))
        answers = await asyncio.gather(
            *(pair[n % 2][1].submit(release(hold)) for n in range(6)), return_exceptions=True
        )
        assert sum(isinstance(answer, ReservationOutcome) for answer in answers) == 1
    assert await disagreement(pair[0][0]) is None


async def test_an_expiry_is_recorded_once_over_all_replicas(store_url: str, clock: SettableClock) -> None:
    """Both meet it at the same time."""
    async with replicas(store_url, clock) as pair:
        (store, one), (_, other) = pair
        await set_budget(store, budget_micros=50)
        for _ in range(5):
            await reserved(one, check(10, ttl_seconds=1, on_expiry=ExpiryAction.RECORD))
        await clock.advance(1_000_000)
        await asyncio.gather(*(ledger.submit(check(0)) for ledger in (one, other) * 5))
        assert (await budget(store)).counter.spent_micros == 50
        assert len((await snapshot(store))["spend_records"]) == 5
        assert len(await alerts(store)) == 4
        assert await disagreement(store) is None


SLOWLY = "version + length(pg_sleep(0.001)::text)"
"""For `version` in the statement that locks: each row a while after the one before, as on a loaded database."""


async def many_organizations(pair: list[Replica], rounds: int = 10) -> list[object]:
    """Batches over the same twenty organizations, in opposite orders on each replica; what was answered."""
    names = [f"org-{number}" for number in range(20)]
    for name in names:
        await new_organization(pair[0][0], name)

    async def send(ledger: Ledger, order: list[str]) -> list[object]:
        batches = [await ledger.submit_all([record(1, organization_id=name) for name in order]) for _ in range(rounds)]
        return [answer for answers in batches for answer in answers]

    (_, one), (_, other) = pair
    return [answer for sent in await asyncio.gather(send(one, names), send(other, names[::-1])) for answer in sent]


async def deadlocks(url: str) -> int:
    """How many there were, in sessions that have ended: a session tells its count no later than at its end."""
    found = await value(url, "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
    assert isinstance(found, int)
    return found


async def test_batches_over_many_organizations_do_not_lock_each_other_out(
    pair: list[Replica], store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Locks are taken in one order, whatever order the commands came in."""
    monkeypatch.setattr(postgres, "_LOCK_ORGANIZATIONS", postgres._LOCK_ORGANIZATIONS.replace("version", SLOWLY))
    answers = await many_organizations(pair)
    assert not [answer for answer in answers if isinstance(answer, BaseException)]
    for number in range(20):
        assert (await budget(pair[0][0], organization_id=f"org-{number}")).counter.spent_micros == 20
    for store, _ in pair:
        await store.close()
    assert await deadlocks(store_url) == 0


_ASKS_TO_REPEAT = """
CREATE SEQUENCE attempts;
CREATE FUNCTION ask_to_repeat() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  IF nextval('attempts') <= {times} THEN RAISE EXCEPTION 'once more' USING ERRCODE = '{code}'; END IF;
  RETURN NEW;
END $$;
CREATE TRIGGER ask_to_repeat BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION ask_to_repeat();
"""


@pytest.mark.parametrize("code", ["40001", "40P01"])
async def test_a_batch_that_the_database_wants_repeated_is_repeated_whole(
    pair: list[Replica], store_url: str, code: str
) -> None:
    """Its callers do not notice, and every effect is there once."""
    store, ledger = pair[0]
    await cap(store, 10)
    await execute(store_url, _ASKS_TO_REPEAT.format(times=4, code=code, table="requests"))
    answers = await ledger.submit_all([check(6, request_id="a"), check(6, request_id="b"), check(4, request_id="c")])
    assert [isinstance(answer, CheckOutcome) and answer.allowed for answer in answers] == [True, False, True]
    assert (await budget(store)).counter.reserved_micros == 10
    assert await value(store_url, "SELECT last_value FROM attempts") == 6
    assert await disagreement(store) is None


async def test_a_batch_is_not_repeated_for_ever(pair: list[Replica], store_url: str) -> None:
    """After a bounded number of attempts the callers are told, and nothing has happened."""
    store, ledger = pair[0]
    await execute(store_url, _ASKS_TO_REPEAT.format(times=1_000, code="40001", table="requests"))
    before = await snapshot(store)
    with pytest.raises(StorageUnavailable):
        await ledger.submit(check(1, request_id="a"))
    assert await snapshot(store) == before
    attempts = await value(store_url, "SELECT last_value FROM attempts")
    assert isinstance(attempts, int)
    assert 2 <= attempts <= 20


async def test_a_change_that_the_database_wants_repeated_is_repeated_whole(pair: list[Replica], store_url: str) -> None:
    """One change, one audit event."""
    store, _ = pair[0]
    await execute(store_url, _ASKS_TO_REPEAT.format(times=3, code="40001", table="audit_events"))
    await cap(store, 10)
    assert len((await snapshot(store))["audit_events"]) == 4
    assert await disagreement(store) is None


async def test_one_organization_is_created_once_over_all_replicas(pair: list[Replica]) -> None:
    """The others are told that it exists."""

    async def create(store: Store, name: str) -> object:
        try:
            await new_organization(store, name)
        except OutlayError as error:
            return type(error)
        return None

    for number in range(5):
        answers = await asyncio.gather(*(create(pair[caller % 2][0], f"new-{number}") for caller in range(8)))
        assert answers.count(None) == 1
        assert answers.count(AlreadyExists) == 7


async def test_changes_and_decisions_at_once_leave_the_books_whole(pair: list[Replica]) -> None:
    """Selectors, cycles and limits change under load from both sides."""
    (store, one), (elsewhere, other) = pair
    holds: list[str] = []

    async def spender(ledger: Ledger, team: str) -> None:
        for number in range(60):
            await ledger.submit(record(1, labels={"team": team}))
            outcome = await ledger.submit(check(1, labels={"team": team}))
            assert isinstance(outcome, CheckOutcome)
            if outcome.reservation_id and number % 2:
                holds.append(outcome.reservation_id)
            elif outcome.reservation_id:
                await ledger.submit(extend(outcome.reservation_id, 1))

    async def administrator(at: Store) -> None:
        for number in range(30):
            patterns = [{}, {"team": "a"}, {"team": "*"}][number % 3]
            await set_budget(at, selector=selector_of(patterns), budget_micros=number * 3)

    await asyncio.gather(
        spender(one, "a"), spender(other, "b"), spender(one, "b"), administrator(store), administrator(elsewhere)
    )
    await asyncio.gather(*(pair[number % 2][1].submit(release(hold)) for number, hold in enumerate(holds)))
    assert await disagreement(store) is None
