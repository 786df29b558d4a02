"""Where the remote commands call, over what and with which key."""

from pathlib import Path

import pytest

from outlay_cli.connection import read_settings
from outlay_cli.errors import CommandFailed
from support.command_line import Cli

KEY = {"OUTLAY_API_KEY": "sk_something"}


@pytest.mark.parametrize(
    ("endpoint", "target", "tls"),
    [
        ("", "127.0.0.1:50051", False),
        ("localhost:6000", "localhost:6000", False),
        ("localhost", "localhost:50051", False),
        ("http://127.0.0.1:6000", "127.0.0.1:6000", False),
        ("[::1]:6000", "[::1]:6000", False),
        ("http://[::1]", "[::1]:50051", False),
        ("https://outlay.example.com", "outlay.example.com:443", True),
        ("https://outlay.example.com:50051/", "outlay.example.com:50051", True),
        ("unix:/run/outlay.sock", "unix:/run/outlay.sock", False),
    ],
)
def test_the_endpoint_says_where_and_whether_over_tls(endpoint: str, target: str, tls: bool) -> None:
    settings = read_settings(KEY | {"OUTLAY_ENDPOINT": endpoint})
    assert (settings.target, settings.tls) == (target, tls)


def test_a_ca_file_asks_for_tls(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_bytes(b"certificates")
    ca = {"OUTLAY_CA_FILE": str(tmp_path / "ca.pem")}
    settings = read_settings(KEY | ca | {"OUTLAY_ENDPOINT": "outlay.example.com:50051"})
    assert (settings.tls, settings.ca_certificates) == (True, b"certificates")


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, "There is no API key"),
        (KEY | {"OUTLAY_API_KEY_FILE": "key"}, "both set"),
        ({"OUTLAY_API_KEY_FILE": "/nowhere/key"}, "cannot be read"),
        ({"OUTLAY_API_KEY": "sk_\u200bpasted"}, "Copy it again"),
        (KEY | {"OUTLAY_ENDPOINT": "outlay.example.com:50051"}, "not on this machine"),
        (KEY | {"OUTLAY_ENDPOINT": "ftp://localhost"}, "write host:port"),
        (KEY | {"OUTLAY_ENDPOINT": "https://localhost/v1"}, "write host:port"),
        (KEY | {"OUTLAY_ENDPOINT": "http://localhost", "OUTLAY_CA_FILE": "ca.pem"}, "Set one of them"),
        (KEY | {"OUTLAY_CA_FILE": "/nowhere/ca.pem"}, "OUTLAY_CA_FILE /nowhere/ca.pem cannot be read"),
        (KEY | {"OUTLAY_CLIENT_CERT_FILE": __file__}, "set both or none"),
    ],
)
def test_what_cannot_be_called_by_says_what_to_set(environment: dict[str, str], expected: str) -> None:
    with pytest.raises(CommandFailed, match=expected):
        read_settings(environment)


def test_plaintext_to_another_machine_can_be_allowed() -> None:
    allowed = {"OUTLAY_ENDPOINT": "outlay:50051", "OUTLAY_ALLOW_PLAINTEXT": "true"}
    assert read_settings(KEY | allowed).target == "outlay:50051"


def test_a_key_file_must_be_private(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("sk_something\n")
    file.chmod(0o640)
    with pytest.raises(CommandFailed, match="chmod 600"):
        read_settings({"OUTLAY_API_KEY_FILE": str(file)})
    file.chmod(0o600)
    assert read_settings({"OUTLAY_API_KEY_FILE": str(file)}).api_key == "sk_something"


def test_a_service_that_is_away_is_one_line_that_says_what_to_check(offline_cli: Cli) -> None:
    ran = offline_cli("budgets", "list", API_KEY="sk_something", ENDPOINT="127.0.0.1:1")
    assert (ran.code, ran.out, ran.err.count("\n")) == (1, "", 1)
    assert ran.err.startswith(
        "Error: UNAVAILABLE: nothing answers at 127.0.0.1:1. Check that `outlay serve` runs there"
    )


def test_a_change_that_was_never_sent_is_not_called_unknown(offline_cli: Cli) -> None:
    ran = offline_cli("spend", "record", "1", "--unit", "USD", API_KEY="sk_something", ENDPOINT="127.0.0.1:1")
    assert ran.code == 1
    assert "--request-id" not in ran.err
