"""The outbox at work: events become deliveries, deliveries are leased, and what came of them is written down.

Each function is one transaction's work and touches few rows, so that no batch of the ledger waits for it for long.
What a replica holds is a lease that ends by itself: where it dies, its deliveries are due again then. On PostgreSQL
rows that another replica has locked are passed over; on SQLite one process does all of it.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, and_, exists, func, select, text, update
from sqlalchemy import delete as sql_delete

from outlay_server.domain.instant import Instant
from outlay_server.domain.limits import REPLAYED_MAX
from outlay_server.domain.webhook import DeliveryState, WebhookFormat, wants
from outlay_server.store import outbox_statements as statements
from outlay_server.store import tables
from outlay_server.store.connection_driver import ConnectionDriver

FAN_OUT_EVENTS_MAX: Final = 100
FAN_OUT_DELIVERIES_MAX: Final = 200
"""Rows that one transaction writes: a few milliseconds."""

DUE_ENDPOINTS_MAX: Final = 1_000
PRUNED_EVENTS_MAX: Final = 500

_DUE_ENDPOINTS: Final = text(
    """
    WITH RECURSIVE waiting(endpoint_key) AS (
        SELECT MIN(endpoint_key) FROM deliveries WHERE state = 'WAITING' AND endpoint_key > :after
        UNION ALL
        SELECT (SELECT MIN(d.endpoint_key) FROM deliveries d
                WHERE d.state = 'WAITING' AND d.endpoint_key > waiting.endpoint_key)
        FROM waiting WHERE waiting.endpoint_key IS NOT NULL
    )
    SELECT e.key, e.organization_key FROM waiting JOIN webhook_endpoints e ON e.key = waiting.endpoint_key
    WHERE (SELECT MIN(d.due_time) FROM deliveries d WHERE d.state = 'WAITING' AND d.endpoint_key = e.key) <= :now
    LIMIT :limit
    """
)
"""From one endpoint to the next in the index, whatever waits between them."""


@dataclass(frozen=True, slots=True)
class DueEndpoint:
    """An endpoint that something is due for."""

    endpoint_key: int
    organization_key: int


@dataclass(frozen=True, slots=True)
class Lease:
    """One delivery that this replica may try until its lease ends, and all that the attempt takes."""

    organization_key: int
    endpoint_key: int
    event_id: str
    event_type: str
    payload: str
    attempts: int
    """That have failed before."""
    deadline: Instant
    uri: str
    format: WebhookFormat
    stored_secrets: tuple[str, ...]
    """Those that sign now, the newest first, as they are stored."""


@dataclass(frozen=True, slots=True)
class Settlement:
    """What came of one attempt."""

    lease: Lease
    holder: str
    state: DeliveryState
    next_attempt: Instant | None
    """When it is WAITING."""
    http_status: int | None
    error: str


@dataclass(frozen=True, slots=True)
class Backlog:
    """How much there is to do."""

    new_events: int
    waiting: int
    oldest_create_time: Instant | None
    """Of what is still to be delivered."""


# Events to deliveries


def has_new_events(connection: Connection) -> bool:
    """Whether some event has not been fanned out."""
    table = tables.events
    return connection.execute(select(table.c.id).where(table.c.fan_out_time.is_(None)).limit(1)).first() is not None


def fan_out(connection: Connection, now: Instant, give_up_micros: int) -> int:
    """Write the deliveries of the oldest events that have none yet, and return how many events that were.

    Every enabled endpoint of the event's organization that asks for its type gets one. The endpoints' rows are locked
    meanwhile: what is disabled afterwards takes the new rows along.
    """
    events = _new_events(connection)
    if not events:
        return 0
    endpoints = _enabled_endpoints(connection, {event.organization_key for event in events})
    made: list[tuple[Any, ...]] = []
    done: list[tuple[Any, ...]] = []
    for event in events:
        targets = [row for row in endpoints.get(event.organization_key, ()) if wants(row.wanted, event.event_type)]
        if done and len(made) + len(targets) > FAN_OUT_DELIVERIES_MAX:
            break
        deadline = event.create_time + give_up_micros
        made += [_new_delivery(event, target.key, now, deadline) for target in targets]
        done.append((now, event.organization_key, event.id))
    driver = ConnectionDriver(connection)
    if made:
        driver.write(statements.INSERT_DELIVERIES, made)
    driver.write(statements.MARK_FANNED_OUT, done)
    return len(done)


@dataclass(frozen=True, slots=True)
class _Target:
    key: int
    wanted: tuple[str, ...]


def _new_events(connection: Connection) -> Sequence[Any]:
    table = tables.events
    query = (
        select(table.c.organization_key, table.c.id, table.c.event_type, table.c.create_time)
        .where(table.c.fan_out_time.is_(None))
        .order_by(table.c.create_time)
        .limit(FAN_OUT_EVENTS_MAX)
        .with_for_update(skip_locked=True)
    )
    return connection.execute(query).all()


def _enabled_endpoints(connection: Connection, organization_keys: Collection[int]) -> Mapping[int, list[_Target]]:
    table, organizations = tables.webhook_endpoints, tables.organizations
    query = (
        select(table.c.key, table.c.organization_key, table.c.event_types)
        .where(table.c.organization_key.in_(sorted(organization_keys)), table.c.disabled.is_(False))
        .where(exists().where(organizations.c.key == table.c.organization_key, organizations.c.delete_time.is_(None)))
        .order_by(table.c.key)
        .with_for_update(read=True)
    )
    found: dict[int, list[_Target]] = {}
    for row in connection.execute(query):
        found.setdefault(row.organization_key, []).append(_Target(row.key, tuple(json.loads(row.event_types))))
    return found


def _new_delivery(event: Any, endpoint_key: int, now: Instant, deadline: int) -> tuple[Any, ...]:
    waiting = DeliveryState.WAITING.value
    created = event.create_time
    head = (event.organization_key, endpoint_key, event.id, event.event_type, waiting, 0, now, None, deadline)
    return (*head, None, None, "", created, None)


# Deliveries to attempts


def due_endpoints(connection: Connection, now: Instant, after: int) -> list[DueEndpoint]:
    """Endpoints that have something due, ascending by key from above `after`, at most `DUE_ENDPOINTS_MAX`."""
    found = connection.execute(_DUE_ENDPOINTS, {"now": now, "after": after, "limit": DUE_ENDPOINTS_MAX})
    return [DueEndpoint(key, organization_key) for key, organization_key in found]


def claim(
    connection: Connection, holder: str, now: Instant, lease_end: Instant, wanted: Mapping[int, int]
) -> list[Lease]:
    """Take at most `wanted[endpoint_key]` due deliveries of each endpoint, the longest due first, until `lease_end`."""
    leases: list[Lease] = []
    for endpoint_key, count in sorted(wanted.items()):
        leases += _due(connection, endpoint_key, count, now)
    if leases:
        taken = [(lease_end, holder, lease.organization_key, lease.endpoint_key, lease.event_id) for lease in leases]
        ConnectionDriver(connection).write(statements.LEASE_DELIVERIES, taken)
    return leases


def _due(connection: Connection, endpoint_key: int, count: int, now: Instant) -> list[Lease]:
    table, endpoints, events = tables.deliveries, tables.webhook_endpoints, tables.events
    query = (
        select(
            table,
            events.c.payload,
            endpoints.c.uri,
            endpoints.c.format,
            endpoints.c.secret,
            endpoints.c.previous_secret,
            endpoints.c.previous_secret_expire_time,
        )
        .join(endpoints, endpoints.c.key == table.c.endpoint_key)
        .join(events, and_(events.c.organization_key == table.c.organization_key, events.c.id == table.c.event_id))
        .where(
            table.c.endpoint_key == endpoint_key,
            table.c.state == DeliveryState.WAITING.value,
            table.c.due_time <= now,
        )
        .order_by(table.c.due_time)
        .limit(count)
        .with_for_update(of=table, skip_locked=True)
    )
    return [_lease_of(row, now) for row in connection.execute(query)]


def _lease_of(row: Any, now: Instant) -> Lease:
    secrets = [row.secret] if row.secret else []
    if row.previous_secret is not None and row.previous_secret_expire_time > now:
        secrets.append(row.previous_secret)
    return Lease(
        organization_key=row.organization_key,
        endpoint_key=row.endpoint_key,
        event_id=row.event_id,
        event_type=row.event_type,
        payload=row.payload,
        attempts=row.attempts,
        deadline=Instant(row.deadline),
        uri=row.uri,
        format=WebhookFormat(row.format),
        stored_secrets=tuple(secrets),
    )


# What came of them


def settle(connection: Connection, settlements: Sequence[Settlement], now: Instant) -> dict[int, Instant]:
    """Write down what came of attempts, and return since when each endpoint fails that does, by its key.

    A lease that has ended meanwhile is another replica's: its row is left alone, unless it was delivered.
    """
    failing = _note_health(connection, settlements, now)
    driver = ConnectionDriver(connection)
    delivered = [
        (now, one.http_status, now, *_key(one.lease)) for one in settlements if one.state is DeliveryState.DELIVERED
    ]
    others = [
        (
            one.state.value,
            one.lease.attempts + 1,
            now if one.next_attempt is None else one.next_attempt,
            now,
            one.http_status,
            one.error,
            now if one.next_attempt is None else None,
            *_key(one.lease),
            one.holder,
        )
        for one in settlements
        if one.state is not DeliveryState.DELIVERED
    ]
    if delivered:
        driver.write(statements.DELIVERED, delivered)
    if others:
        driver.write(statements.NOT_DELIVERED, others)
    return failing


def release(connection: Connection, leases: Sequence[Lease], holder: str, now: Instant) -> None:
    """Let go of deliveries that were not tried to the end: they are due at once, for anybody."""
    if leases:
        let_go = [(now, *_key(lease), holder) for lease in leases]
        ConnectionDriver(connection).write(statements.RELEASE, let_go)


def _key(lease: Lease) -> tuple[int, int, str]:
    return (lease.organization_key, lease.endpoint_key, lease.event_id)


def _note_health(connection: Connection, settlements: Sequence[Settlement], now: Instant) -> dict[int, Instant]:
    """Endpoints first, in the order of their keys: whoever disables one locks it before its deliveries too."""
    table = tables.webhook_endpoints
    answered = {one.lease.endpoint_key: False for one in settlements}
    for one in settlements:
        answered[one.lease.endpoint_key] |= one.state is DeliveryState.DELIVERED
    query = select(table.c.key, table.c.failing_since).where(table.c.key.in_(sorted(answered))).order_by(table.c.key)
    failing: dict[int, Instant] = {}
    for key, since in connection.execute(query.with_for_update()).all():
        wanted = None if answered[key] else (since or now)
        if wanted != since:
            connection.execute(update(table).where(table.c.key == key).values(failing_since=wanted))
        if wanted is not None:
            failing[key] = Instant(wanted)
    return failing


def give_up_waiting(connection: Connection, organization_key: int, endpoint_key: int, error: str, now: Instant) -> int:
    """What waits for an endpoint becomes dead, because it was disabled; returns how much that was."""
    table = tables.deliveries
    done = connection.execute(
        update(table)
        .where(
            table.c.organization_key == organization_key,
            table.c.endpoint_key == endpoint_key,
            table.c.state == DeliveryState.WAITING.value,
        )
        .values(state=DeliveryState.DEAD.value, lease_holder=None, last_error=error, complete_time=now)
    )
    return done.rowcount


def replay(
    connection: Connection,
    organization_key: int,
    endpoint_key: int,
    now: Instant,
    deadline: Instant,
    *,
    event_id: str | None = None,
) -> int:
    """Have one delivery made again, whatever became of it, or the oldest that are dead; returns how many.

    One that is being tried right now stays with whoever tries it. The endpoint's row must be locked.
    """
    table = tables.deliveries
    of_endpoint = and_(table.c.organization_key == organization_key, table.c.endpoint_key == endpoint_key)
    query = update(table).where(of_endpoint)
    if event_id is None:
        dead = select(table.c.event_id).where(of_endpoint, table.c.state == DeliveryState.DEAD.value)
        query = query.where(table.c.event_id.in_(dead.order_by(table.c.event_id).limit(REPLAYED_MAX)))
    else:
        query = query.where(table.c.event_id == event_id, table.c.lease_holder.is_(None))
    again = {"state": DeliveryState.WAITING.value, "due_time": now, "deadline": deadline, "complete_time": None}
    return connection.execute(query.values(again)).rowcount


def drop_endpoints(connection: Connection, organization_key: int, endpoint_key: int | None = None) -> None:
    """Delete one endpoint, or all of an organization's, with everything that was to be sent or was sent to it."""
    deliveries, endpoints = tables.deliveries, tables.webhook_endpoints
    of_deliveries = [deliveries.c.organization_key == organization_key]
    of_endpoints = [endpoints.c.organization_key == organization_key]
    if endpoint_key is not None:
        of_deliveries.append(deliveries.c.endpoint_key == endpoint_key)
        of_endpoints.append(endpoints.c.key == endpoint_key)
    # The endpoint first: a fan-out that holds its row is waited for, and what it wrote is deleted too.
    connection.execute(sql_delete(endpoints).where(*of_endpoints))
    connection.execute(sql_delete(deliveries).where(*of_deliveries))


def prune(connection: Connection, before: Instant) -> int:
    """Delete the oldest events from before an instant with their deliveries, but for what still waits."""
    events, deliveries = tables.events, tables.deliveries
    same = and_(deliveries.c.organization_key == events.c.organization_key, deliveries.c.event_id == events.c.id)
    endpoint_keys = select(tables.webhook_endpoints.c.key).where(
        tables.webhook_endpoints.c.organization_key == events.c.organization_key
    )
    waits = exists().where(
        same, deliveries.c.endpoint_key.in_(endpoint_keys), deliveries.c.state == DeliveryState.WAITING.value
    )
    query = (
        select(events.c.organization_key, events.c.id)
        .where(events.c.create_time < before, events.c.fan_out_time.is_not(None), ~waits)
        .order_by(events.c.create_time)
        .limit(PRUNED_EVENTS_MAX)
        .with_for_update(skip_locked=True)
    )
    old = [tuple(row) for row in connection.execute(query)]
    if old:
        driver = ConnectionDriver(connection)
        driver.write(statements.DELETE_DELIVERIES_OF_EVENTS, old)
        driver.write(statements.DELETE_EVENTS, old)
    return len(old)


def backlog(connection: Connection) -> Backlog:
    """Count what is to be done; for metrics, not for every call."""
    events, deliveries = tables.events, tables.deliveries
    new = select(func.count(), func.min(events.c.create_time)).where(events.c.fan_out_time.is_(None))
    new_count, oldest_event = connection.execute(new).one()
    state = deliveries.c.state
    waiting = select(func.count(), func.min(deliveries.c.create_time)).where(state == DeliveryState.WAITING.value)
    waiting_count, oldest_delivery = connection.execute(waiting).one()
    oldest = min((found for found in (oldest_event, oldest_delivery) if found is not None), default=None)
    return Backlog(new_count, waiting_count, None if oldest is None else Instant(oldest))
