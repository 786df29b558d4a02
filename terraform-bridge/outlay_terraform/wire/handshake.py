"""go-plugin's introduction: the cookie that says who started us, and the line that says where we listen."""

import base64
import datetime
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

COOKIE_NAME: Final = "TF_PLUGIN_MAGIC_COOKIE"
COOKIE_VALUE: Final = "d602bf8f470bc67ca7faa0386276bbdd4330efaf76d1a219cb4d6991ca9872b2"
"""Published. It protects nothing: it tells people who start the program by hand that it is of no use to them."""

CLIENT_CERTIFICATE_NAME: Final = "PLUGIN_CLIENT_CERT"
PROTOCOL_VERSIONS_NAME: Final = "PLUGIN_PROTOCOL_VERSIONS"

CORE_PROTOCOL_VERSION: Final = 1
PROTOCOL_VERSION: Final = 6

_VALID_FOR: Final = datetime.timedelta(days=365)
"""Longer than any run: the certificate dies with the process."""
_CLOCK_SKEW: Final = datetime.timedelta(hours=1)


class NotStartedByTerraform(Exception):
    """The program was started by hand, or by a Terraform that is too old."""


@dataclass(frozen=True, slots=True)
class Identity:
    """A fresh key and the certificate that Terraform is told to trust."""

    certificate_der: bytes
    credentials: grpc.ServerCredentials


def ensure_started_by_terraform(environment: Mapping[str, str] = os.environ) -> None:
    """Raises `NotStartedByTerraform`."""
    if environment.get(COOKIE_NAME) != COOKIE_VALUE:
        raise NotStartedByTerraform(
            "This is a plugin of Terraform: it is started by terraform and not by hand.\n"
            "`terraform init` finds it in a mirror or in a registry; see the documentation of the provider."
        )
    offered = environment.get(PROTOCOL_VERSIONS_NAME, "")
    if offered and str(PROTOCOL_VERSION) not in offered.split(","):
        raise NotStartedByTerraform("This provider takes Terraform 1.0 or newer (plugin protocol 6).")


def wants_tls(environment: Mapping[str, str] = os.environ) -> bool:
    return bool(environment.get(CLIENT_CERTIFICATE_NAME))


def new_identity(now: datetime.datetime) -> Identity:
    """A P-256 key and a certificate for `localhost`, which is what go-plugin looks for.

    Terraform's own certificate is not asked for: it is of P-521, which gRPC's TLS does not verify. Who may connect is
    decided by the directory of the socket, which is open to its owner only.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCK_SKEW)
        .not_valid_after(now + _VALID_FOR)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return Identity(certificate.public_bytes(serialization.Encoding.DER), grpc.ssl_server_credentials([(private, pem)]))


def line(socket: str, certificate_der: bytes) -> str:
    """What goes to standard output, once: `1|6|unix|SOCKET|grpc|CERTIFICATE`."""
    # Go's RawStdEncoding: base64 without padding.
    certificate = base64.b64encode(certificate_der).rstrip(b"=").decode()
    return f"{CORE_PROTOCOL_VERSION}|{PROTOCOL_VERSION}|unix|{socket}|grpc|{certificate}"
