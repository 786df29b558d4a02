"""What watchers are told."""

from functools import lru_cache
from typing import Final

from outlay.v1 import budget_pb2
from outlay.v1 import budget_service_pb2 as pb
from outlay_server.api.to_wire import budgets
from outlay_server.api.to_wire.times import timestamp
from outlay_server.domain.budget_change import BudgetChange, ChangeType
from outlay_server.domain.names import BudgetName

RENDERED_MAX: Final = 256
"""Changes kept as messages: all watchers of an organization are sent the same one."""

_TYPES: Final = {
    ChangeType.INITIAL: pb.BUDGET_CHANGE_TYPE_INITIAL,
    ChangeType.CHANGED: pb.BUDGET_CHANGE_TYPE_CHANGED,
    ChangeType.DELETED: pb.BUDGET_CHANGE_TYPE_DELETED,
}


@lru_cache(maxsize=RENDERED_MAX)
def answer(change: BudgetChange) -> pb.WatchBudgetsResponse:
    """One answer of the stream. Changes are told apart by identity, so the message is made once for all watchers."""
    if change.view is None:
        budget = budget_pb2.Budget(name=str(BudgetName(change.organization_id, change.budget_id)))
    else:
        budget = budgets.budget(change.view)
    return pb.WatchBudgetsResponse(
        sequence=change.sequence, type=_TYPES[change.type], budget=budget, change_time=timestamp(change.time)
    )
