"""What stands beside the contract's own services: health, reflection, channelz, and what is not implemented."""

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from grpc_channelz.v1 import channelz_pb2, channelz_pb2_grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2

from outlay.v1 import admin_service_pb2, budget_service_pb2
from support.examples import Examples
from support.replicas import Replicas
from support.server import ServerProcess
from support.tenants import Tenant, new_tenant
from support.wire import METHODS, Caller, path_of

GRPCURL = Path(sys.executable).with_name("grpcurl")
SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING
SERVICES = ("outlay.v1.BudgetService", "outlay.v1.AdminService")


@pytest.fixture
def channel(replicas: Replicas) -> Iterator[grpc.Channel]:
    """A connection without a key: none of these services asks for one."""
    with grpc.insecure_channel(replicas.addresses[0]) as opened:
        yield opened


def grpcurl(*arguments: str, address: str, key: str | None = None, body: str | None = None) -> str:
    """What `grpcurl` prints, which knows of the server only what reflection tells it."""
    headers = [] if key is None else ["-H", f"authorization: Bearer {key}"]
    data = [] if body is None else ["-d", body]
    done = subprocess.run(
        [GRPCURL, "-plaintext", *headers, *data, address, *arguments],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


# Health


@pytest.mark.parametrize("service", ["", *SERVICES])
def test_a_ready_server_is_serving(service: str, channel: grpc.Channel) -> None:
    stub = health_pb2_grpc.HealthStub(channel)
    assert stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=5).status == SERVING
    watch = stub.Watch(health_pb2.HealthCheckRequest(service=service), timeout=5)
    assert next(watch).status == SERVING
    watch.cancel()


def test_a_service_that_there_is_not_is_unknown(channel: grpc.Channel) -> None:
    """As grpc.health.v1 has it: Check answers NOT_FOUND, Watch says SERVICE_UNKNOWN and stays."""
    stub = health_pb2_grpc.HealthStub(channel)
    asked = health_pb2.HealthCheckRequest(service="outlay.v1.Nothing")
    with pytest.raises(grpc.RpcError) as refused:
        stub.Check(asked, timeout=5)
    assert refused.value.code() == grpc.StatusCode.NOT_FOUND
    watch = stub.Watch(asked, timeout=5)
    assert next(watch).status == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
    watch.cancel()


# Reflection


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
def test_reflection_tells_the_whole_contract(version: str, channel: grpc.Channel) -> None:
    """Both versions; v1 has the messages of v1alpha under another name."""
    ask = channel.stream_stream(
        f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
        request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
        response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
    )
    requests = [
        reflection_pb2.ServerReflectionRequest(list_services=""),
        *(reflection_pb2.ServerReflectionRequest(file_containing_symbol=name) for name in SERVICES),
        reflection_pb2.ServerReflectionRequest(file_by_filename="outlay/v1/budget.proto"),
        reflection_pb2.ServerReflectionRequest(file_containing_symbol="outlay.v1.Nothing"),
    ]
    listed, *files, missing = ask(iter(requests), timeout=10)
    names = {service.name for service in listed.list_services_response.service}
    assert names >= {*SERVICES, "grpc.health.v1.Health", "grpc.channelz.v1.Channelz"}
    told = [FileDescriptorProto.FromString(one.file_descriptor_response.file_descriptor_proto[0]) for one in files]
    assert [file.name for file in told] == [
        "outlay/v1/budget_service.proto",
        "outlay/v1/admin_service.proto",
        "outlay/v1/budget.proto",
    ]
    methods = {method.name for file in told for service in file.service for method in service.method}
    assert methods == METHODS.keys()
    assert missing.error_response.error_code == grpc.StatusCode.NOT_FOUND.value[0]


def test_grpcurl_lists_describes_and_calls(replicas: Replicas) -> None:
    """The real tool, without any proto file: a check is held, and denied above the cap."""
    address = replicas.addresses[0]
    tenant = new_tenant(replicas.admin())
    tenant.cap(1_000_000)
    key = tenant.key(["spend:check"]).secret
    assert set(grpcurl("list", address=address).split()) >= set(SERVICES)
    described = grpcurl("describe", "outlay.v1.BudgetService.CheckSpend", address=address)
    assert "rpc CheckSpend ( .outlay.v1.CheckSpendRequest ) returns ( .outlay.v1.CheckSpendResponse )" in described

    def check(amount_micros: int) -> dict[str, Any]:
        body = json.dumps({"unit": "USD", "amount_micros": str(amount_micros)})
        answer: dict[str, Any] = json.loads(
            grpcurl("outlay.v1.BudgetService/CheckSpend", address=address, key=key, body=body)
        )
        return answer

    allowed, denied = check(600_000), check(600_000)
    assert (allowed["decision"], allowed["granted_micros"]) == ("DECISION_ALLOWED", "600000")
    assert (denied["decision"], denied["reason"]) == ("DECISION_DENIED", "DENIAL_REASON_HELD_BY_RESERVATIONS")


# channelz


def test_channelz_counts_the_calls(channel: grpc.Channel, tenant: Tenant) -> None:
    stub = channelz_pb2_grpc.ChannelzStub(channel)

    def started() -> int:
        servers = stub.GetServers(channelz_pb2.GetServersRequest(), timeout=5).server
        return sum(server.data.calls_started for server in servers)

    before = started()
    for _ in range(3):
        tenant.budget()
    assert started() - before >= 3


# What is not there


@pytest.mark.parametrize("name", METHODS)
def test_nothing_is_unimplemented(name: str, admin: Caller, tenant: Tenant) -> None:
    """Every RPC of the descriptors answers its example."""
    admin.call(name, Examples(tenant).request(name))


@pytest.mark.parametrize(
    "path",
    [
        "/outlay.v1.BudgetService/DrainBudget",
        "/outlay.v1.LedgerService/CheckSpend",
        "/outlay.v2.BudgetService/CheckSpend",
        "/CheckSpend",
        "/outlay.v1.BudgetService/checkspend",
        "/outlay.v1.BudgetService/CheckSpend/",
    ],
)
def test_an_unknown_method_is_unimplemented(path: str, admin: Caller) -> None:
    assert admin.fails(path, b"").code == grpc.StatusCode.UNIMPLEMENTED


def test_both_services_are_on_the_wire_under_their_own_names() -> None:
    assert path_of("CheckSpend") == "/outlay.v1.BudgetService/CheckSpend"
    assert {method.containing_service.full_name for method in METHODS.values()} == set(SERVICES)
    packages = {module.DESCRIPTOR.package for module in (budget_service_pb2, admin_service_pb2)}
    assert packages == {"outlay.v1"}


def test_a_server_that_stops_says_so_before_it_does(start_server: Any) -> None:
    """Whoever watches its health is told NOT_SERVING, and then let go; the exit status is 0."""
    server: ServerProcess = start_server()
    with grpc.insecure_channel(server.grpc_address) as opened:
        watch = health_pb2_grpc.HealthStub(opened).Watch(health_pb2.HealthCheckRequest(), timeout=30)
        assert next(watch).status == SERVING
        assert server.terminate() == 0
        told = [answer.status for answer in _until_it_ends(watch)]
    assert told == [NOT_SERVING]


def _until_it_ends(watch: Any) -> Iterator[Any]:
    # The end of the stream or of the connection, whichever is seen first.
    with contextlib.suppress(grpc.RpcError):
        yield from watch
