"""The platform key: the one in the settings, or one that is made at the first start and kept in a file.

It holds every scope. Only its hash goes further than this module.
"""

import contextlib
import logging
import os
import secrets
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from outlay_server.domain.api_key import SECRET_BYTES, assemble, hash_key, is_well_formed

logger = logging.getLogger(__name__)

FILE_NAME: Final = "admin.key"
_MODE: Final = 0o600


class AdminKeyUnusable(Exception):
    """There is a key file that cannot be used, and why."""


@dataclass(frozen=True, slots=True)
class AdminKey:
    """The platform key as the service needs it."""

    key_hash: bytes
    made: str | None = None
    """The key itself where this start made it: to be shown once."""


def resolve_admin_key(configured: str | None, data_dir: Path) -> AdminKey:
    """Return the key of the settings (well-formed), else that of the data directory, made where there is none.

    Of processes that start together one makes the key and the others read it. Raises `AdminKeyUnusable`.
    """
    if configured is not None:
        return AdminKey(hash_key(configured))
    file = data_dir / FILE_NAME
    try:
        if file.exists():
            return AdminKey(hash_key(_read(file)))
        key = assemble(secrets.token_bytes(SECRET_BYTES))
        if _keep(key, file):
            return AdminKey(hash_key(key), made=key)
        return AdminKey(hash_key(_read(file)))
    except OSError as error:
        raise AdminKeyUnusable(
            f"The admin key cannot be kept in {file} ({error.strerror}). Make it accessible, or set OUTLAY_ADMIN_KEY."
        ) from error


def _read(file: Path) -> str:
    mode = stat.S_IMODE(file.stat().st_mode)
    if mode & 0o077:
        logger.warning(
            "others can read the admin key", extra={"file": str(file), "mode": f"{mode:04o}", "wanted": f"{_MODE:04o}"}
        )
    key = file.read_text(errors="replace").strip()
    if not is_well_formed(key):
        raise AdminKeyUnusable(
            f"{file} holds no key. Put the key back, remove the file to have a new one made, or set OUTLAY_ADMIN_KEY."
        )
    return key


def _keep(key: str, file: Path) -> bool:
    """Write the file whole or not at all. False where another process was first; then its key counts."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    part = file.with_name(f".{file.name}.{secrets.token_hex(8)}")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _MODE)
    try:
        with os.fdopen(descriptor, "w") as written:
            os.fchmod(written.fileno(), _MODE)
            written.write(f"{key}\n")
            written.flush()
            os.fsync(written.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(part, file)  # unlike a rename it fails where the file is there already
            return True
        return False
    finally:
        part.unlink(missing_ok=True)
