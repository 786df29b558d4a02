"""The audit chain: whole as written, and broken at the row that somebody touched."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outlay_server.domain.audit import (
    GENESIS_HASH,
    AuditAction,
    AuditDraft,
    AuditEvent,
    AuditSource,
    JsonValue,
    chain,
    first_break,
)
from outlay_server.domain.instant import Instant

UUID = "018f3a2e-7c41-7d6b-9a53-0242ac12000{}"
ACTOR = "018f3a2e-7c41-7d6b-9a53-0242ac1200ff"


def draft(number: int, *, organization_id: str = "acme", actor: str = ACTOR) -> AuditDraft:
    return AuditDraft(
        organization_id=organization_id,
        event_id=UUID.format(number),
        action=AuditAction.BUDGET_UPDATED,
        resource="organizations/acme/budgets/spending",
        actor=actor,
        source=AuditSource.REST,
        request_id=f"r-{number}",
        before={"hard_cap_micros": number, "selector": {"team": "ü"}},
        after={"hard_cap_micros": number + 1, "selector": {}},
        create_time=Instant(1_700_000_000_000_000 + number),
    )


def written(count: int = 5, organization_id: str = "acme") -> list[AuditEvent]:
    """Return a chain as the service writes it."""
    events: list[AuditEvent] = []
    for number in range(1, count + 1):
        previous = events[-1].hash if events else GENESIS_HASH
        events.append(chain(number - 1, previous, draft(number, organization_id=organization_id)))
    return events


def break_of(events: list[AuditEvent], original: list[AuditEvent]) -> int | None:
    return first_break(events, head_sequence=len(original), head_hash=original[-1].hash)


def test_a_chain_is_whole_as_written() -> None:
    """The first event follows the genesis hash, and each follows the one before."""
    events = written()
    assert [event.sequence for event in events] == [1, 2, 3, 4, 5]
    assert events[0].previous_hash == GENESIS_HASH
    assert break_of(events, events) is None


def test_an_empty_chain_is_whole() -> None:
    """Of an organization that nothing happened to yet."""
    assert first_break([], head_sequence=0, head_hash=GENESIS_HASH) is None


Tamper = Callable[[list[AuditEvent]], list[AuditEvent]]


def edited(field: str, value: JsonValue) -> Tamper:
    """Change one field of the third event and leave its hash."""

    def tamper(events: list[AuditEvent]) -> list[AuditEvent]:
        changes: dict[str, Any] = {field: value}
        third = replace(events[2], draft=replace(events[2].draft, **changes))
        return [*events[:2], third, *events[3:]]

    return tamper


@pytest.mark.parametrize(
    ("tamper", "broken_at"),
    [
        pytest.param(edited("organization_id", "other"), 3, id="organization edited"),
        pytest.param(edited("event_id", UUID.format(9)), 3, id="event id edited"),
        pytest.param(edited("action", "budget.deleted"), 3, id="action edited"),
        pytest.param(edited("resource", "organizations/acme/budgets/other"), 3, id="resource edited"),
        pytest.param(edited("actor", "somebody"), 3, id="actor edited"),
        pytest.param(edited("source", "grpc"), 3, id="source edited"),
        pytest.param(edited("request_id", ""), 3, id="request id edited"),
        pytest.param(edited("before", None), 3, id="before cleared"),
        pytest.param(edited("after", {"hard_cap_micros": 4, "selector": {"a": ""}}), 3, id="after edited"),
        pytest.param(edited("create_time", 0), 3, id="time edited"),
        pytest.param(lambda e: [*e[:2], *e[3:]], 3, id="deleted in the middle"),
        pytest.param(lambda e: e[1:], 1, id="deleted at the head"),
        pytest.param(lambda e: e[:3], 4, id="cut off the end"),
        pytest.param(lambda e: [], 1, id="all deleted"),
        pytest.param(lambda e: [e[0], e[2], e[1], *e[3:]], 2, id="swapped"),
        pytest.param(
            lambda e: [e[0], replace(e[2], sequence=2), replace(e[1], sequence=3), *e[3:]], 2, id="swapped, renumbered"
        ),
        pytest.param(lambda e: [*e[:2], *(replace(x, sequence=x.sequence - 1) for x in e[3:])], 3, id="gap closed"),
        pytest.param(lambda e: [*e, chain(5, e[-1].hash, draft(6))], 6, id="appended beside the head"),
        pytest.param(
            lambda e: [*e[:4], chain(4, e[3].hash, draft(5, actor="x"))], 5, id="last rewritten with its hash"
        ),
        pytest.param(lambda e: [*e[:2], chain(2, e[1].hash, draft(3, actor="x")), *e[3:]], 4, id="one rehashed"),
        pytest.param(lambda e: written(organization_id="other"), 5, id="another organization's chain"),
    ],
)
def test_tampering_is_found_at_the_row(tamper: Tamper, broken_at: int) -> None:
    """Edits, deletions, swaps, cuts and additions: the first sequence number that is not as written is named."""
    original = written()
    assert break_of(tamper(list(original)), original) == broken_at


@pytest.mark.parametrize(("head_sequence", "head_hash"), [(0, GENESIS_HASH), (4, bytes(32)), (6, bytes(32))])
def test_a_head_that_does_not_fit_is_a_break(head_sequence: int, head_hash: bytes) -> None:
    """The organization's row is part of what is verified."""
    assert first_break(written(), head_sequence=head_sequence, head_hash=head_hash) is not None


def test_the_hash_is_of_sorted_compact_json() -> None:
    """Anybody can recompute it from an exported log; and the byte format of written events must never change."""
    event = written(1)[0]
    exported = {
        "format": "outlay.audit.v1",
        "organization_id": "acme",
        "sequence": 1,
        "previous_hash": "00" * 32,
        "event_id": UUID.format(1),
        "action": "budget.updated",
        "resource": "organizations/acme/budgets/spending",
        "actor": ACTOR,
        "source": "rest",
        "request_id": "r-1",
        "before": {"selector": {"team": "ü"}, "hard_cap_micros": 1},
        "after": {"selector": {}, "hard_cap_micros": 2},
        "create_time_micros": 1_700_000_000_000_001,
    }
    text = json.dumps(exported, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert event.hash == hashlib.sha256(text.encode()).digest()


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), json_values, max_size=4))
def test_an_event_that_was_stored_as_json_still_verifies(after: dict[str, JsonValue]) -> None:
    """Key order and spacing are the store's affair."""
    event = chain(0, GENESIS_HASH, replace(draft(1), after=after))
    reread = replace(event, draft=replace(event.draft, after=json.loads(json.dumps(after, indent=2))))
    assert first_break([reread], head_sequence=1, head_hash=event.hash) is None
