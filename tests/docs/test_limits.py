"""`docs/limits.md` states the figures that the code keeps."""

import importlib
import re
from types import ModuleType

import pytest

from docs import tables
from outlay_server.domain import limits


def _constants(module: ModuleType) -> dict[str, object]:
    return {name: value for name, value in vars(module).items() if re.fullmatch(r"[A-Z][A-Z_]+", name)}


def _figure(value: object) -> str:
    match value:
        case int() | float():
            return f"{value:,g}" if isinstance(value, float) else f"{value:,}"
        case tuple():
            return ", ".join(str(item) for item in value)
        case re.Pattern():
            return f"`{value.pattern}`"
    raise AssertionError(f"how is {value!r} written?")


def test_every_limit_of_the_domain_is_stated_with_its_figure() -> None:
    """A row for each constant, once, and none for what is not there."""
    expected = sorted((name, _figure(value)) for name, value in _constants(limits).items())
    stated = sorted((tables.code(row[0]), row[1]) for row in tables.rows("limits.md") if "." not in row[0])
    assert stated == expected


@pytest.mark.parametrize("row", tables.rows("limits.md", "Load"), ids=lambda row: row[0])
def test_the_limits_of_load_are_stated_with_their_figures(row: list[str]) -> None:
    module, _, name = tables.code(row[0]).rpartition(".")
    assert row[1] == _figure(getattr(importlib.import_module(module), name))
