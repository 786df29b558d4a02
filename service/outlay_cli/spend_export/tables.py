"""Writing a table row by row: CSV, or Parquet by pyarrow."""

import csv
import io
import shutil
import tempfile
from collections.abc import Sequence
from typing import IO, Any, Final, Protocol

from outlay_cli.errors import CommandFailed
from outlay_cli.spend_export.columns import Column, Type, Value
from outlay_server.domain.instant import Instant, to_datetime

ROW_GROUP_ROWS: Final = 50_000
"""Rows of Parquet that are held in memory, and written together."""


class Table(Protocol):
    """A table under way; `finish` completes it."""

    def add(self, rows: Sequence[Sequence[Value]]) -> None: ...

    def finish(self) -> None: ...


class CsvTable:
    """RFC 4180, UTF-8, one line of names first; instants in RFC 3339, booleans `true` and `false`."""

    def __init__(self, columns: Sequence[Column], file: IO[bytes]) -> None:
        self._instants = [index for index, column in enumerate(columns) if column.type is Type.INSTANT]
        self._booleans = [index for index, column in enumerate(columns) if column.type is Type.BOOLEAN]
        self._file = file
        self._write([[column.name for column in columns]])

    def add(self, rows: Sequence[Sequence[Value]]) -> None:
        self._write([self._written(row) for row in rows])

    def finish(self) -> None:
        self._file.flush()

    def _write(self, rows: Sequence[Sequence[Value]]) -> None:
        text = io.StringIO(newline="")
        csv.writer(text, lineterminator="\r\n").writerows(rows)
        self._file.write(text.getvalue().encode())

    def _written(self, row: Sequence[Value]) -> list[Value]:
        written = list(row)
        for index in self._instants:
            written[index] = to_datetime(Instant(int(row[index]))).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        for index in self._booleans:
            written[index] = "true" if row[index] else "false"
        return written


class ParquetTable:
    """Amounts are int64 and text, instants timestamps in UTC to the microsecond, compressed by zstd."""

    def __init__(self, columns: Sequence[Column], file: IO[bytes]) -> None:
        """Raises `CommandFailed` where pyarrow is not installed."""
        try:
            import pyarrow
            import pyarrow.parquet
        except ModuleNotFoundError as error:
            raise CommandFailed(
                f"Parquet needs the module {error.name}. Install it with: pip install 'outlay[parquet]'"
            ) from error
        types: dict[Type, Any] = {
            Type.TEXT: pyarrow.string(),
            Type.INTEGER: pyarrow.int64(),
            Type.BOOLEAN: pyarrow.bool_(),
            Type.INSTANT: pyarrow.timestamp("us", tz="UTC"),
        }
        self._schema = pyarrow.schema(
            [pyarrow.field(column.name, types[column.type], nullable=False) for column in columns]
        )
        self._file = file
        # A Parquet file ends with a table of where its parts begin, and a pipe cannot tell where it is.
        self._spool = tempfile.TemporaryFile(prefix="outlay-export-")  # noqa: SIM115  # closed by finish
        self._writer = pyarrow.parquet.ParquetWriter(self._spool, self._schema, compression="zstd")
        self._rows: list[Sequence[Value]] = []

    def add(self, rows: Sequence[Sequence[Value]]) -> None:
        self._rows += rows
        if len(self._rows) >= ROW_GROUP_ROWS:
            self._write()

    def finish(self) -> None:
        self._write()
        self._writer.close()
        self._spool.seek(0)
        shutil.copyfileobj(self._spool, self._file)
        self._spool.close()
        self._file.flush()

    def _write(self) -> None:
        if not self._rows:
            return
        import pyarrow

        columns = zip(*self._rows, strict=True)
        arrays = [pyarrow.array(values, field.type) for values, field in zip(columns, self._schema, strict=True)]
        self._writer.write_table(pyarrow.Table.from_arrays(arrays, schema=self._schema))
        self._rows = []


def new_table(format_: str, columns: Sequence[Column], file: IO[bytes]) -> Table:
    """A table in `csv` or `parquet`. Raises `CommandFailed`."""
    return ParquetTable(columns, file) if format_ == "parquet" else CsvTable(columns, file)
