"""`outlay validate`: files of caps, checked offline."""

from collections.abc import Sequence
from pathlib import Path

import click

from outlay_cli.caps.options import Output, output_option, source_option
from outlay_cli.exits import ExitCode


@click.command()
@click.argument("paths", type=click.Path(path_type=Path), nargs=-1, required=True, metavar="FILES...")
@source_option
@output_option
def validate(paths: Sequence[Path], source: str, output: Output) -> int:
    """Check files of caps, offline.

    FILES are files, or folders of .yaml and .yml files. Everything that is wrong with all of them is printed at once,
    as file:line:column; exits 1 where there is something.
    """
    from outlay_cli.caps import desired, problems_view
    from outlay_sync.problems import InvalidFilesError

    try:
        found = desired.read_desired(paths, source)
    except InvalidFilesError as error:
        problems_view.show_invalid(error, output, err=False)
        return ExitCode.ERROR
    budget_count = sum(len(organization.budgets) for organization in found.organizations)
    if output == "json":
        from outlay_cli.output import print_json

        print_json(
            {
                "problems": [],
                "left_out_count": 0,
                "organizations": [organization.name for organization in found.organizations],
                "budget_count": budget_count,
            }
        )
        return ExitCode.DONE
    click.echo(f"Valid. Organizations: {len(found.organizations)}, budgets: {budget_count}.")
    return ExitCode.DONE
