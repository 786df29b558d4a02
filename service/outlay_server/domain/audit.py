"""The audit log: one event for every change, chained per organization so that tampering shows.

Each event's hash covers all of its fields, its place (`organization_id`, `sequence`) and the hash before it. Editing,
deleting, inserting or swapping rows therefore breaks the chain at a sequence number that `first_break` names. Cutting
rows off the end breaks nothing inside the chain, so the organization keeps the last sequence and hash beside it.

What it does not show is somebody who rewrites the whole chain *and* the organization's row: keep heads elsewhere.
"""

import enum
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from outlay_server.domain.instant import Instant

JsonValue = None | bool | int | str | list["JsonValue"] | dict[str, "JsonValue"]
"""JSON without fractions: amounts are integers, and floats are not written alike everywhere."""

GENESIS_HASH: Final = bytes(32)
"""What stands before the first event of every chain."""

_FORMAT: Final = "outlay.audit.v1"
"""Hashed with each event: names the byte format, so that a later one cannot be taken for it."""


class AuditAction(enum.StrEnum):
    """What happened. A gate's switch is part of what happened to the organization, or to the budget updated with it."""

    ORGANIZATION_CREATED = "organization.created"
    ORGANIZATION_UPDATED = "organization.updated"
    ORGANIZATION_DELETED = "organization.deleted"
    BUDGET_CREATED = "budget.created"
    BUDGET_UPDATED = "budget.updated"
    BUDGET_DELETED = "budget.deleted"
    API_KEY_CREATED = "api_key.created"
    API_KEY_REVOKED = "api_key.revoked"
    WEBHOOK_ENDPOINT_CREATED = "webhook_endpoint.created"
    WEBHOOK_ENDPOINT_UPDATED = "webhook_endpoint.updated"
    WEBHOOK_ENDPOINT_DELETED = "webhook_endpoint.deleted"
    WEBHOOK_SECRET_ROTATED = "webhook_endpoint.secret_rotated"  # noqa: S105  # no secret: what happened to one


class AuditSource(enum.StrEnum):
    """By which way the change came."""

    GRPC = "grpc"
    REST = "rest"
    YAML = "yaml"
    TERRAFORM = "terraform"
    CLI = "cli"
    SERVER = "server"
    """Nobody asked: the server did it by itself."""


@dataclass(frozen=True, slots=True)
class AuditDraft:
    """An event that has no place in the chain yet."""

    organization_id: str
    event_id: str
    """A UUID; the last part of the event's name."""
    action: str
    """An `AuditAction`; plain text, so that an event which somebody edited can still be read and found."""
    resource: str
    """Name of what was changed."""
    actor: str
    """Id of the key that did it, never the key."""
    source: str
    """An `AuditSource`, as plain text too."""
    request_id: str
    """Of the call; "" without one."""
    before: Mapping[str, JsonValue] | None
    """The resource as it was; None where it is new."""
    after: Mapping[str, JsonValue] | None
    """The resource as it is now; None where it is gone."""
    create_time: Instant


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """One link of an organization's chain, as stored."""

    draft: AuditDraft
    sequence: int
    """1 for the first event of the organization, then without gaps."""
    previous_hash: bytes
    """Of the event before it; `GENESIS_HASH` for the first."""
    hash: bytes
    """SHA-256 of `canonical_bytes`."""


def chain(previous_sequence: int, previous_hash: bytes, draft: AuditDraft) -> AuditEvent:
    """Return the event that follows the chain's head (0 and `GENESIS_HASH` in an empty chain)."""
    sequence = previous_sequence + 1
    digest = hashlib.sha256(canonical_bytes(sequence, previous_hash, draft)).digest()
    return AuditEvent(draft, sequence, previous_hash, digest)


def first_break(events: Iterable[AuditEvent], *, head_sequence: int, head_hash: bytes) -> int | None:
    """Return the first sequence number at which a chain is not what was written, or None when it is whole.

    `events` are all of one organization's, ascending by sequence; they are read once and not kept. `head_sequence` and
    `head_hash` are what the organization's row says of the last event. A missing event is named by its own number, also
    at the end; a chain whose every link fits but whose last hash is not the head's is broken at its last event.
    """
    previous_hash, sequence = GENESIS_HASH, 0
    for event in events:
        expected = chain(sequence, previous_hash, event.draft)
        if event != expected or event.sequence > head_sequence:
            return expected.sequence
        sequence, previous_hash = event.sequence, event.hash
    if sequence != head_sequence:
        return sequence + 1
    return None if previous_hash == head_hash else sequence


def canonical_bytes(sequence: int, previous_hash: bytes, draft: AuditDraft) -> bytes:
    """Return what is hashed: JSON in UTF-8, keys sorted, no spaces, every field of the event and its place.

    Others can recompute it from an exported log: `json.dumps(…, sort_keys=True, separators=(",", ":"))` with
    `ensure_ascii=False`, hashes in hexadecimal, times in microseconds since the Unix epoch.
    """
    return json.dumps(
        {
            "format": _FORMAT,
            "organization_id": draft.organization_id,
            "sequence": sequence,
            "previous_hash": previous_hash.hex(),
            "event_id": draft.event_id,
            "action": draft.action,
            "resource": draft.resource,
            "actor": draft.actor,
            "source": draft.source,
            "request_id": draft.request_id,
            "before": None if draft.before is None else dict(draft.before),
            "after": None if draft.after is None else dict(draft.after),
            "create_time_micros": draft.create_time,
        },
        sort_keys=True,
        separators=(",", ":"),
        ensure_ascii=False,
        allow_nan=False,
    ).encode()
