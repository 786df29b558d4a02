"""Caps that are applied together are written as if one by one, on every store, or not at all."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from ledger.stores import (
    DAY_MICROS,
    OWNER,
    PLATFORM,
    SettableClock,
    alerts,
    check,
    disagreement,
    record,
    snapshot,
)
from outlay_server import control
from outlay_server.control.apply_endpoints import EndpointCare
from outlay_server.domain.api_key import Scope
from outlay_server.domain.caps import DesiredBudget, DesiredCaps, DesiredEndpoint, DesiredOrganization, Leave
from outlay_server.domain.commands import CheckOutcome
from outlay_server.domain.destination import DestinationRules
from outlay_server.domain.errors import ApplyRefused, LimitExceeded, MissingScope, OutlayError, PlanOutdated
from outlay_server.domain.gate import Gate
from outlay_server.domain.instant import Instant
from outlay_server.domain.plan import ChangeType, Plan, WarningReason
from outlay_server.domain.selector import selector_of
from outlay_server.domain.settings import BudgetSettings, OrganizationSettings
from outlay_server.domain.views import etag_of
from outlay_server.domain.webhook import EndpointSettings, secret_of
from outlay_server.ledger import Ledger
from outlay_server.store import ledger_reads, reads
from outlay_server.store.contract import Store
from outlay_server.store.sealing import PlainSealer

ALL = frozenset(Scope)
CARE = EndpointCare(DestinationRules(), PlainSealer(), lambda: secret_of(bytes(32)))


def wanted(budget_id: str, **settings: Any) -> DesiredBudget:
    return DesiredBudget(
        budget_id=budget_id,
        settings=BudgetSettings(**({"unit": "USD"} | settings)),
        paths=frozenset({"unit", *settings}),
        etag="",
        field=f"budgets[{budget_id}]",
    )


def caps(*budgets: DesiredBudget, organization_id: str = "acme", plan_etag: str = "", **leave: Any) -> DesiredCaps:
    return DesiredCaps(organization_id, "yaml:caps", None, budgets, Leave(**leave), plan_etag)


async def plan(store: Store, desired: DesiredCaps) -> Plan:
    now = await store.now()
    return await store.read(lambda connection: control.apply.plan(connection, desired, CARE, now))


async def apply(store: Store, desired: DesiredCaps) -> Plan:
    return await store.change(lambda tx: control.apply.apply(tx, PLATFORM, desired, CARE, ALL))


async def is_allowed(ledger: Ledger, amount: int) -> bool:
    outcome = await ledger.submit(check(amount))
    assert isinstance(outcome, CheckOutcome)
    return outcome.allowed


async def views(store: Store, organization_id: str = "acme") -> dict[str, Any]:
    now = await store.now()
    found = await store.read(lambda c: reads.budget_views(c, organization_id, "", 1_000, now))
    return {view.budget.budget_id: view for view in found}


async def test_the_plan_is_what_is_done(store: Store) -> None:
    """The same changes with the same name, before and within the transaction; then there is nothing to do."""
    await apply(store, caps(wanted("a"), wanted("b", hard_cap_micros=5), wanted("c")))
    desired = caps(wanted("b", hard_cap_micros=7), wanted("c"), wanted("d"), prune=True)
    before = await snapshot(store)
    shown = await plan(store, desired)
    assert await snapshot(store) == before
    done = await apply(store, desired)
    assert [(change.resource.rpartition("/")[2], change.type) for change in done.changes] == [
        ("a", ChangeType.DELETE),
        ("b", ChangeType.UPDATE),
        ("d", ChangeType.CREATE),
    ]
    assert done.etag == shown.etag
    found = await views(store)
    assert [change.etag for change in done.changes] == [
        "",
        etag_of(found["b"].budget.revision),
        etag_of(found["d"].budget.revision),
    ]
    assert [change.fields for change in done.changes] == [change.fields for change in shown.changes]
    assert not (await plan(store, desired)).changes
    events = await store.read(lambda connection: ledger_reads.audit_events(connection, "acme", None, 100))
    assert [event.draft.action for event in events[:3]] == ["budget.created", "budget.updated", "budget.deleted"]
    assert await disagreement(store) is None


async def test_applied_limits_bind_the_next_check_and_old_ones_no_longer(store: Store, ledger: Ledger) -> None:
    """Of a budget that is made, one that is changed, and one that is deleted."""
    await apply(store, caps(wanted("a", hard_cap_micros=5, hard_cap_enabled=True)))
    assert not await is_allowed(ledger, 6)
    await apply(store, caps(wanted("a", hard_cap_micros=9)))
    assert await is_allowed(ledger, 6)
    assert not await is_allowed(ledger, 4)
    await apply(store, caps(prune=True, deleting_in_use=True))
    assert await is_allowed(ledger, 4)


async def test_a_new_budget_counts_and_alerts_for_what_was_spent_before(store: Store, ledger: Ledger) -> None:
    """Each budget by its own selector, whether it is made or comes to count something else."""
    await ledger.submit(record(3, request_id="r1", labels={"team": "a"}))
    await ledger.submit(record(4, request_id="r2", labels={"team": "b"}))
    budgets = [
        wanted(team, selector=selector_of({"team": team}), budget_micros=4, alert_thresholds=(50, 100))
        for team in ("a", "b")
    ]
    await apply(store, caps(*budgets))
    assert {id_: (await views(store))[id_].counter.spent_micros for id_ in ("a", "b")} == {"a": 3, "b": 4}
    crossed = {(alert.budget_id, alert.threshold_percent) for alert in await alerts(store)}
    assert crossed == {("a", 50), ("b", 50), ("b", 100)}
    await apply(store, caps(wanted("a", selector=selector_of({"team": "b"}))))
    assert (await views(store))["a"].counter.spent_micros == 4
    assert len(await alerts(store)) == 4
    assert await disagreement(store) is None


async def test_warnings_are_of_what_each_budget_will_count(store: Store, ledger: Ledger) -> None:
    """Of several new ones each by its own selector; of one that counts something else from now on, that."""
    for number, team in enumerate(("a", "a", "b")):
        await ledger.submit(record(3, request_id=f"r{number}", labels={"team": team}))
    limit = {"hard_cap_micros": 5, "hard_cap_enabled": True}
    teams = {team: {"selector": selector_of({"team": team}), **limit} for team in ("a", "b")}
    await apply(store, caps(wanted("c", selector=selector_of({"team": "a"}), hard_cap_micros=9)))
    await ledger.submit(record(1, request_id="r4", labels={"team": "a"}))
    desired = caps(*(wanted(team, **settings) for team, settings in teams.items()), wanted("c", **teams["b"]))
    told = {
        change.resource.rpartition("/")[2]: [warning.facts.get("spent_micros") for warning in change.warnings]
        for change in (await plan(store, desired)).changes
    }
    assert told == {"a": ["7"], "b": [], "c": [None]}


@pytest.mark.parametrize("amounts", [(5, 5, 3), (0, 5, 3)])
async def test_what_expired_does_not_count_as_held(
    timed_store: Store, timed_ledger: Ledger, clock: SettableClock, amounts: tuple[int, int, int]
) -> None:
    """A cap may be set below what reservations held that nobody has settled."""
    held, cap, lower = amounts
    await apply(timed_store, caps(wanted("a", hard_cap_micros=cap, hard_cap_enabled=True)))
    if held:
        await timed_ledger.submit(check(held))
    desired = caps(wanted("a", hard_cap_micros=lower))
    reasons = [warning.reason for change in (await plan(timed_store, desired)).changes for warning in change.warnings]
    assert reasons == [WarningReason.CAP_BELOW_SPEND] * (held > 0)
    await clock.advance(DAY_MICROS)
    assert not [warning for change in (await plan(timed_store, desired)).changes for warning in change.warnings]


@pytest.mark.parametrize(
    ("desired", "error"),
    [
        (caps(wanted("a"), wanted("spending", budget_micros=1)), ApplyRefused),
        (caps(wanted("a"), wanted("b", allotment_micros=1)), MissingScope),
        (caps(*(wanted(f"b{number}") for number in range(999))), LimitExceeded),
        (caps(wanted("a"), plan_etag="p1." + "0" * 32), PlanOutdated),
    ],
)
async def test_what_is_refused_leaves_nothing(store: Store, desired: DesiredCaps, error: type[OutlayError]) -> None:
    before = await snapshot(store)
    scopes = ALL - {Scope.ADMIN}
    with pytest.raises(error):
        await store.change(lambda tx: control.apply.apply(tx, OWNER, desired, CARE, scopes))
    assert await snapshot(store) == before


async def test_of_two_applies_at_once_one_is_second(store: Store) -> None:
    """Both were shown the same plan; the second is told who was first."""
    desired = caps(wanted("a", hard_cap_micros=5))
    shown = await plan(store, desired)
    again = caps(wanted("a", hard_cap_micros=5), plan_etag=shown.etag)
    outcomes = await asyncio.gather(apply(store, again), apply(store, again), return_exceptions=True)
    (refused,) = [outcome for outcome in outcomes if isinstance(outcome, PlanOutdated)]
    assert refused.moved == ("organizations/acme/budgets/a",)
    assert sum(isinstance(outcome, Plan) for outcome in outcomes) == 1
    assert len(await views(store)) == 3


async def test_an_organization_is_made_with_all_that_is_asked_for(store: Store) -> None:
    """Its ledger, counters and audit agree, as if it had been made step by step."""
    gates = (Gate("g", "model", "m*", enabled=True),)
    desired = DesiredCaps(
        organization_id="new",
        manager="yaml:caps",
        organization=DesiredOrganization(OrganizationSettings("New", gates), frozenset({"display_name", "gates"}), ""),
        budgets=(wanted("spending", hard_cap_micros=5), wanted("team", unit="TOKENS")),
        leave=Leave(create_organization=True),
        plan_etag="",
    )
    shown = await plan(store, desired)
    done = await apply(store, desired)
    assert done.etag == shown.etag
    assert not (await plan(store, desired)).changes
    assert {id_: view.budget.managed_by for id_, view in (await views(store, "new")).items()} == {
        "credits": "",
        "spending": "yaml:caps",
        "team": "yaml:caps",
    }
    view = await store.read(lambda connection: reads.organization_view(connection, "new"))
    assert (view.display_name, view.gates, view.managed_by) == ("New", gates, "yaml:caps")
    assert await disagreement(store) is None


async def test_who_moved_is_found_behind_many_other_events(store: Store) -> None:
    """Only the events of what differs are read."""
    await apply(store, caps(wanted("a", display_name="A"), wanted("b")))
    moved = BudgetSettings("USD", display_name="B")
    await store.change(
        lambda tx: control.budgets.update(
            tx, OWNER, "acme", "a", moved, frozenset({"display_name"}), override_manager=True
        )
    )
    for number in range(30):
        other = BudgetSettings("USD", budget_micros=number)
        await store.change(
            lambda tx, other=other: control.budgets.update(
                tx, PLATFORM, "acme", "spending", other, frozenset({"budget_micros"})
            )
        )
    (change,) = (await plan(store, caps(wanted("a", display_name="A"), wanted("b")))).changes
    (field,) = change.fields
    assert field.mover is not None
    assert (field.path, field.before, field.last_applied, field.mover.actor) == ("display_name", "B", "A", OWNER.actor)
    assert change.mover == field.mover
    assert field.mover.time <= Instant(await store.now())


async def test_endpoints_are_applied_with_the_caps_or_not_at_all(store: Store) -> None:
    """Written sealed and audited on every store; deleted with what waited for them."""
    hook = DesiredEndpoint(
        endpoint_id="ops",
        settings=EndpointSettings(uri="https://example.com/hook"),
        secret=secret_of(b"s" * 32),
        paths=frozenset({"uri", "secret"}),
        etag="",
        field="webhook_endpoints[0]",
    )
    desired = replace(caps(wanted("a")), endpoints=(hook,))
    before = await snapshot(store)
    with pytest.raises(ApplyRefused):
        await apply(store, replace(desired, budgets=(wanted("a"), wanted("spending", hard_cap_micros=1))))
    assert await snapshot(store) == before
    shown = await plan(store, desired)
    done = await apply(store, desired)
    assert (done.etag, len(done.changes)) == (shown.etag, 2)
    assert not (await plan(store, desired)).changes
    other = replace(desired, endpoints=(replace(hook, secret=secret_of(b"t" * 32)),))
    assert [[field.path for field in change.fields] for change in (await apply(store, other)).changes] == [["secret"]]
    assert (await plan(store, desired)).changes[0].type is ChangeType.UPDATE
    gone = await apply(store, caps(wanted("a"), prune=True))
    assert [(change.resource.rpartition("/")[2], change.type) for change in gone.changes] == [
        ("ops", ChangeType.DELETE)
    ]
    events = await store.read(lambda connection: ledger_reads.audit_events(connection, "acme", None, 3))
    assert [event.draft.action for event in events] == [
        "webhook_endpoint.deleted",
        "webhook_endpoint.updated",
        "webhook_endpoint.created",
    ]
    assert secret_of(b"s" * 32) not in str(events)
    assert await disagreement(store) is None
