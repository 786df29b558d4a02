"""The outbox: events, the endpoints they are sent to, and the deliveries of each event to each endpoint."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

# SQLite counts up by itself only where the type is spelled INTEGER, which holds 64 bits there.
_ROW_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.add_column("counters", sa.Column("cap_reached_micros", sa.BigInteger()))
    _create_events()
    _create_webhook_endpoints()
    _create_deliveries()


def _create_events() -> None:
    op.create_table(
        "events",
        sa.Column("organization_key", sa.BigInteger(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("event_type", sa.Text(), nullable=False),
        sa.Column("budget_id", sa.Text(), nullable=False),
        sa.Column("payload", sa.Text(), nullable=False),
        sa.Column("create_time", sa.BigInteger(), nullable=False),
        sa.Column("fan_out_time", sa.BigInteger()),
        sa.PrimaryKeyConstraint("organization_key", "id", name=op.f("pk_events")),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_events_create_time", "events", ["create_time"], unique=False)
    op.create_index(
        "ix_events_new",
        "events",
        ["create_time"],
        unique=False,
        sqlite_where=sa.text("fan_out_time IS NULL"),
        postgresql_where=sa.text("fan_out_time IS NULL"),
    )


def _create_webhook_endpoints() -> None:
    op.create_table(
        "webhook_endpoints",
        sa.Column("key", _ROW_KEY, autoincrement=True, nullable=False),
        sa.Column("organization_key", sa.BigInteger(), nullable=False),
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("display_name", sa.Text(), nullable=False),
        sa.Column("uri", sa.Text(), nullable=False),
        sa.Column("format", sa.Text(), nullable=False),
        sa.Column("event_types", sa.Text(), nullable=False),
        sa.Column("disabled", sa.Boolean(), nullable=False),
        sa.Column("disable_reason", sa.Text(), nullable=False),
        sa.Column("secret", sa.Text(), nullable=False),
        sa.Column("previous_secret", sa.Text()),
        sa.Column("previous_secret_expire_time", sa.BigInteger()),
        sa.Column("failing_since", sa.BigInteger()),
        sa.Column("managed_by", sa.Text(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("create_time", sa.BigInteger(), nullable=False),
        sa.Column("update_time", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["organization_key"],
            ["organizations.key"],
            name=op.f("fk_webhook_endpoints_organization_key_organizations"),
        ),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_webhook_endpoints")),
        sa.UniqueConstraint("organization_key", "id", name=op.f("uq_webhook_endpoints_organization_key_id")),
        sqlite_autoincrement=True,
    )


def _create_deliveries() -> None:
    op.create_table(
        "deliveries",
        sa.Column("organization_key", sa.BigInteger(), nullable=False),
        sa.Column("endpoint_key", sa.BigInteger(), nullable=False),
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("event_type", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("due_time", sa.BigInteger(), nullable=False),
        sa.Column("lease_holder", sa.Text()),
        sa.Column("deadline", sa.BigInteger(), nullable=False),
        sa.Column("last_attempt_time", sa.BigInteger()),
        sa.Column("last_http_status", sa.Integer()),
        sa.Column("last_error", sa.Text(), nullable=False),
        sa.Column("create_time", sa.BigInteger(), nullable=False),
        sa.Column("complete_time", sa.BigInteger()),
        sa.PrimaryKeyConstraint("organization_key", "endpoint_key", "event_id", name=op.f("pk_deliveries")),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "ix_deliveries_waiting",
        "deliveries",
        ["endpoint_key", "due_time"],
        unique=False,
        sqlite_where=sa.text("state = 'WAITING'"),
        postgresql_where=sa.text("state = 'WAITING'"),
    )
