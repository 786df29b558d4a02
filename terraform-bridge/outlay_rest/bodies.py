"""The body of a request: its size, its type, and the one strict JSON document in it."""

import asyncio
from collections.abc import AsyncIterator

from starlette.requests import Request

from outlay_rest import limits
from outlay_rest.problems import Violation, invalid, too_large, too_slow, wrong_content_type
from outlay_rest.strict_json import Json, NotJson, parse

_JSON_TYPES = frozenset({"application/json", "application/merge-patch+json"})


async def read_body(request: Request, limit_bytes: int) -> bytes:
    """Return the body, never holding more than `limit_bytes` of it.

    Raises `Refused`: 413 for a larger one, 408 for one that does not arrive in time.
    """
    declared = request.headers.get("content-length", "")
    if declared.isascii() and declared.isdigit() and (len(declared) > 12 or int(declared) > limit_bytes):
        raise too_large(limit_bytes)
    try:
        # Nothing else bounds a caller that sends one byte a minute, and each holds a connection.
        async with asyncio.timeout(limits.BODY_MAX_SECONDS):
            return await _joined(request.stream(), limit_bytes)
    except TimeoutError:
        raise too_slow() from None


async def _joined(chunks: AsyncIterator[bytes], limit_bytes: int) -> bytes:
    body = bytearray()
    async for chunk in chunks:
        if len(body) + len(chunk) > limit_bytes:
            raise too_large(limit_bytes)
        body += chunk
    return bytes(body)


def check_content_type(request: Request) -> None:
    """Raise `Refused` (415) unless the body is declared as JSON in UTF-8, or not declared at all."""
    given = request.headers.getlist("content-type")
    if not given:
        return
    media_type, _, parameters = given[0].partition(";")
    charset = parameters.replace(" ", "").lower()
    if len(given) > 1 or media_type.strip().lower() not in _JSON_TYPES:
        raise wrong_content_type()
    if charset and charset not in ("charset=utf-8", 'charset="utf-8"'):
        raise wrong_content_type()


async def read_document(request: Request, limit_bytes: int, *, required: bool, allowed: bool) -> Json:
    """Return the JSON object or other document of the body, and None where there is no body.

    Raises `Refused`: for a body that is missing and `required`, that is there and not `allowed`, and that is not JSON.
    """
    body = await read_body(request, limit_bytes)
    if not body:
        if required:
            raise invalid([Violation("", "a JSON body is needed")])
        return None
    if not allowed:
        raise invalid([Violation("", "this request takes no body")])
    check_content_type(request)
    try:
        document = parse(body)
    except NotJson as error:
        raise invalid([Violation("", f"the body {error}")]) from None
    if document is None:
        raise invalid([Violation("", "the body must be a JSON object")])
    return document
