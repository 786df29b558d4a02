"""Callers that do not wait: deadlines of a millisecond, calls that are cancelled, and a server told to stop meanwhile.

None of them may hurt the server, its books, or anybody else's call.
"""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration

from outlay.v1 import budget_service_pb2 as pb
from outlay.v1 import reservation_pb2
from support.database_commands import verify
from support.replicas import Replicas
from support.server import ServerProcess
from support.snapshot import snapshot_of
from support.tenants import Tenant, new_id, new_tenant
from support.wire import AsyncCaller, Caller
from support.workload import Workload

IMPATIENT_CALLS = 1_000
CHANGES = 60

_TTL = Duration(seconds=3_600)
_GIVEN_UP = {grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED}

Start = Callable[[AsyncCaller, bytes], Any]


async def _with_a_deadline(caller: AsyncCaller, body: bytes) -> grpc.StatusCode:
    call = caller.start("CheckSpend", body, timeout_seconds=0.001)
    return await _code_of(call)


async def _cancelled(caller: AsyncCaller, body: bytes) -> grpc.StatusCode:
    call = caller.start("CheckSpend", body)
    await asyncio.sleep(0.001)
    call.cancel()
    return await _code_of(call)


async def _code_of(call: Any) -> grpc.StatusCode:
    try:
        await call
    except (grpc.aio.AioRpcError, asyncio.CancelledError):
        pass
    code: grpc.StatusCode = await call.code()
    return code


@pytest.mark.parametrize("give_up", [_with_a_deadline, _cancelled])
async def test_a_thousand_callers_that_give_up_leave_the_books_right(
    give_up: Callable[[AsyncCaller, bytes], Any], replicas: Replicas
) -> None:
    """What they wanted is held or not; each request_id tells which, once; and the cap is as full as they then say."""
    tenant = new_tenant(replicas.admin())
    cap = IMPATIENT_CALLS * 700
    tenant.cap(cap)
    bodies = [
        tenant.check(1_000, request_id=f"impatient-{number}", reservation_ttl=_TTL).SerializeToString()
        for number in range(IMPATIENT_CALLS)
    ]
    async with AsyncExitStack() as stack:
        callers = [
            await stack.enter_async_context(AsyncCaller(address, replicas.admin_key)) for address in replicas.addresses
        ]
        seen: Counter[grpc.StatusCode] = Counter()
        for start in range(0, IMPATIENT_CALLS, 50):
            chunk = bodies[start : start + 50]
            seen.update(await asyncio.gather(*(give_up(callers[n % len(callers)], b) for n, b in enumerate(chunk))))
        assert seen.keys() <= {grpc.StatusCode.OK, *_GIVEN_UP}, seen
        assert seen.keys() & _GIVEN_UP, "nobody gave up, so nothing was tried"
        # Another caller beside them is served as ever.
        started = time.monotonic()
        await callers[0].call("GetBudget", pb.GetBudgetRequest(name=tenant.child("budgets", "spending")))
        assert time.monotonic() - started < 3
        answers = []
        for start in range(0, IMPATIENT_CALLS, 50):
            chunk = bodies[start : start + 50]
            replies = await asyncio.gather(
                *(callers[n % len(callers)].raw("CheckSpend", b) for n, b in enumerate(chunk))
            )
            answers += [pb.CheckSpendResponse.FromString(reply) for reply in replies]
    held = {answer.reservation: answer.granted_micros for answer in answers if answer.reservation}
    spend = tenant.budget().spend
    assert sum(held.values()) == spend.reserved_micros == cap
    verify(replicas.servers[0])


async def test_changes_that_are_cancelled_are_whole_or_not_at_all(replicas: Replicas) -> None:
    """Settings too: after 120 cancelled updates and creations each is in the audit or has not happened."""
    tenant = new_tenant(replicas.admin())
    async with AsyncExitStack() as stack:
        caller = await stack.enter_async_context(AsyncCaller(replicas.addresses[-1], replicas.admin_key))
        chance = random.Random(3)
        for number in range(CHANGES):
            create = pb.CreateBudgetRequest(parent=tenant.name, budget_id=f"b-{number}", request_id=f"create-{number}")
            create.budget.unit = "USD"
            calls = [
                caller.start("CreateBudget", create.SerializeToString()),
                caller.start("UpdateBudget", tenant.cap_request(10**9 + number).SerializeToString()),
            ]
            await asyncio.sleep(chance.random() * 0.004)
            for call in calls:
                call.cancel()
            await asyncio.gather(*(_code_of(call) for call in calls))
    seen = _once_quiet(tenant)
    made = {budget.name for budget in seen[f"{tenant.name}/budgets"]}
    audited = [event for event in seen[f"{tenant.name}/auditEvents"] if event.action == "budget.created"]
    assert {event.resource for event in audited} == made
    assert len(audited) == len(made)
    updates = [event for event in seen[f"{tenant.name}/auditEvents"] if event.action == "budget.updated"]
    caps = [int(dict(event.after)["hard_cap_micros"]) for event in updates]
    assert len(set(caps)) == len(caps)
    assert [tenant.budget().hard_cap_micros, *caps][:1] == (caps or [0])[:1]
    verify(replicas.servers[0])


def _once_quiet(tenant: Tenant) -> dict[str, list[Any]]:
    """The books when two looks at them see the same: what was cancelled last may still be on its way."""
    seen = snapshot_of(tenant.admin, tenant.name)
    while (again := snapshot_of(tenant.admin, tenant.name)) != seen:
        seen = again
    return seen


async def test_sigterm_under_load_loses_no_acknowledgement(start_server: Callable[..., ServerProcess]) -> None:
    """Stopped in order and started again while 32 callers work: exit 0, and the books are what they were told."""
    server = start_server()
    with Caller(server.grpc_address, server.admin_key) as admin:
        tenant = new_tenant(admin)
        workload = Workload(tenant, tenant.key().secret, [server.grpc_address] * 4, callers=32, seed=15)
        working = asyncio.create_task(workload.run())
        await asyncio.sleep(0.5)
        assert await asyncio.to_thread(server.terminate) == 0
        workload.slow_down()
        acknowledged = len(list(workload.journal.acknowledged))
        await asyncio.to_thread(server.restart)
        await asyncio.sleep(0.2)
        workload.stop()
        await working
        assert acknowledged > 0
        assert workload.contradictions == []
        # Whoever was not served was told so in a way that clients repeat, and never by gRPC's own CANCELLED.
        assert workload.failures.keys() <= {"UNAVAILABLE", "OVERLOADED"}
        spend = tenant.budget().spend
        assert (spend.spent_micros, spend.reserved_micros) == (
            workload.journal.spent_micros,
            workload.journal.held_micros,
        )
        seen = snapshot_of(admin, tenant.name)
        assert {record.name for record in seen[f"{tenant.name}/spendRecords"]} == workload.journal.recorded.keys()
        open_ones = {
            one.name
            for one in seen[f"{tenant.name}/reservations"]
            if one.state == reservation_pb2.RESERVATION_STATE_OPEN
        }
        assert open_ones == workload.journal.held.keys()
    verify(server)


async def test_a_call_that_is_in_flight_at_sigterm_is_answered(start_server: Callable[..., ServerProcess]) -> None:
    """Calls that the server has taken before it stops end with their answers, not with a cut connection."""
    server = start_server()
    with Caller(server.grpc_address, server.admin_key) as admin:
        tenant = new_tenant(admin)
        key = tenant.key().secret
    batch = pb.BatchRecordSpendRequest(
        organization=tenant.name, requests=[tenant.record(1, request_id=new_id("item")) for _ in range(1_000)]
    )
    async with AsyncCaller(server.grpc_address, key) as caller:
        calls = [caller.start("BatchRecordSpend", batch.SerializeToString()) for _ in range(4)]
        await asyncio.sleep(0.05)
        status = asyncio.create_task(asyncio.to_thread(server.terminate))
        answers = await asyncio.gather(*calls)
        assert await status == 0
    assert len(set(answers)) == 1
    assert all(result.HasField("record") for result in pb.BatchRecordSpendResponse.FromString(answers[0]).results)
