"""Write budgets: any number of one organization's at once, with all that a change of a budget brings about."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from sqlalchemy import bindparam, insert
from sqlalchemy import delete as sql_delete
from sqlalchemy import update as sql_update

from outlay_server.control.documents import Document, budget_document
from outlay_server.control.organization_row import EventDraft, append_audit_events
from outlay_server.control.origin import Origin
from outlay_server.control.outbox import append_events
from outlay_server.domain.alert import Alert, newly_crossed
from outlay_server.domain.audit import AuditAction, JsonValue
from outlay_server.domain.budget import Budget, BudgetCounter
from outlay_server.domain.event import Event, alert_crossed, budget_updated
from outlay_server.domain.names import BudgetName
from outlay_server.domain.views import BudgetView
from outlay_server.store import change_log, reads, rows, statements, tables
from outlay_server.store.connection_driver import ConnectionDriver
from outlay_server.store.contract import ControlTransaction


@dataclass(frozen=True, slots=True)
class Edit:
    """One budget as it is and as it is to be; None where it does not exist."""

    before: Budget | None
    after: Budget | None
    """With the next revision. A new one has no key yet."""
    audited_before: Mapping[str, JsonValue] = field(default_factory=dict)
    """What else the audit says was before."""
    audited_after: Mapping[str, JsonValue] = field(default_factory=dict)

    @property
    def budget(self) -> Budget:
        """Whichever there is."""
        found = self.after or self.before
        assert found is not None, "an edit is of something"
        return found

    @property
    def name(self) -> str:
        return str(BudgetName(self.budget.organization_id, self.budget.budget_id))

    def event(self) -> EventDraft:
        """The edit as the audit tells it."""
        action = AuditAction.BUDGET_UPDATED
        if self.before is None:
            action = AuditAction.BUDGET_CREATED
        elif self.after is None:
            action = AuditAction.BUDGET_DELETED
        before, after = _document(self.before, self.audited_before), _document(self.after, self.audited_after)
        return EventDraft(action, self.name, before, after)


def write(
    tx: ControlTransaction,
    origin: Origin,
    organization_key: int,
    edits: Sequence[Edit],
    known: Mapping[str, BudgetCounter] = MappingProxyType({}),
) -> list[BudgetView]:
    """Write the edits in their order, audited, with watchers told and the alerts that the new limits have crossed.

    `known` has, by budget id, what was counted in this transaction already and the edits leave as it is: of many
    budgets that takes long. Returns the budgets that there are afterwards. The organization's row must be locked; raise
    its version too.
    """
    if not edits:
        return []
    _delete(tx, organization_key, [edit.before for edit in edits if edit.before and edit.after is None])
    _update(tx, organization_key, [(edit.before, edit.after) for edit in edits if edit.before and edit.after])
    keys = _insert(tx, organization_key, [edit.after for edit in edits if edit.after and edit.before is None])
    append_audit_events(tx, origin, edits[0].budget.organization_id, [edit.event() for edit in edits])
    _tell_updates(tx, origin, organization_key, edits)
    written = [edit.after for edit in edits if edit.after is not None]
    stored = [replace(budget, key=keys.get(budget.budget_id, budget.key)) for budget in written]
    return _settled(tx, organization_key, stored, known)


def _document(budget: Budget | None, more: Mapping[str, JsonValue]) -> Document | None:
    if budget is None and not more:
        return None
    return (budget_document(budget) if budget else {}) | dict(more)


def _insert(tx: ControlTransaction, organization_key: int, budgets: Sequence[Budget]) -> dict[str, int]:
    """The keys that the store gave, by id."""
    if not budgets:
        return {}
    table = tables.budgets
    values = [rows.budget_to_values(budget, organization_key) for budget in budgets]
    made = tx.connection.execute(insert(table).returning(table.c.id, table.c.key), values)
    return {row.id: row.key for row in made}


def _update(tx: ControlTransaction, organization_key: int, changes: Sequence[tuple[Budget, Budget]]) -> None:
    if not changes:
        return
    table = tables.budgets
    values = [rows.budget_to_values(new, organization_key) | {"of_key": new.key} for _, new in changes]
    tx.connection.execute(sql_update(table).where(table.c.key == bindparam("of_key")), values)
    # They count something else from now on; what that is the ledger knows.
    recounted = [new for old, new in changes if (old.selector, old.cycle) != (new.selector, new.cycle)]
    _forget_counters(tx, organization_key, recounted)


def _delete(tx: ControlTransaction, organization_key: int, budgets: Sequence[Budget]) -> None:
    if not budgets:
        return
    _forget_counters(tx, organization_key, budgets)
    change_log.append_deleted(tx.connection, organization_key, budgets, tx.now)
    table = tables.budgets
    tx.connection.execute(sql_delete(table).where(table.c.key.in_([budget.key for budget in budgets])))


def _forget_counters(tx: ControlTransaction, organization_key: int, budgets: Sequence[Budget]) -> None:
    if not budgets:
        return
    table = tables.counters
    of_budgets = table.c.budget_key.in_([budget.key for budget in budgets])
    tx.connection.execute(sql_delete(table).where(table.c.organization_key == organization_key, of_budgets))


def _settled(
    tx: ControlTransaction, organization_key: int, budgets: Sequence[Budget], known: Mapping[str, BudgetCounter]
) -> list[BudgetView]:
    """The budgets after a change, with the alerts written that their new limits have crossed, and watchers told."""
    views = _views(tx, organization_key, budgets, known)
    crossed = [view for view in views if newly_crossed(view.budget, view.counter, tx.now)]
    counters = reads.stored_counters(tx.connection, organization_key, [view.budget for view in crossed], tx.now)
    made: list[Alert] = []
    for view in crossed:
        made += _alerts(tx, view, counters[view.budget.key])
    change_log.append_changed(tx.connection, organization_key, [view.counter for view in views], tx.now)
    if made:
        driver = ConnectionDriver(tx.connection)
        driver.write(statements.INSERT_ALERTS, [rows.alert_to_row(alert, organization_key) for alert in made])
        append_events(tx, organization_key, [_crossing(tx, view, made) for view in crossed])
        changed = [rows.counter_to_row(organization_key, counter, tx.now) for counter in counters.values()]
        driver.write(statements.UPSERT_COUNTERS, changed)
    return views


def _views(
    tx: ControlTransaction, organization_key: int, budgets: Sequence[Budget], known: Mapping[str, BudgetCounter]
) -> list[BudgetView]:
    unknown = [budget for budget in budgets if budget.budget_id not in known]
    views = reads.views_of(tx.connection, organization_key, unknown, tx.now) if unknown else []
    counters = {**known, **{view.budget.budget_id: view.counter for view in views}}
    return [
        BudgetView(budget, replace(counters[budget.budget_id], budget_key=budget.key), budget.limits_at(tx.now), tx.now)
        for budget in budgets
    ]


def _tell_updates(tx: ControlTransaction, origin: Origin, organization_key: int, edits: Sequence[Edit]) -> None:
    """An event for each budget that was there before and is there still."""
    told = []
    for edit in edits:
        if edit.before is None or edit.after is None:
            continue
        draft = edit.event()
        assert draft.before is not None, "it was there"
        assert draft.after is not None, "it is there"
        told.append(
            budget_updated(tx.new_id(), edit.after, draft.before, draft.after, origin.actor, origin.source, tx.now)
        )
    append_events(tx, organization_key, told)


def _crossing(tx: ControlTransaction, view: BudgetView, made: Sequence[Alert]) -> Event:
    """One event for all thresholds that one budget's new limits have crossed."""
    of_budget = [alert for alert in made if alert.budget_key == view.budget.key]
    return alert_crossed(tx.new_id(), view.budget, view.counter, view.limits, of_budget)


def _alerts(tx: ControlTransaction, view: BudgetView, counter: BudgetCounter) -> list[Alert]:
    """The alerts of one budget, noted in its counter as it is stored and as it is shown."""
    budget = view.budget
    made = [
        Alert(
            alert_id=tx.new_id(),
            organization_id=budget.organization_id,
            budget_id=budget.budget_id,
            budget_key=budget.key,
            cycle_start=counter.window.start,
            basis=basis,
            threshold_percent=percent,
            spent_micros=view.counter.spent_micros,
            basis_micros=basis_micros,
            create_time=tx.now,
        )
        for basis, percent, basis_micros in newly_crossed(budget, view.counter, tx.now)
    ]
    counter.alerts_sent += tuple((alert.basis, alert.threshold_percent) for alert in made)
    view.counter.alerts_sent = counter.alerts_sent
    return made
