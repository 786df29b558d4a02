"""A cap that holds while many callers run at it at once, over real channels, on every replica there can be.

What is true is what the callers were answered, written down by them; the server's counters and `outlay verify` are
compared with it.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration

from outlay.v1 import budget_service_pb2 as pb
from support.database_commands import verify
from support.replicas import Replicas
from support.tenants import MICROS_PER_CENT, Tenant
from support.wire import AsyncCaller

CALLERS = 64
CONNECTIONS = 8
"""Callers share connections, as the tasks of a process do."""

CAP_CENTS = 3_000
ATTEMPTS = 6_000

_DAY = Duration(seconds=86_400)

MakeRequest = Callable[[int], pb.CheckSpendRequest]
Answered = list[tuple[pb.CheckSpendRequest, pb.CheckSpendResponse]]


async def ask_at_once(addresses: Sequence[str], key: str, attempts: int, make: MakeRequest) -> Answered:
    """Send request 0 to `attempts` - 1 from 64 callers, as fast as each is answered; what they asked and were told."""
    numbers = iter(range(attempts))
    journal: Answered = []

    async def run(caller: AsyncCaller) -> None:
        for number in numbers:
            request = make(number)
            journal.append((request, await caller.call("CheckSpend", request)))

    async with AsyncExitStack() as stack:
        connections = [
            await stack.enter_async_context(AsyncCaller(addresses[number % len(addresses)], key))
            for number in range(CONNECTIONS)
        ]
        await asyncio.gather(*(run(connections[number % CONNECTIONS]) for number in range(CALLERS)))
    return journal


def held_and_spent(answers: Answered) -> tuple[int, int]:
    """What the callers were granted, in micros: by reservations, and recorded at once."""
    held = sum(answer.granted_micros for _, answer in answers if answer.reservation)
    spent = sum(answer.granted_micros for _, answer in answers if answer.spend_record)
    return held, spent


def counted(tenant: Tenant, budget_id: str = "spending") -> tuple[int, int]:
    """The same as the server counts it."""
    spend = tenant.budget(budget_id).spend
    return spend.reserved_micros, spend.spent_micros


async def test_64_callers_get_exactly_the_3000_cents_of_the_cap(
    replicas: Replicas, tenant: Tenant, record_property: Callable[[str, Any], None]
) -> None:
    """6,000 attempts of a cent, half of them held and half recorded: 3,000 are admitted, no more and no less."""
    tenant.cap(CAP_CENTS * MICROS_PER_CENT)
    key = tenant.key(["spend:check"]).secret

    def attempt(number: int) -> pb.CheckSpendRequest:
        mode = pb.CHECK_MODE_RESERVE if number % 2 else pb.CHECK_MODE_RECORD
        # The platform's organization name is left out, and each attempt can be repeated: as real callers do it.
        return tenant.check(
            MICROS_PER_CENT, mode=mode, organization="", reservation_ttl=_DAY, request_id=f"attempt-{number}"
        )

    started = asyncio.get_running_loop().time()
    journal = await ask_at_once(replicas.addresses, key, ATTEMPTS, attempt)
    record_property("seconds", round(asyncio.get_running_loop().time() - started, 1))

    decisions = Counter(answer.decision for _, answer in journal)
    assert decisions == {pb.DECISION_ALLOWED: CAP_CENTS, pb.DECISION_DENIED: ATTEMPTS - CAP_CENTS}
    assert sum(held_and_spent(journal)) == CAP_CENTS * MICROS_PER_CENT
    assert counted(tenant) == held_and_spent(journal)
    verify(replicas.servers[0])
    assert tenant.budget().spend.denied_count == ATTEMPTS - CAP_CENTS
    reasons = {answer.reason for _, answer in journal if answer.decision == pb.DECISION_DENIED}
    assert reasons == {pb.DENIAL_REASON_HELD_BY_RESERVATIONS}


TEAMS = 40
TEAM_CAP_CENTS = 5
TIGHT_CAP_CENTS = 150
"""Below the 200 cents of all teams together, so both caps bind somewhere."""


async def test_many_small_caps_each_hold_at_their_edge_under_a_tight_common_one(
    replicas: Replicas, tenant: Tenant
) -> None:
    """40 teams of 5 cents under 150 for all: no cap is passed, nothing is half held, nothing is refused in vain."""
    tenant.cap(TIGHT_CAP_CENTS * MICROS_PER_CENT)
    for team in range(TEAMS):
        tenant.create_budget(
            f"team-{team}",
            unit="USD",
            selector={"team": f"t{team}"},
            hard_cap_micros=TEAM_CAP_CENTS * MICROS_PER_CENT,
            hard_cap_enabled=True,
        )
    key = tenant.key(["spend:check"]).secret
    # Several rounds over the teams in random orders: the callers meet at each edge, and in no order of the budgets.
    chance = random.Random(20)
    order = [team for _ in range(12) for team in chance.sample(range(TEAMS), TEAMS)]
    amounts = [chance.choice((1, 1, 2)) * MICROS_PER_CENT for _ in order]

    def attempt(number: int) -> pb.CheckSpendRequest:
        return tenant.check(amounts[number], labels={"team": f"t{order[number]}"}, reservation_ttl=_DAY)

    journal = await ask_at_once(replicas.addresses, key, len(order), attempt)

    granted: Counter[str] = Counter()
    for request, answer in journal:
        granted[request.labels["team"]] += answer.granted_micros
    total = sum(granted.values())
    assert total <= TIGHT_CAP_CENTS * MICROS_PER_CENT
    assert max(granted.values()) <= TEAM_CAP_CENTS * MICROS_PER_CENT
    assert counted(tenant) == (total, 0)
    assert {team: counted(tenant, f"team-{team}") for team in range(TEAMS)} == {
        team: (granted[f"t{team}"], 0) for team in range(TEAMS)
    }
    # Nothing was ever given back, so whoever was refused a cent must still find none left.
    assert total == TIGHT_CAP_CENTS * MICROS_PER_CENT or all(
        granted[f"t{team}"] >= (TEAM_CAP_CENTS - 1) * MICROS_PER_CENT for team in range(TEAMS)
    )
    verify(replicas.servers[0])


@pytest.mark.parametrize("rounds", [12, pytest.param(2_000, marks=[pytest.mark.deep, pytest.mark.timeout(3_600)])])
async def test_what_is_given_back_under_load_is_admitted_again_and_never_twice(
    rounds: int, replicas: Replicas, tenant: Tenant
) -> None:
    """48 callers that hold, then release or settle for less, around a cap of 20 cents: it holds at every answer."""
    cap = 20 * MICROS_PER_CENT
    tenant.cap(cap)
    key = tenant.key(["spend:check", "spend:record"]).secret
    recorded: list[int] = []
    held: dict[str, int] = {}
    most_granted = 0

    async def run(caller: AsyncCaller, chance: random.Random) -> None:
        nonlocal most_granted
        for _ in range(rounds):
            answer = await caller.call("CheckSpend", tenant.check(MICROS_PER_CENT))
            if answer.decision != pb.DECISION_ALLOWED:
                continue
            held[answer.reservation] = answer.granted_micros
            # A lower bound of what is admitted at this moment: what this process knows to be held, and what is spent.
            most_granted = max(most_granted, sum(held.values()) + sum(recorded))
            # The work.
            await asyncio.sleep(chance.random() / 100)
            # No longer known to be held from the moment it is sent: the server may have closed it before it answers.
            amount = held.pop(answer.reservation)
            if chance.random() < 0.7:
                await caller.call("ReleaseReservation", pb.ReleaseReservationRequest(name=answer.reservation))
            else:
                await caller.call("RecordSpend", tenant.record(amount // 1_000, reservation=answer.reservation))
                recorded.append(amount // 1_000)

    async with AsyncExitStack() as stack:
        connections = [
            await stack.enter_async_context(AsyncCaller(replicas.addresses[number % len(replicas)], key))
            for number in range(CONNECTIONS)
        ]
        await asyncio.gather(*(run(connections[number % CONNECTIONS], random.Random(number)) for number in range(48)))

    assert most_granted <= cap
    assert counted(tenant) == (0, sum(recorded))
    assert sum(recorded) <= cap
    verify(replicas.servers[0])
