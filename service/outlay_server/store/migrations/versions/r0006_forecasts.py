"""Which budgets were told to be heading past what they may spend, and when some replica last looked."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "forecast_breaches",
        sa.Column("organization_key", sa.BigInteger(), nullable=False),
        sa.Column("budget_key", sa.BigInteger(), nullable=False),
        sa.Column("cycle_start", sa.BigInteger(), nullable=False),
        sa.Column("create_time", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("organization_key", "budget_key", "cycle_start", name=op.f("pk_forecast_breaches")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "job_runs",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("run_time", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_job_runs")),
        sqlite_with_rowid=False,
    )
