"""Bytes that no honest client sends: a documented answer to each, within a second, and nothing changed by an error.

Valid requests of every RPC are mutated and sent twice over: first to see which of them fail, and then those that
failed once more between two looks at everything that can be seen.
"""

import asyncio
import random
import time
from collections import Counter
from contextlib import AsyncExitStack
from typing import Any

import grpc
import pytest

from outlay.v1 import admin_service_pb2 as admin_pb
from outlay.v1 import budget_service_pb2 as pb
from outlay.v1 import reservation_pb2
from support.database_commands import verify
from support.examples import Examples
from support.mutants import mutant_of
from support.replicas import Replicas
from support.snapshot import all_of, snapshot_of
from support.tenants import Tenant, new_tenant
from support.wire import METHODS, AsyncCaller, Failure

CODES = {
    "MISSING_SCOPE": grpc.StatusCode.PERMISSION_DENIED,
    "VALIDATION_FAILED": grpc.StatusCode.INVALID_ARGUMENT,
    "NOT_FOUND": grpc.StatusCode.NOT_FOUND,
    "ALREADY_EXISTS": grpc.StatusCode.ALREADY_EXISTS,
    "ETAG_MISMATCH": grpc.StatusCode.ABORTED,
    "MANAGED_ELSEWHERE": grpc.StatusCode.FAILED_PRECONDITION,
    "REQUEST_ID_REUSED": grpc.StatusCode.INVALID_ARGUMENT,
    "RESERVATION_CLOSED": grpc.StatusCode.FAILED_PRECONDITION,
    "LIMIT_EXCEEDED": grpc.StatusCode.FAILED_PRECONDITION,
    "OPEN_RESERVATIONS": grpc.StatusCode.FAILED_PRECONDITION,
    "UNIMPLEMENTED": grpc.StatusCode.UNIMPLEMENTED,
}
"""What a request by itself may be answered, as the contract has it. A healthy server has no reason for the others."""

BATCH_MAX_BYTES = 1024 * 1024
IN_FLIGHT = 16
SLOWEST_SECONDS = 3.0
"""The promise is one second on a machine of its own; here others may run beside it."""

Sent = tuple[str, bytes]


async def send_all(addresses: tuple[str, ...], keys: list[str], bodies: list[Sent]) -> tuple[list[Any], float]:
    """Send all, a few at a time, by the keys in turn; the failure of each or None, and the longest that one took."""
    outcomes: list[Any] = [None] * len(bodies)
    numbers = iter(range(len(bodies)))
    slowest = 0.0

    async def run(callers: list[AsyncCaller]) -> None:
        nonlocal slowest
        for number in numbers:
            name, body = bodies[number]
            started = time.monotonic()
            try:
                await callers[number % len(callers)].raw(name, body, timeout_seconds=10)
            except Failure as failure:
                outcomes[number] = failure
            slowest = max(slowest, time.monotonic() - started)

    async with AsyncExitStack() as stack:
        callers = [await stack.enter_async_context(AsyncCaller(address, key)) for key in keys for address in addresses]
        await asyncio.gather(*(run(callers) for _ in range(IN_FLIGHT)))
    return outcomes, slowest


@pytest.mark.parametrize("per_rpc", [60, pytest.param(8_000, marks=[pytest.mark.deep, pytest.mark.timeout(7_200)])])
async def test_mutated_requests_get_documented_answers_and_errors_change_nothing(
    per_rpc: int, replicas: Replicas, record_property: Any
) -> None:
    tenant = new_tenant(replicas.admin(), "fuzz")
    examples, chance = Examples(tenant), random.Random(per_rpc)
    keys = [replicas.admin_key, tenant.key().secret]
    bodies: list[Sent] = []
    for name in METHODS:
        example = examples.request(name)
        bodies += [(name, mutant_of(example, chance)) for _ in range(per_rpc)]
    chance.shuffle(bodies)

    outcomes, slowest = await send_all(replicas.addresses, keys, bodies)
    failed = [number for number, outcome in enumerate(outcomes) if outcome is not None]
    seen = Counter(outcomes[number].reason or outcomes[number].code.name for number in failed)
    record_property("answers", f"{len(bodies)} sent, {len(bodies) - len(failed)} OK, {dict(seen)}")
    undocumented = [
        (*bodies[number], str(outcomes[number]))
        for number in failed
        if not _is_documented(*bodies[number], outcomes[number])
    ]
    assert undocumented == []
    assert slowest < SLOWEST_SECONDS
    # Neither all refused at the door nor all let in: the mutants reach every depth.
    assert seen["VALIDATION_FAILED"] > len(bodies) * 0.2
    assert len(bodies) - len(failed) > len(bodies) * 0.05

    _close_reservations(tenant)
    before = _everything(tenant)
    again, _ = await send_all(replicas.addresses, keys, _same_keys(bodies, failed, len(keys) * len(replicas)))
    assert sum(outcome is None for outcome in again) == 0
    assert _everything(tenant) == before
    verify(replicas.servers[0])


def _same_keys(bodies: list[Sent], failed: list[int], callers: int) -> list[Sent]:
    """The failed ones in an order in which each meets the caller it met before, padded with one that must fail."""
    lanes: list[list[Sent]] = [[] for _ in range(callers)]
    for number in failed:
        lanes[number % callers].append(bodies[number])
    longest = max(len(lane) for lane in lanes)
    filler = ("GetBudget", b"\xff")
    padded = [[*lane, *[filler] * (longest - len(lane))] for lane in lanes]
    return [body for row in zip(*padded, strict=True) for body in row]


def _is_documented(name: str, body: bytes, failure: Failure) -> bool:
    if failure.code == grpc.StatusCode.RESOURCE_EXHAUSTED:
        # gRPC's own answer to what is larger than the largest batch.
        return len(body) > BATCH_MAX_BYTES
    if failure.status is None or failure.info.domain != "outlay.dev":
        return False
    if failure.reason == "UNIMPLEMENTED":
        return False
    return CODES.get(failure.reason) == failure.code and failure.status.code == failure.code.value[0]


def _close_reservations(tenant: Tenant) -> None:
    """Give back what is held, so that nothing expires between two looks."""
    request = pb.ListReservationsRequest(parent=tenant.name, state=reservation_pb2.RESERVATION_STATE_OPEN)
    for reservation in all_of(tenant.admin, "ListReservations", request, "reservations"):
        try:
            tenant.admin.call("ReleaseReservation", pb.ReleaseReservationRequest(name=reservation.name))
        except Failure as failure:
            if failure.reason != "RESERVATION_CLOSED":
                raise


def _everything(tenant: Tenant) -> dict[str, list[Any]]:
    listed = all_of(tenant.admin, "ListOrganizations", admin_pb.ListOrganizationsRequest(), "organizations")
    return {"organizations": listed, **snapshot_of(tenant.admin, tenant.name)}
