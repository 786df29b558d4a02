"""Making a plan of files, with what is wrong shown where it is found."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from outlay_cli.caps import desired, problems_view, service
from outlay_cli.caps.options import Output
from outlay_cli.caps.progress import progress
from outlay_cli.errors import CommandFailed
from outlay_sync.options import Options
from outlay_sync.planning import Plan, make_plan
from outlay_sync.problems import InvalidFilesError


def options(allowed: Mapping[str, Any]) -> Options:
    """What the options of a command line allow."""
    return Options(**allowed)


def from_files(paths: Sequence[Path], source: str, output: Output, options: Options) -> Plan | None:
    """The plan of files; None where they are not valid, which has been shown then."""
    try:
        wanted = desired.read_desired(paths, source)
    except InvalidFilesError as error:
        problems_view.show_invalid(error, output, err=True)
        return None
    if not wanted.organizations:
        raise CommandFailed("The files name no organization, so there is nothing that they could be compared with.")
    with service.connect() as connected:
        return make_plan(wanted, connected, options, os.environ, progress("Planning"))
