"""A receiver of webhooks on a real socket, which does what its script says and remembers what it was sent."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

from standardwebhooks import Webhook, WebhookVerificationError

Behaviour = str
"""A status such as `200`, with a header after a space such as `429 Retry-After: 7`; or one of `hang`, `reset`,
`slow body` (200, and a body that never ends), `slow 500` (the same after a failure), `cut` (half a status line),
`huge` (200 with headers, and a megabyte of body), `garbage` (no HTTP at all)."""

SLOW_SECONDS = 30.0


@dataclass(frozen=True)
class Received:
    """One request, read to its end, and what was answered."""

    path: str
    headers: dict[str, str]
    body: bytes
    behaviour: Behaviour

    @property
    def message_id(self) -> str:
        return self.headers.get("webhook-id", "")

    def verified(self, secret: str) -> Any:
        """The payload; raises where the `standardwebhooks` package does not accept it."""
        return Webhook(secret).verify(self.body, self.headers)

    def is_genuine(self, secret: str) -> bool:
        try:
            self.verified(secret)
        except WebhookVerificationError:
            return False
        return True


@dataclass
class Receiver:
    """Answers each request by `script`, which is asked with the request's number (from 0) and path."""

    script: Callable[[int, str], Behaviour] = lambda _number, _path: "200"
    received: list[Received] = field(default_factory=list)
    secrets: dict[str, str] = field(default_factory=dict)
    """By path: what each message is verified with as it arrives, while its timestamp is still good."""
    genuine: int = 0
    port: int = 0
    scheme: str = "http"
    open_now: int = 0
    open_most: int = 0
    """Connections at once, at most."""
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    def url(self, path: str = "/hooks") -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}{path}"

    def bodies(self) -> list[bytes]:
        return [one.body for one in self.received]

    def ids(self) -> list[str]:
        return [one.message_id for one in self.received]

    async def has(self, count: int, timeout_seconds: float = 20) -> list[Received]:
        """The first `count` requests, once they are there."""
        async with asyncio.timeout(timeout_seconds):
            while len(self.received) < count:
                self._changed.clear()
                await self._changed.wait()
        return self.received[:count]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        self.open_now += 1
        self.open_most = max(self.open_most, self.open_now)
        # Cancelled at the end of its block, where it hangs on purpose: asyncio would tell of that as of a defect.
        expected = (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, asyncio.CancelledError)
        with contextlib.suppress(*expected):
            while await self._answer(reader, writer):
                pass
        self.open_now -= 1
        writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        request_line, *lines = head.strip().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        path = request_line.split(" ")[1]
        behaviour = self.script(len(self.received), path)
        received = Received(path, headers, body, behaviour)
        self.received.append(received)
        self.genuine += path in self.secrets and received.is_genuine(self.secrets[path])
        self._changed.set()
        return await _behave(behaviour, writer)


async def _behave(behaviour: Behaviour, writer: asyncio.StreamWriter) -> bool:
    """Answer so; whether the connection goes on."""
    match behaviour.split(" ", 1):
        case ["hang"]:
            await asyncio.sleep(SLOW_SECONDS)
        case ["reset"]:
            writer.transport.abort()
        case ["cut"]:
            writer.write(b"HTTP/1.1 2")
        case ["garbage"]:
            writer.write(b"220 mail.example.com ESMTP ready\r\n")
        case ["huge"]:
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n" + b"x" * 1_000_000)
            await writer.drain()
            return True
        case ["slow", kind]:
            status = "200" if kind == "body" else kind
            writer.write(f"HTTP/1.1 {status} -\r\ncontent-length: 1000\r\n\r\n".encode())
            for _ in range(int(SLOW_SECONDS * 10)):
                writer.write(b".")
                await writer.drain()
                await asyncio.sleep(0.1)
        case [status, *header]:
            more = f"{header[0]}\r\n" if header else ""
            writer.write(f"HTTP/1.1 {status} -\r\ncontent-length: 2\r\n{more}\r\nok".encode())
            await writer.drain()
            return True
    return False


@contextlib.asynccontextmanager
async def receiving(
    script: Callable[[int, str], Behaviour] = lambda _number, _path: "200",
    *,
    ssl_context: ssl.SSLContext | None = None,
    port: int = 0,
) -> AsyncIterator[Receiver]:
    """A receiver on loopback, ended with the block."""
    receiver = Receiver(script, scheme="https" if ssl_context else "http")
    server = await asyncio.start_server(receiver.serve, "127.0.0.1", port, ssl=ssl_context, limit=1 << 20)
    receiver.port = server.sockets[0].getsockname()[1]
    try:
        yield receiver
    finally:
        server.close()
        for task in asyncio.all_tasks():
            if getattr(task.get_coro(), "__qualname__", "") == "Receiver.serve":
                task.cancel()
