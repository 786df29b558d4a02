"""`outlay apply`: make the service what the files say."""

from collections.abc import Sequence
from pathlib import Path

import click

from outlay_cli.caps.options import (
    Output,
    files_option,
    output_option,
    paths_or_here,
    planning_options,
    source_option,
)
from outlay_cli.options import yes_option


@click.command()
@click.argument("plan", type=click.Path(path_type=Path, dir_okay=False), required=False, metavar="[PLAN]")
@files_option
@source_option
@planning_options
@yes_option
@output_option
def apply(plan: Path | None, paths: Sequence[Path], source: str, yes: bool, output: Output, **allowed: object) -> int:
    """Make the service what the files say.

    Each organization is changed as a whole or not at all. PLAN is a file of `outlay plan --out`: it is applied as it
    was shown, or refused where something moved since. On a terminal the plan is shown and asked about; elsewhere a
    limit below current spend and the removal of a hard cap are refused, unless an option allows them.

    Exits 0 when all is applied or nothing was to do, 3 when some organizations were applied and others failed, 1 when
    nothing was applied.
    """
    from outlay_cli.caps import applying, planned

    if plan is not None and (paths or source):
        raise click.UsageError("Give PLAN, or files with -f and --source; a plan has its files in it.")
    options = planned.options(allowed)
    if plan is not None and options.changes_what_is_done:
        raise click.UsageError("--adopt, --force, --prune and --max-deletes belong to the plan: give them there.")
    if plan is not None:
        return applying.apply_saved(plan, options, output)
    return applying.apply_files(paths_or_here(paths), source, options, output, assume_yes=yes)
