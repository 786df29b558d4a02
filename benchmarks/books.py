"""The books after a trial: what the callers were told against what the service, and its ledger, say."""

import asyncio
import sqlite3
from collections.abc import Iterable, Mapping
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


@dataclass(frozen=True, slots=True)
class Totals:
    """What the callers of all trials on one database were granted."""

    reservations: int
    held_micros: int
    spent_micros: int

    @classmethod
    def of(cls, entries: Iterable[Entry]) -> "Totals":
        total = Entry()
        for entry in entries:
            total.add(entry)
        return cls(total.reservations, total.held_micros, total.spent_micros)


def check_trial(trial: Trial, books: Books, granted: Mapping[str, Entry]) -> None:
    """Raise `BooksDisagree` where a call failed, or an organization's count is one micro off what was granted in all.

    `granted` is what its callers were told, of this and of earlier trials.
    """
    differences = _unexpected_answers(trial)
    for organization_id in trial.journal:
        counted, micros = books.counted_micros(organization_id), granted[organization_id].micros
        if counted != micros:
            differences.append(f"{organization_id}: callers were granted {micros} micros, the books count {counted}")
    if differences:
        raise BooksDisagree(differences)


def check_answers(trial: Trial) -> None:
    """Raise `BooksDisagree` where a call was not answered as expected: all that can be checked without books."""
    if differences := _unexpected_answers(trial):
        raise BooksDisagree(differences)


def _unexpected_answers(trial: Trial) -> list[str]:
    unexpected = [f"{count} calls failed: {what}" for what, count in trial.failures.items()]
    return unexpected if trial.journal else [*unexpected, "nothing was answered"]


def check_ledger(verification: Mapping[str, Any], granted: Totals) -> None:
    """Raise `BooksDisagree` where `outlay verify` found a disagreement or other sums than all callers' journals."""
    if not verification["agrees"]:
        raise BooksDisagree([f"outlay verify: {verification['disagreement']}"])
    units = {unit["unit"]: unit for unit in verification["units"]}
    ours = units.get(UNIT, {"held_micros": 0, "spent_micros": 0})
    found = Totals(verification["open_reservations"], int(ours["held_micros"]), int(ours["spent_micros"]))
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
        return same_micros(organization_id, counter, rows)


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

        return same_micros(organization_id, *asyncio.run(read()))


def same_micros(organization_id: str, counter: int, rows: int) -> int:
    """The counter, which must be what the rows add up to."""
    if counter != rows:
        raise BooksDisagree([f"{organization_id}: the counter says {counter}, its rows {rows}"])
    return counter
