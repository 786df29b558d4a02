"""A closed loop over HTTP/1.1, one kept connection a caller.

Its client is written for this: a general one costs more CPU than the server, and would be what is measured.
"""

import asyncio
import json
from collections.abc import Callable
from typing import Any

from benchmarks.loads.closed_loop import Journal, Turns, measure
from benchmarks.trial import Plan, Tenant, Trial

Request = Callable[[Tenant, int], bytes]
"""The bytes of one call, from whom and how much it spends."""

Read = Callable[[Journal, Tenant, int, int, bytes], None]
"""Enters one answer: the tenant, the amount that was asked for, the status and the body."""


async def run_http(plan: Plan, request: Request, read: Read) -> Trial:
    load = _Load(plan, request, read)
    try:
        await load.connect(plan.in_flight)
        return await measure(plan, load.call, load.journal)
    finally:
        load.close()


def post(path: str, key: str, content: Any) -> bytes:
    body = json.dumps(content).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nhost: benchmark\r\nauthorization: Bearer {key}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


class _Load:
    def __init__(self, plan: Plan, request: Request, read: Read) -> None:
        self.journal = Journal(plan.expects)
        self._turns = Turns(plan.tenants, spread=plan.spread)
        self._targets = plan.targets
        self._request = request
        self._read = read
        self._connections: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def connect(self, count: int) -> None:
        for number in range(count):
            host, port = self._targets[number % len(self._targets)].rsplit(":", 1)
            self._connections.append(await asyncio.open_connection(host, int(port)))

    def close(self) -> None:
        for _, writer in self._connections:
            writer.close()

    async def call(self, caller: int) -> int:
        turns = self._turns.take(1)
        if not turns:
            return 0
        tenant, amount_micros = turns[0]
        reader, writer = self._connections[caller]
        writer.write(self._request(tenant, amount_micros))
        status, length = _read_head(await reader.readuntil(b"\r\n\r\n"))
        body = await reader.readexactly(length)
        self._read(self.journal, tenant, amount_micros, status, body)
        return 1


def _read_head(head: bytes) -> tuple[int, int]:
    """Status and length of the body. An answer without a length would be read wrongly, so it is an error."""
    lines = head.split(b"\r\n")
    for line in lines[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(lines[0].split()[1]), int(value)
    raise ValueError(f"an answer without content-length: {head!r}")
