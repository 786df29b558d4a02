"""API keys: how they are spelled and stored, and the scopes they may hold.

A key is `sk_`, 32 characters of secret and 6 of checksum, all of them Crockford's base32 in lower case (no i, l, o, u):

    sk_ 0123456789abcdefghjkmnpqrstvwxyz 3w2hk9
        160 bits from a CSPRNG           CRC-32 of the 32 characters, its low 30 bits

The checksum keeps nobody out. It tells a typo, and a scanner for leaked secrets that found a look-alike, from a key
without asking the database. There is one spelling: what Crockford's alphabet would forgive (capitals, `O` for `0`) is
refused, because the stored hash is of the text.
"""

import enum
import hashlib
import re
import zlib
from collections.abc import Iterable
from typing import Final

from outlay_server.domain.errors import Violations, echo

KEY_PREFIX: Final = "sk_"
SECRET_BYTES: Final = 20
"""160 bits: guessing is hopeless, so a fast hash is enough to store; and 32 characters of 5 bits without a rest."""

_ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"
_BITS_PER_CHARACTER: Final = 5
_SECRET_LENGTH: Final = 32
_CHECKSUM_LENGTH: Final = 6
_KEY: Final = re.compile(
    rf"{KEY_PREFIX}([{_ALPHABET}]{{{_SECRET_LENGTH}}})([{_ALPHABET}]{{{_CHECKSUM_LENGTH}}})", re.ASCII
)


class Scope(enum.StrEnum):
    """What a key may do. Which method asks for which is one table at the edge."""

    CONTROL_READ = "control:read"
    """Reads and updates the organization's own budgets, and lists its alerts, audit events and keys."""

    CONTROL_WEBHOOKS = "control:webhooks"
    """Manages the organization's webhook endpoints."""

    BUDGETS_READ = "budgets:read"
    """Reads budgets, reservations and spend; for a key that must only read."""

    BUDGETS_WRITE = "budgets:write"
    """Creates, updates and deletes budgets."""

    SPEND_CHECK = "spend:check"
    """Checks spend, and releases and extends reservations."""

    SPEND_RECORD = "spend:record"
    """Records and refunds spend."""

    ADMIN = "admin"
    """The platform key's: organizations, keys and allotments. No key of an organization can hold it."""


ORGANIZATION_SCOPES: Final = frozenset(Scope) - {Scope.ADMIN}
"""What a key of an organization may hold."""


def assemble(random_bytes: bytes) -> str:
    """Return the key made of 20 bytes, which the caller took from a cryptographic source."""
    assert len(random_bytes) == SECRET_BYTES, "a key holds 160 bits"
    secret = _base32(int.from_bytes(random_bytes, "big"), _SECRET_LENGTH)
    return f"{KEY_PREFIX}{secret}{_checksum(secret)}"


def is_well_formed(key: str) -> bool:
    """Say whether this is spelled like a key, checksum included. False means that it opens nothing, anywhere."""
    parsed = _KEY.fullmatch(key)
    return parsed is not None and _checksum(parsed.group(1)) == parsed.group(2)


def hash_key(key: str) -> bytes:
    """Return the SHA-256 by which a key is stored and found."""
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()


def last_four(key: str) -> str:
    """Return the end of a key, by which its owner tells it from others. It lies in the checksum, not in the secret."""
    return key[-4:]


def add_scope_violations(violations: Violations, field: str, scopes: Iterable[str]) -> None:
    """Note everything that is wrong with the scopes asked for a new key of an organization."""
    seen: set[str] = set()
    for index, scope in enumerate(scopes):
        where = f"{field}[{index}]"
        if scope == Scope.ADMIN:
            violations.add(where, "admin belongs to the platform key alone")
        elif scope not in ORGANIZATION_SCOPES:
            violations.add(where, f"{echo(scope)} is no scope; there are {', '.join(sorted(ORGANIZATION_SCOPES))}")
        elif scope in seen:
            violations.add(where, "must be named once")
        seen.add(scope)
    if not seen:
        violations.add(field, "must name at least one scope")


def _checksum(secret: str) -> str:
    return _base32(zlib.crc32(secret.encode("ascii")), _CHECKSUM_LENGTH)


def _base32(number: int, length: int) -> str:
    """Return the last `length` digits of a number in base 32, most significant first."""
    shifts = range((length - 1) * _BITS_PER_CHARACTER, -1, -_BITS_PER_CHARACTER)
    return "".join(_ALPHABET[(number >> shift) & 31] for shift in shifts)
