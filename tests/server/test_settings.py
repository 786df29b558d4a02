"""The environment is read strictly, once, and everything that is wrong in it is said at once."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import SecretStr

from outlay_server.domain.api_key import assemble
from outlay_server.server.address import Address, parse_address
from outlay_server.server.settings import (
    PostgresDatabase,
    Settings,
    SettingsInvalid,
    SqliteDatabase,
    unknown_variables,
)
from support.certificates import make_certificate

SECRET = "geheim-4711"


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("OUTLAY_"):
            monkeypatch.delenv(name)


Load = Callable[..., Settings]


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Load:
    """Settings of an environment that holds these variables and no others of ours."""

    def load(**environment: str) -> Settings:
        for name, value in environment.items():
            monkeypatch.setenv(f"OUTLAY_{name}", value)
        return Settings.load()

    return load


@pytest.fixture
def pair(tmp_path: Path) -> tuple[str, str]:
    """A certificate and its key."""
    return make_certificate(tmp_path, "server")


def test_the_defaults_are_those_of_the_contract(load: Load) -> None:
    settings = load()
    assert (settings.grpc_address, settings.http_address, settings.metrics_address, settings.database) == (
        Address("127.0.0.1", 50051),
        Address("127.0.0.1", 8080),
        Address("127.0.0.1", 9090),
        SqliteDatabase(Path("data/outlay.db")),
    )


def test_every_error_is_reported_at_once_with_its_variable(load: Load) -> None:
    with pytest.raises(SettingsInvalid) as caught:
        load(
            GRPC_ADDRESS="0.0.0.0:50051",
            HTTP_ADDRESS="8080",
            DATABASE_URL=f"mysql://root:{SECRET}@db/outlay",
            ADMIN_KEY=f"sk_{SECRET}",
            DRAIN_SECONDS="-1",
            LOG_LEVEL="loud",
            MIGRATE="perhaps",
            OTEL_ENDPOINT="localhost:4318",
            SHUTDOWN_DELAY_SECONDS="soon",
            SLOW_CALL_SECONDS="0",
            TLS_CLIENT_CA_FILE="/etc/hostname",
            TLS_KEY_FILE="/nowhere/key.pem",
        )
    assert [error.partition(":")[0] for error in caught.value.errors] == [
        "OUTLAY_ADMIN_KEY",
        "OUTLAY_DATABASE_URL",
        "OUTLAY_DRAIN_SECONDS",
        "OUTLAY_GRPC_ADDRESS",
        "OUTLAY_HTTP_ADDRESS",
        "OUTLAY_LOG_LEVEL",
        "OUTLAY_MIGRATE",
        "OUTLAY_OTEL_ENDPOINT",
        "OUTLAY_SHUTDOWN_DELAY_SECONDS",
        "OUTLAY_SLOW_CALL_SECONDS",
        "OUTLAY_TLS_CLIENT_CA_FILE",
        "OUTLAY_TLS_KEY_FILE",
    ]


def test_an_error_never_shows_a_secret(load: Load) -> None:
    with pytest.raises(SettingsInvalid) as caught:
        load(ADMIN_KEY=f"sk_{SECRET}", DATABASE_URL=f"mysql://root:{SECRET}@db/outlay")
    assert SECRET not in str(caught.value)


def test_settings_never_show_a_secret_when_they_are_printed(load: Load) -> None:
    key = assemble(b"01234567890123456789")
    settings = load(ADMIN_KEY=key, DATABASE_URL=f"postgresql://outlay:{SECRET}@db/outlay")
    assert [shown in repr((settings, settings.database)) for shown in (key, SECRET)] == [False, False]


def test_settings_cannot_be_changed(load: Load) -> None:
    settings = load()
    with pytest.raises(ValueError, match="frozen"):
        settings.migrate = True


def test_an_empty_variable_is_an_absent_one(load: Load) -> None:
    """Compose files and manifests pass on variables that nobody set as empty ones."""
    assert load(ADMIN_KEY="", DATABASE_URL="", GRPC_ADDRESS="") == Settings.load()


@pytest.mark.parametrize(
    ("url", "database"),
    [
        ("sqlite:////var/lib/outlay/ledger.db", SqliteDatabase(Path("/var/lib/outlay/ledger.db"))),
        ("sqlite:///ledger.db", SqliteDatabase(Path("ledger.db"))),
        ("postgresql://o@db:5433/outlay", PostgresDatabase(SecretStr("postgresql://o@db:5433/outlay"))),
        ("postgres://o@db/outlay", PostgresDatabase(SecretStr("postgresql://o@db/outlay"))),
    ],
)
def test_a_database_url_names_a_file_or_a_postgresql(load: Load, url: str, database: object) -> None:
    assert load(DATABASE_URL=url).database == database


@pytest.mark.parametrize(
    "url", ["sqlite://", "sqlite:///:memory:", "postgresql+psycopg://db/outlay", "outlay.db", "://"]
)
def test_any_other_database_url_is_refused(load: Load, url: str) -> None:
    """A ledger in memory would forget what was spent."""
    with pytest.raises(SettingsInvalid, match="OUTLAY_DATABASE_URL: "):
        load(DATABASE_URL=url)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:0", Address("127.0.0.1", 0)),
        ("localhost:80", Address("localhost", 80)),
        ("[::1]:50051", Address("::1", 50051)),
        ("outlay-0.outlay.svc:65535", Address("outlay-0.outlay.svc", 65535)),
    ],
)
def test_an_address_is_read_and_written_alike(text: str, address: Address) -> None:
    assert (parse_address(text), str(address)) == (address, text)


@pytest.mark.parametrize(
    "text",
    ["", "80", ":80", "::1:80", "[::1]", "[127.0.0.1]:80", "h:", "h:65536", "h:-1", "h: 80", "h:８0", "http://h:80"],
)
def test_an_address_that_could_be_misread_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_address(text)


@pytest.mark.parametrize("address", ["127.0.0.1:1", "127.9.9.9:1", "[::1]:1", "localhost:1"])
@pytest.mark.parametrize("variable", ["GRPC_ADDRESS", "HTTP_ADDRESS", "METRICS_ADDRESS"])
def test_plaintext_is_served_on_loopback(load: Load, variable: str, address: str) -> None:
    assert not load(**{variable: address}).tls


@pytest.mark.parametrize("address", ["0.0.0.0:1", "[::]:1", "192.168.0.7:1", "outlay.example.com:1"])
@pytest.mark.parametrize("variable", ["GRPC_ADDRESS", "HTTP_ADDRESS", "METRICS_ADDRESS"])
def test_plaintext_for_other_machines_is_refused(load: Load, variable: str, address: str) -> None:
    with pytest.raises(SettingsInvalid, match=rf"OUTLAY_{variable}: .* OUTLAY_ALLOW_PLAINTEXT=true"):
        load(**{variable: address})


def test_plaintext_for_other_machines_is_served_when_it_is_allowed(load: Load) -> None:
    assert load(GRPC_ADDRESS="0.0.0.0:1", HTTP_ADDRESS="0.0.0.0:2", ALLOW_PLAINTEXT="true").http_address.port == 2


def test_a_certificate_allows_every_address_but_that_of_the_metrics(load: Load, pair: tuple[str, str]) -> None:
    """Metrics are plaintext always: scrapers and probes have no certificates."""
    files = {"TLS_CERT_FILE": pair[0], "TLS_KEY_FILE": pair[1]}
    assert load(GRPC_ADDRESS="0.0.0.0:1", HTTP_ADDRESS="0.0.0.0:2", **files).tls
    with pytest.raises(SettingsInvalid, match="OUTLAY_METRICS_ADDRESS") as caught:
        load(METRICS_ADDRESS="0.0.0.0:3")
    assert len(caught.value.errors) == 1


@pytest.mark.parametrize("alone", ["TLS_CERT_FILE", "TLS_KEY_FILE"])
def test_a_certificate_and_its_key_come_together(load: Load, pair: tuple[str, str], alone: str) -> None:
    with pytest.raises(SettingsInvalid, match=r"OUTLAY_TLS_KEY_FILE: .*together or not at all"):
        load(**{alone: pair[alone == "TLS_KEY_FILE"]})


def test_the_key_of_another_certificate_is_refused(load: Load, pair: tuple[str, str], tmp_path: Path) -> None:
    """The server would start all the same and fail every handshake."""
    _, other_key = make_certificate(tmp_path, "other")
    with pytest.raises(SettingsInvalid, match="OUTLAY_TLS_KEY_FILE: is no private key of the certificate"):
        load(TLS_CERT_FILE=pair[0], TLS_KEY_FILE=other_key)


@pytest.mark.parametrize("key", ["sk_live", "secret", assemble(b"01234567890123456789")[:-1] + "0"])
def test_an_admin_key_that_nobody_could_use_is_refused_with_how_to_make_one(load: Load, key: str) -> None:
    """Authentication refuses a key whose checksum is wrong, so the service would have no platform key at all."""
    with pytest.raises(SettingsInvalid, match=r"OUTLAY_ADMIN_KEY: .*outlay keys generate"):
        load(ADMIN_KEY=key)


def test_a_misspelt_variable_is_named_with_what_was_meant() -> None:
    environment = {"OUTLAY_GRPC_ADRESS": "x", "OUTLAY_LOG_LEVEL": "info", "OUTLAY_API_KEY": "x", "PATH": "x"}
    assert unknown_variables(environment) == [
        "OUTLAY_GRPC_ADRESS is no setting and is ignored. Is OUTLAY_GRPC_ADDRESS meant?"
    ]
