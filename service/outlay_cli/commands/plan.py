"""`outlay plan` and `outlay drift`: what differs between files and service. Neither changes anything."""

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
from outlay_cli.errors import CommandFailed
from outlay_cli.exits import ExitCode


@click.command()
@files_option
@source_option
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Save the plan, for `outlay apply PLAN`.")
@click.option(
    "--detailed-exitcode/--no-detailed-exitcode",
    default=True,
    help="Exit 2 where there are changes (the default), or 0.",
)
@planning_options
@output_option
def plan(
    paths: Sequence[Path], source: str, out: Path | None, detailed_exitcode: bool, output: Output, **allowed: object
) -> int:
    """Show what applying the files would change.

    Exits 0 without changes, 2 with changes, 1 on error. What exists and already is as the files say is no change,
    though nobody keeps it as code; `apply --adopt` takes it over.
    """
    from outlay_cli.caps import plan_view, planned
    from outlay_sync.plan_file import write_plan

    made = planned.from_files(paths_or_here(paths), source, output, planned.options(allowed))
    if made is None:
        return ExitCode.ERROR
    plan_view.show(made, output, "plan")
    if made.failures:
        return ExitCode.ERROR
    if out is not None:
        try:
            write_plan(out, made)
        except OSError as error:
            raise CommandFailed(f"The plan cannot be written to {out}: {error.strerror}.") from error
    return ExitCode.CHANGES if made.has_changes and detailed_exitcode else ExitCode.DONE


@click.command()
@files_option
@source_option
@output_option
def drift(paths: Sequence[Path], source: str, output: Output) -> int:
    """Show what was changed outside of the files, and by whom.

    Compares with what was last applied, so that changes of the files themselves are not drift. Exits 0 without drift, 2
    with drift, 1 on error.
    """
    from outlay_cli.caps import plan_view, planned
    from outlay_sync.planning import drift_of

    made = planned.from_files(paths_or_here(paths), source, output, planned.options({}))
    if made is None:
        return ExitCode.ERROR
    drifted = drift_of(made)
    plan_view.show(drifted, output, "drift")
    if made.failures:
        return ExitCode.ERROR
    return ExitCode.CHANGES if drifted.has_changes else ExitCode.DONE
