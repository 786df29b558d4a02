"""The books after a trial: what the callers were told against what the service, and its ledger, say."""

import asyncio
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import asyncpg

from benchmarks.messages import UNIT
from benchmarks.trial import Entry, Trial


class BooksDisagree(Exception):
    """A trial that counts for nothing: something was lost, doubled or refused. The text lists every difference."""

    def __init__(self, differences: list[str]) -> None:
        super().__init__("\n".join(differences))


class Books(Protocol):
    """What was spent from, after the load has ended."""

    def counted_micros(self, organization_id: str) -> int:
        """Everything it counts as spent or reserved by that organization."""


@dataclass(slots=True)
class Totals:
    """What the callers of all trials on one database were granted."""

    admitted: int = 0
    micros: int = 0

    def add(self, journal: Mapping[str, Entry]) -> None:
        self.admitted += sum(entry.admitted for entry in journal.values())
        self.micros += sum(entry.micros for entry in journal.values())


def check_trial(trial: Trial, books: Books) -> None:
    """Raise `BooksDisagree` where a call failed, or an organization's count is one micro off its callers' journal."""
    differences = [f"{count} calls failed: {what}" for what, count in trial.failures.items()]
    for organization_id, entry in trial.journal.items():
        counted = books.counted_micros(organization_id)
        if counted != entry.micros:
            differences.append(
                f"{organization_id}: callers were granted {entry.micros} micros, the books count {counted}"
            )
    if not trial.journal:
        differences.append("nothing was admitted")
    if differences:
        raise BooksDisagree(differences)


def check_ledger(verification: Mapping[str, Any], granted: Totals) -> None:
    """Raise `BooksDisagree` where `outlay verify` found a disagreement or other sums than all callers' journals."""
    if not verification["agrees"]:
        raise BooksDisagree([f"outlay verify: {verification['disagreement']}"])
    held = {unit["unit"]: int(unit["held_micros"]) for unit in verification["units"]}
    found = Totals(verification["open_reservations"], held.get(UNIT, 0))
    if found != granted:
        raise BooksDisagree([f"outlay verify: the ledger holds {found}, callers were granted {granted}"])


@dataclass(frozen=True, slots=True)
class BareSqliteBooks:
    """The rows of `loads.sqlite`; counter and rows must agree as well."""

    file: Path

    def counted_micros(self, organization_id: str) -> int:
        with closing(sqlite3.connect(self.file)) as connection:
            counter, rows = connection.execute(
                "SELECT reserved, (SELECT COALESCE(SUM(micros), 0) FROM reservations WHERE budget = ?1) "
                "FROM budgets WHERE id = ?1",
                (organization_id,),
            ).fetchone()
        return _same(organization_id, counter, rows)


@dataclass(frozen=True, slots=True)
class BarePostgresBooks:
    """The rows of `loads.postgres`; counter and rows must agree as well."""

    url: str

    def counted_micros(self, organization_id: str) -> int:
        async def read() -> tuple[int, int]:
            connection = await asyncpg.connect(self.url)
            try:
                row = await connection.fetchrow(
                    "SELECT reserved, (SELECT COALESCE(SUM(micros), 0)::bigint FROM reservations WHERE budget = $1) "
                    "FROM budgets WHERE id = $1",
                    organization_id,
                )
            finally:
                await connection.close()
            assert row is not None, "the load made the row before its first check"
            return int(row[0]), int(row[1])

        return _same(organization_id, *asyncio.run(read()))


def _same(organization_id: str, counter: int, rows: int) -> int:
    if counter != rows:
        raise BooksDisagree([f"{organization_id}: the counter says {counter}, its rows {rows}"])
    return counter
