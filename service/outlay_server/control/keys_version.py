"""The number that tells replicas to forget the keys they have cached."""

from sqlalchemy import update

from outlay_server.store import tables
from outlay_server.store.contract import ControlTransaction


def raise_keys_version(tx: ControlTransaction) -> None:
    """Have every replica look keys up anew within a second: one of them stops being valid with this transaction."""
    table = tables.server_state
    tx.connection.execute(update(table).values(keys_version=table.c.keys_version + 1))
