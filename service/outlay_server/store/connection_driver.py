"""`batch.Driver` over a SQLAlchemy connection: what the ledger reads, for the control plane and for readers."""

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Connection

from outlay_server.store.statements import Statement, with_numbered_parameters

KEYS_AT_ONCE: Final = 100
"""Lookups that SQLite is asked for together: a reader's every statement costs a hop to its connection's thread."""


class ConnectionDriver:
    """Runs the hot statements where speed is not the point."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._takes_arrays = connection.dialect.name == "postgresql"

    def fetch(self, sql: str, *parameters: object) -> list[Sequence[Any]]:
        text = with_numbered_parameters(sql) if self._takes_arrays else sql
        return [tuple(row) for row in self._connection.exec_driver_sql(text, parameters)]

    def fetch_by_key(self, statement: Statement, keys: Sequence[Sequence[Any]]) -> list[Sequence[Any]]:
        if not keys:
            return []
        if self._takes_arrays:
            columns = tuple(list(column) for column in zip(*keys, strict=True))
            return [tuple(row) for row in self._connection.exec_driver_sql(statement.postgres, columns)]
        found: list[Sequence[Any]] = []
        for start in range(0, len(keys), KEYS_AT_ONCE):
            some = keys[start : start + KEYS_AT_ONCE]
            text = " UNION ALL ".join([statement.sqlite] * len(some))
            parameters = tuple(value for key in some for value in key)
            found += [tuple(row) for row in self._connection.exec_driver_sql(text, parameters)]
        return found

    def write(self, statement: Statement, rows: Sequence[Sequence[Any]]) -> None:
        if self._takes_arrays:
            columns = tuple(list(column) for column in zip(*rows, strict=True))
            self._connection.exec_driver_sql(statement.postgres, columns)
            return
        for row in rows:
            self._connection.exec_driver_sql(statement.sqlite, tuple(row))
