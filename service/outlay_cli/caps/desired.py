"""Reading the files that a command names."""

from collections.abc import Sequence
from pathlib import Path

import click

from outlay_cli.caps.rules import RULES
from outlay_sync import files
from outlay_sync.desired import Desired
from outlay_sync.fields import source_violation


def read_desired(paths: Sequence[Path], source: str) -> Desired:
    """What files and folders ask for. Raises `InvalidFilesError`, and a usage error for an impossible source."""
    if source and (violation := source_violation(source)) is not None:
        raise click.BadParameter(violation, param_hint="--source")
    return files.load(files.find(paths), RULES, source=source)
