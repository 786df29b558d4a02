"""What is wrong with the files, and where: every complaint has a place, and all of them are made at once."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

PROBLEMS_MAX: Final = 200
"""Complaints that are listed. Behind so many stands one slip; the rest are counted, not written."""

ECHO_MAX_LENGTH: Final = 64
"""Characters of a file that a complaint repeats."""


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """Where something is written. Lines and columns count from 1, columns in characters."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One complaint."""

    place: Place
    path: str
    """The field, such as `budgets[2].cycle.period`; empty for the file as a whole."""
    message: str
    """What a valid value is, or what to write instead."""

    def __str__(self) -> str:
        return f"{self.place}: {self.path}: {self.message}" if self.path else f"{self.place}: {self.message}"


class InvalidFilesError(Exception):
    """The files cannot be used; nothing was sent to the service."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        found = sorted(set(problems))
        assert found, "files without problems are valid"
        self.problems: Sequence[Problem] = found[:PROBLEMS_MAX]
        self.left_out_count = len(found) - len(self.problems)
        super().__init__("\n".join(map(str, self.problems)))


def echo(text: str) -> str:
    """What a file says, for people to recognise: cut, in quotation marks, with nothing that a terminal would obey."""
    shown = text[:ECHO_MAX_LENGTH].encode("unicode_escape").decode("ascii").replace('"', '\\"')
    return f'"{shown}"…' if len(text) > ECHO_MAX_LENGTH else f'"{shown}"'
