"""Rollups of the ledger, filled from the records that are there, and room for those of records that are pruned."""

import hashlib
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_BUCKET_MICROS = 900_000_000
_MICROS_PER_UNIT = 1_000_000
_DIGEST_BYTES = 16
_CHUNK_MICROS = 96 * _BUCKET_MICROS
"""How much of the ledger is in memory at a time: a day of one unit."""

_COLUMNS = (
    "organization_key",
    "unit",
    "bucket",
    "labels_digest",
    "labels",
    "recorded_units",
    "recorded_micros",
    "refunded_units",
    "refunded_micros",
    "record_count",
)

_ROLLUPS = sa.table("spend_rollups", *(sa.column(name) for name in _COLUMNS))

_ORGANIZATIONS = 'SELECT "key" FROM organizations'
_NEXT_UNIT = "SELECT MIN(unit) FROM spend_records WHERE organization_key = :organization_key AND unit > :unit"
_FIRST = (
    "SELECT MIN(charge_time) FROM spend_records "
    "WHERE organization_key = :organization_key AND unit = :unit AND charge_time >= :start"
)
_SUMS = f"""
    SELECT organization_key, unit, charge_time - charge_time % {_BUCKET_MICROS} AS bucket, labels,
      SUM(CASE kind WHEN 'REFUND' THEN 0 ELSE amount_micros / {_MICROS_PER_UNIT} END) AS recorded_units,
      SUM(CASE kind WHEN 'REFUND' THEN 0 ELSE amount_micros % {_MICROS_PER_UNIT} END) AS recorded_micros,
      SUM(CASE kind WHEN 'REFUND' THEN amount_micros / {_MICROS_PER_UNIT} ELSE 0 END) AS refunded_units,
      SUM(CASE kind WHEN 'REFUND' THEN amount_micros % {_MICROS_PER_UNIT} ELSE 0 END) AS refunded_micros,
      SUM(CASE kind WHEN 'REFUND' THEN 0 ELSE 1 END) AS record_count
    FROM spend_records
    WHERE organization_key = :organization_key AND unit = :unit AND charge_time >= :start AND charge_time < :end
    GROUP BY organization_key, unit, charge_time - charge_time % {_BUCKET_MICROS}, labels
"""


def upgrade() -> None:
    _create("spend_rollups")
    _create("pruned_rollups")
    _fill()


def _create(name: str) -> None:
    op.create_table(
        name,
        sa.Column("organization_key", sa.BigInteger(), nullable=False),
        sa.Column("unit", sa.Text(), nullable=False),
        sa.Column("bucket", sa.BigInteger(), nullable=False),
        sa.Column("labels_digest", sa.LargeBinary(), nullable=False),
        sa.Column("labels", sa.Text(), nullable=False),
        sa.Column("recorded_units", sa.BigInteger(), nullable=False),
        sa.Column("recorded_micros", sa.BigInteger(), nullable=False),
        sa.Column("refunded_units", sa.BigInteger(), nullable=False),
        sa.Column("refunded_micros", sa.BigInteger(), nullable=False),
        sa.Column("record_count", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("organization_key", "unit", "bucket", "labels_digest", name=op.f(f"pk_{name}")),
        sqlite_with_rowid=False,
    )


def _fill() -> None:
    """Each statement reads a range of an index that is as long as a day: a ledger of any length, within any timeout."""
    connection = op.get_bind()
    for (organization_key,) in connection.execute(sa.text(_ORGANIZATIONS)).all():
        within = {"organization_key": organization_key, "unit": ""}
        while (unit := connection.execute(sa.text(_NEXT_UNIT), within).scalar()) is not None:
            within["unit"] = unit
            _fill_unit(connection, within)


def _fill_unit(connection: sa.Connection, within: dict[str, Any]) -> None:
    start = connection.execute(sa.text(_FIRST), within | {"start": 0}).scalar()
    while start is not None:
        end = start - start % _BUCKET_MICROS + _CHUNK_MICROS
        found = connection.execute(sa.text(_SUMS), within | {"start": start, "end": end}).all()
        connection.execute(sa.insert(_ROLLUPS), [_rollup(row) for row in found])
        start = connection.execute(sa.text(_FIRST), within | {"start": end}).scalar()


def _rollup(row: Any) -> dict[str, object]:
    organization_key, unit, bucket, labels, *sums = row
    digest = hashlib.blake2b(str(labels).encode(), digest_size=_DIGEST_BYTES).digest()
    # PostgreSQL sums into decimals, which are whole.
    values = (organization_key, unit, bucket, digest, labels, *map(int, sums))
    return dict(zip(_COLUMNS, values, strict=True))
