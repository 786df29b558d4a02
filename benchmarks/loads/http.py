"""The native REST check over HTTP/1.1, one kept connection a caller.

Its client is written for this: a general one costs more CPU than the server, and would be what is measured.
"""

import asyncio
import json

from benchmarks.loads.closed_loop import Journal, Turns, measure
from benchmarks.messages import LABELS, TTL_SECONDS, UNIT, new_request_id
from benchmarks.trial import Plan, Tenant, Trial, serve_plan

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def run(plan: Plan) -> Trial:
    load = _Load(plan)
    try:
        await load.connect(plan.in_flight)
        return await measure(plan, load.check, load.journal)
    finally:
        load.close()


class _Load:
    def __init__(self, plan: Plan) -> None:
        self.journal = Journal()
        self._turns = Turns(plan.tenants)
        self._targets = plan.targets
        self._connections: list[Connection] = []

    async def connect(self, count: int) -> None:
        for number in range(count):
            host, port = self._targets[number % len(self._targets)].rsplit(":", 1)
            self._connections.append(await asyncio.open_connection(host, int(port)))

    def close(self) -> None:
        for _, writer in self._connections:
            writer.close()

    async def check(self, caller: int) -> int:
        turns = self._turns.take(1)
        if not turns:
            return 0
        tenant, amount_micros = turns[0]
        reader, writer = self._connections[caller]
        writer.write(_request(tenant, amount_micros))
        head = await reader.readuntil(b"\r\n\r\n")
        status, length = _read_head(head)
        body = await reader.readexactly(length)
        answer = json.loads(body)
        if status == 200 and answer.get("decision") == "DECISION_ALLOWED":
            self.journal.admitted(tenant.organization_id, int(answer["granted_micros"]))
        else:
            self.journal.failed(f"{status}: {body[:200].decode(errors='replace')}")
        return 1


def _request(tenant: Tenant, amount_micros: int) -> bytes:
    body = json.dumps(
        {
            "unit": UNIT,
            "amount_micros": str(amount_micros),
            "labels": LABELS,
            "reservation_ttl": f"{TTL_SECONDS}s",
            "request_id": new_request_id(),
        }
    ).encode()
    head = (
        f"POST /v1/organizations/{tenant.organization_id}:checkSpend HTTP/1.1\r\nhost: benchmark\r\n"
        f"authorization: Bearer {tenant.key}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def _read_head(head: bytes) -> tuple[int, int]:
    """Status and length of the body. An answer without a length would be read wrongly, so it is an error."""
    lines = head.split(b"\r\n")
    for line in lines[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(lines[0].split()[1]), int(value)
    raise ValueError(f"an answer without content-length: {head!r}")


if __name__ == "__main__":
    serve_plan(run)
