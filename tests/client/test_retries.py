"""What the channel repeats by itself, against a scripted service that writes down what it was sent."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest

from outlay.v1 import budget_service_pb2 as pb
from outlay_client import AsyncClient, Client, OutlayError
from outlay_server.api.grpc_edge import add_services
from outlay_server.domain.errors import Overloaded

CHECK = "/outlay.v1.BudgetService/CheckSpend"


class _Scripted(grpc.GenericRpcHandler):
    """Answers checks by one code after another, the last of them for good."""

    def __init__(self, codes: list[grpc.StatusCode]) -> None:
        self.codes = codes
        self.request_ids: list[str] = []
        self.seconds_left: list[float] = []

    def service(
        self, handler_call_details: grpc.HandlerCallDetails
    ) -> "grpc.RpcMethodHandler[pb.CheckSpendRequest, pb.CheckSpendResponse] | None":
        if handler_call_details.method != CHECK:
            return None
        return grpc.unary_unary_rpc_method_handler(
            self._answer,
            request_deserializer=pb.CheckSpendRequest.FromString,
            response_serializer=pb.CheckSpendResponse.SerializeToString,
        )

    def _answer(self, request: pb.CheckSpendRequest, context: grpc.ServicerContext) -> pb.CheckSpendResponse:
        self.request_ids.append(request.request_id)
        self.seconds_left.append(context.time_remaining() or 0.0)
        code = self.codes.pop(0) if len(self.codes) > 1 else self.codes[0]
        if code is not grpc.StatusCode.OK:
            context.abort(code, "scripted")
        return pb.CheckSpendResponse(decision=pb.DECISION_ALLOWED, granted_micros=request.amount_micros)


@pytest.fixture
def scripted() -> Iterator[Callable[..., tuple[str, _Scripted]]]:
    """Start a service that answers by these codes; its address, and what it saw."""
    started: list[grpc.Server] = []

    def start(*codes: grpc.StatusCode) -> tuple[str, _Scripted]:
        handler = _Scripted(list(codes))
        server = grpc.server(ThreadPoolExecutor(4))
        server.add_generic_rpc_handlers((handler,))
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        started.append(server)
        return f"127.0.0.1:{port}", handler

    yield start
    for server in started:
        server.stop(None)


Start = Callable[..., tuple[str, _Scripted]]
UNAVAILABLE, OK = grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.OK


def test_unavailable_is_repeated_with_the_same_request_id(scripted: Start) -> None:
    """Twice unavailable, then answered: one check to its caller, three to the service, with one id and a deadline."""
    address, seen = scripted(UNAVAILABLE, UNAVAILABLE, OK)
    with Client(address, "sk_x", timeout_seconds=5) as client:
        assert client.check(7, request_id="mine").granted_micros == 7
    assert seen.request_ids == ["mine"] * 3
    assert all(0 < seconds <= 5 for seconds in seen.seconds_left)


def test_an_id_that_the_client_made_stays_the_same(scripted: Start) -> None:
    address, seen = scripted(UNAVAILABLE, OK)
    with Client(address, "sk_x") as client:
        client.check(7)
    assert (len(seen.request_ids), len(set(seen.request_ids)), all(seen.request_ids)) == (2, 1, True)


async def test_asyncio_repeats_likewise(scripted: Start) -> None:
    address, seen = scripted(UNAVAILABLE, OK)
    async with AsyncClient(address, "sk_x") as client:
        await client.check(7, request_id="mine")
    assert seen.request_ids == ["mine"] * 2


def test_it_gives_up_after_four_attempts(scripted: Start) -> None:
    address, seen = scripted(UNAVAILABLE)
    with Client(address, "sk_x", timeout_seconds=20) as client, pytest.raises(OutlayError):
        client.check(7)
    assert len(seen.request_ids) == 4


class _Overloaded:
    """A dispatcher that sheds the first calls, with the pushback that the service asks for."""

    def __init__(self, times: int) -> None:
        self.methods: dict[str, Any] = {}
        self.left = times
        self.calls = 0

    async def call(self, *_arguments: object, **_options: object) -> pb.CheckSpendResponse:
        self.calls += 1
        if self.left:
            self.left -= 1
            raise Overloaded(retry_after_seconds=1)
        return pb.CheckSpendResponse(decision=pb.DECISION_ALLOWED)


async def test_what_the_real_edge_sheds_is_repeated() -> None:
    """Its answer must be trailers only: after any message, an empty one too, a channel repeats nothing by itself."""
    server = grpc.aio.server()
    dispatcher = _Overloaded(1)
    add_services(server, dispatcher)  # type: ignore[arg-type]
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with AsyncClient(f"127.0.0.1:{port}", "sk_x", timeout_seconds=20) as client:
        check = await client.check(7)
    await server.stop(None)
    assert (check.allowed, dispatcher.calls) == (True, 2)


@pytest.mark.parametrize(
    "code", [code for code in grpc.StatusCode if code not in (OK, UNAVAILABLE)], ids=lambda code: code.name
)
def test_no_other_code_is_repeated(scripted: Start, code: grpc.StatusCode) -> None:
    """Of some the effect is unknown, of others it will be the same."""
    address, seen = scripted(code, OK)
    with Client(address, "sk_x") as client, pytest.raises(OutlayError):
        client.check(7)
    assert len(seen.request_ids) == 1
