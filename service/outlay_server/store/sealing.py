"""How signing secrets lie in the database: sealed with a key that is not in it, or plain where the server has none.

They cannot be hashed as API keys are: the server signs with them. Each stored text says how it is kept, so that a key
can be introduced, and changed, while old rows are still read.
"""

from collections.abc import Sequence
from typing import Final, Protocol

_PLAIN: Final = "plain:"
_FERNET: Final = "fernet:"


class CannotOpen(Exception):
    """A secret was sealed with a key that this server was not given."""


class SealingKeyInvalid(ValueError):
    """A key is not what seals; says what one is."""


class Sealer(Protocol):
    """Keeps secrets."""

    def seal(self, secret: str) -> str:
        """The text to store."""

    def open(self, stored: str) -> str:
        """The secret again. Raises `CannotOpen`."""


class PlainSealer:
    """Seals nothing: whoever reads the database reads the secrets."""

    def seal(self, secret: str) -> str:
        return _PLAIN + secret

    def open(self, stored: str) -> str:
        if not stored.startswith(_PLAIN):
            raise CannotOpen
        return stored.removeprefix(_PLAIN)


class FernetSealer:
    """Seals with the first key (AES-128-CBC and HMAC-SHA256), and opens what any of them, or none, has sealed."""

    def __init__(self, keys: Sequence[str]) -> None:
        """Raises `SealingKeyInvalid`, and `ModuleNotFoundError` without `cryptography`."""
        from cryptography.fernet import Fernet, InvalidToken, MultiFernet

        try:
            self._fernet = MultiFernet([Fernet(key) for key in keys])
        except ValueError as error:
            raise SealingKeyInvalid("must be 32 bytes in URL-safe base64, 44 characters") from error
        self._invalid = InvalidToken

    def seal(self, secret: str) -> str:
        return _FERNET + self._fernet.encrypt(secret.encode()).decode("ascii")

    def open(self, stored: str) -> str:
        if not stored.startswith(_FERNET):
            return PlainSealer().open(stored)
        try:
            return self._fernet.decrypt(stored.removeprefix(_FERNET)).decode()
        except self._invalid as error:
            raise CannotOpen from error
