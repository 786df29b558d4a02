"""A mocked chat completion through a gateway that counts its tokens: hardcap, LiteLLM.

A micro stands for one token, or one token's price; what a completion cost is what its answer says it used.
"""

import json
from functools import partial

from benchmarks.loads.closed_loop import Journal
from benchmarks.loads.http_client import post, run_http
from benchmarks.trial import Plan, Tenant, Trial, serve_plan

OUTPUT_TOKENS = 20
"""What LiteLLM's own mock says that it used."""

_REFUSALS = ("budget_exceeded", "budget_busy", "exceeded budget", "no deployments available")


async def run(plan: Plan) -> Trial:
    return await run_http(plan, partial(_request, plan.mock_milliseconds), _read)


def _request(mock_milliseconds: int, tenant: Tenant, _: int) -> bytes:
    content = {
        # A tenant of LiteLLM is a model with a budget, since its keys need a database; one of hardcap is a key.
        "model": tenant.organization_id if tenant.organization_id.startswith("model-") else "demo",
        "messages": [{"role": "user", "content": "hi"}],
        "max_tokens": OUTPUT_TOKENS,
        "mock": {"output_tokens": OUTPUT_TOKENS, "ttft_ms": mock_milliseconds, "tpot_ms": 0},
    }
    if tenant.organization_id.startswith("model-"):
        del content["mock"]
        if mock_milliseconds:
            content["mock_delay"] = mock_milliseconds / 1e3
    return post("/v1/chat/completions", tenant.key, content)


def _read(journal: Journal, tenant: Tenant, _: int, status: int, body: bytes) -> None:
    text = body.decode(errors="replace")
    if status == 200:
        journal.spent(tenant.organization_id, int(json.loads(body)["usage"]["total_tokens"]))
    elif any(refusal in text.lower() for refusal in _REFUSALS):
        journal.denied(tenant.organization_id, text[:200])
    else:
        journal.failed(f"{status}: {text[:200]}")


if __name__ == "__main__":
    serve_plan(run)
