"""What a person should know before a budget is changed, and what is refused until they have said that they do."""

from outlay_server.domain.amounts import format_micros
from outlay_server.domain.budget import Budget, BudgetCounter, Enforcement
from outlay_server.domain.caps import Leave
from outlay_server.domain.errors import echo
from outlay_server.domain.instant import Instant
from outlay_server.domain.plan import CapsWarning, WarningReason


def budget_warnings(
    old: Budget | None, new: Budget | None, counter: BudgetCounter, leave: Leave, now: Instant
) -> list[CapsWarning]:
    """The warnings of one budget's change; None where it does not exist.

    `counter` is what counts after the change, or for a deletion before it.
    """
    if new is None:
        assert old is not None, "what is deleted was there"
        return _in_use(old, counter, leave)
    found = _below_spend(old, new, counter, leave, now)
    if old is not None:
        found += _cap_removed(old, new, leave)
        if is_recounted(old, new):
            found.append(
                CapsWarning(
                    WarningReason.RECOUNTED, False, "The ledger is counted anew, as if it had always been so.", {}
                )
            )
    return found


def is_recounted(old: Budget, new: Budget) -> bool:
    """Say whether a budget counts something else after a change."""
    return (old.selector, old.cycle) != (new.selector, new.cycle)


def owner_warnings(managed_by: str, leave: Leave) -> list[CapsWarning]:
    """The warnings for changing a resource that `managed_by`, not this manager, keeps; "" is nobody."""
    if managed_by:
        text = f"It is managed by {echo(managed_by)}, which may undo this."
        refused = not leave.override_manager
        return [CapsWarning(WarningReason.MANAGED_ELSEWHERE, refused, text, {"managed_by": managed_by})]
    if leave.adopt:
        return []
    return [CapsWarning(WarningReason.NOT_ADOPTED, True, "It exists already, and is not adopted.", {})]


def too_many_deletes(count: int, leave: Leave) -> list[CapsWarning]:
    """The warning that each of `count` deletions has where they are too many."""
    if count <= leave.max_delete_count:
        return []
    text = f"{count} deletions are more than the {leave.max_delete_count} that are allowed."
    facts = {"delete_count": str(count), "max_delete_count": str(leave.max_delete_count)}
    return [CapsWarning(WarningReason.TOO_MANY_DELETES, True, text, facts)]


def _in_use(old: Budget, counter: BudgetCounter, leave: Leave) -> list[CapsWarning]:
    if not (counter.spent_micros or counter.reserved_micros or counter.open_reservations):
        return []
    spent, reserved = counter.spent_micros, counter.reserved_micros
    text = (
        f"In this cycle {format_micros(spent)} {old.unit} are spent and {format_micros(reserved)} {old.unit} reserved"
        f" by {counter.open_reservations} open reservations."
    )
    facts = {
        "spent_micros": str(spent),
        "reserved_micros": str(reserved),
        "open_reservation_count": str(counter.open_reservations),
    }
    return [CapsWarning(WarningReason.BUDGET_IN_USE, not leave.deleting_in_use, text, facts)]


def _below_spend(
    old: Budget | None, new: Budget, counter: BudgetCounter, leave: Leave, now: Instant
) -> list[CapsWarning]:
    limit = _blocking_limit(new, now)
    used = counter.spent_micros + counter.reserved_micros
    if limit is None or limit >= used:
        return []
    was = None if old is None or is_recounted(old, new) else _blocking_limit(old, now)
    if was is not None and was <= limit:
        return []
    text = (
        f"The limit of {format_micros(limit)} {new.unit} is below the {format_micros(used)} {new.unit} that are spent"
        " and reserved: every check is denied until the cycle ends."
    )
    facts = {
        "limit_micros": str(limit),
        "spent_micros": str(counter.spent_micros),
        "reserved_micros": str(counter.reserved_micros),
    }
    return [CapsWarning(WarningReason.CAP_BELOW_SPEND, not leave.cap_below_spend, text, facts)]


def _cap_removed(old: Budget, new: Budget, leave: Leave) -> list[CapsWarning]:
    was = _blocking_cap(old)
    if was is None or _blocking_cap(new) is not None:
        return []
    text = f"The hard cap of {format_micros(was)} {old.unit} no longer blocks."
    facts = {"hard_cap_micros": str(was)}
    return [CapsWarning(WarningReason.HARD_CAP_REMOVED, not leave.removing_hard_cap, text, facts)]


def _blocking_limit(budget: Budget, now: Instant) -> int | None:
    return None if budget.enforcement is Enforcement.SHADOW else budget.limits_at(now).limit_micros


def _blocking_cap(budget: Budget) -> int | None:
    blocks = budget.hard_cap_enabled and budget.enforcement is not Enforcement.SHADOW
    return budget.hard_cap_micros if blocks else None
