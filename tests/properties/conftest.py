"""The fixtures of the stores, for this folder."""

from ledger.fixtures import clock, schema_file, store_url  # noqa: F401
