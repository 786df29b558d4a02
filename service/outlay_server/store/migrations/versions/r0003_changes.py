"""The log of changes that watchers read."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "budget_changes",
        sa.Column("organization_key", sa.BigInteger(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("budget_key", sa.BigInteger(), nullable=False),
        sa.Column("cycle_start", sa.BigInteger(), nullable=False),
        sa.Column("cycle_end", sa.BigInteger(), nullable=False),
        sa.Column("spent_micros", sa.BigInteger(), nullable=False),
        sa.Column("reserved_micros", sa.BigInteger(), nullable=False),
        sa.Column("open_reservations", sa.BigInteger(), nullable=False),
        sa.Column("denied_count", sa.BigInteger(), nullable=False),
        sa.Column("alerts_sent", sa.Text(), nullable=False),
        sa.Column("create_time", sa.BigInteger(), nullable=False),
        sa.Column("deleted_budget_id", sa.Text()),
        sa.PrimaryKeyConstraint("organization_key", "sequence", name=op.f("pk_budget_changes")),
        sqlite_with_rowid=False,
    )
