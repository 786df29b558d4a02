"""The fixtures of the stores, for this folder."""

from ledger.fixtures import schema_file  # noqa: F401
