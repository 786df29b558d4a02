"""What watchers are told: one entry for each durable commit that touched a budget."""

import enum
from dataclasses import dataclass

from outlay_server.domain.instant import Instant
from outlay_server.domain.views import BudgetView


class ChangeType(enum.Enum):
    """What an entry tells."""

    INITIAL = "INITIAL"
    """How the budget stood when the watching began."""
    CHANGED = "CHANGED"
    DELETED = "DELETED"


@dataclass(frozen=True, slots=True, eq=False)
class BudgetChange:
    """One entry of an organization's log of changes, or of the state that precedes it. Equal to itself only."""

    sequence: int
    """Grows by one with each entry of the organization; 0 on a state that is not complete yet."""
    type: ChangeType
    organization_id: str
    budget_id: str
    view: BudgetView | None
    """The budget's spend as of this entry, under its settings as of now; None where it was deleted."""
    time: Instant
