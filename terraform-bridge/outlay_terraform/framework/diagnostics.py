"""What people are told, and where in their configuration it belongs."""

import enum
from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class Key:
    """The key of a map, which is not the name of an attribute."""

    text: str


Path: TypeAlias = tuple[str | int | Key, ...]
"""The way to a value: names of attributes, keys of maps, indexes."""


def written(path: Path) -> str:
    """The path as people write it: `cycle.period`, `alert_thresholds[1]`, `selector["team"]`."""
    text = ""
    for step in path:
        match step:
            case Key():
                text += f'["{step.text}"]'
            case int():
                text += f"[{step}]"
            case str():
                text += f".{step}" if text else step
    return text


class Severity(enum.Enum):
    """Whether the run goes on."""

    ERROR = "ERROR"
    WARNING = "WARNING"


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One message."""

    severity: Severity
    summary: str
    detail: str = ""
    path: Path = ()
    """Empty: it belongs to the block as a whole."""


def error(summary: str, detail: str = "", path: Path = ()) -> Diagnostic:
    return Diagnostic(Severity.ERROR, summary, detail, path)


def warning(summary: str, detail: str = "", path: Path = ()) -> Diagnostic:
    return Diagnostic(Severity.WARNING, summary, detail, path)


class Failure(Exception):
    """Something could not be done."""

    def __init__(self, *diagnostics: Diagnostic, effect_unknown: bool = False) -> None:
        super().__init__("; ".join(each.summary for each in diagnostics))
        self.diagnostics = diagnostics
        self.effect_unknown = effect_unknown
        """Whether it may have been done all the same."""
