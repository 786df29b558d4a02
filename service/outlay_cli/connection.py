"""How the remote commands reach a service: read from the environment, once, all of it before the first call."""

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from outlay_cli.errors import CommandFailed

DEFAULT_ENDPOINT: Final = "127.0.0.1:50051"
_DEFAULT_PORT: Final = 50051
_DEFAULT_TLS_PORT: Final = 443
_KEY_FILE_MAX_BYTES: Final = 4096
"""A key is 41 characters; a larger file is another file."""


@dataclass(frozen=True, slots=True)
class ClientSettings:
    """Where to call, with which key, over what."""

    target: str
    """As gRPC takes it: `host:port` or `unix:path`."""
    api_key: str
    tls: bool
    ca_certificates: bytes | None
    """PEM; None trusts what gRPC was built to trust."""
    client_certificate: bytes | None
    client_key: bytes | None


def read_settings(environment: Mapping[str, str]) -> ClientSettings:
    """Read the OUTLAY_ variables of clients. Raises `CommandFailed` with what to set."""
    target, tls = _endpoint(environment)
    if not tls and not _is_local(target) and environment.get("OUTLAY_ALLOW_PLAINTEXT", "").lower() not in _TRUE:
        raise CommandFailed(
            f"{target} is not on this machine, and without TLS everybody on the way could read the API key."
            " Use https:// in OUTLAY_ENDPOINT, or set OUTLAY_ALLOW_PLAINTEXT=true."
        )
    certificate, key = _file(environment, "OUTLAY_CLIENT_CERT_FILE"), _file(environment, "OUTLAY_CLIENT_KEY_FILE")
    if (certificate is None) != (key is None):
        raise CommandFailed("OUTLAY_CLIENT_CERT_FILE and OUTLAY_CLIENT_KEY_FILE belong together: set both or none.")
    return ClientSettings(
        target=target,
        api_key=_api_key(environment),
        tls=tls,
        ca_certificates=_file(environment, "OUTLAY_CA_FILE"),
        client_certificate=certificate,
        client_key=key,
    )


def from_environment() -> ClientSettings:
    """The settings of this process."""
    return read_settings(os.environ)


_TRUE: Final = frozenset({"1", "true", "yes", "on"})


def _endpoint(environment: Mapping[str, str]) -> tuple[str, bool]:
    """The target and whether it is called over TLS: `https://`, or a CA file without a scheme."""
    endpoint = environment.get("OUTLAY_ENDPOINT", "").strip() or DEFAULT_ENDPOINT
    has_ca_file = bool(environment.get("OUTLAY_CA_FILE"))
    scheme, separator, address = endpoint.partition("://")
    if not separator:
        if endpoint.startswith("unix:"):
            return endpoint, False
        return _with_port(endpoint, _DEFAULT_PORT), has_ca_file
    address = address.rstrip("/")
    if scheme not in ("http", "https") or not address or "/" in address:
        raise CommandFailed(f"OUTLAY_ENDPOINT is {endpoint!r}; write host:port, http://host:port or https://host:port.")
    if scheme == "http" and has_ca_file:
        raise CommandFailed("OUTLAY_CA_FILE asks for TLS and OUTLAY_ENDPOINT says http://. Set one of them.")
    return _with_port(address, _DEFAULT_TLS_PORT if scheme == "https" else _DEFAULT_PORT), scheme == "https"


def _with_port(address: str, port: int) -> str:
    # An IPv6 address stands in brackets, so a colon after them (or one without any) begins the port.
    return address if ":" in address.rpartition("]")[2] else f"{address}:{port}"


def _is_local(target: str) -> bool:
    host = target.rpartition(":")[0].strip("[]")
    return target.startswith("unix:") or host in ("localhost", "::1") or host.startswith("127.")


def _api_key(environment: Mapping[str, str]) -> str:
    key, file = environment.get("OUTLAY_API_KEY", ""), environment.get("OUTLAY_API_KEY_FILE", "")
    if key and file:
        raise CommandFailed("OUTLAY_API_KEY and OUTLAY_API_KEY_FILE are both set; unset one of them.")
    if file:
        key = _read_key_file(Path(file))
    if not key.strip():
        raise CommandFailed(
            "There is no API key. Set OUTLAY_API_KEY, or OUTLAY_API_KEY_FILE to a file of mode 0600"
            " (a local `outlay serve` keeps its own in data/admin.key)."
        )
    if not key.strip().isascii() or not key.strip().isprintable():
        raise CommandFailed("The API key holds characters that no key has. Copy it again.")
    return key.strip()


def _read_key_file(path: Path) -> str:
    try:
        with path.open("rb") as opened:
            mode = stat.S_IMODE(os.fstat(opened.fileno()).st_mode)
            if mode & 0o077:
                raise CommandFailed(f"{path} can be read by others (mode {mode:04o}). Run: chmod 600 {path}")
            return opened.read(_KEY_FILE_MAX_BYTES).decode("ascii", "replace").strip()
    except OSError as error:
        raise CommandFailed(f"OUTLAY_API_KEY_FILE {path} cannot be read: {error.strerror}.") from error


def _file(environment: Mapping[str, str], variable: str) -> bytes | None:
    name = environment.get(variable, "")
    if not name:
        return None
    try:
        return Path(name).read_bytes()
    except OSError as error:
        raise CommandFailed(f"{variable} {name} cannot be read: {error.strerror}.") from error
