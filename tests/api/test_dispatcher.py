"""One pipeline for every face: deadlines, shedding, scopes and sources, whatever carries the call."""

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from outlay.v1 import admin_service_pb2 as admin
from outlay.v1 import budget_service_pb2 as pb
from outlay_server.api.authentication import Authenticator
from outlay_server.api.caller import PLATFORM, Caller
from outlay_server.api.dispatcher import Dispatcher
from outlay_server.api.permissions import PERMISSIONS
from outlay_server.domain.api_key import ORGANIZATION_SCOPES, Scope
from outlay_server.domain.errors import (
    DeadlineExceeded,
    MissingScope,
    OutlayError,
    Overloaded,
    StorageUnavailable,
    Unimplemented,
)
from outlay_server.ledger import Ledger

CHECK = "/outlay.v1.BudgetService/CheckSpend"
RECORD = "/outlay.v1.BudgetService/RecordSpend"
GET = "/outlay.v1.BudgetService/GetBudget"
CREATE = "/outlay.v1.AdminService/CreateOrganization"

A_CHECK = pb.CheckSpendRequest(unit="USD", amount_micros=1)


class OneCaller:
    """Lets everybody in as one."""

    def __init__(self, caller: Caller) -> None:
        self.caller = caller

    async def authenticate(self, metadata: object) -> Caller:
        return self.caller

    def known(self, metadata: object) -> Caller:
        return self.caller

    def forget(self) -> None:
        pass


class StuckLedger:
    """Never answers."""

    def __init__(self) -> None:
        self.waiting = 0

    async def submit(self, command: object) -> None:
        self.waiting += 1
        await asyncio.Event().wait()

    def shed_for(self, organization_id: str) -> bool:
        return False


class StuckStore:
    """Takes a batch and never writes it."""

    async def post(self, commands: object, apply: object) -> None:
        await asyncio.Event().wait()


def dispatcher_of(*scopes: str, ledger: Any = None, caller: Caller | None = None, **options: Any) -> Dispatcher:
    store: Any = SimpleNamespace()
    authenticator: Any = OneCaller(caller or Caller("acme", "key", frozenset(scopes), None))
    assert isinstance(authenticator, OneCaller | Authenticator)
    return Dispatcher(store=store, ledger=ledger or StuckLedger(), authenticator=authenticator, **options)


async def call(dispatcher: Dispatcher, method: str, request: Any, *, deadline: float | None = 0.05) -> Any:
    return await dispatcher.call(method, request, {}, source="rest", deadline_seconds=deadline)


async def test_a_deadline_that_has_passed_has_no_effect() -> None:
    ledger = StuckLedger()
    with pytest.raises(DeadlineExceeded):
        await call(dispatcher_of("spend:check", ledger=ledger), CHECK, A_CHECK, deadline=0.0)
    assert ledger.waiting == 0


async def test_a_deadline_that_passes_while_waiting_is_told() -> None:
    dispatcher = dispatcher_of("spend:check")
    with pytest.raises(DeadlineExceeded):
        await call(dispatcher, CHECK, A_CHECK)
    assert dispatcher.in_flight == 0


@pytest.mark.parametrize(("asked", "held"), [(None, 5), (1_000.0, 30)], ids=["none", "too-long"])
async def test_calls_without_a_deadline_or_with_a_long_one_get_ours(
    monkeypatch: pytest.MonkeyPatch, asked: float | None, held: float
) -> None:
    seen: list[float] = []

    def timeout(seconds: float) -> asyncio.Timeout:
        seen.append(seconds)
        return asyncio.Timeout(asyncio.get_running_loop().time())

    monkeypatch.setattr(asyncio, "timeout", timeout)
    with pytest.raises(DeadlineExceeded):
        await call(dispatcher_of("spend:check"), CHECK, A_CHECK, deadline=asked)
    assert seen == [held]


async def test_a_timeout_that_is_not_the_deadline_is_a_defect_and_not_hidden() -> None:
    class Slow:
        async def submit(self, command: object) -> None:
            raise TimeoutError("a driver's own")

    with pytest.raises(Exception, match="defect"):
        await call(dispatcher_of("spend:check", ledger=Slow()), CHECK, A_CHECK)


async def test_under_load_a_check_is_shed_before_a_record() -> None:
    dispatcher = dispatcher_of("spend:check", "spend:record", in_flight_max=10)
    settling = pb.RecordSpendRequest(unit="USD", amount_micros=1, request_id="r")
    waiting = [asyncio.create_task(call(dispatcher, CHECK, A_CHECK, deadline=30)) for _ in range(8)]
    await asyncio.sleep(0)
    with pytest.raises(Overloaded):
        await call(dispatcher, CHECK, A_CHECK)
    waiting.append(asyncio.create_task(call(dispatcher, RECORD, settling, deadline=30)))
    await asyncio.sleep(0)
    assert dispatcher.in_flight == 9
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    assert dispatcher.in_flight == 0


async def test_a_server_full_of_one_organization_lets_in_another() -> None:
    """The latest call of the organization that has most waiting is shed for it, and no other."""
    ledger = Ledger(cast(Any, StuckStore()))
    await ledger.start()
    dispatcher = dispatcher_of(Scope.SPEND_CHECK, ledger=ledger, caller=PLATFORM, in_flight_max=10)

    def ask(organization_id: str) -> asyncio.Task[Any]:
        request = pb.CheckSpendRequest(organization=f"organizations/{organization_id}", unit="USD", amount_micros=1)
        return asyncio.create_task(call(dispatcher, CHECK, request, deadline=30))

    flood = [ask("acme") for _ in range(8)]
    await asyncio.sleep(0)
    authenticator = cast(OneCaller, dispatcher._authenticator)
    authenticator.caller = Caller("globex", "key", frozenset({"spend:check"}), None)
    other = ask("globex")
    await asyncio.sleep(0.01)
    assert not other.done()
    assert [index for index, task in enumerate(flood) if task.done()] == [7]
    assert isinstance(flood[7].exception(), Overloaded)
    assert dispatcher.in_flight == 8
    for task in (*flood, other):
        task.cancel()
    await asyncio.gather(*flood, other, return_exceptions=True)
    assert dispatcher.in_flight == 0


async def test_an_unknown_method_is_unimplemented() -> None:
    with pytest.raises(Unimplemented):
        await call(dispatcher_of("spend:check"), "/outlay.v1.BudgetService/Nothing", b"")


async def test_an_expected_failure_passes_as_it_is() -> None:
    class Down:
        async def submit(self, command: object) -> None:
            raise StorageUnavailable

    with pytest.raises(StorageUnavailable):
        await call(dispatcher_of("spend:check", ledger=Down()), CHECK, A_CHECK)


async def missing_scope(dispatcher: Dispatcher, method: str) -> str | None:
    """The scope a method asks for in vain, or None where the key was enough for it to get on with an empty request."""
    try:
        await call(dispatcher, method, b"")
    except MissingScope as error:
        return error.required_scope
    except OutlayError:
        pass
    return None


@pytest.mark.parametrize("method", PERMISSIONS)
async def test_a_key_with_any_one_scope_is_let_in_exactly_where_the_table_says(method: str) -> None:
    """Every RPC by every single scope."""
    scopes = PERMISSIONS[method].scopes
    for scope in ORGANIZATION_SCOPES:
        expected = None if scope in scopes else ",".join(scopes)
        assert await missing_scope(dispatcher_of(scope), method) == expected, scope


async def test_an_organizations_key_cannot_reach_the_platform_even_with_its_scope() -> None:
    """The second lock: no key of an organization can be given `admin`, and it would not help."""
    dispatcher = dispatcher_of(caller=Caller("acme", "key", frozenset(Scope), None))
    with pytest.raises(MissingScope):
        await call(dispatcher, CREATE, admin.CreateOrganizationRequest(organization_id="mine"))


async def test_the_platform_key_may_call_everything() -> None:
    dispatcher = dispatcher_of(caller=PLATFORM)
    assert {await missing_scope(dispatcher, method) for method in PERMISSIONS} == {None}
