"""A load generator in C: Debian's h2load, which posts one gRPC message again and again over HTTP/2.

It knows nothing of gRPC: an error in the trailers is a success to it (RESOURCE_EXHAUSTED too). So what it calls
succeeded is entered as admitted, and the books say whether it was. Its message has no request_id, for it is always the
same: idempotency is not exercised, which is to the service's favour by the claim that is not written.
"""

import asyncio
import re
import struct
import tempfile
from pathlib import Path

from benchmarks.loads.closed_loop import Journal, Meter
from benchmarks.messages import CHECK_SPEND, check_request
from benchmarks.trial import Plan, Tenant, Trial, serve_plan

PROGRAM = "h2load"
CONNECTIONS = 4
AMOUNT_MICROS = 499
WARM_UP_CALLS = 500
MEASURED_CALLS = 5_000
"""It is told a number, not a time, so that no call is under way at the end; about two seconds."""

_COUNTS = re.compile(r"requests: (\d+) total, \d+ started, (\d+) done, (\d+) succeeded, (\d+) failed")


async def run(plan: Plan) -> Trial:
    journal = Journal(plan.expects)
    tenant = plan.tenants[0]
    calls = min(tenant.most_checks - WARM_UP_CALLS, plan.most_calls or MEASURED_CALLS)
    with tempfile.TemporaryDirectory(prefix="outlay-h2load-") as folder:
        await _load(plan, tenant, min(WARM_UP_CALLS, calls), Path(folder) / "warm-up", journal)
        meter = Meter(plan)
        latencies = await _load(plan, tenant, calls, Path(folder) / "log", journal)
        return meter.stop(latencies, calls, journal)


async def _load(plan: Plan, tenant: Tenant, calls: int, log: Path, journal: Journal) -> list[float]:
    """Make so many calls; the latency of each in seconds."""
    message = check_request(AMOUNT_MICROS)
    message.ClearField("request_id")
    content = message.SerializeToString()
    body = log.with_suffix(".body")
    # Not compressed, and its length.
    body.write_bytes(struct.pack(">BI", 0, len(content)) + content)
    process = await asyncio.create_subprocess_exec(
        PROGRAM,
        f"--requests={calls}",
        f"--clients={min(CONNECTIONS, calls)}",
        f"--max-concurrent-streams={plan.in_flight // CONNECTIONS}",
        f"--data={body}",
        f"--log-file={log}",
        "--header=content-type: application/grpc",
        "--header=te: trailers",
        f"--header=authorization: Bearer {tenant.key}",
        f"http://{plan.targets[0]}{CHECK_SPEND}",
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output = (await process.communicate())[0].decode()
    counts = _COUNTS.search(output)
    if counts is None:
        raise RuntimeError(f"{PROGRAM} ended with {process.returncode}:\n{output}")
    _, _, succeeded, failed = (int(count) for count in counts.groups())
    for _ in range(succeeded):
        journal.admitted(tenant.organization_id, AMOUNT_MICROS)
    for _ in range(failed):
        journal.failed("no answer")
    # Start in µs since 1970, HTTP status, duration in µs.
    return [int(line.split()[2]) / 1e6 for line in log.read_text().splitlines()]  # noqa: ASYNC240 - nothing else runs


if __name__ == "__main__":
    serve_plan(run)
