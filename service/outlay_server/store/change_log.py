"""The log of changes: which budget stood where after each commit, numbered without a gap in each organization.

An entry is written in the transaction that it tells of, under the lock of its organization's row, so its number is one
more than the newest and readers meet entries in the order of their commits. The log keeps the newest entries only.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, func, select

from outlay_server.domain.budget import Budget, BudgetCounter
from outlay_server.domain.budget_change import BudgetChange, ChangeType
from outlay_server.domain.instant import Instant
from outlay_server.domain.views import BudgetView
from outlay_server.store import reads, rows, statements, tables
from outlay_server.store.connection_driver import ConnectionDriver

def append_changed(
    connection: Connection, organization_key: int, counters: Sequence[BudgetCounter], now: Instant
) -> None:
    """Note changes of the control plane."""
    if counters:
        driver = ConnectionDriver(connection)
        made = [rows.change_to_row(organization_key, counter, now) for counter in counters]
        driver.write(statements.APPEND_CHANGES, made)
        driver.write(statements.PRUNE_CHANGES, [(organization_key, organization_key)])


def append_deleted(connection: Connection, organization_key: int, budget: Budget, now: Instant) -> None:
    """Note that a budget is gone."""
    row = (organization_key, budget.key, now, now, 0, 0, 0, 0, "[]", now, budget.budget_id)
    ConnectionDriver(connection).write(statements.APPEND_CHANGES, [row])


def begin_snapshot(connection: Connection) -> None:
    """Have all that is read from here on be of one moment. Call it before anything is read."""
    if connection.dialect.name == "postgresql":
        connection.execution_options(isolation_level="REPEATABLE READ")
    else:
        connection.exec_driver_sql("BEGIN")


def newest_sequence(connection: Connection, organization_key: int) -> int:
    """The number of the newest entry; 0 before the first."""
    table = tables.budget_changes
    query = select(func.max(table.c.sequence)).where(table.c.organization_key == organization_key)
    return connection.execute(query).scalar_one() or 0


def reaches_back_to(connection: Connection, organization_key: int, sequence: int) -> bool:
    """Whether every entry after `sequence` is still there, and `sequence` is of this log."""
    table = tables.budget_changes
    query = select(func.min(table.c.sequence), func.max(table.c.sequence)).where(
        table.c.organization_key == organization_key
    )
    oldest, newest = connection.execute(query).one()
    return (oldest or 1) - 1 <= sequence <= (newest or 0)


def state(connection: Connection, organization_id: str, limit: int, now: Instant) -> list[BudgetChange]:
    """Every budget as it stands, at most `limit`; the last carries the number that the state is complete at."""
    begin_snapshot(connection)
    organization_key = reads.organization_row(connection, organization_id).key
    newest = newest_sequence(connection, organization_key)
    views = reads.budget_views(connection, organization_id, "", limit, now)
    return [
        BudgetChange(
            sequence=newest if index == len(views) else 0,
            type=ChangeType.INITIAL,
            organization_id=organization_id,
            budget_id=view.budget.budget_id,
            view=view,
            time=now,
        )
        for index, view in enumerate(views, 1)
    ]


def entries_after(
    connection: Connection, organization_id: str, sequence: int, limit: int
) -> tuple[int, list[BudgetChange]]:
    """The sequence that was read up to, and the entries after `sequence`, ascending, from at most `limit` rows.

    An entry of a budget that has been deleted since is left out: the entry that says so comes after it.
    Raises `NotFound`.
    """
    organization_key = reads.organization_row(connection, organization_id).key
    table = tables.budget_changes
    query = (
        select(table)
        .where(table.c.organization_key == organization_key, table.c.sequence > sequence)
        .order_by(table.c.sequence)
        .limit(limit)
    )
    found = connection.execute(query).all()
    if not found:
        return sequence, []
    budgets = _budgets(connection, organization_key, organization_id, {row.budget_key for row in found})
    entries = (_entry(row, organization_id, budgets) for row in found)
    return found[-1].sequence, [entry for entry in entries if entry is not None]


def _budgets(connection: Connection, organization_key: int, organization_id: str, keys: set[int]) -> dict[int, Budget]:
    table = tables.budgets
    query = select(table).where(table.c.organization_key == organization_key, table.c.key.in_(sorted(keys)))
    return {row.key: rows.budget_from_row(row, organization_id) for row in connection.execute(query)}


def _entry(row: Any, organization_id: str, budgets: dict[int, Budget]) -> BudgetChange | None:
    time = Instant(row.create_time)
    if row.deleted_budget_id is not None:
        return BudgetChange(row.sequence, ChangeType.DELETED, organization_id, row.deleted_budget_id, None, time)
    budget = budgets.get(row.budget_key)
    if budget is None:
        return None
    counter = rows.counter_of_change(row)
    view = BudgetView(budget, counter, budget.limits_at(time), time)
    return BudgetChange(row.sequence, ChangeType.CHANGED, organization_id, budget.budget_id, view, time)
