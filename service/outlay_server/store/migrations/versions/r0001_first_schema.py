"""The first schema: organizations, their budgets and keys, the ledger, the audit.

Written out rather than made from `tables.py`, which goes on changing: what a revision does must never change.
"""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# SQLite counts up by itself only where the type is spelled INTEGER, which holds 64 bits there.
_ROW_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    _create_alerts()
    _create_audit_events()
    _create_counters()
    _create_organizations()
    _create_requests()
    _create_reservations()
    _create_server_state()
    _create_spend_records()
    _create_api_keys()
    _create_budgets()


def _create_alerts() -> None:
    op.create_table(
        "alerts",
        sa.Column("organization_key", sa.BigInteger(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("budget_key", sa.BigInteger(), nullable=False),
        sa.Column("budget_id", sa.Text(), nullable=False),
        sa.Column("cycle_start", sa.BigInteger(), nullable=False),
        sa.Column("basis", sa.Text(), nullable=False),
        sa.Column("threshold_percent", sa.Integer(), nullable=False),
        sa.Column("spent_micros", sa.BigInteger(), nullable=False),
        sa.Column("basis_micros", sa.BigInteger(), nullable=False),
        sa.Column("create_time", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("organization_key", "id", name=op.f("pk_alerts")),
        sa.UniqueConstraint(
            "organization_key",
            "budget_key",
            "cycle_start",
            "basis",
            "threshold_percent",
            name=op.f("uq_alerts_organization_key_budget_key_cycle_start_basis_threshold_percent"),
        ),
    )


def _create_audit_events() -> None:
    op.create_table(
        "audit_events",
        sa.Column("organization_key", sa.BigInteger(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("resource", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column("before", sa.Text()),
        sa.Column("after", sa.Text()),
        sa.Column("create_time", sa.BigInteger(), nullable=False),
        sa.Column("previous_hash", sa.LargeBinary(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("organization_key", "sequence", name=op.f("pk_audit_events")),
    )


def _create_counters() -> None:
    op.create_table(
        "counters",
        sa.Column("organization_key", sa.BigInteger(), nullable=False),
        sa.Column("budget_key", sa.BigInteger(), nullable=False),
        sa.Column("cycle_start", sa.BigInteger(), nullable=False),
        sa.Column("cycle_end", sa.BigInteger(), nullable=False),
        sa.Column("spent_micros", sa.BigInteger(), nullable=False),
        sa.Column("reserved_micros", sa.BigInteger(), nullable=False),
        sa.Column("open_reservations", sa.BigInteger(), nullable=False),
        sa.Column("denied_count", sa.BigInteger(), nullable=False),
        sa.Column("alerts_sent", sa.Text(), nullable=False),
        sa.Column("update_time", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("open_reservations >= 0", name=op.f("ck_counters_open")),
        sa.CheckConstraint("reserved_micros >= 0", name=op.f("ck_counters_reserved")),
        sa.CheckConstraint("spent_micros >= 0", name=op.f("ck_counters_spent")),
        sa.PrimaryKeyConstraint("organization_key", "budget_key", "cycle_start", name=op.f("pk_counters")),
    )


def _create_organizations() -> None:
    op.create_table(
        "organizations",
        sa.Column("key", _ROW_KEY, autoincrement=True, nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("display_name", sa.Text(), nullable=False),
        sa.Column("gates", sa.Text(), nullable=False),
        sa.Column("managed_by", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("audit_sequence", sa.BigInteger(), nullable=False),
        sa.Column("audit_hash", sa.LargeBinary(), nullable=False),
        sa.Column("create_time", sa.BigInteger(), nullable=False),
        sa.Column("update_time", sa.BigInteger(), nullable=False),
        sa.Column("delete_time", sa.BigInteger()),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_organizations")),
        sa.UniqueConstraint("id", name=op.f("uq_organizations_id")),
        sqlite_autoincrement=True,
    )


def _create_requests() -> None:
    op.create_table(
        "requests",
        sa.Column("organization_key", sa.BigInteger(), nullable=False),
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column("method", sa.Text(), nullable=False),
        sa.Column("content", sa.Text(), nullable=False),
        sa.Column("answer", sa.Text(), nullable=False),
        sa.Column("create_time", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("organization_key", "request_id", name=op.f("pk_requests")),
        sqlite_with_rowid=False,
    )


def _create_reservations() -> None:
    op.create_table(
        "reservations",
        sa.Column("organization_key", sa.BigInteger(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("unit", sa.Text(), nullable=False),
        sa.Column("labels", sa.Text(), nullable=False),
        sa.Column("granted_micros", sa.BigInteger(), nullable=False),
        sa.Column("held_micros", sa.BigInteger(), nullable=False),
        sa.Column("recorded_micros", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("expiry_action", sa.Text(), nullable=False),
        sa.Column("create_time", sa.BigInteger(), nullable=False),
        sa.Column("expire_time", sa.BigInteger(), nullable=False),
        sa.Column("close_time", sa.BigInteger()),
        sa.Column("expiry_record_id", sa.Text()),
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column("api_key_id", sa.Text(), nullable=False),
        sa.CheckConstraint("held_micros >= 0", name=op.f("ck_reservations_held")),
        sa.PrimaryKeyConstraint("organization_key", "id", name=op.f("pk_reservations")),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "ix_reservations_open",
        "reservations",
        ["organization_key", "expire_time"],
        unique=False,
        sqlite_where=sa.text("state = 'OPEN'"),
        postgresql_where=sa.text("state = 'OPEN'"),
    )


def _create_server_state() -> None:
    server_state = op.create_table(
        "server_state",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("keys_version", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_server_state")),
    )
    op.bulk_insert(server_state, [{"id": 1, "keys_version": 0}])


def _create_spend_records() -> None:
    op.create_table(
        "spend_records",
        sa.Column("organization_key", sa.BigInteger(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("unit", sa.Text(), nullable=False),
        sa.Column("amount_micros", sa.BigInteger(), nullable=False),
        sa.Column("labels", sa.Text(), nullable=False),
        sa.Column("reservation_id", sa.Text()),
        sa.Column("refunded_record_id", sa.Text()),
        sa.Column("overrun_micros", sa.BigInteger(), nullable=False),
        sa.Column("late", sa.Boolean(), nullable=False),
        sa.Column("charge_time", sa.BigInteger(), nullable=False),
        sa.Column("usage_time", sa.BigInteger(), nullable=False),
        sa.Column("create_time", sa.BigInteger(), nullable=False),
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column("api_key_id", sa.Text(), nullable=False),
        sa.CheckConstraint("amount_micros > 0", name=op.f("ck_spend_records_amount")),
        sa.PrimaryKeyConstraint("organization_key", "id", name=op.f("pk_spend_records")),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "ix_spend_records_charge", "spend_records", ["organization_key", "unit", "charge_time"], unique=False
    )
    op.create_index(
        "ix_spend_records_refunds",
        "spend_records",
        ["organization_key", "refunded_record_id"],
        unique=False,
        sqlite_where=sa.text("refunded_record_id IS NOT NULL"),
        postgresql_where=sa.text("refunded_record_id IS NOT NULL"),
    )


def _create_api_keys() -> None:
    op.create_table(
        "api_keys",
        sa.Column("organization_key", sa.BigInteger(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("key_hash", sa.LargeBinary(), nullable=False),
        sa.Column("last_four", sa.Text(), nullable=False),
        sa.Column("display_name", sa.Text(), nullable=False),
        sa.Column("scopes", sa.Text(), nullable=False),
        sa.Column("create_time", sa.BigInteger(), nullable=False),
        sa.Column("expire_time", sa.BigInteger()),
        sa.Column("revoke_time", sa.BigInteger()),
        sa.Column("last_used_time", sa.BigInteger()),
        sa.ForeignKeyConstraint(
            ["organization_key"], ["organizations.key"], name=op.f("fk_api_keys_organization_key_organizations")
        ),
        sa.PrimaryKeyConstraint("organization_key", "id", name=op.f("pk_api_keys")),
        sa.UniqueConstraint("id", name=op.f("uq_api_keys_id")),
        sa.UniqueConstraint("key_hash", name=op.f("uq_api_keys_key_hash")),
    )


def _create_budgets() -> None:
    op.create_table(
        "budgets",
        sa.Column("key", _ROW_KEY, autoincrement=True, nullable=False),
        sa.Column("organization_key", sa.BigInteger(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("unit", sa.Text(), nullable=False),
        sa.Column("display_name", sa.Text(), nullable=False),
        sa.Column("selector", sa.Text(), nullable=False),
        sa.Column("cycle_period", sa.Text(), nullable=False),
        sa.Column("cycle_anchor", sa.Text(), nullable=False),
        sa.Column("cycle_time_zone", sa.Text(), nullable=False),
        sa.Column("budget_micros", sa.BigInteger()),
        sa.Column("hard_cap_micros", sa.BigInteger()),
        sa.Column("hard_cap_enabled", sa.Boolean(), nullable=False),
        sa.Column("allotment_micros", sa.BigInteger()),
        sa.Column("alert_thresholds", sa.Text()),
        sa.Column("alerts_enabled", sa.Boolean(), nullable=False),
        sa.Column("enforcement", sa.Text(), nullable=False),
        sa.Column("override_hard_cap_micros", sa.BigInteger()),
        sa.Column("override_expire_time", sa.BigInteger()),
        sa.Column("override_reason", sa.Text()),
        sa.Column("managed_by", sa.Text(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("create_time", sa.BigInteger(), nullable=False),
        sa.Column("update_time", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["organization_key"], ["organizations.key"], name=op.f("fk_budgets_organization_key_organizations")
        ),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_budgets")),
        sa.UniqueConstraint("organization_key", "id", name=op.f("uq_budgets_organization_key_id")),
        sqlite_autoincrement=True,
    )
