"""`batch.Driver` over a SQLAlchemy connection: what the ledger reads, for the control plane and for readers."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection

from outlay_server.store.statements import Statement, with_numbered_parameters


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
        return [tuple(row) for key in keys for row in self._connection.exec_driver_sql(statement.sqlite, tuple(key))]

    def write(self, statement: Statement, rows: Sequence[Sequence[Any]]) -> None:
        if self._takes_arrays:
            columns = tuple(list(column) for column in zip(*rows, strict=True))
            self._connection.exec_driver_sql(statement.postgres, columns)
            return
        for row in rows:
            self._connection.exec_driver_sql(statement.sqlite, tuple(row))
