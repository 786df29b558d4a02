"""Callers of the SDK as it comes: each awaits single checks, which travel together."""

from contextlib import AsyncExitStack

from benchmarks.loads.closed_loop import Journal, Turns, measure
from benchmarks.messages import LABELS, TTL_SECONDS, UNIT
from benchmarks.trial import Plan, Trial, serve_plan
from outlay_client import AsyncClient
from outlay_client.errors import OutlayError


async def run(plan: Plan) -> Trial:
    async with AsyncExitStack() as stack:
        clients = {
            tenant.organization_id: await stack.enter_async_context(
                AsyncClient(plan.targets[0], tenant.key, timeout_seconds=30)
            )
            for tenant in plan.tenants
        }
        journal = Journal(plan.expects)
        turns = Turns(plan.tenants)

        async def call(_: int) -> int:
            for tenant, amount_micros in turns.take(1):
                budget = tenant.organization_id
                try:
                    answer = await clients[budget].check(
                        amount_micros, unit=UNIT, labels=LABELS, ttl_seconds=TTL_SECONDS
                    )
                except OutlayError as error:
                    journal.failed(f"{type(error).__name__}: {error}")
                else:
                    if answer.allowed:
                        journal.admitted(budget, answer.granted_micros)
                    else:
                        journal.denied(budget, str(answer.reason))
                return 1
            return 0

        return await measure(plan, call, journal)


if __name__ == "__main__":
    serve_plan(run)
