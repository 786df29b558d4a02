"""The rival of our own making: one transaction a check behind FastAPI (`benchmarks.rivals.one_transaction`)."""

import json
import os
from functools import partial

from benchmarks.loads.closed_loop import Journal
from benchmarks.loads.http_client import post, run_http
from benchmarks.trial import Plan, Tenant, Trial, serve_plan


async def run(plan: Plan, path: str = "/checks") -> Trial:
    return await run_http(plan, partial(_request, path), _read)


def _request(path: str, tenant: Tenant, amount_micros: int) -> bytes:
    content = {"budget": tenant.organization_id, "micros": amount_micros, "request_id": os.urandom(16).hex()}
    return post(path, tenant.key, content)


def _read(journal: Journal, tenant: Tenant, amount_micros: int, status: int, body: bytes) -> None:
    answer = json.loads(body)
    match status, answer.get("allowed"):
        case 200, True:
            journal.admitted(tenant.organization_id, amount_micros)
        case 200, False:
            journal.denied(tenant.organization_id, "the cap is reached")
        case _:
            journal.failed(f"{status}: {body[:200].decode(errors='replace')}")


if __name__ == "__main__":
    serve_plan(run)
