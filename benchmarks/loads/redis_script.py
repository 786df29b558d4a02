"""What one writes with Redis: admission in one Lua script, through redis-py, 64 callers over a pool of connections.

The same work as the bare stores': add to a guarded counter, insert a row, atomically.
"""

import os

from redis.asyncio import BlockingConnectionPool, Redis

from benchmarks.loads.closed_loop import Journal, Turns, measure
from benchmarks.trial import Plan, Trial, serve_plan

ADMIT = """
local reserved = redis.call('HINCRBY', KEYS[1], 'reserved', ARGV[2])
if reserved > tonumber(redis.call('HGET', KEYS[1], 'cap')) then
  redis.call('HINCRBY', KEYS[1], 'reserved', -ARGV[2])
  return 0
end
redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
return 1
"""


async def run(plan: Plan) -> Trial:
    pool = BlockingConnectionPool.from_url(f"redis://{plan.targets[0]}", max_connections=plan.in_flight, timeout=30)
    async with Redis(connection_pool=pool) as redis:
        admit = redis.register_script(ADMIT)
        for tenant in plan.tenants:
            await redis.hset(f"budget:{tenant.organization_id}", "cap", tenant.cap_micros)
        journal = Journal(plan.expects)
        turns = Turns(plan.tenants)

        async def call(_: int) -> int:
            for tenant, amount_micros in turns.take(1):
                budget = tenant.organization_id
                keys = [f"budget:{budget}", f"reservations:{budget}"]
                if await admit(keys=keys, args=[os.urandom(16).hex(), amount_micros]):
                    journal.admitted(budget, amount_micros)
                else:
                    journal.denied(budget, "the cap is reached")
                return 1
            return 0

        return await measure(plan, call, journal)


if __name__ == "__main__":
    serve_plan(run)
