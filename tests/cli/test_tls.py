"""The remote commands over TLS and mTLS."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from support.certificates import make_certificate
from support.command_line import Cli
from support.server import ServerProcess

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is missing")


def test_https_trusts_the_certificates_of_the_ca_file_and_no_others(
    offline_cli: Cli, start_server: Callable[..., ServerProcess], tmp_path: Path
) -> None:
    certificate, key = make_certificate(tmp_path, "server")
    other, _ = make_certificate(tmp_path, "other")
    server = start_server(environment={"OUTLAY_TLS_CERT_FILE": certificate, "OUTLAY_TLS_KEY_FILE": key})
    endpoint = {"ENDPOINT": f"https://{server.grpc_address}", "API_KEY": server.admin_key}
    offline_cli("orgs", "list", "--output", "json", **endpoint, CA_FILE=certificate).ok()
    refused = offline_cli("orgs", "list", **endpoint, CA_FILE=other)
    assert (refused.code, refused.err.split(":")[1]) == (1, " UNAVAILABLE")
    plaintext = offline_cli("orgs", "list", ENDPOINT=server.grpc_address, API_KEY=server.admin_key)
    assert (plaintext.code, "https:// where it has TLS" in plaintext.err) == (1, True)


def test_a_certificate_is_shown_where_the_server_asks_for_one(
    offline_cli: Cli, start_server: Callable[..., ServerProcess], tmp_path: Path
) -> None:
    certificate, key = make_certificate(tmp_path, "server")
    authority = make_certificate(tmp_path, "authority")
    own, own_key = make_certificate(tmp_path, "client", authority=authority)
    server = start_server(
        environment={
            "OUTLAY_TLS_CERT_FILE": certificate,
            "OUTLAY_TLS_KEY_FILE": key,
            "OUTLAY_TLS_CLIENT_CA_FILE": authority[0],
        }
    )
    endpoint = {"ENDPOINT": server.grpc_address, "API_KEY": server.admin_key, "CA_FILE": certificate}
    assert offline_cli("orgs", "list", **endpoint).code == 1
    offline_cli("orgs", "list", "--output", "json", **endpoint, CLIENT_CERT_FILE=own, CLIENT_KEY_FILE=own_key).ok()
