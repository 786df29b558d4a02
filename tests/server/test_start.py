"""How the process starts: what it prints, what it answers then, and when it refuses and in which words."""

import socket
import ssl
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import httpx2
import pytest
from grpc_channelz.v1 import channelz_pb2, channelz_pb2_grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from outlay.v1 import admin_service_pb2
from support.certificates import make_certificate
from support.postgres import PostgresServer
from support.server import ServerProcess
from support.tenants import new_key
from support.wire import Caller

StartServer = Callable[..., ServerProcess]
Refused = Callable[..., str]
SERVING = health_pb2.HealthCheckResponse.SERVING


@pytest.fixture
def refused(tmp_path: Path) -> Iterator[Refused]:
    """Start a server that must not start, and return what it said on standard error."""
    started: list[ServerProcess] = []

    def start(*, data_dir: Path | None = None, **options: Any) -> str:
        process = ServerProcess(data_dir or tmp_path / "refused", **options)
        started.append(process)
        process.launch()
        assert (process.wait(), process.stdout_text()) == (1, "")
        said = process.stderr_text()
        assert "Traceback" not in said
        return said

    yield start
    for process in started:
        process.close()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server that no test of these changes; one of its variables is misspelt."""
    environment = {"OUTLAY_GRPC_ADRESS": "127.0.0.1:1"}
    with ServerProcess(tmp_path_factory.mktemp("running"), admin_key=new_key(), environment=environment) as process:
        yield process


def health_of(channel: grpc.Channel, service: str = "") -> int:
    stub: Any = health_pb2_grpc.HealthStub(channel)
    status: int = stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=5).status
    return status


# What it prints and answers


def test_it_says_where_it_listens_and_ready_last(running: ServerProcess) -> None:
    expected = [
        f"gRPC {running.grpc_address}",
        f"HTTP {running.http_url}",
        f"metrics {running.metrics_url[:-8]}",
        "ready",
    ]
    assert running.stdout_text().splitlines() == expected


def test_every_address_answers_as_soon_as_it_is_ready(running: ServerProcess) -> None:
    with grpc.insecure_channel(running.grpc_address) as channel:
        health = [health_of(channel, name) for name in ("", "outlay.v1.BudgetService", "outlay.v1.AdminService")]
    urls = [f"{running.http_url}/readyz", f"{running.metrics_url[:-8]}/readyz", f"{running.metrics_url[:-8]}/healthz"]
    assert (health, [httpx2.get(url).status_code for url in urls]) == ([SERVING] * 3, [200] * 3)


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
def test_reflection_describes_every_service_under_both_of_its_names(running: ServerProcess, version: str) -> None:
    from grpc_reflection.v1alpha import reflection_pb2 as pb

    def ask(channel: grpc.Channel, request: pb.ServerReflectionRequest) -> Any:
        call = channel.stream_stream(
            f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
            request_serializer=pb.ServerReflectionRequest.SerializeToString,
            response_deserializer=pb.ServerReflectionResponse.FromString,
        )
        return next(iter(call(iter([request]), timeout=5)))

    with grpc.insecure_channel(running.grpc_address) as channel:
        answer = ask(channel, pb.ServerReflectionRequest(list_services=""))
        names = {service.name for service in answer.list_services_response.service}
        described = {
            name
            for name in names
            if ask(channel, pb.ServerReflectionRequest(file_containing_symbol=name)).HasField(
                "file_descriptor_response"
            )
        }
    assert (
        described
        == names
        == {
            "grpc.channelz.v1.Channelz",
            "grpc.health.v1.Health",
            "grpc.reflection.v1.ServerReflection",
            "grpc.reflection.v1alpha.ServerReflection",
            "outlay.v1.AdminService",
            "outlay.v1.BudgetService",
        }
    )


def test_channelz_shows_the_server_itself(running: ServerProcess) -> None:
    with grpc.insecure_channel(running.grpc_address) as channel:
        stub: Any = channelz_pb2_grpc.ChannelzStub(channel)
        assert len(stub.GetServers(channelz_pb2.GetServersRequest(), timeout=5).server) == 1


def test_a_misspelt_variable_is_named_in_the_log(running: ServerProcess) -> None:
    assert "OUTLAY_GRPC_ADRESS is no setting and is ignored. Is OUTLAY_GRPC_ADDRESS meant?" in running.stderr_text()


# The platform key


def test_the_key_of_the_first_start_is_shown_once_and_opens_everything(start_server: StartServer) -> None:
    server = start_server()
    file = server.data_dir / "admin.key"
    key = file.read_text().strip()
    shown = [line for line in server.stdout_text().splitlines() if key in line]
    with Caller(server.grpc_address, key) as admin:
        admin.call("ListOrganizations", admin_service_pb2.ListOrganizationsRequest())
    assert server.terminate() == 0
    server.restart()
    with Caller(server.grpc_address, key) as admin:
        admin.call("ListOrganizations", admin_service_pb2.ListOrganizationsRequest())
    assert (len(shown), key in server.stdout_text(), key in server.stderr_text()) == (1, False, False)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_configured_key_is_neither_shown_nor_kept(start_server: StartServer) -> None:
    key = new_key()
    server = start_server(admin_key=key)
    assert (key in server.log_text(), (server.data_dir / "admin.key").exists()) == (False, False)


# Refusals


def test_everything_that_is_wrong_is_said_at_once(refused: Refused) -> None:
    said = refused(
        environment={"OUTLAY_GRPC_ADDRESS": "0.0.0.0:0", "OUTLAY_DRAIN_SECONDS": "x", "OUTLAY_ADMIN_KEY": "k"}
    )
    names = (
        "OUTLAY_ADMIN_KEY: ",
        "OUTLAY_DRAIN_SECONDS: ",
        "OUTLAY_GRPC_ADDRESS: 0.0.0.0:0 would be served without TLS",
    )
    assert [name in said for name in names] == [True] * 3


def test_plaintext_for_other_machines_is_served_when_it_is_allowed(start_server: StartServer) -> None:
    server = start_server(environment={"OUTLAY_HTTP_ADDRESS": "0.0.0.0:0", "OUTLAY_ALLOW_PLAINTEXT": "true"})
    assert server.http_url.startswith("http://0.0.0.0:")


def test_a_second_server_on_one_file_is_refused_and_names_the_holder(
    start_server: StartServer, refused: Refused
) -> None:
    first = start_server()
    said = refused(
        data_dir=first.data_dir.parent / "second",
        database_url=f"sqlite:///{first.data_dir}/outlay.db",
        admin_key=new_key(),
    )
    assert f"is served by another process (pid {first.pid})" in said


@pytest.mark.parametrize("variable", ["OUTLAY_GRPC_ADDRESS", "OUTLAY_HTTP_ADDRESS", "OUTLAY_METRICS_ADDRESS"])
def test_an_address_in_use_refuses_the_start_and_is_named(refused: Refused, variable: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        said = refused(environment={variable: address}, admin_key=new_key())
    assert f"{variable}: {address} cannot be listened at" in said


def test_an_address_that_another_server_has_is_not_shared(start_server: StartServer, refused: Refused) -> None:
    """By default gRPC shares its port, and two ledgers would answer in turns."""
    first = start_server()
    said = refused(environment={"OUTLAY_GRPC_ADDRESS": first.grpc_address}, admin_key=new_key())
    assert f"OUTLAY_GRPC_ADDRESS: {first.grpc_address} cannot be listened at" in said


def test_a_damaged_ledger_is_refused_with_what_to_restore(refused: Refused, tmp_path: Path) -> None:
    (tmp_path / "ledger.db").write_bytes(b"not a database" * 1000)
    said = refused(database_url=f"sqlite:///{tmp_path}/ledger.db", admin_key=new_key())
    assert f"{tmp_path}/ledger.db cannot be opened as a ledger" in said


def test_a_data_directory_that_is_none_refuses_the_start(refused: Refused, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    said = refused(environment={"OUTLAY_DATA_DIR": f"{tmp_path}/file"}, admin_key=new_key())
    assert f"The ledger cannot be opened: [Errno 17] File exists: '{tmp_path}/file'" in said


def test_a_postgresql_that_is_not_there_refuses_the_start(refused: Refused) -> None:
    said = refused(database_url="postgresql://outlay:geheim@127.0.0.1:1/outlay", admin_key=new_key())
    assert ("PostgreSQL cannot be reached" in said, "geheim" in said) == (True, False)


def test_a_postgresql_that_is_not_migrated_is_refused_naming_the_command(
    refused: Refused, postgres_server: PostgresServer
) -> None:
    """Replicas of two versions during a deploy must not each decide for the schema."""
    url = postgres_server.url(postgres_server.create_database())
    assert "Run: outlay migrate" in refused(database_url=url, admin_key=new_key())


def test_a_postgresql_is_migrated_at_start_when_that_is_asked_for(
    start_server: StartServer, postgres_server: PostgresServer
) -> None:
    url = postgres_server.url(postgres_server.create_database())
    assert start_server(database_url=url, environment={"OUTLAY_MIGRATE": "true"}).running


# TLS


@pytest.fixture
def authority(tmp_path: Path) -> tuple[str, str]:
    return make_certificate(tmp_path, "authority")


@pytest.fixture
def tls(tmp_path: Path, authority: tuple[str, str]) -> dict[str, str]:
    """The environment of a server with a certificate of the authority."""
    certificate, key = make_certificate(tmp_path, "server", authority=authority)
    return {"OUTLAY_TLS_CERT_FILE": certificate, "OUTLAY_TLS_KEY_FILE": key}


def _channel(server: ServerProcess, authority: str, client: tuple[str, str] | None = None) -> grpc.Channel:
    files = [None if path is None else Path(path).read_bytes() for path in (authority, *(client or (None, None)))]
    return grpc.secure_channel(server.grpc_address, grpc.ssl_channel_credentials(files[0], files[2], files[1]))


def _https(server: ServerProcess, authority: str, client: tuple[str, str] | None = None) -> int:
    context = ssl.create_default_context(cafile=authority)
    if client is not None:
        context.load_cert_chain(*client)
    with httpx2.Client(verify=context) as http:
        return http.get(f"{server.http_url.replace('http://', 'https://')}/healthz").status_code


def test_grpc_and_http_speak_tls_and_nothing_else(
    start_server: StartServer, tls: dict[str, str], authority: tuple[str, str]
) -> None:
    server = start_server(environment=tls)
    assert f"HTTP https://{server.http_url[7:]}" in server.stdout_text().splitlines()
    with _channel(server, authority[0]) as channel:
        found = (health_of(channel), _https(server, authority[0]))
    with grpc.insecure_channel(server.grpc_address) as plain, pytest.raises(grpc.RpcError) as caught:
        health_of(plain)
    with pytest.raises(httpx2.HTTPError):
        httpx2.get(f"{server.http_url}/healthz")
    assert (found, caught.value.code()) == ((SERVING, 200), grpc.StatusCode.UNAVAILABLE)


def test_a_client_must_show_a_certificate_where_one_is_asked_for(
    start_server: StartServer, tls: dict[str, str], authority: tuple[str, str], tmp_path: Path
) -> None:
    known = make_certificate(tmp_path, "client", authority=authority)
    stranger = make_certificate(tmp_path, "stranger")
    server = start_server(environment=tls | {"OUTLAY_TLS_CLIENT_CA_FILE": authority[0]})
    with _channel(server, authority[0], known) as channel:
        found = (health_of(channel), _https(server, authority[0], known))
    for client in (None, stranger):
        with _channel(server, authority[0], client) as channel, pytest.raises(grpc.RpcError) as caught:
            health_of(channel)
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        with pytest.raises(httpx2.HTTPError):
            _https(server, authority[0], client)
    assert found == (SERVING, 200)
