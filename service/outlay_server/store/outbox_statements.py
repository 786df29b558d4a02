"""The bulk writes of the outbox, as text in both dialects; see `statements.py`."""

from outlay_server.store import tables
from outlay_server.store.statements import Statement, insert, update

_KEY = ("organization_key", "endpoint_key", "event_id")

INSERT_DELIVERIES = insert(tables.deliveries, " ON CONFLICT DO NOTHING")
MARK_FANNED_OUT = update(tables.events, ("fan_out_time",), ("organization_key", "id"))
LEASE_DELIVERIES = update(tables.deliveries, ("due_time", "lease_holder"), _KEY)

_OURS = "organization_key = ? AND endpoint_key = ? AND event_id = ?"
_THEIRS = "t.organization_key = u.organization_key AND t.endpoint_key = u.endpoint_key AND t.event_id = u.event_id"

DELIVERED = Statement(
    sqlite=(
        "UPDATE deliveries SET state = 'DELIVERED', attempts = attempts + 1, lease_holder = NULL, last_error = '', "
        f"last_attempt_time = ?, last_http_status = ?, complete_time = ? WHERE {_OURS} AND state <> 'DELIVERED'"
    ),
    postgres=(
        "UPDATE deliveries AS t SET state = 'DELIVERED', attempts = t.attempts + 1, lease_holder = NULL, "
        "last_error = '', last_attempt_time = u.tried, last_http_status = u.status, complete_time = u.done "
        "FROM unnest($1::bigint[], $2::integer[], $3::bigint[], $4::bigint[], $5::bigint[], $6::text[]) "
        "AS u(tried, status, done, organization_key, endpoint_key, event_id) "
        f"WHERE {_THEIRS} AND t.state <> 'DELIVERED'"
    ),
    columns=6,
)
"""Whoever holds the lease by now: it has arrived."""

NOT_DELIVERED = Statement(
    sqlite=(
        "UPDATE deliveries SET state = ?, attempts = ?, due_time = ?, last_attempt_time = ?, last_http_status = ?, "
        f"last_error = ?, complete_time = ?, lease_holder = NULL WHERE {_OURS} AND lease_holder = ?"
    ),
    postgres=(
        "UPDATE deliveries AS t SET state = u.state, attempts = u.attempts, due_time = u.due, "
        "last_attempt_time = u.tried, last_http_status = u.status, last_error = u.error, complete_time = u.done, "
        "lease_holder = NULL "
        "FROM unnest($1::text[], $2::integer[], $3::bigint[], $4::bigint[], $5::integer[], $6::text[], $7::bigint[], "
        "$8::bigint[], $9::bigint[], $10::text[], $11::text[]) AS u(state, attempts, due, tried, status, error, done, "
        "organization_key, endpoint_key, event_id, holder) "
        f"WHERE {_THEIRS} AND t.lease_holder = u.holder"
    ),
    columns=11,
)

RELEASE = Statement(
    sqlite=f"UPDATE deliveries SET due_time = ?, lease_holder = NULL WHERE {_OURS} AND lease_holder = ?",
    postgres=(
        "UPDATE deliveries AS t SET due_time = u.due, lease_holder = NULL "
        "FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::text[], $5::text[]) "
        "AS u(due, organization_key, endpoint_key, event_id, holder) "
        f"WHERE {_THEIRS} AND t.lease_holder = u.holder"
    ),
    columns=5,
)

DELETE_EVENTS = Statement(
    sqlite="DELETE FROM events WHERE organization_key = ? AND id = ?",
    postgres=(
        "DELETE FROM events AS t USING unnest($1::bigint[], $2::text[]) AS k(organization_key, id) "
        "WHERE t.organization_key = k.organization_key AND t.id = k.id"
    ),
    columns=2,
)

DELETE_DELIVERIES_OF_EVENTS = Statement(
    sqlite=(
        "DELETE FROM deliveries WHERE organization_key = ?1 AND event_id = ?2 "
        'AND endpoint_key IN (SELECT "key" FROM webhook_endpoints WHERE organization_key = ?1)'
    ),
    postgres=(
        "DELETE FROM deliveries AS t USING unnest($1::bigint[], $2::text[]) AS k(organization_key, id), "
        "webhook_endpoints AS e WHERE e.organization_key = k.organization_key "
        'AND t.organization_key = k.organization_key AND t.endpoint_key = e."key" AND t.event_id = k.id'
    ),
    columns=2,
)
"""By endpoint, because that is how their rows lie; those of deleted endpoints went with them."""
