"""Certificates for loopback, made by the `openssl` command."""

import subprocess
from pathlib import Path

_SUBJECT_NAMES = "subjectAltName=DNS:localhost,IP:127.0.0.1,IP:::1"


def make_certificate(folder: Path, name: str, *, authority: tuple[str, str] | None = None) -> tuple[str, str]:
    """Paths of a certificate for this machine and of its key; signed by itself or by an authority's pair."""
    certificate, key = folder / f"{name}.crt", folder / f"{name}.key"
    _openssl("req", "-x509", *_new_key(key, name), "-days", "2", "-addext", _SUBJECT_NAMES, "-out", certificate)
    if authority is not None:
        request, extensions = folder / f"{name}.csr", folder / f"{name}.ext"
        extensions.write_text(f"{_SUBJECT_NAMES}\n")
        _openssl("req", "-new", "-key", key, "-subj", f"/CN={name}", "-out", request)
        signer = ("-CA", authority[0], "-CAkey", authority[1], "-set_serial", str(abs(hash(name)) + 1))
        _openssl("x509", "-req", "-in", request, *signer, "-days", "2", "-extfile", extensions, "-out", certificate)
    return str(certificate), str(key)


def _new_key(key: Path, name: str) -> tuple[object, ...]:
    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1")
    return (*curve, "-nodes", "-keyout", key, "-subj", f"/CN={name}")


def _openssl(*arguments: object) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)
