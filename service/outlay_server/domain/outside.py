"""Changes from outside: what was done to a resource since the caps of its manager were last applied to it.

Every event that applying caps writes says so, by the manager's name under `APPLIED_BY`: in what is after, and for a
deletion in what was before. The events of a resource since the last such one are changes from outside.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from outlay_server.domain.audit import AuditDraft, JsonValue
from outlay_server.domain.instant import Instant
from outlay_server.domain.names import AuditEventName, BudgetName

APPLIED_BY: Final = "applied_by"
"""Under this name an event's document holds the manager whose caps were applied."""


@dataclass(frozen=True, slots=True)
class Mover:
    """Who made a change, and when."""

    actor: str
    source: str
    request_id: str
    audit_event: str
    """The event's name."""
    time: Instant


@dataclass(slots=True)
class Trail:
    """What happened to one resource since its manager last applied it, newest first."""

    applied: Mapping[str, JsonValue] | None = None
    """The resource as it was last applied; None where it never was."""
    outside: list[AuditDraft] = field(default_factory=list)
    is_complete: bool = False
    """Whether nothing older matters."""

    def add(self, event: AuditDraft, manager: str) -> None:
        """Read the next older event."""
        document = event.before if event.after is None else event.after
        assert document is not None, "an event has something before or after"
        if document.get(APPLIED_BY) == manager:
            self.applied, self.is_complete = event.after, True
            return
        self.outside.append(event)
        # What was made, or was there before it was deleted, by others than this manager is not its own.
        is_made = event.before is None
        is_deleted = event.after is None
        self.is_complete = is_made or is_deleted

    def mover(self, manager: str) -> Mover | None:
        """Who changed the resource from outside last."""
        if not self.outside:
            return None
        newest = self.outside[0]
        was_ours = newest.after is None and newest.before is not None and newest.before.get("managed_by") == manager
        return mover_of(newest) if self.applied is not None or was_ours else None

    def mover_of_field(self, name: str) -> Mover | None:
        """Who changed a field from outside last, by its name in the document; None for nobody since it was applied."""
        if self.applied is None:
            return None
        for event in self.outside:
            if (event.before or {}).get(name) != (event.after or {}).get(name):
                return mover_of(event)
        return None


def mover_of(event: AuditDraft) -> Mover:
    """Who an event names."""
    name = str(AuditEventName(event.organization_id, event.event_id))
    return Mover(event.actor, event.source, event.request_id, name, event.create_time)


def last_gate_flip(events: Iterable[AuditDraft]) -> Mover | None:
    """Who switched gates together with a budget last, of an organization's events, newest first."""
    for event in events:
        if BudgetName.parse(event.resource) is None:
            continue
        before, after = event.before or {}, event.after or {}
        if "gates" in after and before.get("gates") != after["gates"]:
            return mover_of(event)
    return None
