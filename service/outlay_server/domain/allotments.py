"""Allotments: what the plan grants a cycle, which no organization can grant itself."""

from outlay_server.domain.budget import Budget, Enforcement


def changes_what_is_granted(old: Budget | None, new: Budget | None) -> bool:
    """Say whether a change (None: the budget does not exist) touches an allotment, or gets round one.

    A budget that has one gets round it by counting other spend or other cycles, and by no longer blocking.
    """
    was = None if old is None else old.allotment_micros
    if was != (None if new is None else new.allotment_micros):
        return True
    if was is None or old is None or new is None:
        return False
    no_longer_blocks = new.enforcement is Enforcement.SHADOW and old.enforcement is not Enforcement.SHADOW
    return no_longer_blocks or (old.selector, old.cycle) != (new.selector, new.cycle)
