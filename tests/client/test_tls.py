"""The clients over TLS, and with a certificate of their own where the server asks for one."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from outlay_client import AsyncClient, Client, SettingsError, Unavailable
from support.certificates import make_certificate
from support.server import ServerProcess

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is missing")

PLATFORM = "organizations/acme"


@dataclass(frozen=True)
class Secured:
    """A server that asks for certificates, and what a client of it needs."""

    endpoint: str
    api_key: str
    ca_file: str
    certificate: str
    key: str


@pytest.fixture
def secured(start_server: Callable[..., ServerProcess], tmp_path: Path) -> Secured:
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
    return Secured(f"https://{server.grpc_address}", server.admin_key, certificate, own, own_key)


async def test_a_certificate_is_shown_by_both_clients(secured: Secured) -> None:
    """A check of a missing organization is answered: the call arrived, over mTLS, with its key."""
    where = {
        "organization": PLATFORM,
        "ca_file": secured.ca_file,
        "client_cert_file": secured.certificate,
        "client_key_file": secured.key,
    }
    reasons = []
    with Client(secured.endpoint, secured.api_key, **where) as client:  # type: ignore[arg-type]
        with pytest.raises(Exception, match="NOT_FOUND") as caught:
            client.check(1)
        reasons.append(type(caught.value).__name__)
    async with AsyncClient(secured.endpoint, secured.api_key, **where) as client_too:  # type: ignore[arg-type]
        with pytest.raises(Exception, match="NOT_FOUND") as caught:
            await client_too.check(1)
        reasons.append(type(caught.value).__name__)
    assert reasons == ["OutlayRpcError"] * 2


def test_certificates_come_from_the_environment(secured: Secured, monkeypatch: pytest.MonkeyPatch) -> None:
    """The variables are those of the command line."""
    for name, value in {
        "ENDPOINT": secured.endpoint,
        "API_KEY": secured.api_key,
        "ORGANIZATION": "acme",
        "CA_FILE": secured.ca_file,
        "CLIENT_CERT_FILE": secured.certificate,
        "CLIENT_KEY_FILE": secured.key,
    }.items():
        monkeypatch.setenv(f"OUTLAY_{name}", value)
    with Client() as client, pytest.raises(Exception, match="NOT_FOUND"):
        client.check(1)


def test_a_client_without_a_certificate_is_not_answered(secured: Secured, tmp_path: Path) -> None:
    """Nor is one whose certificate another authority has signed, nor one that trusts another server."""
    other, other_key = make_certificate(tmp_path, "other")
    for ca_file, certificate, key in (
        (secured.ca_file, None, None),
        (secured.ca_file, other, other_key),
        (other, secured.certificate, secured.key),
    ):
        with (
            Client(
                secured.endpoint,
                secured.api_key,
                organization=PLATFORM,
                ca_file=ca_file,
                client_cert_file=certificate,
                client_key_file=key,
                timeout_seconds=1.0,
            ) as client,
            pytest.raises(Unavailable),
        ):
            client.check(1)


def test_a_certificate_without_its_key_is_refused(secured: Secured) -> None:
    with pytest.raises(SettingsError, match="together"):
        Client(secured.endpoint, secured.api_key, client_cert_file=secured.certificate)
