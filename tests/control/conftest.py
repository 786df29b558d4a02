"""The fixtures of the stores, for this folder."""

from ledger.fixtures import (  # noqa: F401
    clock,
    ledger,
    schema_file,
    store,
    store_url,
    timed_ledger,
    timed_store,
)
