"""Budgets are changed in part, once, with a trace, and only by those who may."""

from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from ledger.stores import (
    CENT,
    DAY_MICROS,
    NOON,
    OWNER,
    PLATFORM,
    UNIT,
    SettableClock,
    admitted,
    alerts,
    budget,
    cap,
    check,
    disagreement,
    new_budget,
    record,
    set_budget,
    snapshot,
)
from outlay_server import control
from outlay_server.domain.audit import AuditEvent
from outlay_server.domain.budget import AlertBasis, CapOverride, Enforcement
from outlay_server.domain.cycle import Cycle, Period, cycle_containing
from outlay_server.domain.errors import (
    AlreadyExists,
    EtagMismatch,
    LimitExceeded,
    ManagedElsewhere,
    MissingScope,
    NotFound,
    OpenReservations,
    OutlayError,
    ValidationFailed,
)
from outlay_server.domain.instant import Instant
from outlay_server.domain.selector import selector_of
from outlay_server.domain.settings import BudgetSettings, OverrideDraft, settings_of
from outlay_server.domain.views import etag_of
from outlay_server.ledger import Ledger
from outlay_server.store import ledger_reads, reads
from outlay_server.store.contract import Store


async def events(store: Store, organization_id: str = "acme") -> list[AuditEvent]:
    """Newest first."""
    return await store.read(lambda connection: ledger_reads.audit_events(connection, organization_id, None, 1_000))


async def test_an_update_changes_the_named_fields_and_no_others(store: Store) -> None:
    """Every field by itself."""
    changes: dict[str, Any] = {
        "display_name": "Team",
        "selector": selector_of({"team": "a*"}),
        "cycle": Cycle(Period.WEEK, date(2026, 1, 5), "Europe/Berlin"),
        "budget_micros": 0,
        "hard_cap_micros": 5,
        "hard_cap_enabled": True,
        "allotment_micros": 7,
        "alert_thresholds": (),
        "alerts_enabled": False,
        "enforcement": Enforcement.SHADOW,
        "managed_by": "yaml",
    }
    expected = settings_of((await budget(store)).budget)
    for number, (name, value) in enumerate(changes.items()):
        wanted = replace(BudgetSettings("USD"), **{name: value})
        view = await store.change(
            lambda tx, wanted=wanted, name=name: control.budgets.update(
                tx, PLATFORM, "acme", "spending", wanted, frozenset({name})
            )
        )
        expected = replace(expected, **{name: value})
        assert settings_of(view.budget) == expected
        assert settings_of((await budget(store)).budget) == expected
        assert len(await events(store)) == 4 + number


async def test_parts_of_a_cycle_change_one_by_one(store: Store) -> None:
    """The parts that are not named stay."""
    wanted = BudgetSettings("USD", cycle=Cycle(Period.WEEK, date(2026, 1, 7), "Asia/Tokyo"))
    expected = (await budget(store)).budget.cycle
    for part in ("time_zone", "anchor", "period"):
        await store.change(
            lambda tx, part=part: control.budgets.update(
                tx, PLATFORM, "acme", "spending", wanted, frozenset({f"cycle.{part}"})
            )
        )
        expected = replace(expected, **{part: getattr(wanted.cycle, part)})
        assert (await budget(store)).budget.cycle == expected
    assert expected == wanted.cycle


@pytest.mark.parametrize("paths", [frozenset(), frozenset({"hard_cap_micros", "hard_cap_enabled"})])
async def test_what_changes_nothing_leaves_no_trace(store: Store, paths: frozenset[str]) -> None:
    """No event, no new etag, no row touched."""
    await cap(store, 5)
    before = await snapshot(store)
    same = BudgetSettings("USD", hard_cap_micros=5, hard_cap_enabled=True)
    for _ in range(2):
        await store.change(lambda tx: control.budgets.update(tx, OWNER, "acme", "spending", same, paths))
    assert await snapshot(store) == before


async def test_validating_only_answers_as_the_change_would_and_changes_nothing(store: Store) -> None:
    """Creation, update and deletion, and their errors."""
    before = await snapshot(store)
    view = await set_budget(store, hard_cap_micros=5, options={"validate_only": True})
    assert view.budget.hard_cap_micros == 5
    wanted = BudgetSettings("USD", budget_micros=3)
    made = await store.change(
        lambda tx: control.budgets.create(tx, PLATFORM, "acme", "new", wanted, validate_only=True)
    )
    assert made.budget.budget_micros == 3
    await store.change(lambda tx: control.budgets.delete(tx, PLATFORM, "acme", "spending", validate_only=True))
    with pytest.raises(AlreadyExists):
        await store.change(
            lambda tx: control.budgets.create(tx, PLATFORM, "acme", "credits", wanted, validate_only=True)
        )
    with pytest.raises(NotFound):
        await set_budget(store, "none", budget_micros=1, options={"validate_only": True})
    assert await snapshot(store) == before


async def test_an_etag_of_another_revision_is_refused(store: Store) -> None:
    """By update and delete; the answer to a change carries the next one."""
    first = etag_of((await budget(store)).budget.revision)
    view = await set_budget(store, budget_micros=1, options={"etag": first})
    second = etag_of(view.budget.revision)
    assert second != first
    before = await snapshot(store)
    with pytest.raises(EtagMismatch):
        await set_budget(store, budget_micros=2, options={"etag": first})
    with pytest.raises(EtagMismatch):
        await store.change(lambda tx: control.budgets.delete(tx, PLATFORM, "acme", "spending", etag=first))
    assert await snapshot(store) == before
    await store.change(lambda tx: control.budgets.delete(tx, PLATFORM, "acme", "spending", etag=second))


async def test_a_budget_made_anew_has_another_etag(timed_store: Store, clock: SettableClock) -> None:
    """Whoever read the old one does not change the new one by mistake."""
    old = etag_of((await budget(timed_store)).budget.revision)
    await timed_store.change(lambda tx: control.budgets.delete(tx, PLATFORM, "acme", "spending"))
    await clock.advance(1)
    await new_budget(timed_store, "spending")
    with pytest.raises(EtagMismatch):
        await set_budget(timed_store, budget_micros=1, options={"etag": old})


async def test_a_missing_budget_is_made_where_that_is_allowed(store: Store) -> None:
    """Of all that was sent, whatever the mask says (AIP-134); gates flip with it."""
    with pytest.raises(NotFound):
        await set_budget(store, "new", budget_micros=1)
    wanted = BudgetSettings("TOKENS", hard_cap_micros=9, hard_cap_enabled=True, budget_micros=1)
    made = await store.change(
        lambda tx: control.budgets.update(
            tx,
            PLATFORM,
            "acme",
            "new",
            wanted,
            frozenset({"budget_micros"}),
            allow_missing=True,
            gates={"opus": True},
        )
    )
    assert settings_of(made.budget) == wanted
    view = await store.read(lambda connection: reads.organization_view(connection, "acme"))
    assert [gate.enabled for gate in view.gates] == [True]
    newest = (await events(store))[0].draft
    assert (newest.action, newest.before) == ("budget.created", {"gates": {"opus": False}})


async def test_the_unit_is_for_good(store: Store) -> None:
    """Naming the unit it has is no change."""
    with pytest.raises(ValidationFailed):
        await store.change(
            lambda tx: control.budgets.update(
                tx, PLATFORM, "acme", "spending", BudgetSettings("EUR"), frozenset({"unit"})
            )
        )
    await store.change(
        lambda tx: control.budgets.update(tx, PLATFORM, "acme", "spending", BudgetSettings("USD"), frozenset({"unit"}))
    )


async def test_a_budget_kept_elsewhere_is_changed_by_force_or_by_its_keeper(store: Store) -> None:
    """Others are told who keeps it."""
    await set_budget(store, managed_by="terraform")
    for options in ({}, {"manager": "yaml"}):
        with pytest.raises(ManagedElsewhere) as caught:
            await set_budget(store, budget_micros=1, options=options)
        assert caught.value.manager == "terraform"
        with pytest.raises(ManagedElsewhere):
            await store.change(
                lambda tx, options=options: control.budgets.delete(tx, PLATFORM, "acme", "spending", **options)
            )
    await set_budget(store, budget_micros=1, options={"manager": "terraform"})
    await set_budget(store, budget_micros=2, options={"override_manager": True})
    await store.change(lambda tx: control.budgets.delete(tx, PLATFORM, "acme", "spending", manager="terraform"))


ROUNDS_OF_AN_ALLOTMENT: dict[str, dict[str, Any]] = {
    "more": {"allotment_micros": 8},
    "none": {"allotment_micros": None},
    "other spend": {"selector": selector_of({"no": "body"})},
    "other cycles": {"cycle": Cycle(Period.DAY, date(1970, 1, 1))},
    "only watching": {"enforcement": Enforcement.SHADOW},
}


@pytest.mark.parametrize("way", ROUNDS_OF_AN_ALLOTMENT)
async def test_an_organization_cannot_get_round_its_allotment(store: Store, way: str) -> None:
    """What the plan grants is the platform's to change; the same change by the platform is taken."""
    await set_budget(store, allotment_micros=7)
    before = await snapshot(store)
    with pytest.raises(MissingScope):
        await set_budget(store, origin=OWNER, **ROUNDS_OF_AN_ALLOTMENT[way])
    with pytest.raises(MissingScope):
        await store.change(lambda tx: control.budgets.delete(tx, OWNER, "acme", "spending", force=True))
    with pytest.raises(MissingScope):
        await new_budget(store, "mine", origin=OWNER, allotment_micros=1)
    assert await snapshot(store) == before
    await set_budget(store, origin=OWNER, hard_cap_micros=1, hard_cap_enabled=True, allotment_micros=7)
    await set_budget(store, **ROUNDS_OF_AN_ALLOTMENT[way])


async def test_gates_and_budget_change_in_one_event(store: Store) -> None:
    """`budget.updated` shows both; a gate that is not there refuses all of it."""
    view = await set_budget(store, "credits", unit="CREDITS", hard_cap_micros=9, options={"gates": {"opus": True}})
    assert view.budget.hard_cap_micros == 9
    newest, *earlier = await events(store)
    assert len(earlier) == 3
    assert newest.draft.action == "budget.updated"
    assert newest.draft.before is not None
    assert newest.draft.after is not None
    assert (newest.draft.before["hard_cap_micros"], newest.draft.before["gates"]) == (None, {"opus": False})
    assert (newest.draft.after["hard_cap_micros"], newest.draft.after["gates"]) == (9, {"opus": True})
    before = await snapshot(store)
    with pytest.raises(ValidationFailed):
        await set_budget(store, "credits", unit="CREDITS", hard_cap_micros=1, options={"gates": {"sonnet": True}})
    await set_budget(store, "credits", unit="CREDITS", options={"gates": {"opus": True}})
    assert await snapshot(store) == before
    await set_budget(store, "credits", unit="CREDITS", options={"gates": {"opus": False}})
    assert [event.draft.action for event in (await events(store))[:2]] == ["budget.updated"] * 2


async def test_lowering_a_limit_below_what_is_spent_alerts_at_once(store: Store, ledger: Ledger) -> None:
    """In the same transaction, each threshold once; a soft budget is another basis."""
    await ledger.submit(record(80))
    assert await alerts(store) == []
    view = await cap(store, 100)
    assert set(view.counter.alerts_sent) == {(AlertBasis.LIMIT, 50), (AlertBasis.LIMIT, 75)}
    await cap(store, 80)
    await cap(store, 40)
    assert [alert.threshold_percent for alert in await alerts(store)] == [50, 75, 90, 100]
    await set_budget(store, budget_micros=100)
    assert [(alert.basis, alert.threshold_percent) for alert in await alerts(store)][4:] == [
        (AlertBasis.BUDGET, 50),
        (AlertBasis.BUDGET, 75),
    ]
    await set_budget(store, alert_thresholds=(10, 80))
    assert [alert.threshold_percent for alert in await alerts(store)][6:] == [10, 80]
    await ledger.submit(record(100))
    assert [alert.threshold_percent for alert in await alerts(store)][8:] == []
    assert await disagreement(store) is None


async def test_a_new_budget_alerts_of_what_is_spent_already(store: Store, ledger: Ledger) -> None:
    """It counts from before it was there, so its thresholds do too; switched off, they are silent."""
    await ledger.submit(record(80))
    await new_budget(store, "quiet", budget_micros=100, alerts_enabled=False)
    await new_budget(store, "loud", budget_micros=100)
    assert [(alert.budget_id, alert.threshold_percent) for alert in await alerts(store)] == [("loud", 50), ("loud", 75)]
    await set_budget(store, "quiet", alerts_enabled=True)
    assert len(await alerts(store)) == 4


async def test_an_override_lasts_to_the_end_of_the_cycle_by_default(
    timed_store: Store, timed_ledger: Ledger, clock: SettableClock
) -> None:
    """It stands for the hard cap, also where that is not enabled, and is gone by itself."""
    view = await set_budget(timed_store, cap_override=OverrideDraft(5, None, "incident"))
    end = cycle_containing(NOON, view.budget.cycle).end
    assert view.budget.cap_override == CapOverride(5, end, "incident")
    assert view.limits.hard_cap_micros == 5
    before = await snapshot(timed_store)
    await set_budget(timed_store, cap_override=OverrideDraft(5, None, "incident"))
    assert await snapshot(timed_store) == before, "the same again is no change"
    await clock.set(Instant(end - 1))
    assert (await budget(timed_store)).limits.hard_cap_micros == 5
    await clock.set(end)
    assert (await budget(timed_store)).limits.hard_cap_micros is None
    await admitted(timed_ledger, check(10**9))
    await set_budget(timed_store, display_name="The old one is no obstacle")
    with pytest.raises(ValidationFailed):
        await set_budget(timed_store, cap_override=OverrideDraft(6, clock.now, "too late"))


async def test_an_override_of_a_lifetime_must_say_when_it_ends(timed_store: Store, clock: SettableClock) -> None:
    """Its cycle has no end that could stand for one."""
    await set_budget(timed_store, cycle=Cycle(Period.LIFETIME, date(1970, 1, 1)))
    with pytest.raises(ValidationFailed):
        await set_budget(timed_store, cap_override=OverrideDraft(5, None, "for ever"))
    await set_budget(timed_store, cap_override=OverrideDraft(5, Instant(clock.now + 1), "for a moment"))


async def test_an_override_of_a_given_time_ends_then(timed_store: Store, clock: SettableClock) -> None:
    """Up as well as down, and it can be taken back."""
    await cap(timed_store, 5)
    until = Instant(clock.now + DAY_MICROS)
    view = await set_budget(timed_store, cap_override=OverrideDraft(50, until, "launch"))
    assert view.limits.limit_micros == 50
    assert (await set_budget(timed_store, cap_override=None)).limits.limit_micros == 5
    await set_budget(timed_store, cap_override=OverrideDraft(50, until, "launch"))
    await clock.set(until)
    assert (await budget(timed_store)).limits.limit_micros == 5


async def test_a_budget_that_holds_reservations_is_deleted_by_force_only(store: Store, ledger: Ledger) -> None:
    """Its limits no longer bind; what it counted stays in the ledger and in others' counters."""
    await cap(store, 10)
    await admitted(ledger, check(10))
    with pytest.raises(OpenReservations) as caught:
        await store.change(lambda tx: control.budgets.delete(tx, OWNER, "acme", "spending"))
    assert caught.value.count == 1
    await store.change(lambda tx: control.budgets.delete(tx, OWNER, "acme", "spending", force=True))
    with pytest.raises(NotFound):
        await budget(store)
    with pytest.raises(NotFound):
        await store.change(lambda tx: control.budgets.delete(tx, OWNER, "acme", "spending", force=True))
    await admitted(ledger, check(1))
    assert (await new_budget(store, "spending")).counter.reserved_micros == 11
    assert await disagreement(store) is None


async def test_there_is_a_limit_to_budgets(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every check looks at all of them."""
    monkeypatch.setattr(control.budgets, "BUDGETS_PER_ORGANIZATION_MAX", 3)
    await new_budget(store, "third")
    with pytest.raises(LimitExceeded):
        await new_budget(store, "fourth")


@pytest.mark.parametrize("budget_id", ["spending", "other"])
async def test_an_id_is_taken_once(store: Store, budget_id: str) -> None:
    """In one organization."""
    if budget_id == "other":
        await new_budget(store, "other")
    with pytest.raises(AlreadyExists):
        await new_budget(store, budget_id)


async def test_budgets_of_an_organization_that_is_not_there(store: Store) -> None:
    """Nothing can be made, changed or deleted in it."""
    attempts = [
        new_budget(store, "x", organization_id="globex"),
        set_budget(store, organization_id="globex", budget_micros=1, options={"allow_missing": True}),
        store.change(lambda tx: control.budgets.delete(tx, PLATFORM, "globex", "spending")),
    ]
    for attempt in attempts:
        with pytest.raises(NotFound):
            await attempt


async def test_every_change_is_told_whole(store: Store) -> None:
    """Who, by which way, under which call, and the resource before and after."""
    await set_budget(store, origin=OWNER, budget_micros=UNIT)
    event = (await events(store))[0]
    draft = event.draft
    assert (draft.actor, draft.source, draft.request_id) == (OWNER.actor, "rest", "call-2")
    assert (draft.action, draft.resource) == ("budget.updated", "organizations/acme/budgets/spending")
    assert draft.before is not None
    assert draft.after is not None
    changed = {name for name in draft.after if draft.after[name] != draft.before[name]}
    assert changed == {"budget_micros"}
    assert (draft.before["budget_micros"], draft.after["budget_micros"]) == (None, UNIT)
    await store.change(lambda tx: control.budgets.delete(tx, OWNER, "acme", "spending"))
    gone = (await events(store))[0].draft
    assert (gone.action, gone.after) == ("budget.deleted", None)
    assert gone.before == draft.after


async def test_what_is_refused_is_not_audited(store: Store) -> None:
    """An error is no change."""
    before = await snapshot(store)
    for attempt in (
        new_budget(store, "spending"),
        set_budget(store, budget_micros=1, options={"etag": "r1"}),
        set_budget(store, allotment_micros=CENT, origin=OWNER),
    ):
        with pytest.raises(OutlayError):
            await attempt
    assert await snapshot(store) == before
