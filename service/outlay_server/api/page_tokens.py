"""Page tokens: where the next page begins, sealed together with the question it belongs to (AIP-158).

A token is base64url of a short digest and a JSON list. The digest covers the list, the method and every field that must
not change between pages, so a token that was cut, edited, or sent with another question is refused rather than answered
with the wrong rows. It is no secret: what a caller may see is decided by the key, never by a token.
"""

import hashlib
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from typing import Final

from google.protobuf.message import Message

from outlay_server.domain.text import is_plain

Position = int | str
"""A part of where a page ends: an id, a sequence number, an instant."""

TOKEN_MAX_LENGTH: Final = 8_192
"""The longest token that is looked at: four label values of 255 bytes, escaped, and the rest."""

_DIGEST_BYTES: Final = 12
_PAGING_FIELDS: Final = ("page_size", "page_token")


def seal(request: Message, position: Sequence[Position]) -> str:
    """The token for the page that follows `position`, for the same question."""
    body = json.dumps(list(position), separators=(",", ":"), ensure_ascii=True).encode()
    return urlsafe_b64encode(_digest(request, body) + body).rstrip(b"=").decode()


def unseal(request: Message, token: str, shape: Sequence[type]) -> tuple[Position, ...] | None:
    """The position in a token that `seal` made for this question, or None for anything else.

    `shape` names the types of its parts, so that no text stands where a number is compared.
    """
    if len(token) > TOKEN_MAX_LENGTH or not token.isascii():
        return None
    try:
        sealed = urlsafe_b64decode(token + "=" * (-len(token) % 4))
        body = sealed[_DIGEST_BYTES:]
        position = json.loads(body)
    except (ValueError, RecursionError):
        return None
    # Comparing the token as well: base64 reads some bits twice and skips what is not of its alphabet.
    if _digest(request, body) != sealed[:_DIGEST_BYTES] or urlsafe_b64encode(sealed).rstrip(b"=").decode() != token:
        return None
    if not isinstance(position, list) or [type(part) for part in position] != list(shape):
        return None
    if not all(is_plain(part) for part in position if isinstance(part, str)):
        return None
    return tuple(position)


def _digest(request: Message, body: bytes) -> bytes:
    question = type(request)()
    question.CopyFrom(request)
    for name in _PAGING_FIELDS:
        question.ClearField(name)
    hashed = hashlib.blake2b(digest_size=_DIGEST_BYTES, person=b"outlay.page.v1")
    hashed.update(request.DESCRIPTOR.full_name.encode())
    hashed.update(b"\0")
    hashed.update(question.SerializeToString(deterministic=True))
    hashed.update(b"\0")
    hashed.update(body)
    return hashed.digest()
