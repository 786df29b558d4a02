"""The tables, once, for both dialects. Migrations create them; everything that reads or writes names them from here.

Rows are keyed by organization first, so that the schema can be spread over nodes by that column. Instants are BIGINT
microseconds since the Unix epoch, UTC; amounts BIGINT micros; enums their names; labels and lists compact JSON text.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    text,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# SQLite counts up by itself only where the type is spelled INTEGER, which holds 64 bits there.
RowKey = BigInteger().with_variant(Integer(), "sqlite")

organizations = Table(
    "organizations",
    metadata,
    Column("key", RowKey, primary_key=True, autoincrement=True),
    Column("id", Text, nullable=False, unique=True),
    Column("display_name", Text, nullable=False),
    Column("gates", Text, nullable=False),  # JSON list of [gate_id, label, pattern, enabled]
    Column("managed_by", Text, nullable=False),
    # Grows with every change of the organization, its budgets and gates: who holds an older number reads again.
    Column("version", BigInteger, nullable=False),
    # Grows with every change of the organization resource itself; the etag is made of it.
    Column("revision", BigInteger, nullable=False),
    Column("audit_sequence", BigInteger, nullable=False),
    Column("audit_hash", LargeBinary, nullable=False),
    Column("create_time", BigInteger, nullable=False),
    Column("update_time", BigInteger, nullable=False),
    # Set once: the id stays taken, the ledger and the audit stay.
    Column("delete_time", BigInteger),
    sqlite_autoincrement=True,
)

budgets = Table(
    "budgets",
    metadata,
    Column("key", RowKey, primary_key=True, autoincrement=True),
    Column("organization_key", BigInteger, ForeignKey("organizations.key"), nullable=False),
    Column("id", Text, nullable=False),
    Column("unit", Text, nullable=False),
    Column("display_name", Text, nullable=False),
    Column("selector", Text, nullable=False),  # JSON object label -> pattern
    Column("cycle_period", Text, nullable=False),
    Column("cycle_anchor", Text, nullable=False),  # ISO 8601 date
    Column("cycle_time_zone", Text, nullable=False),
    Column("budget_micros", BigInteger),
    Column("hard_cap_micros", BigInteger),
    Column("hard_cap_enabled", Boolean, nullable=False),
    Column("allotment_micros", BigInteger),
    Column("alert_thresholds", Text),  # JSON list of percents; NULL is the default list
    Column("alerts_enabled", Boolean, nullable=False),
    Column("enforcement", Text, nullable=False),
    Column("override_hard_cap_micros", BigInteger),
    Column("override_expire_time", BigInteger),
    Column("override_reason", Text),
    Column("managed_by", Text, nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("create_time", BigInteger, nullable=False),
    Column("update_time", BigInteger, nullable=False),
    UniqueConstraint("organization_key", "id"),
    sqlite_autoincrement=True,  # a key is never used again: alerts of a deleted budget keep theirs
)

# A cache of the ledger: what a budget counts in a cycle. A row that is missing is summed from the ledger.
counters = Table(
    "counters",
    metadata,
    Column("organization_key", BigInteger, nullable=False),
    Column("budget_key", BigInteger, nullable=False),
    Column("cycle_start", BigInteger, nullable=False),
    Column("cycle_end", BigInteger, nullable=False),
    Column("spent_micros", BigInteger, nullable=False),
    Column("reserved_micros", BigInteger, nullable=False),
    Column("open_reservations", BigInteger, nullable=False),
    Column("denied_count", BigInteger, nullable=False),
    Column("alerts_sent", Text, nullable=False),  # JSON list of [basis, threshold_percent]
    Column("update_time", BigInteger, nullable=False),
    Column("cap_reached_micros", BigInteger),  # the limit that `cap.reached` was last written for in this cycle
    PrimaryKeyConstraint("organization_key", "budget_key", "cycle_start"),
    CheckConstraint("spent_micros >= 0", name="spent"),
    CheckConstraint("reserved_micros >= 0", name="reserved"),
    CheckConstraint("open_reservations >= 0", name="open"),
)

reservations = Table(
    "reservations",
    metadata,
    Column("organization_key", BigInteger, nullable=False),
    Column("id", Text, nullable=False),
    Column("unit", Text, nullable=False),
    Column("labels", Text, nullable=False),  # JSON list of [key, value], ascending by key
    Column("granted_micros", BigInteger, nullable=False),
    Column("held_micros", BigInteger, nullable=False),
    Column("recorded_micros", BigInteger, nullable=False),
    Column("state", Text, nullable=False),
    Column("expiry_action", Text, nullable=False),
    Column("create_time", BigInteger, nullable=False),
    Column("expire_time", BigInteger, nullable=False),
    Column("close_time", BigInteger),
    Column("expiry_record_id", Text),
    Column("request_id", Text, nullable=False),
    Column("api_key_id", Text, nullable=False),
    PrimaryKeyConstraint("organization_key", "id"),
    CheckConstraint("held_micros >= 0", name="held"),
    sqlite_with_rowid=False,  # stored in its primary key: one tree less to write
)
OPEN_RESERVATIONS_INDEX = Index(
    "ix_reservations_open",
    reservations.c.organization_key,
    reservations.c.expire_time,
    sqlite_where=text("state = 'OPEN'"),
    postgresql_where=text("state = 'OPEN'"),
)

spend_records = Table(
    "spend_records",
    metadata,
    Column("organization_key", BigInteger, nullable=False),
    Column("id", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("unit", Text, nullable=False),
    Column("amount_micros", BigInteger, nullable=False),
    Column("labels", Text, nullable=False),
    Column("reservation_id", Text),
    Column("refunded_record_id", Text),
    Column("overrun_micros", BigInteger, nullable=False),
    Column("late", Boolean, nullable=False),
    Column("charge_time", BigInteger, nullable=False),
    Column("usage_time", BigInteger, nullable=False),
    Column("create_time", BigInteger, nullable=False),
    Column("request_id", Text, nullable=False),
    Column("api_key_id", Text, nullable=False),
    PrimaryKeyConstraint("organization_key", "id"),
    CheckConstraint("amount_micros > 0", name="amount"),
    Index("ix_spend_records_charge", "organization_key", "unit", "charge_time"),
    sqlite_with_rowid=False,
)
REFUNDS_INDEX = Index(
    "ix_spend_records_refunds",
    spend_records.c.organization_key,
    spend_records.c.refunded_record_id,
    sqlite_where=text("refunded_record_id IS NOT NULL"),
    postgresql_where=text("refunded_record_id IS NOT NULL"),
)


def _rollups(name: str) -> Table:
    """Sums by quarter of an hour and labels. A sum is whole units * 10^6 + micros; neither column alone."""
    return Table(
        name,
        metadata,
        Column("organization_key", BigInteger, nullable=False),
        Column("unit", Text, nullable=False),
        Column("bucket", BigInteger, nullable=False),  # the first instant of the quarter of an hour
        Column("labels_digest", LargeBinary, nullable=False),
        Column("labels", Text, nullable=False),
        Column("recorded_units", BigInteger, nullable=False),
        Column("recorded_micros", BigInteger, nullable=False),
        Column("refunded_units", BigInteger, nullable=False),
        Column("refunded_micros", BigInteger, nullable=False),
        Column("record_count", BigInteger, nullable=False),
        PrimaryKeyConstraint("organization_key", "unit", "bucket", "labels_digest"),
        sqlite_with_rowid=False,
    )


spend_rollups = _rollups("spend_rollups")
# Of records that retention has deleted: what `spend_rollups` holds beyond `spend_records`.
pruned_rollups = _rollups("pruned_rollups")

# In the order of arrival, unlike the other tables: request ids are random, and in their order each row would dirty a
# page of its own.
requests = Table(
    "requests",
    metadata,
    Column("organization_key", BigInteger, nullable=False),
    Column("request_id", Text, nullable=False),
    Column("method", Text, nullable=False),
    Column("content", Text, nullable=False),  # JSON object
    Column("answer", Text, nullable=False),  # JSON object
    Column("create_time", BigInteger, nullable=False),
    PrimaryKeyConstraint("organization_key", "request_id"),
)

alerts = Table(
    "alerts",
    metadata,
    Column("organization_key", BigInteger, nullable=False),
    Column("id", Text, nullable=False),
    Column("budget_key", BigInteger, nullable=False),
    Column("budget_id", Text, nullable=False),
    Column("cycle_start", BigInteger, nullable=False),
    Column("basis", Text, nullable=False),
    Column("threshold_percent", Integer, nullable=False),
    Column("spent_micros", BigInteger, nullable=False),
    Column("basis_micros", BigInteger, nullable=False),
    Column("create_time", BigInteger, nullable=False),
    PrimaryKeyConstraint("organization_key", "id"),
    UniqueConstraint("organization_key", "budget_key", "cycle_start", "basis", "threshold_percent"),
)

audit_events = Table(
    "audit_events",
    metadata,
    Column("organization_key", BigInteger, nullable=False),
    Column("sequence", BigInteger, nullable=False),
    Column("id", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("resource", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("request_id", Text, nullable=False),
    Column("before", Text),  # JSON object
    Column("after", Text),
    Column("create_time", BigInteger, nullable=False),
    Column("previous_hash", LargeBinary, nullable=False),
    Column("hash", LargeBinary, nullable=False),
    PrimaryKeyConstraint("organization_key", "sequence"),
    Index("ix_audit_events_resource", "organization_key", "resource", "sequence"),
)

api_keys = Table(
    "api_keys",
    metadata,
    Column("organization_key", BigInteger, ForeignKey("organizations.key"), nullable=False),
    Column("id", Text, nullable=False, unique=True),
    Column("key_hash", LargeBinary, nullable=False, unique=True),
    Column("last_four", Text, nullable=False),
    Column("display_name", Text, nullable=False),
    Column("scopes", Text, nullable=False),  # JSON list
    Column("create_time", BigInteger, nullable=False),
    Column("expire_time", BigInteger),
    Column("revoke_time", BigInteger),
    Column("last_used_time", BigInteger),
    PrimaryKeyConstraint("organization_key", "id"),
)

# What watchers are told, in the order of commits; the newest entries only. A deleted budget's entry carries its id.
budget_changes = Table(
    "budget_changes",
    metadata,
    Column("organization_key", BigInteger, nullable=False),
    Column("sequence", BigInteger, nullable=False),
    Column("budget_key", BigInteger, nullable=False),
    Column("cycle_start", BigInteger, nullable=False),
    Column("cycle_end", BigInteger, nullable=False),
    Column("spent_micros", BigInteger, nullable=False),
    Column("reserved_micros", BigInteger, nullable=False),
    Column("open_reservations", BigInteger, nullable=False),
    Column("denied_count", BigInteger, nullable=False),
    Column("alerts_sent", Text, nullable=False),
    Column("create_time", BigInteger, nullable=False),
    Column("deleted_budget_id", Text),
    PrimaryKeyConstraint("organization_key", "sequence"),
    sqlite_with_rowid=False,
)

# One row. `keys_version` grows when a key or an organization stops being valid: replicas poll it, and forget what they
# cached.
server_state = Table(
    "server_state",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("keys_version", BigInteger, nullable=False),
)

# The outbox: what happened, written in the transaction in which it happened. Fanned out to `deliveries` once.
events = Table(
    "events",
    metadata,
    Column("organization_key", BigInteger, nullable=False),
    Column("id", Text, nullable=False),  # UUIDv7; the message id that receivers see
    Column("event_type", Text, nullable=False),
    Column("budget_id", Text, nullable=False),  # empty where the event is about no budget
    Column("payload", Text, nullable=False),  # JSON object
    Column("create_time", BigInteger, nullable=False),
    Column("fan_out_time", BigInteger),  # when its deliveries were written; NULL until then
    PrimaryKeyConstraint("organization_key", "id"),
    Index("ix_events_create_time", "create_time"),
    sqlite_with_rowid=False,
)
NEW_EVENTS_INDEX = Index(
    "ix_events_new",
    events.c.create_time,
    sqlite_where=text("fan_out_time IS NULL"),
    postgresql_where=text("fan_out_time IS NULL"),
)

webhook_endpoints = Table(
    "webhook_endpoints",
    metadata,
    Column("key", RowKey, primary_key=True, autoincrement=True),
    Column("organization_key", BigInteger, ForeignKey("organizations.key"), nullable=False),
    Column("id", Text, nullable=False),
    Column("display_name", Text, nullable=False),
    Column("uri", Text, nullable=False),
    Column("format", Text, nullable=False),
    Column("event_types", Text, nullable=False),  # JSON list; an empty one is all of them
    Column("disabled", Boolean, nullable=False),
    Column("disable_reason", Text, nullable=False),  # empty while it is not disabled
    Column("secret", Text, nullable=False),  # sealed where the server has a key for that
    Column("previous_secret", Text),  # signs too, until its time is over
    Column("previous_secret_expire_time", BigInteger),
    Column("failing_since", BigInteger),  # first failed attempt since the last good one
    Column("managed_by", Text, nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("create_time", BigInteger, nullable=False),
    Column("update_time", BigInteger, nullable=False),
    UniqueConstraint("organization_key", "id"),
    sqlite_autoincrement=True,  # a key is never used again: deliveries of a deleted endpoint find no other
)

# One row for each event and endpoint that it goes to.
deliveries = Table(
    "deliveries",
    metadata,
    Column("organization_key", BigInteger, nullable=False),
    Column("endpoint_key", BigInteger, nullable=False),
    Column("event_id", Text, nullable=False),
    Column("event_type", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    # When it is to be tried. While a replica tries it, when its lease ends: then it is anybody's again.
    Column("due_time", BigInteger, nullable=False),
    Column("lease_holder", Text),  # the replica that tries it now
    Column("deadline", BigInteger, nullable=False),  # not tried again after this
    Column("last_attempt_time", BigInteger),
    Column("last_http_status", Integer),  # NULL where nothing answered
    Column("last_error", Text, nullable=False),
    Column("create_time", BigInteger, nullable=False),
    Column("complete_time", BigInteger),
    PrimaryKeyConstraint("organization_key", "endpoint_key", "event_id"),
    sqlite_with_rowid=False,
)
WAITING_DELIVERIES_INDEX = Index(
    "ix_deliveries_waiting",
    deliveries.c.endpoint_key,
    deliveries.c.due_time,
    sqlite_where=text("state = 'WAITING'"),
    postgresql_where=text("state = 'WAITING'"),
)

# One row for each budget and cycle of which `forecast.breached` was written.
forecast_breaches = Table(
    "forecast_breaches",
    metadata,
    Column("organization_key", BigInteger, nullable=False),
    Column("budget_key", BigInteger, nullable=False),
    Column("cycle_start", BigInteger, nullable=False),
    Column("create_time", BigInteger, nullable=False),
    PrimaryKeyConstraint("organization_key", "budget_key", "cycle_start"),
    sqlite_with_rowid=False,
)

# When a replica last began what one of them does at a time.
job_runs = Table(
    "job_runs",
    metadata,
    Column("name", Text, primary_key=True),
    Column("run_time", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)
