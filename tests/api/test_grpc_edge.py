"""gRPC itself: what arrives is guarded, what fails is told in trailers, and nothing of ours leaks."""

import asyncio

import grpc
import grpc.aio
import pytest

from api.edge import Client, Edge, failure_of
from outlay.v1 import admin_service_pb2 as admin
from outlay.v1 import budget_service_pb2 as pb
from outlay.v1.organization_pb2 import Gate
from outlay_server.domain.errors import Overloaded
from outlay_server.domain.limits import BATCH_RECEIVE_MAX_BYTES, RECEIVE_MAX_BYTES

CHECK = "/outlay.v1.BudgetService/CheckSpend"
BATCH = "/outlay.v1.BudgetService/BatchCheckSpend"
ACME = "organizations/acme"


async def raw_failure(edge: Edge, method: str, body: bytes, *metadata: tuple[str, str], **options: object):
    """The error that bytes are answered with; `metadata` is all there is."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await edge.channel.unary_unary(method)(body, metadata=metadata, **options)
    return failure_of(caught.value)


def bearer(client: Client) -> tuple[str, str]:
    return "authorization", f"Bearer {client.key}"


async def test_a_call_without_a_key_is_unauthenticated(edge: Edge) -> None:
    failure = await raw_failure(edge, CHECK, b"")
    assert (failure.code, failure.reason) == (grpc.StatusCode.UNAUTHENTICATED, "INVALID_API_KEY")


async def test_two_keys_are_no_key_even_where_both_are_valid(edge: Edge) -> None:
    failure = await raw_failure(edge, CHECK, b"", bearer(edge.platform), bearer(edge.platform))
    assert failure.reason == "INVALID_API_KEY"


async def test_every_way_to_have_no_valid_key_is_answered_alike(edge: Edge) -> None:
    client = await edge.client("spend:check")
    keys = ["sk_typo", client.key[:-1] + ("0" if client.key[-1] != "0" else "1"), "sk_" + "0" * 38]
    answers = {(await raw_failure(edge, CHECK, b"", ("authorization", f"Bearer {key}"))).essence for key in keys}
    answers.add((await raw_failure(edge, CHECK, b"")).essence)
    assert len(answers) == 1


@pytest.mark.parametrize(
    "body",
    [
        b"\xff",
        b"\x12\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
        b"\x12\x02\xc3\x28",
        b"\x0a\x05ab",
        b"\x2a" + b"\x0b" * 200,
    ],
    ids=["tag", "varint", "utf-8", "cut", "nested"],
)
async def test_bytes_that_are_no_message_are_a_violation(edge: Edge, body: bytes) -> None:
    failure = await raw_failure(edge, CHECK, body, bearer(edge.platform))
    assert (failure.code, failure.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "VALIDATION_FAILED")


@pytest.mark.parametrize(("method", "limit"), [(CHECK, RECEIVE_MAX_BYTES), (BATCH, BATCH_RECEIVE_MAX_BYTES)])
async def test_a_request_above_its_methods_size_is_refused(edge: Edge, method: str, limit: int) -> None:
    # An unknown field, so that only the size is wrong with it.
    def filler(length: int) -> bytes:
        return b"\xfa\x7f" + bytes([length & 127 | 128, length >> 7 & 127 | 128, length >> 14]) + b"x" * length

    failure = await raw_failure(edge, method, filler(limit - 4), bearer(edge.platform))
    assert failure.violations == [("", f"the request must be at most {limit} bytes")]
    failure = await raw_failure(edge, method, filler(limit - 5), bearer(edge.platform))
    assert "organization" in failure.fields


async def test_as_many_labels_as_a_request_can_hold_are_refused_unread(edge: Edge) -> None:
    request = pb.CheckSpendRequest(unit="USD", labels={f"{i:05}": "" for i in range(20_000)})
    client = await edge.client("spend:check")
    failure = await client.failure("CheckSpend", request)
    assert failure.fields == ["labels"]


async def test_as_many_violations_as_there_may_be_reach_a_common_client(edge: Edge) -> None:
    request = admin.CreateOrganizationRequest(organization_id="A", request_id="\n")
    request.organization.gates.extend(Gate(gate_id="A" * 200, label="\0", pattern="a*b") for _ in range(100))
    failure = await edge.platform.failure("CreateOrganization", request)
    assert failure.code is grpc.StatusCode.INVALID_ARGUMENT
    assert len(failure.violations) > 20


@pytest.mark.parametrize("method", ["/outlay.v1.BudgetService/SpendFreely", "/outlay.v1.NoService/Check"])
async def test_an_unknown_method_is_unimplemented(edge: Edge, method: str) -> None:
    failure = await raw_failure(edge, method, b"", bearer(edge.platform))
    assert (failure.code, failure.reason) == (grpc.StatusCode.UNIMPLEMENTED, "UNIMPLEMENTED")


async def test_methods_of_other_packages_are_left_to_others(edge: Edge) -> None:
    failure = await raw_failure(edge, "/grpc.health.v1.Health/Check", b"")
    assert (failure.code, failure.reason) == (grpc.StatusCode.UNIMPLEMENTED, "")


@pytest.mark.parametrize(
    ("scope", "request_", "reason"),
    [
        ("spend:check", pb.WatchBudgetsRequest(parent=ACME), "MISSING_SCOPE"),
        ("budgets:read", pb.WatchBudgetsRequest(parent="organizations/nobody"), "NOT_FOUND"),
        ("budgets:read", pb.WatchBudgetsRequest(parent=ACME, after_sequence=-1), "VALIDATION_FAILED"),
        ("budgets:read", pb.WatchBudgetsRequest(), "VALIDATION_FAILED"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_a_stream_is_refused_like_any_call(
    edge: Edge, scope: str, request_: pb.WatchBudgetsRequest, reason: str
) -> None:
    asker = await edge.client(scope)
    stream = asker.budgets.WatchBudgets(request_, metadata=[bearer(asker)])
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stream.read()
    assert failure_of(caught.value).reason == reason


# The id of a call


async def correlation_ids(edge: Edge, *metadata: tuple[str, str]) -> tuple[str, str]:
    """The id that an answer carries ("" for none), and the one that an error does."""
    call = edge.platform.admin.ListOrganizations(
        admin.ListOrganizationsRequest(), metadata=[bearer(edge.platform), *metadata]
    )
    await call
    answered = dict(list(await call.trailing_metadata())).get("x-request-id", "")
    return answered, (await raw_failure(edge, CHECK, b"", *metadata)).trailers["x-request-id"]


async def test_the_callers_id_comes_back_on_answers_and_errors(edge: Edge) -> None:
    assert await correlation_ids(edge, ("x-request-id", "mine-1")) == ("mine-1", "mine-1")


async def test_an_error_without_an_id_gets_one_of_its_own(edge: Edge) -> None:
    """Whoever did not name a call needs a name for it only when it failed."""
    (on_answer, first), (_, second) = await correlation_ids(edge), await correlation_ids(edge)
    assert (on_answer, first != second) == ("", True)


async def test_an_id_that_is_too_long_for_a_log_is_not_taken(edge: Edge) -> None:
    long = "x" * 129
    assert long not in await correlation_ids(edge, ("x-request-id", long))


# Defects, load, time


async def test_a_defect_is_internal_and_leaks_nothing(edge: Edge, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(command: object) -> None:
        raise RuntimeError("postgresql://user:password@host/db")

    monkeypatch.setattr(edge.ledger, "submit", broken)
    client = await edge.client("spend:check")
    client.more = [("x-request-id", "find-me")]
    failure = await client.failure("CheckSpend", pb.CheckSpendRequest(unit="USD", amount_micros=1))
    assert (failure.code, failure.reason) == (grpc.StatusCode.INTERNAL, "INTERNAL")
    assert failure.facts == {"request_id": "find-me"}
    assert "password" not in failure.message + str(failure.trailers)


async def test_a_call_that_is_shed_is_told_when_to_come_back(edge: Edge, monkeypatch: pytest.MonkeyPatch) -> None:
    async def full(command: object) -> None:
        raise Overloaded(1)

    monkeypatch.setattr(edge.ledger, "submit", full)
    client = await edge.client("spend:check")
    failure = await client.failure("CheckSpend", pb.CheckSpendRequest(unit="USD", amount_micros=1))
    assert (failure.code, failure.reason) == (grpc.StatusCode.UNAVAILABLE, "OVERLOADED")
    assert failure.trailers["grpc-retry-pushback-ms"] == "1000"


async def test_a_call_whose_caller_gives_up_is_counted_as_cancelled(
    edge: Edge, monkeypatch: pytest.MonkeyPatch
) -> None:
    began = asyncio.Event()

    async def stuck(command: object) -> None:
        began.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(edge.ledger, "submit", stuck)
    client = await edge.client("spend:check")
    call = asyncio.create_task(client.call("CheckSpend", pb.CheckSpendRequest(unit="USD", amount_micros=1)))
    await began.wait()
    call.cancel()
    while not [code for method, code, _ in edge.calls.finished if method == CHECK]:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    assert edge.calls.finished[-1][:2] == (CHECK, grpc.StatusCode.CANCELLED)
    assert edge.dispatcher.in_flight == 0


async def test_a_deadline_of_the_caller_ends_the_call_on_the_server_too(
    edge: Edge, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No timer of ours runs for it: gRPC cancels the call, or it would stay in flight for ever."""

    async def stuck(command: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(edge.ledger, "submit", stuck)
    client = await edge.client("spend:check")
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await client.call("CheckSpend", pb.CheckSpendRequest(unit="USD", amount_micros=1), timeout=0.2)
    assert caught.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    async with asyncio.timeout(5):
        while edge.dispatcher.in_flight:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    assert [code for method, code, _ in edge.calls.finished if method == CHECK] == [grpc.StatusCode.CANCELLED]


async def test_many_cancelled_calls_leave_nothing_in_flight_and_the_server_serving(edge: Edge) -> None:
    client = await edge.client("spend:check")
    request = pb.CheckSpendRequest(unit="USD", amount_micros=1)

    async def hasty() -> None:
        with pytest.raises(grpc.aio.AioRpcError):
            await client.call("CheckSpend", request, timeout=0.000_001)

    await asyncio.gather(*(hasty() for _ in range(200)))
    await client.call("CheckSpend", request)
    assert edge.dispatcher.in_flight == 0


async def test_every_call_is_observed_once(edge: Edge) -> None:
    edge.calls.started.clear()
    edge.calls.finished.clear()
    client = Client(edge.channel, edge.platform.key, [("x-request-id", "one")])
    await client.call("GetOrganization", admin.GetOrganizationRequest(name=ACME))
    await client.failure("GetOrganization", admin.GetOrganizationRequest(name="organizations/none"))
    path = "/outlay.v1.AdminService/GetOrganization"
    assert edge.calls.started == [path, path]
    assert edge.calls.finished == [
        (path, grpc.StatusCode.OK, "one"),
        (path, grpc.StatusCode.NOT_FOUND, "one"),
    ]
