"""`outlay export`: what exists, as files that plan nothing."""

from collections.abc import Sequence
from pathlib import Path

import click

from outlay_cli import options
from outlay_cli.caps.options import source_option


@click.command()
@click.argument("organizations", type=options.organization, nargs=-1, metavar="[ORG]...")
@click.option(
    "-o",
    "--out",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    metavar="DIR",
    help="The folder to write to; made where it is missing.",
)
@source_option
@click.option("--overwrite", is_flag=True, help="Write over files that are there.")
@click.option("--force", is_flag=True, help="Also what is kept as code elsewhere.")
def export(organizations: Sequence[str], folder: Path, source: str, overwrite: bool, force: bool) -> int:
    """Write what exists as files that plan nothing.

    One file for each ORG; without ORG for all of them, or for the key's own. What is kept as code elsewhere is left out
    and named.
    """
    from outlay_cli.caps import exporting

    return exporting.export(organizations, folder, source, overwrite=overwrite, include_foreign=force)
