"""A TCP proxy between a gRPC client and a server that loses what it is told to lose, and the connection with it.

It reads the frames of HTTP/2 just far enough to know where a request or a reply begins, so the test says which kind is
lost, not which byte.
"""

import asyncio
import contextlib
from collections.abc import Callable
from types import TracebackType
from typing import Final, Literal, Self

Lost = Literal["request", "reply"]

_HEADERS: Final = 1
_FRAME_HEADER_BYTES: Final = 9
_PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


class ReplyEater:
    """`async with ReplyEater(address, loses) as proxy`: clients connect to `proxy.address`.

    `loses("request")` is asked when a request begins, and what it says yes to never reaches the server.
    `loses("reply")` is asked when an answer comes back: the server has done its work, and the client will not know.
    """

    def __init__(self, target: str, loses: Callable[[Lost], bool]) -> None:
        self.lost: dict[Lost, int] = {"request": 0, "reply": 0}
        self._host, _, port = target.rpartition(":")
        self._port = int(port)
        self._loses = loses
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def address(self) -> str:
        assert self._server is not None
        host, port = self._server.sockets[0].getsockname()[:2]
        return f"{host}:{port}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                await self._carry(reader, writer)
        finally:
            self._tasks.discard(task)
            _reset(writer)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Both directions of one connection, until either ends."""
        server_reader, server_writer = await asyncio.open_connection(self._host, self._port)
        try:
            server_writer.write(await reader.readexactly(len(_PREFACE)))
            directions = [
                asyncio.create_task(self._pump(reader, server_writer, "request")),
                asyncio.create_task(self._pump(server_reader, writer, "reply")),
            ]
            try:
                await asyncio.wait(directions, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for direction in directions:
                    direction.cancel()
                await asyncio.gather(*directions, return_exceptions=True)
        finally:
            _reset(server_writer)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, kind: Lost) -> None:
        begun: set[int] = set()
        while True:
            header = await reader.readexactly(_FRAME_HEADER_BYTES)
            payload = await reader.readexactly(int.from_bytes(header[:3], "big"))
            stream = int.from_bytes(header[5:], "big")
            # The first HEADERS of a stream begin a request, or a reply; a second one is the trailers of that reply.
            if header[3] == _HEADERS and stream not in begun:
                begun.add(stream)
                if self._loses(kind):
                    self.lost[kind] += 1
                    return
            writer.write(header + payload)
            await writer.drain()


def _reset(writer: asyncio.StreamWriter) -> None:
    """End a connection as a broken network does, without a goodbye."""
    transport = writer.transport
    if not transport.is_closing():
        transport.abort()
