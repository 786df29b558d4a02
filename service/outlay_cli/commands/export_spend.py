"""`outlay export-spend`: the ledger as a table."""

import contextlib
import sys
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Final

import click

from outlay.v1 import budget_service_pb2 as pb
from outlay_cli import options, remote
from outlay_cli.errors import CommandFailed

_STANDARD_OUTPUT: Final = "-"


@click.command("export-spend")
@options.organization_option
@click.option("--unit", default="", help="Only of this unit.")
@click.option(
    "--label",
    "labels",
    type=options.label,
    metavar="KEY=VALUE",
    multiple=True,
    help="Only with this label; a trailing * is a prefix.",
)
@options.period_options
@click.option(
    "--label-column",
    "label_keys",
    multiple=True,
    metavar="KEY",
    help="A column of its own for this label; may be repeated. All labels are in `labels`, as JSON.",
)
@click.option(
    "--format", "format_", type=click.Choice(["csv", "parquet"]), help="Default: by the file's name, else csv."
)
@click.option("--file", default=_STANDARD_OUTPUT, show_default=True, help="Where to; - is standard output.")
def export_spend(
    organization: str,
    unit: str,
    labels: Sequence[tuple[str, str]],
    since: datetime | None,
    until: datetime | None,
    label_keys: Sequence[str],
    format_: str | None,
    file: str,
) -> None:
    """Write the ledger as CSV or Parquet.

    Newest first by the time that an entry is charged to. Amounts are exact: as micros, and as decimal text. A refund is
    negative. Without --until it ends with this moment. A service that is away for a while is waited for; a file is
    complete or is not there.
    """
    from outlay_cli.spend_export.columns import columns, values
    from outlay_cli.spend_export.pages import pages
    from outlay_cli.spend_export.tables import new_table

    request = pb.ListSpendRecordsRequest(
        parent=f"organizations/{organization}",
        unit=unit,
        label_filters=[f"{key}={value}" for key, value in labels],
    )
    if since is not None:
        request.start_time.FromDatetime(since)
    request.end_time.FromDatetime(until or datetime.now(UTC))
    format_ = format_ or ("parquet" if file.endswith(".parquet") else "csv")
    count = 0
    with remote.connect() as service, _opened(file) as opened:
        table = new_table(format_, columns(label_keys), opened)
        for page in pages(service, request, lambda line: click.echo(line, err=True)):
            table.add([values(record, label_keys) for record in page])
            count += len(page)
        table.finish()
    if file != _STANDARD_OUTPUT:
        click.echo(f"{count} records written to {file}.")


@contextlib.contextmanager
def _opened(file: str) -> Iterator[IO[bytes]]:
    """Standard output; or a file that takes its name when all is written, and is gone where that fails."""
    if file == _STANDARD_OUTPUT:
        yield sys.stdout.buffer
        return
    unfinished = Path(f"{file}.part")
    try:
        with unfinished.open("wb") as opened:
            yield opened
        unfinished.replace(file)
    except OSError as error:
        raise CommandFailed(f"{error.filename or file} cannot be written: {error.strerror}.") from error
    finally:
        unfinished.unlink(missing_ok=True)
