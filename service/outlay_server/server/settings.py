"""The settings of `outlay serve`: environment variables, read once, checked together, frozen.

What one variable means alone is its field's validator; what two mean together is checked by the later of the two, so
that one start names everything that is wrong.
"""

import difflib
import re
import ssl
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from outlay_server.domain.api_key import is_well_formed
from outlay_server.domain.limits import RECORD_RETENTION_MIN_DAYS
from outlay_server.server.address import Address, parse_address
from outlay_server.store.sealing import FernetSealer

PREFIX: Final = "OUTLAY_"

_OF_CLIENTS: Final = frozenset(
    {
        "OUTLAY_API_KEY",
        "OUTLAY_API_KEY_FILE",
        "OUTLAY_CA_FILE",
        "OUTLAY_CLIENT_CERT_FILE",
        "OUTLAY_CLIENT_KEY_FILE",
        "OUTLAY_ENDPOINT",
        "OUTLAY_ORGANIZATION",
    }
)
"""Read by the SDK and the command line; no slip where a server finds them."""

DATABASE_FILE: Final = "outlay.db"
"""The embedded database, inside the data directory."""


WORKERS_MAX: Final = 64
"""Each has nine connections to the database; more cores than this are better used by replicas."""


_DAYS: Final = re.compile(r"([1-9][0-9]{0,4})d", re.ASCII)


class SettingsInvalid(Exception):
    """The environment cannot be served from. Its text lists every error, one a line, each naming its variable."""

    def __init__(self, errors: Iterable[str]) -> None:
        self.errors = tuple(errors)
        super().__init__("The settings are invalid:\n" + "\n".join(f"  {error}" for error in self.errors))


@dataclass(frozen=True, slots=True)
class SqliteDatabase:
    """The embedded default: one file, one server."""

    path: Path


@dataclass(frozen=True, slots=True)
class PostgresDatabase:
    """A database that replicas share."""

    url: SecretStr
    """`postgresql://…`; may hold a password."""


class Settings(BaseSettings):
    """Every setting of the service. Get one by `load`."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_ignore_empty=True,
        frozen=True,
        validate_default=True,
        arbitrary_types_allowed=True,
        extra="ignore",
        hide_input_in_errors=True,
    )

    # The order matters: a validator sees the fields above its own.

    data_dir: Path = Path("data")
    """Holds the embedded database and the admin key that was made; created where it is missing."""

    allow_plaintext: bool = False
    """Serve without TLS on addresses that other machines can reach."""

    tls_cert_file: Path | None = None
    """PEM chain of the server, own certificate first. Set: gRPC and HTTP speak TLS."""

    tls_key_file: Path | None = None
    """PEM private key of the certificate, without a passphrase."""

    tls_client_ca_file: Path | None = None
    """PEM certificates of those who sign clients' certificates. Set: a client must show one (mTLS)."""

    grpc_address: Annotated[Address, NoDecode] = Address("127.0.0.1", 50051)
    http_address: Annotated[Address, NoDecode] = Address("127.0.0.1", 8080)
    metrics_address: Annotated[Address, NoDecode] = Address("127.0.0.1", 9090)
    """Metrics and health probes, always plaintext: there is no key and no customer's name in them."""

    database_url: SecretStr | None = None
    """`postgresql://…` or `sqlite:////path/to/file`; absent: SQLite in the data directory."""

    workers: int = Field(default=1, ge=1, le=WORKERS_MAX)
    """Processes that serve together at these addresses; more than one needs PostgreSQL."""

    migrate: bool = False
    """Bring a PostgreSQL to this version's schema at start. The embedded database always is."""

    admin_key: SecretStr | None = None
    """The platform key; absent: the one in the data directory, which is made at the first start."""

    request_id_retention_days: float = Field(default=40, ge=1, le=3_650)
    """How long a request_id is remembered at least; a repetition after that is a new request."""

    record_retention: Annotated[int | None, NoDecode] = None
    """How many days records, closed reservations and alerts are kept, written `400d`; absent: for ever."""

    webhook_allow_insecure: bool = False
    """Send webhooks over plain http too, and to private and loopback addresses: for development and tests."""

    webhook_secret_keys: Annotated[tuple[SecretStr, ...], NoDecode] = ()
    """Fernet keys that seal signing secrets in the database, the one that seals first; none: they lie there plain."""

    smtp_host: str | None = Field(default=None, pattern=r"^[A-Za-z0-9.:-]+$")
    """The relay that takes mail; absent: endpoints cannot be mailed to."""

    smtp_port: int = Field(default=587, ge=1, le=65_535)
    smtp_tls: Literal["starttls", "tls", "none"] = "starttls"
    smtp_username: str | None = None
    smtp_password: SecretStr | None = None
    smtp_from: Annotated[str | None, Field(pattern=r"^[^\s<>@]+@[A-Za-z0-9.-]+$")] = None
    """The sender's address."""

    smtp_allowed_domains: Annotated[tuple[str, ...], NoDecode] = ()
    """Mail is sent to these domains only; none: to any."""

    log_level: Literal["debug", "info", "warning", "error"] = "info"

    slow_call_seconds: float = Field(default=1.0, gt=0, le=60)
    """A call that takes longer is logged."""

    shutdown_delay_seconds: float = Field(default=0.5, ge=0, le=300)
    """Between saying NOT_SERVING and refusing connections, for balancers to look elsewhere."""

    drain_seconds: float = Field(default=10.0, ge=0, le=300)
    """How long calls in flight may take to end after that."""

    otel_endpoint: str | None = Field(default=None, pattern=r"^https?://[^\s]+$")
    """Where spans go by OTLP over HTTP, such as http://localhost:4318; the standard OTEL_ variables do as well."""

    @property
    def record_retention_seconds(self) -> int | None:
        return None if self.record_retention is None else self.record_retention * 86_400

    @property
    def tls(self) -> bool:
        return self.tls_cert_file is not None

    @property
    def database(self) -> SqliteDatabase | PostgresDatabase:
        """Where the ledger is kept."""
        if self.database_url is None:
            return SqliteDatabase(self.data_dir / DATABASE_FILE)
        return _database(self.database_url.get_secret_value())

    @classmethod
    def load(cls, *, workers: int | None = None) -> Self:
        """Read the environment; `workers` wins over its variable. Raises `SettingsInvalid` with all that is wrong."""
        try:
            return cls() if workers is None else cls(workers=workers)
        except ValidationError as error:
            raise SettingsInvalid(sorted(_errors(error))) from None

    @field_validator("tls_cert_file", "tls_client_ca_file")
    @classmethod
    def _is_a_readable_file(cls, path: Path | None) -> Path | None:
        if path is not None:
            _refuse_unreadable(path)
        return path

    @field_validator("tls_key_file")
    @classmethod
    def _belongs_to_the_certificate(cls, key: Path | None, info: ValidationInfo) -> Path | None:
        if key is not None:
            _refuse_unreadable(key)
        if "tls_cert_file" not in info.data:
            return key
        certificate: Path | None = info.data["tls_cert_file"]
        if (key is None) != (certificate is None):
            raise ValueError("OUTLAY_TLS_CERT_FILE and OUTLAY_TLS_KEY_FILE are set together or not at all")
        if key is not None and certificate is not None:
            try:
                ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password="")
            except (ssl.SSLError, OSError, ValueError) as error:
                raise ValueError(f"is no private key of the certificate in OUTLAY_TLS_CERT_FILE ({error})") from None
        return key

    @field_validator("tls_client_ca_file")
    @classmethod
    def _has_a_server_certificate_beside_it(cls, path: Path | None, info: ValidationInfo) -> Path | None:
        if path is None:
            return None
        if info.data.get("tls_cert_file", path) is None:
            raise ValueError("asks clients for certificates, which needs OUTLAY_TLS_CERT_FILE and OUTLAY_TLS_KEY_FILE")
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_verify_locations(path)
        except (ssl.SSLError, OSError) as error:
            raise ValueError(f"holds no certificate ({error})") from None
        return path

    @field_validator("grpc_address", "http_address", "metrics_address", mode="before")
    @classmethod
    def _is_an_address(cls, value: object) -> Address:
        return value if isinstance(value, Address) else parse_address(str(value))

    @field_validator("grpc_address", "http_address", "metrics_address")
    @classmethod
    def _is_not_plaintext_for_others(cls, address: Address, info: ValidationInfo) -> Address:
        # A certificate that was given and refused is an error of its own, and not also one of every address.
        encrypted = info.field_name != "metrics_address" and info.data.get("tls_cert_file", ...) is not None
        if not encrypted and not address.is_loopback and not info.data.get("allow_plaintext", True):
            how = (
                ""
                if info.field_name == "metrics_address"
                else " Set OUTLAY_TLS_CERT_FILE and OUTLAY_TLS_KEY_FILE, or allow"
            )
            raise ValueError(
                f"{address} would be served without TLS to other machines.{how} it by OUTLAY_ALLOW_PLAINTEXT=true"
            )
        return address

    @field_validator("record_retention", mode="before")
    @classmethod
    def _is_a_number_of_days(cls, value: object) -> int | None:
        if value is None:
            return None
        days = _DAYS.fullmatch(str(value))
        if days is None or int(days[1]) < RECORD_RETENTION_MIN_DAYS:
            raise ValueError(f"must be a number of days from {RECORD_RETENTION_MIN_DAYS}d on, such as 400d")
        return int(days[1])

    @field_validator("webhook_secret_keys", mode="before")
    @classmethod
    def _are_sealing_keys(cls, value: object) -> tuple[SecretStr, ...]:
        keys = tuple(key.strip() for key in str(value).split(",")) if isinstance(value, str) else ()
        if keys:
            try:
                FernetSealer(keys)
            except ModuleNotFoundError as error:
                raise ValueError(
                    f"needs the module {error.name}. Install it with: pip install 'outlay[sealing]'"
                ) from None
        return tuple(map(SecretStr, keys))

    @field_validator("smtp_allowed_domains", mode="before")
    @classmethod
    def _are_domains(cls, value: object) -> tuple[str, ...]:
        return tuple(part.strip().lower() for part in value.split(",")) if isinstance(value, str) else ()

    @field_validator("smtp_password")
    @classmethod
    def _belongs_to_a_user(cls, password: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        if (password is None) != (info.data.get("smtp_username") is None):
            raise ValueError("OUTLAY_SMTP_USERNAME and OUTLAY_SMTP_PASSWORD are set together or not at all")
        if password is not None and info.data.get("smtp_tls") == "none":
            raise ValueError("would be sent in the clear: set OUTLAY_SMTP_TLS to starttls or tls")
        return password

    @field_validator("smtp_from")
    @classmethod
    def _is_set_with_a_relay(cls, address: str | None, info: ValidationInfo) -> str | None:
        if address is None and info.data.get("smtp_host") is not None:
            raise ValueError("must be set where OUTLAY_SMTP_HOST is: mail needs a sender")
        return address

    @field_validator("database_url")
    @classmethod
    def _names_a_database(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None:
            _database(url.get_secret_value())
        return url

    @field_validator("workers")
    @classmethod
    def _share_a_database(cls, workers: int, info: ValidationInfo) -> int:
        url: SecretStr | None = info.data.get("database_url")
        # A URL that was given and refused is an error of its own.
        kept_in_a_file = "database_url" in info.data and (url is None or url.get_secret_value().startswith("sqlite:"))
        if workers > 1 and kept_in_a_file:
            raise ValueError(
                f"{workers} workers need PostgreSQL: a ledger in SQLite has one process. Set OUTLAY_DATABASE_URL"
            )
        return workers

    @field_validator("admin_key")
    @classmethod
    def _is_a_key(cls, key: SecretStr | None) -> SecretStr | None:
        if key is not None and not is_well_formed(key.get_secret_value()):
            raise ValueError(
                "is no key: sk_ and 38 characters, the last six a checksum. Make one: outlay keys generate"
            )
        return key


def unknown_variables(environment: Mapping[str, str]) -> list[str]:
    """Return one sentence for each OUTLAY_ variable that nothing reads: most often a misspelt setting."""
    known = {f"{PREFIX}{name.upper()}" for name in Settings.model_fields} | _OF_CLIENTS
    found = sorted(name for name in environment if name.startswith(PREFIX) and name not in known)
    return [_unknown(name, known) for name in found]


def _unknown(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f"{name} is no setting and is ignored." + (f" Is {close[0]} meant?" if close else "")


def _database(url: str) -> SqliteDatabase | PostgresDatabase:
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise ValueError("is no URL; it takes postgresql://user@host/database or sqlite:////path/to/file") from None
    match parsed.drivername:
        case "sqlite" if parsed.database not in (None, "", ":memory:") and not parsed.host and not parsed.query:
            return SqliteDatabase(Path(parsed.database))
        case "postgresql" | "postgres":
            return PostgresDatabase(SecretStr(url.replace("postgres://", "postgresql://", 1)))
        case _:
            raise ValueError("must be postgresql://user@host/database or sqlite:////path/to/file")


def _refuse_unreadable(path: Path) -> None:
    try:
        with path.open("rb"):
            pass
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from None


def _errors(error: ValidationError) -> Iterable[str]:
    """Each error with its variable; values are left out, because some are secrets."""
    for detail in error.errors(include_url=False, include_input=False):
        variable = f"{PREFIX}{str(detail['loc'][0]).upper()}"
        yield f"{variable}: {detail['msg'].removeprefix('Value error, ')}"
