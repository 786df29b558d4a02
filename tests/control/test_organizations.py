"""Organizations: born with budgets and a gate, changed in part, deleted but not forgotten."""

from typing import Any

import pytest

from ledger.stores import OWNER, PLATFORM, check, disagreement, new_organization, record, reserved, snapshot
from outlay_server import control
from outlay_server.domain.errors import (
    AlreadyExists,
    EtagMismatch,
    ManagedElsewhere,
    NotFound,
    OpenReservations,
    RequestIdReused,
)
from outlay_server.domain.gate import Gate
from outlay_server.domain.settings import OrganizationSettings
from outlay_server.domain.views import OrganizationView, etag_of
from outlay_server.ledger import Ledger
from outlay_server.store import ledger_reads, reads
from outlay_server.store.contract import Store

OPUS = Gate("opus", "model", "claude-opus-*", enabled=False)
BETA = Gate("beta", "feature", "beta", enabled=True)


async def view(store: Store, organization_id: str = "acme") -> OrganizationView:
    return await store.read(lambda connection: reads.organization_view(connection, organization_id))


async def update(store: Store, settings: OrganizationSettings, *paths: str, **options: Any) -> OrganizationView:
    return await store.change(
        lambda tx: control.organizations.update(tx, PLATFORM, "acme", settings, frozenset(paths), **options)
    )


async def actions(store: Store, organization_id: str = "acme") -> list[str]:
    """Oldest first."""
    found = await store.read(lambda connection: ledger_reads.audit_events(connection, organization_id, None, 100))
    return [event.draft.action for event in reversed(found)]


async def test_an_organization_is_born_with_two_budgets_and_a_gate(store: Store) -> None:
    """As the two published REST shapes need them."""
    now = await store.now()
    found = await store.read(lambda connection: reads.budget_views(connection, "acme", "", 10, now))
    credit, spending = (each.budget for each in found)
    assert (spending.budget_id, spending.unit, spending.cycle.period.value) == ("spending", "USD", "MONTH")
    assert (spending.hard_cap_enabled, spending.hard_cap_micros, spending.thresholds_percent) == (
        False,
        None,
        (50, 75, 90, 100),
    )
    assert (credit.budget_id, credit.unit, credit.thresholds_percent) == ("credits", "CREDITS", ())
    assert (credit.hard_cap_enabled, credit.hard_cap_micros, credit.allotment_micros) == (True, None, None)
    assert (await view(store)).gates == (OPUS,)
    assert await actions(store) == ["organization.created", "budget.created", "budget.created"]


async def test_gates_that_are_asked_for_join_the_one_of_birth(store: Store) -> None:
    """Unless they name it themselves."""
    await new_organization(store, "globex", gates=(BETA,))
    assert (await view(store, "globex")).gates == (OPUS, BETA)
    await new_organization(store, "initech", gates=(Gate("opus", "model", "claude-*", enabled=True),))
    assert (await view(store, "initech")).gates == (Gate("opus", "model", "claude-*", enabled=True),)


async def test_an_update_changes_the_named_fields_and_no_others(store: Store) -> None:
    """And leaves no trace where nothing changes."""
    wanted = OrganizationSettings("New name", (BETA,), "yaml")
    named = await update(store, wanted, "display_name")
    assert (named.display_name, named.gates, named.managed_by) == ("New name", (OPUS,), "")
    before = await snapshot(store)
    await update(store, wanted, "display_name")
    await update(store, wanted)
    await update(store, wanted, "gates", validate_only=True)
    assert await snapshot(store) == before
    assert (await update(store, wanted, "gates")).gates == (BETA,)
    assert await actions(store) == [
        "organization.created",
        "budget.created",
        "budget.created",
        "organization.updated",
        "organization.updated",
    ]


async def test_etags_and_managers_guard_an_organization(store: Store) -> None:
    """As they guard a budget."""
    first = etag_of((await view(store)).revision)
    changed = await update(store, OrganizationSettings(managed_by="yaml"), "managed_by", etag=first)
    with pytest.raises(EtagMismatch):
        await update(store, OrganizationSettings("x"), "display_name", etag=first, manager="yaml")
    with pytest.raises(ManagedElsewhere):
        await update(store, OrganizationSettings("x"), "display_name")
    with pytest.raises(ManagedElsewhere):
        await store.change(lambda tx: control.organizations.delete(tx, PLATFORM, "acme"))
    etag = etag_of(changed.revision)
    await update(store, OrganizationSettings("x"), "display_name", etag=etag, override_manager=True)
    with pytest.raises(EtagMismatch):
        await store.change(lambda tx: control.organizations.delete(tx, PLATFORM, "acme", etag=etag, manager="yaml"))
    await store.change(lambda tx: control.organizations.delete(tx, PLATFORM, "acme", manager="yaml"))


async def test_a_missing_organization_is_made_where_that_is_allowed(store: Store) -> None:
    """With all that one is born with."""
    wanted = OrganizationSettings("Globex")
    paths = frozenset({"display_name"})
    with pytest.raises(NotFound):
        await store.change(lambda tx: control.organizations.update(tx, PLATFORM, "globex", wanted, paths))
    await store.change(
        lambda tx: control.organizations.update(tx, PLATFORM, "globex", wanted, paths, allow_missing=True)
    )
    assert await actions(store, "globex") == ["organization.created", "budget.created", "budget.created"]


async def test_an_id_is_never_given_out_again(store: Store) -> None:
    """Ledger and audit of a deleted organization are still under it."""
    with pytest.raises(AlreadyExists):
        await new_organization(store)
    await store.change(lambda tx: control.organizations.delete(tx, PLATFORM, "acme"))
    with pytest.raises(AlreadyExists):
        await new_organization(store)
    with pytest.raises(AlreadyExists):
        await update(store, OrganizationSettings("x"), "display_name", allow_missing=True)
    for question in (view(store), actions(store), update(store, OrganizationSettings("x"), "display_name")):
        with pytest.raises(NotFound):
            await question
    rows = await snapshot(store)
    assert len(rows["audit_events"]) == 4
    assert len(rows["budgets"]) == 2
    assert await disagreement(store) is None


async def test_an_organization_that_holds_reservations_is_deleted_by_force_only(store: Store, ledger: Ledger) -> None:
    """And its ledger takes nothing any more."""
    hold = await reserved(ledger, check(1))
    before = await snapshot(store)
    with pytest.raises(OpenReservations):
        await store.change(lambda tx: control.organizations.delete(tx, PLATFORM, "acme"))
    await store.change(lambda tx: control.organizations.delete(tx, PLATFORM, "acme", force=True, validate_only=True))
    assert await snapshot(store) == before
    await store.change(lambda tx: control.organizations.delete(tx, PLATFORM, "acme", force=True))
    with pytest.raises(NotFound):
        await ledger.submit(record(1, hold))


async def test_a_control_request_sent_again_is_answered_from_the_first(store: Store) -> None:
    """With the same content; with another it is refused, by control plane and ledger alike."""
    content = {"budget_id": "x", "amount": 1}

    async def find(method: str, content: dict[str, Any]) -> dict[str, Any] | None:
        return await store.change(lambda tx: control.replay.find(tx, "acme", "r1", method, content))

    assert await find("CreateBudget", content) is None
    answer = {"name": "organizations/acme/budgets/x", "nested": {"list": [1, None, True]}}
    await store.change(lambda tx: control.replay.remember(tx, "acme", "r1", "CreateBudget", content, answer))
    assert await find("CreateBudget", content) == answer
    for method, other, field in (
        ("CreateBudget", {"budget_id": "x", "amount": 2}, "amount"),
        ("CreateBudget", {"budget_id": "y", "amount": 2}, "budget_id"),
        ("UpdateBudget", content, "method"),
    ):
        with pytest.raises(RequestIdReused) as caught:
            await find(method, other)
        assert caught.value.field == field
    assert await store.change(lambda tx: control.replay.find(tx, "globex", "r1", "CreateBudget", content)) is None


async def test_the_ledger_refuses_a_request_id_of_the_control_plane(store: Store, ledger: Ledger) -> None:
    """And the other way round: ids belong to the organization, not to a method."""
    await store.change(lambda tx: control.replay.remember(tx, "acme", "r1", "CreateBudget", {}, {}))
    with pytest.raises(RequestIdReused):
        await ledger.submit(record(1, request_id="r1"))
    await ledger.submit(record(1, request_id="r2"))
    with pytest.raises(RequestIdReused):
        await store.change(lambda tx: control.replay.find(tx, "acme", "r2", "CreateBudget", {}))


async def test_who_changed_an_organization_is_told(store: Store) -> None:
    """By the name of the key, never the key."""
    await store.change(
        lambda tx: control.organizations.update(
            tx, OWNER, "acme", OrganizationSettings(gates=(BETA,)), frozenset({"gates"})
        )
    )
    found = await store.read(lambda connection: ledger_reads.audit_events(connection, "acme", None, 1))
    draft = found[0].draft
    assert (draft.actor, draft.source, draft.resource) == (OWNER.actor, "rest", "organizations/acme")
    assert draft.before is not None
    assert draft.before["gates"] == [
        {"gate_id": "opus", "label": "model", "pattern": "claude-opus-*", "enabled": False}
    ]
