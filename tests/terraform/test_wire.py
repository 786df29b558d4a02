"""The process that Terraform starts: how it introduces itself, what it answers, when it ends. It takes no Terraform."""

import base64
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import psutil
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from google.protobuf import descriptor_pb2

from outlay_terraform.framework.types import Object
from outlay_terraform.framework.values import decode, encode
from outlay_terraform.provider import OutlayProvider
from outlay_terraform.wire.handshake import COOKIE_NAME, COOKIE_VALUE
from support import reaper
from terraform.workspace import bare_environment
from tfplugin6 import provider_pb2 as pb
from tfplugin6.provider_pb2_grpc import ProviderStub

PROGRAM = [sys.executable, "-I", "-B", "-m", "outlay_terraform"]
STARTED_BY_TERRAFORM = {
    COOKIE_NAME: COOKIE_VALUE,
    "PLUGIN_PROTOCOL_VERSIONS": "5,6",
    "PLUGIN_CLIENT_CERT": "any: it is not asked for",
}
PRINTS_TO_STDOUT = (
    "import os, sys; from outlay_terraform import __main__ as m; from outlay_terraform.wire import process;"
    "new = lambda: (print('a print', flush=True), os.write(1, b'a write\\n'), m.new_lifecycle())[2];"
    "sys.exit(process.run(new))"
)
WAIT_SECONDS = 30.0


@contextmanager
def _started(*command: str, **environment: str) -> Iterator[tuple[subprocess.Popen[bytes], list[str]]]:
    """The process and the fields of its line."""
    process = subprocess.Popen(
        command or PROGRAM,
        env=bare_environment(**{**STARTED_BY_TERRAFORM, **environment}),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    reaper.watch_group(process.pid)
    try:
        assert process.stdout is not None
        yield process, process.stdout.readline().decode().strip().split("|")
    finally:
        process.kill()
        process.communicate()
        reaper.forget_group(process.pid)


@contextmanager
def _channel(line: list[str]) -> Iterator[grpc.Channel]:
    """A connection as go-plugin makes it: TLS to `localhost`, trusting the certificate of the line and nothing else."""
    der = base64.b64decode(line[5] + "=" * (-len(line[5]) % 4))
    pem = x509.load_der_x509_certificate(der).public_bytes(Encoding.PEM)
    options = (("grpc.ssl_target_name_override", "localhost"), ("grpc.max_receive_message_length", -1))
    with grpc.secure_channel(f"unix:{line[3]}", grpc.ssl_channel_credentials(pem), options) as channel:
        yield channel


def _wait(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def _raw(channel: grpc.Channel, path: str) -> Any:
    return channel.unary_unary(path)


@pytest.mark.parametrize("environment", [{COOKIE_NAME: "another"}, {"PLUGIN_PROTOCOL_VERSIONS": "4,5"}])
def test_it_is_not_started_by_hand_nor_by_an_old_terraform(environment: dict[str, str]) -> None:
    done = subprocess.run(
        PROGRAM, env=bare_environment(**{**STARTED_BY_TERRAFORM, **environment}), capture_output=True, check=False
    )
    assert (done.returncode, done.stdout) == (1, b"")
    assert b"erraform" in done.stderr


def test_its_one_line_says_where_it_listens_and_only_its_owner_can_go_there() -> None:
    with _started() as (_, line):
        assert line[:3] == ["1", "6", "unix"]
        assert line[4] == "grpc"
        assert "=" not in line[5]
        assert Path(line[3]).parent.stat().st_mode & 0o777 == 0o700


def test_what_is_printed_never_reaches_the_line() -> None:
    """Not by a print, and not by a write to the descriptor: it is on standard error."""
    with _started(sys.executable, "-c", PRINTS_TO_STDOUT) as (process, line):
        assert line[:3] == ["1", "6", "unix"]
        with _channel(line) as channel:
            _raw(channel, "/plugin.GRPCController/Shutdown")(b"")
        out, err = process.communicate(timeout=WAIT_SECONDS)
        assert out == b""
        assert b"a print\na write\n" in err


def test_it_ends_when_terraform_says_so_and_takes_its_socket_along() -> None:
    with _started() as (process, line), _channel(line) as channel:
        _raw(channel, "/plugin.GRPCController/Shutdown")(b"")
        assert process.wait(WAIT_SECONDS) == 0
        assert not Path(line[3]).parent.exists()


def test_ctrl_c_does_not_end_it() -> None:
    """Terraform gets the signal as well, and ends the provider when it is ready to."""
    with _started() as (process, line), _channel(line) as channel:
        os.killpg(process.pid, signal.SIGINT)
        ProviderStub(channel).StopProvider(pb.StopProvider.Request())
        assert ProviderStub(channel).GetProviderSchema(pb.GetProviderSchema.Request()).resource_schemas
        assert process.poll() is None


def test_it_ends_when_its_parent_dies() -> None:
    starter = (
        "import subprocess, sys; p = subprocess.Popen(sys.argv[1:], stdout=subprocess.PIPE);"
        "p.stdout.readline(); print(p.pid, flush=True); sys.stdin.read()"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", starter, *PROGRAM],
        env=bare_environment(**STARTED_BY_TERRAFORM),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    reaper.watch_group(parent.pid)
    assert parent.stdout is not None
    provider = psutil.Process(int(parent.stdout.readline()))
    parent.kill()
    parent.communicate()
    _wait(lambda: not provider.is_running() or provider.status() == psutil.STATUS_ZOMBIE, "it outlives its parent")
    reaper.forget_group(parent.pid)


def test_its_log_is_hclogs() -> None:
    """One JSON object a line, on standard error."""
    with _started() as (process, line), _channel(line) as channel:
        config = {"endpoint": "127.0.0.1:1", "api_key": "sk_secret", "ca_file": None, "insecure": None}
        stub = ProviderStub(channel)
        stub.ConfigureProvider(pb.ConfigureProvider.Request(config=pb.DynamicValue(msgpack=encode(config))))
        # A question that no provider could be asked: it is a defect, and is logged as one.
        with pytest.raises(grpc.RpcError):
            stub.ReadResource(pb.ReadResource.Request(type_name="outlay_nothing"))
        _raw(channel, "/plugin.GRPCController/Shutdown")(b"")
        _, err = process.communicate(timeout=WAIT_SECONDS)
    logged = [json.loads(text) for text in err.decode().splitlines() if text.startswith("{")]
    assert {"@level", "@message", "@module", "@timestamp"} == set(logged[0])
    assert b"sk_secret" not in err


def test_its_standard_output_is_streamed_and_has_nothing() -> None:
    with _started() as (_, line), _channel(line) as channel:
        stream = channel.unary_stream("/plugin.GRPCStdio/StreamStdio")(b"")
        _raw(channel, "/plugin.GRPCController/Shutdown")(b"")
        assert list(stream) == []


def test_methods_of_a_newer_protocol_are_unimplemented() -> None:
    """As the protocol expects it; Terraform then does without."""
    with _started() as (_, line), _channel(line) as channel:
        with pytest.raises(grpc.RpcError) as raised:
            _raw(channel, "/tfplugin6.Provider/GetResourceIdentitySchemas")(b"")
        assert raised.value.code() is grpc.StatusCode.UNIMPLEMENTED  # type: ignore[attr-defined]


def test_messages_may_be_larger_than_grpc_lets_them() -> None:
    """Four MiB is its default; a function's argument may be more."""
    with _started() as (_, line), _channel(line) as channel:
        argument = pb.DynamicValue(msgpack=encode("9" * 6_000_000))
        answer = ProviderStub(channel).CallFunction(pb.CallFunction.Request(name="usd", arguments=[argument]))
        assert answer.error.function_argument == 0


def test_values_may_come_as_json() -> None:
    with _started() as (_, line), _channel(line) as channel:
        argument = pb.DynamicValue(json=b'"$5"')
        answer = ProviderStub(channel).CallFunction(pb.CallFunction.Request(name="usd", arguments=[argument]))
        assert answer.result.msgpack == encode("5.00")


def test_terraform_too_old_for_write_only_values_is_told() -> None:
    provider = OutlayProvider()
    kind: Object = provider.resources["outlay_webhook_endpoint"].schema.type
    values: dict[str, Any] = dict.fromkeys(kind.members)
    values |= {"secret_wo": "whsec_" + "c2VjcmV0" * 6, "secret_wo_version": 1, "uri": "https://x.example"}
    config = pb.DynamicValue(msgpack=encode(values))
    assert decode(config.msgpack, kind)["uri"] == "https://x.example"
    with _started() as (_, line), _channel(line) as channel:
        request = pb.ValidateResourceConfig.Request(type_name="outlay_webhook_endpoint", config=config)
        (found,) = ProviderStub(channel).ValidateResourceConfig(request).diagnostics
        assert (found.summary, found.attribute.steps[0].attribute_name) == ("Terraform is too old", "secret_wo")
        request.client_capabilities.write_only_attributes_allowed = True
        assert list(ProviderStub(channel).ValidateResourceConfig(request).diagnostics) == []


PUBLISHED = {
    "DynamicValue": {"msgpack": 1, "json": 2},
    "Diagnostic": {"severity": 1, "summary": 2, "detail": 3, "attribute": 4},
    "FunctionError": {"text": 1, "function_argument": 2},
    "AttributePath.Step": {"attribute_name": 1, "element_key_string": 2, "element_key_int": 3},
    "RawState": {"json": 1},
    "Schema": {"version": 1, "block": 2},
    "Schema.Block": {"version": 1, "attributes": 2, "description": 4, "description_kind": 5},
    "Schema.Object": {"attributes": 1, "nesting": 3},
    "ServerCapabilities": {"plan_destroy": 1, "get_provider_schema_optional": 2},
    "ClientCapabilities": {"deferral_allowed": 1, "write_only_attributes_allowed": 2},
    "PlanResourceChange.Request": {
        "type_name": 1,
        "prior_state": 2,
        "proposed_new_state": 3,
        "config": 4,
        "prior_private": 5,
    },
    "PlanResourceChange.Response": {"planned_state": 1, "requires_replace": 2, "planned_private": 3, "diagnostics": 4},
    "ApplyResourceChange.Request": {
        "type_name": 1,
        "prior_state": 2,
        "planned_state": 3,
        "config": 4,
        "planned_private": 5,
    },
    "ApplyResourceChange.Response": {"new_state": 1, "private": 2, "diagnostics": 3},
}
"""Numbers as Terraform publishes them, in `docs/plugin-protocol` of its repository."""


@pytest.mark.parametrize("name", PUBLISHED)
def test_numbers_are_those_that_terraform_publishes(name: str) -> None:
    file = descriptor_pb2.FileDescriptorProto()
    pb.DESCRIPTOR.CopyToProto(file)
    outer, _, inner = name.partition(".")
    (message,) = [each for each in file.message_type if each.name == outer]
    if inner:
        (message,) = [each for each in message.nested_type if each.name == inner]
    assert {field.name: field.number for field in message.field} == PUBLISHED[name]
