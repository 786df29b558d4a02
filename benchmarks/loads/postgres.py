"""The bare store, PostgreSQL: a guarded UPDATE and an INSERT in one transaction, over a pool of connections."""

import asyncpg

from benchmarks.loads.closed_loop import Journal, Turns, measure
from benchmarks.messages import new_request_id
from benchmarks.trial import Plan, Tenant, Trial, serve_plan

CONNECTIONS = 16
"""More only queue at the hot row."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS budgets (id text PRIMARY KEY, cap bigint NOT NULL, reserved bigint NOT NULL);
CREATE TABLE IF NOT EXISTS reservations (id text PRIMARY KEY, budget text NOT NULL, micros bigint NOT NULL);
"""


async def run(plan: Plan) -> Trial:
    async with asyncpg.create_pool(plan.targets[0], min_size=CONNECTIONS, max_size=CONNECTIONS) as pool:
        await pool.execute(_SCHEMA)
        rows = [(tenant.organization_id, tenant.cap_micros) for tenant in plan.tenants]
        await pool.executemany("INSERT INTO budgets VALUES ($1, $2, 0) ON CONFLICT DO NOTHING", rows)
        journal = Journal(plan.expects)
        turns = Turns(plan.tenants)

        async def call(_: int) -> int:
            for tenant, amount_micros in turns.take(1):
                await _admit(pool, tenant, amount_micros, journal)
                return 1
            return 0

        return await measure(plan, call, journal)


async def _admit(pool: asyncpg.Pool, tenant: Tenant, amount_micros: int, journal: Journal) -> None:
    async with pool.acquire() as connection, connection.transaction():
        admitted = await connection.fetchval(
            "UPDATE budgets SET reserved = reserved + $1 WHERE id = $2 AND reserved + $1 <= cap RETURNING true",
            amount_micros,
            tenant.organization_id,
        )
        if admitted:
            await connection.execute(
                "INSERT INTO reservations VALUES ($1, $2, $3)", new_request_id(), tenant.organization_id, amount_micros
            )
    # Only after the commit has been acknowledged.
    if admitted:
        journal.admitted(tenant.organization_id, amount_micros)
    else:
        journal.denied(tenant.organization_id, "the guard refused")


if __name__ == "__main__":
    serve_plan(run)
