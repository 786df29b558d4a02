"""The systems under test behind one face: the pure domain, and a ledger on a real store."""

import asyncio
import copy
import itertools
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import fields, replace
from datetime import date
from pathlib import Path
from typing import Any, Protocol, TypeVar

import asyncpg
from sqlalchemy import select

from ledger.stores import NOON, PLATFORM, SettableClock, alerts, budget, disagreement, make_store
from outlay_server import control
from outlay_server.domain.alert import Alert, newly_crossed
from outlay_server.domain.books import Books, OrganizationState, StoredRequest
from outlay_server.domain.budget import Budget, BudgetCounter, Enforcement, Limits
from outlay_server.domain.commands import Command, Outcome
from outlay_server.domain.cycle import Cycle, Period, cycle_containing
from outlay_server.domain.errors import NotFound, OpenReservations, OutlayError
from outlay_server.domain.gate import DEFAULT_GATES, Gate
from outlay_server.domain.instant import Instant
from outlay_server.domain.posting import post, settle_expired, with_retry_times
from outlay_server.domain.reservation import Reservation, ReservationState
from outlay_server.domain.selector import matches, selector_of
from outlay_server.domain.settings import DEFAULT_BUDGETS, BudgetSettings, OrganizationSettings, OverrideDraft
from outlay_server.domain.settings import with_settings as apply_settings
from outlay_server.domain.spend import SpendRecord
from outlay_server.ledger import Ledger
from outlay_server.store import reads, tables
from outlay_server.store.contract import Store
from properties.model import Spec

R = TypeVar("R")
CounterRow = tuple[str, int, int, int, int]
"""(budget, cycle start, spent, reserved, open reservations)"""


def settings_from(spec: Spec) -> BudgetSettings:
    """The service's settings for the model's; no `until` asks for the default."""
    override = None
    if spec.override is not None:
        until = Instant(spec.override[1]) if spec.override[1] else None
        override = OverrideDraft(spec.override[0], until, "drill")
    return BudgetSettings(
        unit=spec.unit,
        selector=selector_of(dict(spec.selector)),
        cycle=Cycle(Period(spec.period), date(1970, 1, 1)),
        budget_micros=spec.soft,
        hard_cap_micros=spec.cap,
        hard_cap_enabled=spec.cap_enabled,
        allotment_micros=spec.allotment,
        alert_thresholds=spec.thresholds,
        alerts_enabled=spec.alerts_enabled,
        enforcement=Enforcement(spec.enforcement),
        cap_override=override,
    )


PATHS = frozenset(field.name for field in fields(BudgetSettings)) - {"unit", "display_name", "managed_by"}


class Driver(Protocol):
    """One organization `acme` of the system under test."""

    settles_before_changes: bool
    """Whether expiry must be written down before a budget changes (there is no reader that works it out)."""

    def submit(self, commands: Sequence[Command]) -> list[Outcome | OutlayError]: ...
    def set_time(self, now: int) -> None: ...
    def create(self, budget_id: str, spec: Spec) -> None: ...
    def update(self, budget_id: str, spec: Spec) -> None: ...
    def delete(self, budget_id: str, *, force: bool = True) -> None: ...
    def set_gate(self, enabled: bool) -> None: ...
    def views(self) -> dict[str, BudgetCounter]: ...
    def limits(self, budget_id: str) -> Limits: ...
    def alerts_of(self, budget_id: str) -> list[tuple[str, int]]: ...
    def counter_rows(self) -> list[CounterRow]: ...
    def alert_rows(self) -> "Counter[tuple[str, int, str, int]]": ...
    def expiry_record(self, reservation_id: str) -> str | None: ...
    def restart(self) -> None: ...
    def close(self) -> None:
        """Look everything over once more, then let go."""


class DomainDriver:
    """`posting` on books kept in dictionaries."""

    settles_before_changes = True

    def __init__(self) -> None:
        self._now = NOON
        self._ids = (f"{number:08d}-0000-7000-8000-000000000000" for number in itertools.count())
        self._keys = itertools.count(1)
        self._gates: tuple[Gate, ...] = DEFAULT_GATES
        self._budgets: dict[str, Budget] = {}
        self._counters: dict[tuple[int, Instant], BudgetCounter] = {}
        self._reservations: dict[tuple[int, str], Reservation] = {}
        self._records: dict[tuple[int, str], SpendRecord] = {}
        self._refunded: dict[tuple[int, str], int] = {}
        self._requests: dict[tuple[int, str], StoredRequest] = {}
        self._alerts: list[Alert] = []
        for budget_id, settings in DEFAULT_BUDGETS.items():
            self._create(budget_id, settings)

    def set_time(self, now: int) -> None:
        self._now = Instant(now)

    def submit(self, commands: Sequence[Command]) -> list[Outcome | OutlayError]:
        state = OrganizationState(1, "acme", 1, self._gates, self._budgets.values())
        books = Books(self._now, lambda: next(self._ids))
        for counter in copy.deepcopy(list(self._counters.values())):
            state.add_counter(counter)
        books.organizations["acme"] = state
        books.reservations = {key: replace(value) for key, value in self._reservations.items()}
        books.records = dict(self._records)
        books.refunded_micros = dict(self._refunded)
        books.requests = dict(self._requests)
        self._load_counters(state, commands)
        settle_expired(books)
        outcomes: list[Outcome | OutlayError] = []
        for command in commands:
            try:
                outcomes.append(post(books, command))
            except OutlayError as error:
                outcomes.append(error)
        self._keep(books)
        with_retry_times(books, commands, outcomes, self._expiries(books))
        return outcomes

    def _load_counters(self, state: OrganizationState, commands: Sequence[Command]) -> None:
        instants = {self._now, *(record.charge_time for record in self._records.values())}
        instants |= {reservation.create_time for reservation in self._reservations.values()}
        instants |= {min(command.usage_time, self._now) for command in commands if getattr(command, "usage_time", None)}
        for each in self._budgets.values():
            for instant in instants:
                if state.counter_at(each, instant) is None:
                    state.add_counter(self._summed(each, instant))

    def _summed(self, of: Budget, instant: Instant) -> BudgetCounter:
        counter = BudgetCounter(of.key, cycle_containing(instant, of.cycle))
        within = counter.window.contains
        for record in self._records.values():
            if record.unit == of.unit and within(record.charge_time) and matches(of.selector, dict(record.labels)):
                counter.spent_micros += record.signed_micros
        for held in self._reservations.values():
            if held.unit == of.unit and within(held.create_time) and matches(of.selector, dict(held.labels)):
                counter.reserved_micros += held.held_micros
                counter.open_reservations += held.state is ReservationState.OPEN
        counter.alerts_sent = tuple(
            (alert.basis, alert.threshold_percent)
            for alert in self._alerts
            if (alert.budget_key, alert.cycle_start) == (of.key, counter.window.start)
        )
        return counter

    def _keep(self, books: Books) -> None:
        changes = books.changes
        for (_, budget_key, start), counter in changes.counters.items():
            self._counters[(budget_key, start)] = counter
        self._reservations |= changes.changed_reservations | changes.new_reservations
        self._records |= {(1, record.record_id): record for record in changes.new_records}
        self._refunded = books.refunded_micros
        self._requests = books.requests
        self._alerts += changes.alerts

    def _expiries(self, books: Books) -> dict[tuple[int, str], Instant]:
        found = {}
        for key, (of, window) in books.expiries_wanted.items():
            ends = [
                held.expire_time
                for held in self._reservations.values()
                if held.held_micros > 0
                and held.unit == of.unit
                and window.contains(held.create_time)
                and matches(of.selector, dict(held.labels))
            ]
            if ends:
                found[key] = min(ends)
        return found

    def create(self, budget_id: str, spec: Spec) -> None:
        self._create(budget_id, settings_from(spec))

    def _create(self, budget_id: str, settings: BudgetSettings) -> None:
        made = control.budgets.new_budget("acme", budget_id, settings, self._now)
        self._put(replace(made, key=next(self._keys)))

    def update(self, budget_id: str, spec: Spec) -> None:
        found = self._budgets[budget_id]
        changed = apply_settings(found, replace(settings_from(spec), display_name=found.display_name), self._now)
        if (changed.selector, changed.cycle) != (found.selector, found.cycle):
            self._forget_counters(found)
        if changed != found:
            self._put(changed)

    def _put(self, changed: Budget) -> None:
        self._budgets[changed.budget_id] = changed
        counter = self._counter(changed)
        for basis, percent, micros in newly_crossed(changed, counter, self._now):
            counter.alerts_sent += ((basis, percent),)
            self._alerts.append(
                Alert(
                    next(self._ids),
                    "acme",
                    changed.budget_id,
                    changed.key,
                    counter.window.start,
                    basis,
                    percent,
                    counter.spent_micros,
                    micros,
                    self._now,
                )
            )
            self._counters[(changed.key, counter.window.start)] = counter

    def delete(self, budget_id: str, *, force: bool = True) -> None:
        if budget_id not in self._budgets:
            raise NotFound(budget_id)
        held = self._counter(self._budgets[budget_id]).open_reservations
        if held and not force:
            raise OpenReservations(held)
        self._forget_counters(self._budgets.pop(budget_id))

    def _forget_counters(self, of: Budget) -> None:
        self._counters = {key: value for key, value in self._counters.items() if key[0] != of.key}

    def set_gate(self, enabled: bool) -> None:
        self._gates = tuple(replace(gate, enabled=enabled) for gate in self._gates)

    def _counter(self, of: Budget) -> BudgetCounter:
        start = cycle_containing(self._now, of.cycle).start
        return self._counters.get((of.key, start)) or self._summed(of, self._now)

    def views(self) -> dict[str, BudgetCounter]:
        return {budget_id: self._counter(of) for budget_id, of in self._budgets.items()}

    def limits(self, budget_id: str) -> Limits:
        return self._budgets[budget_id].limits_at(self._now)

    def alerts_of(self, budget_id: str) -> list[tuple[str, int]]:
        return _of_budget(self._alerts, budget_id)

    def counter_rows(self) -> list[CounterRow]:
        names = {each.key: each.budget_id for each in self._budgets.values()}
        return [
            (names[key], start, counter.spent_micros, counter.reserved_micros, counter.open_reservations)
            for (key, start), counter in self._counters.items()
        ]

    def alert_rows(self) -> "Counter[tuple[str, int, str, int]]":
        return _counted(self._alerts)

    def expiry_record(self, reservation_id: str) -> str | None:
        return self._reservations[(1, reservation_id)].expiry_record_id

    def restart(self) -> None:
        """Everything is in the dictionaries."""

    def close(self) -> None:
        pass


class StoreDriver:
    """A ledger on a store whose clock the test sets."""

    settles_before_changes = False

    def __init__(self, url: str, runner: asyncio.Runner, on_close: Callable[[], None] = lambda: None) -> None:
        self._runner = runner
        self._url = url
        self._on_close = on_close
        self._clock = SettableClock(url)
        self._run(self._clock.set(NOON))
        self._start()
        self._change(lambda tx: control.organizations.create(tx, PLATFORM, "acme", OrganizationSettings("Acme")))

    def _run(self, work: Coroutine[Any, Any, R]) -> R:
        return self._runner.run(work)

    def _start(self) -> None:
        self._store: Store = make_store(self._url, self._clock)
        self._ledger = Ledger(self._store)
        self._run(self._store.open())
        self._run(self._ledger.start())

    def _stop(self) -> None:
        self._run(self._ledger.stop())
        self._run(self._store.close())

    def _change(self, work: Callable[[Any], Any]) -> None:
        self._run(self._store.change(work))

    def set_time(self, now: int) -> None:
        self._run(self._clock.set(Instant(now)))

    def submit(self, commands: Sequence[Command]) -> list[Outcome | OutlayError]:
        return self._run(self._ledger.submit_all(commands))

    def create(self, budget_id: str, spec: Spec) -> None:
        wanted = settings_from(spec)
        self._change(lambda tx: control.budgets.create(tx, PLATFORM, "acme", budget_id, wanted))

    def update(self, budget_id: str, spec: Spec) -> None:
        wanted = settings_from(spec)
        self._change(lambda tx: control.budgets.update(tx, PLATFORM, "acme", budget_id, wanted, PATHS))

    def delete(self, budget_id: str, *, force: bool = True) -> None:
        self._change(lambda tx: control.budgets.delete(tx, PLATFORM, "acme", budget_id, force=force))

    def set_gate(self, enabled: bool) -> None:
        gates = tuple(replace(gate, enabled=enabled) for gate in DEFAULT_GATES)
        self._change(
            lambda tx: control.organizations.update(
                tx, PLATFORM, "acme", OrganizationSettings("", gates), frozenset({"gates"})
            )
        )

    def views(self) -> dict[str, BudgetCounter]:
        now = self._clock.now
        found = self._run(self._store.read(lambda connection: reads.budget_views(connection, "acme", "", 100, now)))
        return {view.budget.budget_id: view.counter for view in found}

    def limits(self, budget_id: str) -> Limits:
        return self._run(budget(self._store, budget_id)).limits

    def alerts_of(self, budget_id: str) -> list[tuple[str, int]]:
        return _of_budget(self._run(alerts(self._store)), budget_id)

    def counter_rows(self) -> list[CounterRow]:
        counters, budgets = tables.counters.c, tables.budgets.c
        query = select(
            budgets.id,
            counters.cycle_start,
            counters.spent_micros,
            counters.reserved_micros,
            counters.open_reservations,
        ).where(budgets.key == counters.budget_key)
        return [tuple(row) for row in self._run(self._store.read(lambda connection: connection.execute(query).all()))]

    def alert_rows(self) -> "Counter[tuple[str, int, str, int]]":
        return _counted(self._run(alerts(self._store)))

    def expiry_record(self, reservation_id: str) -> str | None:
        table = tables.reservations
        query = select(table.c.expiry_record_id).where(table.c.id == reservation_id)
        found = self._run(self._store.read(lambda connection: connection.execute(query).one_or_none()))
        if found is None:
            raise NotFound(reservation_id)
        return found[0]

    def restart(self) -> None:
        self._stop()
        self._start()

    def close(self) -> None:
        try:
            assert self._run(disagreement(self._store)) is None
        finally:
            self._stop()
            self._on_close()


def sqlite_driver(schema_file: Path, runner: asyncio.Runner) -> StoreDriver:
    """On a file of its own, removed at the end."""
    folder = Path(tempfile.mkdtemp(prefix="outlay-property-"))
    shutil.copyfile(schema_file, folder / "outlay.db")
    return StoreDriver(f"sqlite:///{folder / 'outlay.db'}", runner, lambda: shutil.rmtree(folder))


def postgres_driver(url: str, runner: asyncio.Runner) -> StoreDriver:
    """On a database emptied first; its sessions must see the test's clock."""
    runner.run(_emptied(url))
    return StoreDriver(url, runner)


async def _emptied(url: str) -> None:
    names = ", ".join(table.name for table in tables.metadata.sorted_tables if table.name != "server_state")
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(f"TRUNCATE {names} CASCADE")
    finally:
        await connection.close()


def _of_budget(found: Sequence[Alert], budget_id: str) -> list[tuple[str, int]]:
    return [(alert.basis.value, alert.threshold_percent) for alert in found if alert.budget_id == budget_id]


def _counted(found: Sequence[Alert]) -> "Counter[tuple[str, int, str, int]]":
    return Counter(
        (alert.budget_id, int(alert.cycle_start), alert.basis.value, alert.threshold_percent) for alert in found
    )
