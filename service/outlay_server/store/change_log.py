"""The log of changes: which budget stood where after each commit, numbered without a gap in each organization.

An entry is written in the transaction that it tells of, under the lock of its organization's row, so its number is one
more than the newest and readers meet entries in the order of their commits. The log keeps the newest entries only.
"""

from collections.abc import Sequence
from dataclasses import dataclass
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


def append_deleted(connection: Connection, organization_key: int, budgets: Sequence[Budget], now: Instant) -> None:
    """Note that budgets, at least one, are gone."""
    gone = [(organization_key, budget.key, now, now, 0, 0, 0, 0, "[]", now, budget.budget_id) for budget in budgets]
    ConnectionDriver(connection).write(statements.APPEND_CHANGES, gone)


def newest_sequences(connection: Connection, organization_ids: Sequence[str]) -> dict[str, int]:
    """The number of each organization's newest entry, 0 before the first; those that do not exist are left out."""
    organizations, changes = tables.organizations, tables.budget_changes
    newest = (
        select(func.max(changes.c.sequence)).where(changes.c.organization_key == organizations.c.key).scalar_subquery()
    )
    query = select(organizations.c.id, newest).where(
        organizations.c.id.in_(organization_ids), organizations.c.delete_time.is_(None)
    )
    return {organization_id: sequence or 0 for organization_id, sequence in connection.execute(query)}


def state(connection: Connection, organization_id: str, limit: int, now: Instant) -> list[BudgetChange]:
    """Every budget as it stands, at most `limit`; the last carries the number that the state is complete at."""
    _begin_snapshot(connection)
    newest = newest_sequences(connection, [organization_id]).get(organization_id, 0)
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


def _begin_snapshot(connection: Connection) -> None:
    """Have all that is read from here on be of one moment. Call it before anything is read."""
    if connection.dialect.name == "postgresql":
        connection.execution_options(isolation_level="REPEATABLE READ")
    else:
        connection.exec_driver_sql("BEGIN")


@dataclass(frozen=True, slots=True)
class Page:
    """Some entries of one organization."""

    entries: list[BudgetChange]
    """Ascending. One of a budget that has been deleted since is left out: the entry that says so comes after it."""
    read_to: int
    """The sequence up to which the log was read."""
    is_last: bool
    is_whole: bool
    """Whether the log still reaches back to the sequence that was asked for, and is the same log."""


def entries_after(connection: Connection, organization_id: str, sequence: int, limit: int) -> Page:
    """The entries after `sequence`, from at most `limit` rows. Raises `NotFound`."""
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
        newest = newest_sequences(connection, [organization_id]).get(organization_id, 0)
        return Page([], sequence, is_last=True, is_whole=sequence <= newest)
    budgets = _budgets(connection, organization_key, organization_id, {row.budget_key for row in found})
    entries = (_entry(row, organization_id, budgets) for row in found)
    return Page(
        [entry for entry in entries if entry is not None],
        found[-1].sequence,
        is_last=len(found) < limit,
        is_whole=found[0].sequence == sequence + 1,
    )


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
