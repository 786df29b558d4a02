"""Whether the books are right: the callers' own journal against everything that the service says."""

from collections.abc import Mapping
from dataclasses import dataclass

from outlay.v1.budget_pb2 import Budget
from outlay.v1.spend_record_pb2 import SpendRecord
from outlay_cli import text
from outlay_cli.spend_view import signed_micros
from outlay_server.domain.amounts import micros_to_cents


@dataclass(frozen=True, slots=True)
class Books:
    """One moment, seen from every side."""

    acknowledged: Mapping[str, int]
    """The callers' journal: micros by request_id."""
    budget: Budget
    records: list[SpendRecord]
    billed_cents: int
    """What the REST face shows."""

    def missing(self) -> list[str]:
        """The request_ids that were acknowledged and are not in the ledger with that amount."""
        recorded = {record.request_id: record.amount_micros for record in self.records}
        return sorted(id for id, micros in self.acknowledged.items() if recorded.get(id) != micros)

    def agree(self) -> bool:
        """Whether all four are the same to the micro, record by record, and nothing is held any more."""
        journal = sum(self.acknowledged.values())
        return (
            not self.missing()
            and len(self.records) == len(self.acknowledged)
            and self.recorded_micros == self.budget.spend.spent_micros == journal
            and self.budget.spend.reserved_micros == 0
            and self.billed_cents == micros_to_cents(journal)
        )

    @property
    def recorded_micros(self) -> int:
        return sum(signed_micros(record) for record in self.records)

    def lines(self, unit: str) -> list[tuple[str, str]]:
        """Each side and what it says."""
        spend = self.budget.spend
        acknowledged = _exact(sum(self.acknowledged.values()), unit)
        return [
            ("callers' journal", f"{acknowledged}, {len(self.acknowledged)} acknowledged records"),
            ("ListSpendRecords", f"{_exact(self.recorded_micros, unit)}, {len(self.records)} records"),
            ("GetBudget", f"{_exact(spend.spent_micros, unit)} spent, {text.amount(spend.reserved_micros)} held"),
            ("REST", f"{self.billed_cents} current_spending_cents"),
        ]


def _exact(micros: int, unit: str) -> str:
    return f"{micros:,} micros ({text.amount(micros, unit)})"
