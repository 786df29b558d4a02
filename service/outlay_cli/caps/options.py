"""Options that the commands of caps as code share."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, Literal, TypeVar

import click

from outlay_sync.options import MAX_DELETES_DEFAULT

Command = TypeVar("Command", bound=Callable[..., Any])

Output = Literal["text", "json", "markdown", "github"]

_MAX_DELETES_MAX: Final = 1_000

output_option = click.option(
    "--output",
    type=click.Choice(["text", "json", "markdown", "github"]),
    default="text",
    show_default=True,
    help="For people, programs, a comment on a pull request, or annotations of GitHub Actions.",
)
files_option = click.option(
    "-f",
    "--file",
    "paths",
    type=click.Path(path_type=Path),
    multiple=True,
    metavar="PATH",
    help="A file, or a folder of .yaml and .yml files; may be repeated. Default: this folder.",
)
source_option = click.option(
    "--source", default="", metavar="NAME", help="What the files are called, where none of them says it (caps)."
)

_PLANNING: Final = (
    click.option("--prune", is_flag=True, help="Delete the budgets that these files kept and no longer name."),
    click.option(
        "--max-deletes",
        "max_delete_count",
        type=click.IntRange(0, _MAX_DELETES_MAX),
        default=MAX_DELETES_DEFAULT,
        show_default=True,
        metavar="N",
        help="With --prune: refuse to delete more budgets of one organization.",
    ),
    click.option("--adopt", is_flag=True, help="Take over what exists and is not kept as code."),
    click.option("--force", "override_manager", is_flag=True, help="Take over what is kept as code elsewhere."),
    click.option("--allow-cap-below-spend", is_flag=True, help="Set limits below what is spent and reserved."),
    click.option("--allow-removing-hard-cap", is_flag=True, help="Let hard caps no longer block."),
    click.option("--allow-deleting-in-use", is_flag=True, help="Delete budgets that have spend or reservations."),
)


def planning_options(command: Command) -> Command:
    """Give a command the options of `outlay_sync.options.Options`."""
    for option in reversed(_PLANNING):
        command = option(command)
    return command


def paths_or_here(paths: Sequence[Path]) -> Sequence[Path]:
    return paths or (Path(),)
