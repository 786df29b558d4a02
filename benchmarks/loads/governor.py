"""mcp-budget-governor as its documentation says: `reserve` before the work, on its Redis backend, in process."""

from mcp_budget_governor import Context, FailMode, Governor, Limit, Policy, Scope, Unit, Window
from mcp_budget_governor.backends.redis import RedisBackend
from mcp_budget_governor.errors import BudgetExceeded, LimitExceeded
from redis.asyncio import BlockingConnectionPool, Redis

from benchmarks.loads.closed_loop import Journal, Turns, measure
from benchmarks.trial import Plan, Tenant, Trial, serve_plan

_SPEND = "spend"


async def run(plan: Plan) -> Trial:
    pool = BlockingConnectionPool.from_url(
        f"redis://{plan.targets[0]}", max_connections=plan.in_flight, timeout=30, decode_responses=True
    )
    async with Redis(connection_pool=pool) as redis:
        backend = RedisBackend(redis)
        governors = {tenant.organization_id: _governor(tenant, backend) for tenant in plan.tenants}
        journal = Journal(plan.expects)
        turns = Turns(plan.tenants)

        async def call(_: int) -> int:
            for tenant, amount_micros in turns.take(1):
                budget = tenant.organization_id
                try:
                    await governors[budget].reserve(_SPEND, amount_micros, Context(tenant=budget))
                except (BudgetExceeded, LimitExceeded) as refusal:
                    journal.denied(budget, type(refusal).__name__)
                else:
                    journal.admitted(budget, amount_micros)
                return 1
            return 0

        return await measure(plan, call, journal)


def _governor(tenant: Tenant, backend: RedisBackend) -> Governor:
    limit = Limit(
        _SPEND,
        cap=tenant.cap_micros,
        scope=Scope.TENANT,
        window=Window.DAY,
        unit=Unit.USD_MICROS,
        fail_mode=FailMode.CLOSED,
    )
    return Governor(Policy([limit]), backend)


if __name__ == "__main__":
    serve_plan(run)
