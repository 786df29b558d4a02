"""`verify` finds every kind of tampering and names the place."""

import pytest
from sqlalchemy import text

from ledger.stores import (
    PLATFORM,
    admitted,
    check,
    disagreement,
    new_budget,
    new_organization,
    record,
    refund,
    reserved,
    set_budget,
)
from outlay_server import control
from outlay_server.domain.commands import RecordOutcome
from outlay_server.domain.selector import selector_of
from outlay_server.ledger import Ledger
from outlay_server.store.contract import ControlTransaction, Store

ACME = "organization_key = (SELECT \"key\" FROM organizations WHERE id = 'acme')"
LAST = f"sequence = (SELECT MAX(sequence) FROM audit_events WHERE {ACME})"

TAMPERINGS: dict[str, tuple[str | list[str], str]] = {
    "counter spent more": ("UPDATE counters SET spent_micros = spent_micros + 1", "spent_micros"),
    "counter spent less": ("UPDATE counters SET spent_micros = 0", "spent_micros"),
    "counter reserved": ("UPDATE counters SET reserved_micros = reserved_micros + 1", "reserved_micros"),
    "counter open": ("UPDATE counters SET open_reservations = open_reservations + 1", "open_reservations"),
    "counter alerts": ("UPDATE counters SET alerts_sent = '[]'", "alerts_sent"),
    "counter of another budget": (
        "UPDATE counters SET budget_key = 999 WHERE budget_key = (SELECT MIN(budget_key) FROM counters)",
        "counters: budget 999",
    ),
    "alert deleted": ("DELETE FROM alerts", "alerts_sent"),
    "alert of another threshold": ("UPDATE alerts SET threshold_percent = 51", "alerts_sent"),
    "record edited": (
        "UPDATE spend_records SET amount_micros = amount_micros + 1 WHERE kind = 'SPEND'",
        "recorded_micros",
    ),
    "record deleted": ("DELETE FROM spend_records WHERE kind = 'SPEND'", "recorded_micros"),
    "record of other labels": ('UPDATE spend_records SET labels = \'[["team","b"]]\'', "recorded_micros"),
    "record in another cycle": ("UPDATE spend_records SET charge_time = 0", "recorded_micros"),
    "record in another unit": ("UPDATE spend_records SET unit = 'EUR'", "recorded_micros"),
    "record of another organization": (
        "UPDATE spend_records SET organization_key = (SELECT \"key\" FROM organizations WHERE id = 'globex')",
        "recorded_micros",
    ),
    "refund edited": ("UPDATE spend_records SET amount_micros = 2 WHERE kind = 'REFUND'", "refunded_micros"),
    "refund deleted": ("DELETE FROM spend_records WHERE kind = 'REFUND'", "refunded_micros"),
    "rollup edited": ("UPDATE spend_rollups SET recorded_micros = recorded_micros + 1", "recorded_micros"),
    "rollup edited by whole units": ("UPDATE spend_rollups SET refunded_units = 1", "refunded_micros"),
    "rollup counts another record": ("UPDATE spend_rollups SET record_count = 0", "record_count"),
    "rollup deleted": ("DELETE FROM spend_rollups", "recorded_micros"),
    "rollup of other labels": ("UPDATE spend_rollups SET labels = '[]'", "recorded_micros"),
    "rollup and its records edited alike": (
        [
            "UPDATE spend_records SET amount_micros = amount_micros + 1 WHERE kind = 'REFUND'",
            "UPDATE spend_rollups SET refunded_micros = refunded_micros + 1",
        ],
        "spent_micros",
    ),
    "record claimed to be pruned": (
        "INSERT INTO pruned_rollups SELECT * FROM spend_rollups",
        "recorded_micros",
    ),
    "refunded beyond the record": (
        [
            "UPDATE spend_records SET amount_micros = 1000 WHERE kind = 'REFUND'",
            "UPDATE spend_rollups SET refunded_micros = 1000",
            "DELETE FROM counters",
        ],
        "refunds of it",
    ),
    "refund of nothing": (
        ["UPDATE spend_records SET refunded_record_id = 'none' WHERE kind = 'REFUND'", "DELETE FROM counters"],
        "refunds of it",
    ),
    "reservation holds more": ("UPDATE reservations SET held_micros = held_micros + 1 WHERE state = 'OPEN'", ""),
    "reservation holds more, counters lost": (
        ["UPDATE reservations SET held_micros = held_micros + 1 WHERE state = 'OPEN'", "DELETE FROM counters"],
        "held_micros",
    ),
    "closed reservation holds": (
        ["UPDATE reservations SET held_micros = 1 WHERE state = 'SETTLED'", "DELETE FROM counters"],
        "held_micros",
    ),
    "reservation deleted": ("DELETE FROM reservations WHERE state = 'OPEN'", "reserved_micros"),
    "reservation closed by hand": (
        "UPDATE reservations SET state = 'RELEASED' WHERE state = 'OPEN'",
        "reserved_micros",
    ),
    "event edited": (f"UPDATE audit_events SET actor = 'nobody' WHERE {ACME} AND sequence = 2", "sequence 2"),
    "event's before edited": (
        f'UPDATE audit_events SET "before" = \'{{}}\' WHERE {ACME} AND "before" IS NOT NULL',
        "sequence 4",
    ),
    "event's time edited": (f"UPDATE audit_events SET create_time = 1 WHERE {ACME} AND sequence = 3", "sequence 3"),
    "event's hash edited": (
        f"UPDATE audit_events SET hash = previous_hash WHERE {ACME} AND sequence = 1",
        "sequence 1",
    ),
    "event deleted": (f"DELETE FROM audit_events WHERE {ACME} AND sequence = 2", "sequence 2"),
    "first event deleted": (f"DELETE FROM audit_events WHERE {ACME} AND sequence = 1", "sequence 1"),
    "last event cut off": (f"DELETE FROM audit_events WHERE {ACME} AND {LAST}", "sequence 5"),
    "all events cut off": (f"DELETE FROM audit_events WHERE {ACME}", "sequence 1"),
    "events swapped": (
        [
            f"UPDATE audit_events SET sequence = 99 WHERE {ACME} AND sequence = 2",
            f"UPDATE audit_events SET sequence = 2 WHERE {ACME} AND sequence = 3",
            f"UPDATE audit_events SET sequence = 3 WHERE {ACME} AND sequence = 99",
        ],
        "sequence 2",
    ),
    "events of another organization": (
        [
            f"DELETE FROM audit_events WHERE {ACME}",
            "UPDATE audit_events SET organization_key = (SELECT \"key\" FROM organizations WHERE id = 'acme')",
        ],
        "sequence 1",
    ),
    "head set back": (
        [
            f"DELETE FROM audit_events WHERE {ACME} AND {LAST}",
            "UPDATE organizations SET audit_sequence = audit_sequence - 1 WHERE id = 'acme'",
        ],
        "sequence 4",
    ),
    "head's hash edited": ("UPDATE organizations SET audit_hash = X_00 WHERE id = 'acme'", "sequence 5"),
}


async def write_books(store: Store, ledger: Ledger) -> None:
    """Something of everything that can be tampered with; five audit events."""
    a = {"team": "a"}
    await set_budget(store, budget_micros=100)
    await new_budget(store, "team-a", hard_cap_micros=1000, hard_cap_enabled=True, selector=selector_of(a))
    outcome = await ledger.submit(record(60, labels=a))
    assert isinstance(outcome, RecordOutcome)
    await ledger.submit(refund(outcome.record.record_id, 1))
    await ledger.submit(record(5, await reserved(ledger, check(10, labels=a))))
    await ledger.submit(record(5, await reserved(ledger, check(10, labels=a)), keep_open=True))
    await admitted(ledger, check(3, labels=a))


@pytest.mark.parametrize("name", TAMPERINGS)
async def test_tampering_is_found_and_named(store: Store, ledger: Ledger, name: str) -> None:
    """Whatever was edited, deleted, swapped or cut off, in tables of money and of audit."""
    await new_organization(store, "globex")
    await write_books(store, ledger)
    assert await disagreement(store) is None
    statements, where = TAMPERINGS[name]

    def tamper(tx: ControlTransaction) -> None:
        zero = "'\\x00'" if tx.connection.dialect.name == "postgresql" else "x'00'"
        for statement in [statements] if isinstance(statements, str) else statements:
            plain = statement.replace("X_00", zero).replace(":", "\\:")
            assert tx.connection.execute(text(plain)).rowcount > 0, "it changed nothing"

    await store.change(tamper)
    found = await disagreement(store)
    assert found is not None
    assert where in found.where
    assert found.found != found.expected
    # A record that moves to another organization is missed first where it was.
    assert found.organization_id == "acme"


async def test_deleted_organizations_are_verified_too(store: Store, ledger: Ledger) -> None:
    """Their ledger and audit are kept, so they are kept whole."""
    await write_books(store, ledger)
    await store.change(lambda tx: control.organizations.delete(tx, PLATFORM, "acme", force=True))
    assert await disagreement(store) is None
    await store.change(lambda tx: tx.connection.execute(text("UPDATE counters SET spent_micros = 1")) and None)
    assert await disagreement(store) is not None
