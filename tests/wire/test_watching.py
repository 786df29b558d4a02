"""Watching over the wire: on every replica, across a restart, until the key or the server goes."""

import json
from contextlib import closing
from typing import Any

import grpc
import httpx2
import pytest

from outlay.v1 import admin_service_pb2 as admin_pb
from outlay.v1 import budget_service_pb2 as pb
from support.replicas import Replicas
from support.server import ServerProcess
from support.tenants import new_tenant
from support.wire import Caller, authorization, failure_of, path_of

CENT = 10_000


class Watch:
    """One stream."""

    def __init__(self, caller: Caller, parent: str, after_sequence: int | None = None) -> None:
        method = caller.channel.unary_stream(
            path_of("WatchBudgets"),
            request_serializer=pb.WatchBudgetsRequest.SerializeToString,
            response_deserializer=pb.WatchBudgetsResponse.FromString,
        )
        request = pb.WatchBudgetsRequest(parent=parent, after_sequence=after_sequence)
        self.call: Any = method(request, metadata=authorization(caller.key), timeout=60)

    def take(self, count: int) -> list[Any]:
        return [next(self.call) for _ in range(count)]

    def reason(self) -> str:
        """Why it ended, once what it had to tell is read."""
        with pytest.raises(grpc.RpcError) as caught:
            for _ in self.call:
                pass
        return failure_of(caught.value).reason

    def close(self) -> None:
        self.call.cancel()


def test_every_change_reaches_watchers_on_every_replica(replicas: Replicas) -> None:
    """What is spent at the first is told at the last, in order, with the spend of that commit."""
    tenant = new_tenant(replicas.admin(0))
    with closing(Watch(replicas.admin(-1), tenant.name)) as watch:
        state = watch.take(2)
        for _ in range(10):
            tenant.admin.call("RecordSpend", tenant.record(CENT))
        changes = watch.take(10)
    assert [change.type for change in state] == [pb.BUDGET_CHANGE_TYPE_INITIAL] * 2
    assert [change.budget.spend.spent_micros for change in changes] == [(number + 1) * CENT for number in range(10)]
    first = state[-1].sequence + 1
    assert [change.sequence for change in changes] == list(range(first, first + 10))
    assert {change.budget.name for change in changes} == {tenant.child("budgets", "spending")}


def test_a_watcher_learns_of_a_cap_and_of_a_deletion(replicas: Replicas) -> None:
    tenant = new_tenant(replicas.admin(0))
    tenant.create_budget("team", unit="USD")
    with closing(Watch(replicas.admin(-1), tenant.name)) as watch:
        watch.take(3)
        tenant.cap(500 * CENT)
        tenant.admin.call("DeleteBudget", pb.DeleteBudgetRequest(name=tenant.child("budgets", "team")))
        changed, deleted = watch.take(2)
    assert (changed.type, changed.budget.hard_cap_micros) == (pb.BUDGET_CHANGE_TYPE_CHANGED, 500 * CENT)
    assert (deleted.type, deleted.budget.name) == (pb.BUDGET_CHANGE_TYPE_DELETED, tenant.child("budgets", "team"))


def test_a_revoked_key_ends_its_stream(replicas: Replicas) -> None:
    tenant = new_tenant(replicas.admin(0))
    key = tenant.key(["budgets:read"])
    with closing(Watch(replicas.admin(-1).with_key(key.secret), tenant.name)) as watch:
        watch.take(2)
        tenant.admin.call("RevokeApiKey", admin_pb.RevokeApiKeyRequest(name=key.name))
        assert watch.reason() == "INVALID_API_KEY"


def test_a_watcher_goes_on_after_a_crash_of_the_server(server: ServerProcess) -> None:
    """What was committed while it was away is told once, and nothing else is told again."""
    with Caller(server.grpc_address, server.admin_key) as caller:
        tenant = new_tenant(caller)
        last = Watch(caller, tenant.name).take(2)[-1].sequence
        caller.call("RecordSpend", tenant.record(CENT))
    server.kill9()
    server.restart()
    with (
        Caller(server.grpc_address, server.admin_key) as caller,
        closing(Watch(caller, tenant.name, after_sequence=last)) as watch,
    ):
        caller.call("RecordSpend", tenant.record(CENT))
        assert [change.budget.spend.spent_micros for change in watch.take(2)] == [CENT, 2 * CENT]


def test_a_server_that_stops_lets_its_watchers_go(server: ServerProcess) -> None:
    """They are told to come back; they do not keep it from stopping."""
    with Caller(server.grpc_address, server.admin_key) as caller:
        tenant = new_tenant(caller)
        watch = Watch(caller, tenant.name)
        watch.take(2)
        assert server.terminate() == 0
        assert watch.reason() == "OVERLOADED"


def test_lines_arrive_over_http_as_they_happen(replicas: Replicas) -> None:
    tenant = new_tenant(replicas.admin(0))
    server = replicas.servers[-1]
    headers = {"authorization": f"Bearer {replicas.admin_key}"}
    with httpx2.stream("GET", f"{server.http_url}/v1/{tenant.name}/budgets:watch", headers=headers) as answer:
        lines = (json.loads(line) for line in answer.iter_lines() if line)
        assert [next(lines)["type"] for _ in range(2)] == ["BUDGET_CHANGE_TYPE_INITIAL"] * 2
        tenant.admin.call("RecordSpend", tenant.record(CENT))
        assert next(lines)["budget"]["spend"]["spent_micros"] == str(CENT)
