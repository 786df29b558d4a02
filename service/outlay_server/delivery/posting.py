"""Posting one body to one URL: what may go wrong becomes an answer in words."""

import asyncio
import contextlib
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Final

import httpcore2

from outlay_server.delivery.addresses import AddressRefused, CheckedNetwork, Resolve
from outlay_server.domain.instant import Instant, from_datetime

ANSWER_READ_MAX_BYTES: Final = 16 * 1024
ANSWER_READ_SECONDS: Final = 1.0
"""The status says everything. The body is read so far that the connection can be used again, or it is closed."""

CONNECTIONS_KEPT_MAX: Final = 100
CONNECTION_KEPT_SECONDS: Final = 15.0

_RETRY_AFTER_STATUSES: Final = (429, 503)
_SECONDS_DIGITS_MAX: Final = 9


@dataclass(frozen=True, slots=True)
class Answer:
    """What a receiver said, if it said anything."""

    http_status: int | None
    error: str
    """Why there was no status, for people. Holds nothing of the URL, which may open something."""
    retry_after_seconds: float = 0
    """What it asked for, unbounded; 0 where it did not."""


class Poster:
    """Posts over connections to addresses that were looked at. Follows no redirect, uses no proxy, keeps no cookie.

    Not an HTTP client but the connections beneath one: what a client adds is what must not happen here.
    """

    def __init__(
        self,
        resolve: Resolve,
        *,
        allow_private: bool = False,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self._pool = httpcore2.AsyncConnectionPool(
            ssl_context=ssl_context or httpcore2.default_ssl_context(),
            # Who may wait for whom is decided before: nobody waits for another's connection here.
            max_connections=None,
            max_keepalive_connections=CONNECTIONS_KEPT_MAX,
            keepalive_expiry=CONNECTION_KEPT_SECONDS,
            network_backend=CheckedNetwork(resolve, allow_private=allow_private),
        )

    async def close(self) -> None:
        """Close every connection."""
        await self._pool.aclose()

    async def post(
        self, url: str, headers: Mapping[str, str], body: bytes, now: Instant, timeout_seconds: float
    ) -> Answer:
        """Post, and wait for a status at most so long in all. Never raises but for cancellation."""
        try:
            return await self._post(url, headers, body, now, timeout_seconds)
        except TimeoutError:
            return Answer(None, f"no answer within {timeout_seconds:g} s")
        except AddressRefused:
            return Answer(None, "the host has an address that is not public")
        except ssl.SSLCertVerificationError as error:
            return Answer(None, f"the certificate was refused: {error.verify_message}"[:200])
        except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
            return Answer(None, _connect_error(error))
        except OSError:
            return Answer(None, "the host was not found")
        except (httpcore2.NetworkError, httpcore2.ProtocolError, httpcore2.TimeoutException):
            return Answer(None, "the connection broke, or what came was no HTTP")

    async def _post(
        self, url: str, headers: Mapping[str, str], body: bytes, now: Instant, timeout_seconds: float
    ) -> Answer:
        async with contextlib.AsyncExitStack() as stack:
            async with asyncio.timeout(timeout_seconds):
                posting = self._pool.stream("POST", url, headers=list(headers.items()), content=body)
                response = await stack.enter_async_context(posting)
            # It has answered. Whatever its body does now, the answer stands.
            with contextlib.suppress(TimeoutError, httpcore2.NetworkError, httpcore2.ProtocolError):
                async with asyncio.timeout(ANSWER_READ_SECONDS):
                    await _read_a_little(response)
            wait = 0.0
            if response.status in _RETRY_AFTER_STATUSES:
                wait = _retry_after_seconds(response.headers, now)
            return Answer(response.status, "", wait)


async def _read_a_little(response: httpcore2.Response) -> None:
    read = 0
    async for part in response.aiter_stream():
        read += len(part)
        if read > ANSWER_READ_MAX_BYTES:
            return


def _connect_error(error: Exception) -> str:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"the certificate was refused: {cause.verify_message}"[:200]
        if isinstance(cause, ssl.SSLError):
            return "there is no TLS to speak with it"
        cause = cause.__cause__ or cause.__context__
    return "it could not be connected to"


def _retry_after_seconds(headers: list[tuple[bytes, bytes]], now: Instant) -> float:
    """RFC 9110, 10.2.3: seconds, or a date."""
    text = next((value for name, value in headers if name.lower() == b"retry-after"), b"").decode("latin-1").strip()
    if text.isascii() and text.isdigit() and len(text) <= _SECONDS_DIGITS_MAX:
        return float(text)
    try:
        at = parsedate_to_datetime(text)
    except ValueError:
        return 0
    return 0 if at.tzinfo is None else max(0.0, (from_datetime(at) - now) / 1e6)
