"""The bare store, SQLite: a guarded UPDATE and an INSERT in one transaction, durable, one writer in process."""

import sqlite3
from pathlib import Path

from benchmarks.loads.closed_loop import Journal, Turns, measure
from benchmarks.messages import new_request_id
from benchmarks.trial import Plan, Tenant, Trial, serve_plan

_SCHEMA = """
PRAGMA journal_mode = wal;
PRAGMA synchronous = full;
CREATE TABLE IF NOT EXISTS budgets (id TEXT PRIMARY KEY, cap INTEGER, reserved INTEGER) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS reservations (id TEXT PRIMARY KEY, budget TEXT, micros INTEGER) WITHOUT ROWID;
"""


async def run(plan: Plan) -> Trial:
    connection = sqlite3.connect(Path(plan.targets[0]), isolation_level=None)
    connection.executescript(_SCHEMA)
    for tenant in plan.tenants:
        connection.execute(
            "INSERT OR IGNORE INTO budgets VALUES (?, ?, 0)", (tenant.organization_id, tenant.cap_micros)
        )
    journal = Journal(plan.expects)
    turns = Turns(plan.tenants)

    # More callers than one would only take turns: the file has one writer.
    async def call(_: int) -> int:
        for tenant, amount_micros in turns.take(1):
            _admit(connection, tenant, amount_micros, journal)
            return 1
        return 0

    try:
        return await measure(plan, call, journal)
    finally:
        connection.close()


def _admit(connection: sqlite3.Connection, tenant: Tenant, amount_micros: int, journal: Journal) -> None:
    connection.execute("BEGIN IMMEDIATE")
    changed = connection.execute(
        "UPDATE budgets SET reserved = reserved + ?1 WHERE id = ?2 AND reserved + ?1 <= cap",
        (amount_micros, tenant.organization_id),
    ).rowcount
    if changed == 0:
        connection.execute("ROLLBACK")
        journal.denied(tenant.organization_id, "the guard refused")
        return
    connection.execute(
        "INSERT INTO reservations VALUES (?, ?, ?)", (new_request_id(), tenant.organization_id, amount_micros)
    )
    connection.execute("COMMIT")
    journal.admitted(tenant.organization_id, amount_micros)


if __name__ == "__main__":
    serve_plan(run)
