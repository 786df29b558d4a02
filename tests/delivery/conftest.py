"""The fixtures of the stores, for this folder."""

from ledger.fixtures import (  # noqa: F401
    clock,
    database_pool,
    ledger,
    schema_file,
    store,
    store_url,
    timed_ledger,
    timed_store,
)
