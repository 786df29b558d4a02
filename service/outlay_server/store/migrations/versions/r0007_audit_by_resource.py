"""What happened to one resource is found without reading what happened to all others of its organization."""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_audit_events_resource", "audit_events", ["organization_key", "resource", "sequence"])
