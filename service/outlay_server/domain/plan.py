"""A plan: what differs between an organization and its caps in code, and what a person should know of it."""

import enum
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from outlay_server.domain.audit import JsonValue
from outlay_server.domain.errors import Refusal
from outlay_server.domain.outside import Mover

Document = Mapping[str, JsonValue]
"""A resource as the audit keeps it."""

PLAN_ETAG: Final = re.compile(r"p([0-9]{1,18})\.([0-9a-f]{32})", re.ASCII)

_NOT_PLANNED: Final = frozenset({"name", "cap_override", "disable_reason"})
_DIGEST_LENGTH: Final = 32


class ChangeType(enum.Enum):
    """What is done with a resource."""

    CREATE = "CREATE"
    UPDATE = "UPDATE"
    ADOPT = "ADOPT"
    """It is kept by nobody or by another manager, and is taken over; its fields may change too."""
    DELETE = "DELETE"


class WarningReason(enum.Enum):
    """What a person should know. The values are the names in `caps.proto` without their prefix."""

    CAP_BELOW_SPEND = "CAP_BELOW_SPEND"
    HARD_CAP_REMOVED = "HARD_CAP_REMOVED"
    BUDGET_IN_USE = "BUDGET_IN_USE"
    NOT_ADOPTED = "NOT_ADOPTED"
    MANAGED_ELSEWHERE = "MANAGED_ELSEWHERE"
    TOO_MANY_DELETES = "TOO_MANY_DELETES"
    RECOUNTED = "RECOUNTED"


@dataclass(frozen=True, slots=True)
class CapsWarning:
    """One thing that a person should know before a change is applied."""

    reason: WarningReason
    refused: bool
    """Whether nothing is applied because of it."""
    message: str
    facts: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One field that changes; None is no value."""

    path: str
    before: JsonValue
    after: JsonValue
    last_applied: JsonValue = None
    """What this manager last applied; read it only where there is a mover."""
    mover: Mover | None = None
    """Who changed it from outside last; None where it is what this manager last applied, or nobody knows."""


@dataclass(frozen=True, slots=True)
class Change:
    """One resource that differs."""

    resource: str
    type: ChangeType
    fields: tuple[FieldChange, ...]
    warnings: tuple[CapsWarning, ...]
    mover: Mover | None
    """Who changed it from outside last, deleting it included."""
    etag: str
    """As it is; once applied, as it has become. "" where it does not exist."""
    unseen: str = ""
    """A digest of what changes and is not shown: a secret."""


@dataclass(frozen=True, slots=True)
class Plan:
    """All that applying does, in a stable order."""

    changes: tuple[Change, ...]
    etag: str
    required_scopes: tuple[str, ...]
    """Each of them; where scopes stand separated by commas, one of those."""
    orphans: tuple[str, ...]
    """Names of what this manager keeps, is not named, and stays."""

    def refusals(self) -> list[Refusal]:
        """Why it cannot be applied as it is asked for; empty where it can."""
        return [
            Refusal(warning.reason.value, change.resource, warning.message)
            for change in self.changes
            for warning in change.warnings
            if warning.refused
        ]


def flat(document: Document) -> dict[str, JsonValue]:
    """The fields of a resource by their paths: the parts of `cycle` one by one, everything else whole."""
    fields: dict[str, JsonValue] = {}
    for name, value in document.items():
        if name == "cycle" and isinstance(value, dict):
            fields.update({f"cycle.{part}": inner for part, inner in value.items()})
        elif name not in _NOT_PLANNED:
            fields[name] = value
    return fields


def field_changes(before: Document | None, after: Document | None, blank: Document) -> tuple[FieldChange, ...]:
    """The fields that differ; against `blank`, and with no value on that side, where the resource does not exist."""
    old, new = flat(blank if before is None else before), flat(blank if after is None else after)
    return tuple(
        FieldChange(path, None if before is None else old[path], None if after is None else new[path])
        for path in new
        if old[path] != new[path]
    )


def plan_etag(audit_sequence: int, changes: Sequence[Change]) -> str:
    """Name a plan by what it does and starts from, and by the place in the audit at which it was made.

    What is spent, and what is refused, is no part of it: leave that was missing may be given to the same plan.
    """
    content: list[list[object]] = [
        [change.resource, change.type.value, change.etag, [[f.path, f.before, f.after] for f in change.fields]]
        for change in changes
    ]
    content += [[change.unseen] for change in changes if change.unseen]
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return f"p{audit_sequence}.{hashlib.sha256(text.encode()).hexdigest()[:_DIGEST_LENGTH]}"


def plan_etag_violation(etag: str) -> str | None:
    """Say what is wrong with a plan's etag as a caller sends it."""
    return None if PLAN_ETAG.fullmatch(etag) else "must be the plan_etag of an answer"


def is_same_plan(ours: str, theirs: str) -> bool:
    """Say whether two valid etags name plans that do the same, wherever in the audit they were made."""
    return ours.partition(".")[2] == theirs.partition(".")[2]


def planned_at(etag: str) -> int:
    """The sequence number of the last audit event that a valid etag's plan knew."""
    found = PLAN_ETAG.fullmatch(etag)
    assert found is not None, "checked when the request was read"
    return int(found[1])


def required_scopes(needed: Sequence[frozenset[str]]) -> tuple[str, ...]:
    """Each set of scopes of which one will do, once; without those that a narrower one implies."""
    distinct = set(needed)
    least = {one for one in distinct if not any(other < one for other in distinct)}
    return tuple(sorted(",".join(sorted(one)) for one in least))
