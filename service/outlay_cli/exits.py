"""Exit codes, which scripts and CI branch on."""

import enum


class ExitCode(enum.IntEnum):
    """What `outlay` exits with; the same in every command."""

    DONE = 0
    """Done, or allowed."""
    ERROR = 1
    """It failed, was refused, or what was verified does not agree."""
    CHANGES = 2
    """There are differences: `outlay plan` and `outlay drift` found some."""
    PARTIAL = 3
    """Not everything that was asked for was granted: a check was denied, or some organizations were not applied."""
    USAGE = 64
    """The command line is wrong (EX_USAGE of sysexits.h); nothing was done. Not click's 2, which means changes here."""
    INTERRUPTED = 130
    """Ctrl-C, as shells report it."""
