"""What happens becomes an event of its own transaction, on every store: once, and with the figures of that moment."""

import json
from typing import Any

from sqlalchemy import Connection, select

from ledger.stores import (
    DAY_MICROS,
    OWNER,
    UNIT,
    SettableClock,
    admitted,
    alerts,
    cap,
    check,
    new_budget,
    record,
    refund,
    reserved,
    set_budget,
)
from outlay_server.domain.budget import Enforcement
from outlay_server.domain.commands import CheckMode, CheckOutcome, RecordOutcome, SettleExpired
from outlay_server.domain.instant import MICROS_PER_SECOND
from outlay_server.domain.reservation import ExpiryAction
from outlay_server.domain.selector import selector_of
from outlay_server.domain.settings import OverrideDraft
from outlay_server.ledger import Ledger
from outlay_server.store import tables
from outlay_server.store.contract import Store


async def events(store: Store, kind: str = "") -> list[dict[str, Any]]:
    """The payloads, oldest first; of one type where it is given."""

    def read(connection: Connection) -> list[str]:
        table = tables.events
        query = select(table.c.payload).order_by(table.c.id)
        return list(connection.execute(query.where(table.c.event_type == kind) if kind else query).scalars())

    return [json.loads(payload) for payload in await store.read(read)]


async def denied(ledger: Ledger, amount: int, **settings: Any) -> None:
    outcome = await ledger.submit(check(amount, **settings))
    assert isinstance(outcome, CheckOutcome)
    assert not outcome.allowed


async def test_one_jump_over_three_thresholds_is_three_alerts_and_one_event(
    timed_store: Store, timed_ledger: Ledger
) -> None:
    await set_budget(timed_store, budget_micros=100 * UNIT)
    await timed_ledger.submit(record(93 * UNIT))
    (event,) = await events(timed_store, "alert.crossed")
    made = await alerts(timed_store)
    assert [alert.threshold_percent for alert in made] == [50, 75, 90]
    assert event["data"] == {
        "organization": "organizations/acme",
        "budget": "organizations/acme/budgets/spending",
        "display_name": "Spending",
        "unit": "USD",
        "enforcement": "ENFORCE",
        "cycle": {"start_time": "2026-01-01T00:00:00Z", "end_time": "2026-02-01T00:00:00Z"},
        "spent_micros": 93 * UNIT,
        "spent": "93.00",
        "reserved_micros": 0,
        "reserved": "0.00",
        "budget_micros": 100 * UNIT,
        "soft_budget": "100.00",
        "limit_micros": None,
        "limit": None,
        "basis": "BUDGET",
        "basis_amount_micros": 100 * UNIT,
        "basis_amount": "100.00",
        "thresholds_percent": [50, 75, 90],
        "alerts": [f"organizations/acme/alerts/{alert.alert_id}" for alert in made],
    }
    assert (event["type"], event["timestamp"]) == ("alert.crossed", "2026-01-15T12:00:00Z")


async def test_a_limit_set_below_what_is_spent_crosses_in_one_event_too(
    timed_store: Store, timed_ledger: Ledger
) -> None:
    await timed_ledger.submit(record(80 * UNIT))
    await set_budget(timed_store, budget_micros=100 * UNIT)
    (event,) = await events(timed_store, "alert.crossed")
    assert event["data"]["thresholds_percent"] == [50, 75]


async def test_ordinary_checks_and_records_write_no_event(timed_store: Store, timed_ledger: Ledger) -> None:
    await cap(timed_store, 100 * UNIT)
    before = len(await events(timed_store))
    reservation = await reserved(timed_ledger, check(10 * UNIT))
    await timed_ledger.submit(record(10 * UNIT, reservation))
    assert len(await events(timed_store)) == before


async def test_the_first_denial_by_a_limit_is_told_once_a_cycle(
    timed_store: Store, timed_ledger: Ledger, clock: SettableClock
) -> None:
    await cap(timed_store, 10 * UNIT, alert_thresholds=())
    await timed_ledger.submit(record(10 * UNIT))
    for _ in range(3):
        await denied(timed_ledger, UNIT)
    (event,) = await events(timed_store, "cap.reached")
    assert [event["data"][name] for name in ("reason", "limit", "spent")] == ["HARD_CAP_REACHED", "10.00", "10.00"]
    await clock.advance(31 * DAY_MICROS)
    await denied(timed_ledger, 11 * UNIT)
    assert len(await events(timed_store, "cap.reached")) == 2


async def test_another_limit_that_denies_is_told_again(timed_store: Store, timed_ledger: Ledger) -> None:
    """Raised and reached again, or lowered: people hear of the limit that binds now."""
    await cap(timed_store, 10 * UNIT, alert_thresholds=())
    await timed_ledger.submit(record(10 * UNIT))
    await denied(timed_ledger, UNIT)
    await cap(timed_store, 20 * UNIT)
    await admitted(timed_ledger, check(UNIT, mode=CheckMode.RECORD))
    await denied(timed_ledger, 10 * UNIT)
    await denied(timed_ledger, 10 * UNIT)
    assert [event["data"]["limit"] for event in await events(timed_store, "cap.reached")] == ["10.00", "20.00"]


async def test_a_denial_for_what_is_held_or_frozen_or_gated_reaches_no_cap(
    timed_store: Store, timed_ledger: Ledger
) -> None:
    await cap(timed_store, 10 * UNIT)
    await reserved(timed_ledger, check(10 * UNIT))
    await denied(timed_ledger, UNIT)
    await set_budget(timed_store, enforcement=Enforcement.FREEZE)
    await denied(timed_ledger, UNIT)
    await denied(timed_ledger, UNIT, labels={"model": "claude-opus-4"})
    assert await events(timed_store, "cap.reached") == []


async def test_a_budget_in_shadow_tells_of_the_cap_that_it_would_have_kept(
    timed_store: Store, timed_ledger: Ledger
) -> None:
    await cap(timed_store, 10 * UNIT, enforcement=Enforcement.SHADOW)
    await admitted(timed_ledger, check(11 * UNIT))
    await admitted(timed_ledger, check(11 * UNIT))
    (event,) = await events(timed_store, "cap.reached")
    assert event["data"]["enforcement"] == "SHADOW"


async def test_a_question_that_holds_nothing_tells_of_nothing(timed_store: Store, timed_ledger: Ledger) -> None:
    await cap(timed_store, 10 * UNIT)
    await denied(timed_ledger, 11 * UNIT, mode=CheckMode.CHECK_ONLY)
    assert await events(timed_store, "cap.reached") == []


async def test_spend_that_rises_above_the_limit_is_an_overrun_each_time_it_does(
    timed_store: Store, timed_ledger: Ledger
) -> None:
    """While it stays above nothing more is said; once it was credited back below, it can rise again."""
    await cap(timed_store, 10 * UNIT, alert_thresholds=())
    outcomes = [await timed_ledger.submit(record(amount * UNIT)) for amount in (8, 4, 4)]
    last = outcomes[-1]
    assert isinstance(last, RecordOutcome)
    (event,) = await events(timed_store, "spend.overrun")
    assert [event["data"][name] for name in ("limit", "spent", "overrun")] == ["10.00", "12.00", "2.00"]
    await timed_ledger.submit(refund(last.record.record_id))
    await timed_ledger.submit(record(UNIT))
    assert len(await events(timed_store, "spend.overrun")) == 1
    first = outcomes[0]
    assert isinstance(first, RecordOutcome)
    await timed_ledger.submit(refund(first.record.record_id))
    await timed_ledger.submit(record(6 * UNIT))
    assert len(await events(timed_store, "spend.overrun")) == 2


async def test_a_reservation_that_expires_unsettled_is_told_with_what_it_held(
    timed_store: Store, timed_ledger: Ledger, clock: SettableClock
) -> None:
    await new_budget(timed_store, "search", selector=selector_of({"team": "search"}))
    reservation = await reserved(
        timed_ledger, check(5 * UNIT, labels={"team": "search"}, on_expiry=ExpiryAction.RECORD, ttl_seconds=60)
    )
    await timed_ledger.submit(record(UNIT, reservation, keep_open=True))
    await clock.advance(61 * MICROS_PER_SECOND)
    await timed_ledger.submit(SettleExpired("acme"))
    await timed_ledger.submit(SettleExpired("acme"))
    (event,) = await events(timed_store, "reservation.expired")
    data = event["data"]
    assert data["reservation"] == f"organizations/acme/reservations/{reservation}"
    assert data["budgets"] == ["organizations/acme/budgets/search", "organizations/acme/budgets/spending"]
    assert [data[name] for name in ("granted", "recorded", "expired")] == ["5.00", "1.00", "4.00"]
    assert (data["expiry_action"], data["labels"], data["unit"]) == ("RECORD", {"team": "search"}, "USD")
    assert data["expire_time"] == "2026-01-15T12:01:00Z"


async def test_a_settled_reservation_is_not_told_of(
    timed_store: Store, timed_ledger: Ledger, clock: SettableClock
) -> None:
    reservation = await reserved(timed_ledger, check(5 * UNIT, ttl_seconds=60))
    await timed_ledger.submit(record(UNIT, reservation))
    await reserved(timed_ledger, check(0, ttl_seconds=60))
    await clock.advance(61 * MICROS_PER_SECOND)
    await timed_ledger.submit(SettleExpired("acme"))
    assert await events(timed_store, "reservation.expired") == []


async def test_a_changed_budget_is_told_with_what_changed_and_who_did_it(timed_store: Store) -> None:
    await set_budget(timed_store, origin=OWNER, hard_cap_micros=500 * UNIT, hard_cap_enabled=True)
    (event,) = await events(timed_store, "budget.updated")
    data = event["data"]
    assert data["changed_fields"] == ["hard_cap_enabled", "hard_cap_micros"]
    assert [data[side]["hard_cap"] for side in ("before", "after")] == [None, "500.00"]
    assert (data["actor"], data["source"]) == ("organizations/acme/apiKeys/k", "rest")
    assert "timestamp" in event


async def test_a_change_that_changes_nothing_is_no_event(timed_store: Store) -> None:
    await set_budget(timed_store, display_name="Spending")
    assert await events(timed_store) == []


async def test_a_temporary_cap_is_told_with_its_end_as_an_instant(timed_store: Store, clock: SettableClock) -> None:
    await set_budget(timed_store, cap_override=OverrideDraft(5 * UNIT, None, "a launch"))
    (event,) = await events(timed_store, "budget.updated")
    assert event["data"]["after"]["cap_override"] == {
        "hard_cap_micros": 5 * UNIT,
        "hard_cap": "5.00",
        "expire_time": "2026-02-01T00:00:00Z",
        "reason": "a launch",
    }
