"""Where the service is, with which key it is called and over what: arguments first, then the environment."""

import os
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

DEFAULT_ENDPOINT: Final = "127.0.0.1:50051"
_DEFAULT_PORT: Final = 50051
_DEFAULT_TLS_PORT: Final = 443
_KEY_FILE_MAX_BYTES: Final = 4096
"""A key is 41 characters; a larger file is another file."""
_TRUE: Final = frozenset({"1", "true", "yes", "on"})


class SettingsError(ValueError):
    """What the client was given, or found in the environment, does not say how to call the service."""


@dataclass(frozen=True, slots=True)
class Connection:
    """How to reach the service."""

    target: str
    """As gRPC takes it. Several addresses are used in turn."""
    api_key: str = field(repr=False)
    tls: bool
    ca_certificates: bytes | None = field(repr=False)
    """PEM; None trusts what gRPC was built to trust."""
    organization: str
    """`organizations/{organization}`; empty for an organization's own key."""
    client_certificate: bytes | None = field(default=None, repr=False)
    """PEM, to show a server that asks for one."""
    client_key: bytes | None = field(default=None, repr=False)


def connection(
    endpoint: str | Sequence[str] | None = None,
    api_key: str | None = None,
    *,
    organization: str | None = None,
    ca_file: str | os.PathLike[str] | None = None,
    client_cert_file: str | os.PathLike[str] | None = None,
    client_key_file: str | os.PathLike[str] | None = None,
    allow_plaintext: bool | None = None,
    environment: Mapping[str, str] = os.environ,
) -> Connection:
    """Read the settings; what is None comes from the environment.

    That is OUTLAY_ENDPOINT, OUTLAY_API_KEY or OUTLAY_API_KEY_FILE, OUTLAY_ORGANIZATION, OUTLAY_CA_FILE,
    OUTLAY_CLIENT_CERT_FILE and OUTLAY_CLIENT_KEY_FILE, and OUTLAY_ALLOW_PLAINTEXT.

    An endpoint is `host:port`, `http://host:port`, `https://host:port` or `unix:path`; several are given as a sequence,
    or with commas between them, with one scheme for all and IP addresses only. Raises `SettingsError`.
    """
    if isinstance(endpoint, str) or endpoint is None:
        endpoint = (endpoint or environment.get("OUTLAY_ENDPOINT", "").strip() or DEFAULT_ENDPOINT).split(",")
    ca_path = ca_file if ca_file is not None else environment.get("OUTLAY_CA_FILE") or None
    addresses = [_address(one.strip(), has_ca_file=ca_path is not None) for one in endpoint]
    if not addresses:
        raise SettingsError("no endpoint was given")
    if len({tls for _, tls in addresses}) > 1:
        raise SettingsError("either all endpoints are called over TLS or none")
    tls = addresses[0][1]
    targets = [target for target, _ in addresses]
    if allow_plaintext is None:
        allow_plaintext = environment.get("OUTLAY_ALLOW_PLAINTEXT", "").lower() in _TRUE
    for target in targets:
        if not (tls or allow_plaintext or _is_local(target)):
            raise SettingsError(
                f"{target} is not on this machine, and without TLS everybody on the way could read the API key:"
                " use https:// in the endpoint, or allow_plaintext"
            )
    certificate = client_cert_file if client_cert_file is not None else environment.get("OUTLAY_CLIENT_CERT_FILE")
    own_key = client_key_file if client_key_file is not None else environment.get("OUTLAY_CLIENT_KEY_FILE")
    if bool(certificate) != bool(own_key):
        raise SettingsError("a client certificate and its private key are given together or not at all")
    return Connection(
        target=_join(targets),
        api_key=_usable_key(api_key if api_key is not None else _environment_key(environment)),
        tls=tls,
        ca_certificates=None if ca_path is None else _read(Path(ca_path)),
        organization=_organization(organization or environment.get("OUTLAY_ORGANIZATION", "")),
        client_certificate=_read(Path(certificate)) if certificate else None,
        client_key=_read(Path(own_key)) if own_key else None,
    )


def _address(endpoint: str, *, has_ca_file: bool) -> tuple[str, bool]:
    """The target, and whether it is called over TLS: `https://`, or a CA file without a scheme."""
    scheme, separator, address = endpoint.partition("://")
    if not separator:
        if endpoint.startswith("unix:"):
            return endpoint, False
        if not endpoint:
            raise SettingsError("an endpoint is empty")
        return _with_port(endpoint, _DEFAULT_PORT), has_ca_file
    address = address.rstrip("/")
    if scheme not in ("http", "https") or not address or "/" in address:
        raise SettingsError(f"the endpoint is {endpoint!r}; write host:port, http://host:port or https://host:port")
    if scheme == "http" and has_ca_file:
        raise SettingsError("a CA file asks for TLS and the endpoint says http://")
    return _with_port(address, _DEFAULT_TLS_PORT if scheme == "https" else _DEFAULT_PORT), scheme == "https"


def _with_port(address: str, port: int) -> str:
    # An IPv6 address stands in brackets, so a colon after them (or one without any) begins the port.
    return address if ":" in address.rpartition("]")[2] else f"{address}:{port}"


def _is_local(target: str) -> bool:
    host = target.rpartition(":")[0].strip("[]")
    return target.startswith("unix:") or host in ("localhost", "::1") or _is_loopback_v4(host)


def _is_loopback_v4(host: str) -> bool:
    # Only a dotted quad: 127.example.com is a name like any other.
    parts = host.split(".")
    return len(parts) == 4 and parts[0] == "127" and all(part.isdecimal() for part in parts)


def _join(targets: Sequence[str]) -> str:
    if len(targets) == 1:
        return targets[0]
    # gRPC takes a list of addresses only where it need not resolve them.
    kinds = {"ipv6" if target.startswith("[") else "ipv4" for target in targets}
    plain = [target.replace("localhost:", "127.0.0.1:") for target in targets]
    numeric = all(target.startswith("[") or target.rpartition(":")[0].replace(".", "").isdecimal() for target in plain)
    if len(kinds) > 1 or not numeric:
        raise SettingsError("several endpoints are IP addresses, all of one kind; else name one that resolves to all")
    return f"{kinds.pop()}:{','.join(plain)}"


def _environment_key(environment: Mapping[str, str]) -> str:
    key, file = environment.get("OUTLAY_API_KEY", ""), environment.get("OUTLAY_API_KEY_FILE", "")
    if key and file:
        raise SettingsError("OUTLAY_API_KEY and OUTLAY_API_KEY_FILE are both set; unset one of them")
    return _read_key_file(Path(file)) if file else key


def _usable_key(key: str) -> str:
    key = key.strip()
    if not key:
        raise SettingsError("there is no API key: give api_key, or set OUTLAY_API_KEY or OUTLAY_API_KEY_FILE")
    if not key.isascii() or not key.isprintable():
        raise SettingsError("the API key holds characters that no key has")
    return key


def _read_key_file(path: Path) -> str:
    try:
        with path.open("rb") as opened:
            mode = stat.S_IMODE(os.fstat(opened.fileno()).st_mode)
            if mode & 0o077:
                raise SettingsError(f"{path} can be read by others (mode {mode:04o}): chmod 600 {path}")
            return opened.read(_KEY_FILE_MAX_BYTES).decode("ascii", "replace")
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror}") from error


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror}") from error


def _organization(organization: str) -> str:
    if not organization or organization.startswith("organizations/"):
        return organization
    return f"organizations/{organization}"
