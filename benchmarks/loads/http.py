"""The native REST check."""

import json

from benchmarks.loads.closed_loop import Journal
from benchmarks.loads.http_client import post, run_http
from benchmarks.messages import LABELS, TTL_SECONDS, UNIT, new_request_id
from benchmarks.trial import Plan, Tenant, Trial, serve_plan


async def run(plan: Plan) -> Trial:
    return await run_http(plan, _request, _read)


def _request(tenant: Tenant, amount_micros: int) -> bytes:
    content = {
        "unit": UNIT,
        "amount_micros": str(amount_micros),
        "labels": LABELS,
        "reservation_ttl": f"{TTL_SECONDS}s",
        "request_id": new_request_id(),
    }
    return post(f"/v1/organizations/{tenant.organization_id}:checkSpend", tenant.key, content)


def _read(journal: Journal, tenant: Tenant, _: int, status: int, body: bytes) -> None:
    answer = json.loads(body)
    match status, answer.get("decision"):
        case 200, "DECISION_ALLOWED":
            journal.admitted(tenant.organization_id, int(answer["granted_micros"]))
        case 200, "DECISION_DENIED":
            journal.denied(tenant.organization_id, answer["reason"])
        case _:
            journal.failed(f"{status}: {body[:200].decode(errors='replace')}")


if __name__ == "__main__":
    serve_plan(run)
