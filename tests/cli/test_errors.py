"""Failures that a service or something before it answers with, against a scripted server."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from support.command_line import Cli, Ran

Failing = Callable[[grpc.ServicerContext], None]


@pytest.fixture
def record_that_meets(offline_cli: Cli) -> Iterator[Callable[[Failing], Ran]]:
    """Run `outlay spend record` against a server that fails every call in the given way."""
    servers: list[grpc.Server] = []

    def run(fail: Failing) -> Ran:
        def handle(request: bytes, context: grpc.ServicerContext) -> bytes:
            fail(context)
            return b""

        class Handler(grpc.GenericRpcHandler):
            def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
                return grpc.unary_unary_rpc_method_handler(handle)

        server = grpc.server(ThreadPoolExecutor(1), handlers=[Handler()])
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        servers.append(server)
        arguments = ("spend", "record", "1", "--unit", "USD", "--request-id", "invoice-7")
        return offline_cli(*arguments, API_KEY="sk_something", ENDPOINT=f"127.0.0.1:{port}")

    yield run
    for server in servers:
        server.stop(None)


def test_a_change_whose_effect_is_unknown_says_how_to_repeat_it(record_that_meets: Callable[[Failing], Ran]) -> None:
    ran = record_that_meets(lambda context: context.abort(grpc.StatusCode.UNAVAILABLE, "connection reset"))
    assert (ran.code, ran.err.count("\n")) == (1, 1)
    assert "[connection reset]" in ran.err
    assert ran.err.endswith("repeat the command with --request-id invoice-7\n")


def test_an_internal_error_names_the_request_in_the_log(record_that_meets: Callable[[Failing], Ran]) -> None:
    ran = record_that_meets(_answer(grpc.StatusCode.INTERNAL, "An internal error occurred.", "INTERNAL", "4711"))
    expected = "Error: INTERNAL: An internal error occurred. (request id 4711 in the server's log)\n"
    assert (ran.code, ran.err) == (1, expected)


def test_an_overloaded_service_has_changed_nothing(record_that_meets: Callable[[Failing], Ran]) -> None:
    ran = record_that_meets(_answer(grpc.StatusCode.UNAVAILABLE, "Retry in 1 s.", "OVERLOADED"))
    assert (ran.code, ran.err) == (1, "Error: OVERLOADED: Retry in 1 s.\n")


def test_another_service_at_the_endpoint_is_told_as_such(record_that_meets: Callable[[Failing], Ran]) -> None:
    ran = record_that_meets(lambda context: context.abort(grpc.StatusCode.UNIMPLEMENTED, "unknown service"))
    assert "does not serve this method. Check OUTLAY_ENDPOINT. [unknown service]" in ran.err


def test_details_that_contradict_the_code_are_set_aside(record_that_meets: Callable[[Failing], Ran]) -> None:
    def contradict(context: grpc.ServicerContext) -> None:
        details = status_pb2.Status(code=5, message="x").SerializeToString()
        context.set_trailing_metadata((("grpc-status-details-bin", details),))
        context.abort(grpc.StatusCode.PERMISSION_DENIED, "the proxy says no")

    ran = record_that_meets(contradict)
    assert (ran.code, ran.err) == (1, "Error: PERMISSION_DENIED: the proxy says no\n")


def test_what_a_server_says_cannot_command_the_terminal(record_that_meets: Callable[[Failing], Ran]) -> None:
    ran = record_that_meets(_answer(grpc.StatusCode.NOT_FOUND, "\x1b[2Jgone\n", "NOT_FOUND"))
    assert ran.err == "Error: NOT_FOUND: \\x1b[2Jgone\\n\n"


def _answer(code: grpc.StatusCode, message: str, reason: str, request_id: str = "") -> Failing:
    info = error_details_pb2.ErrorInfo(domain="outlay.dev", reason=reason)
    if request_id:
        info.metadata["request_id"] = request_id
    detail = AnyMessage()
    detail.Pack(info)
    number: int = code.value[0]
    status = status_pb2.Status(code=number, message=message, details=[detail])
    return lambda context: context.abort_with_status(rpc_status.to_status(status))
