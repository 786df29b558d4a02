"""`docs/settings.md` has a row for every variable, with its default."""

import os
import re
from pathlib import Path

import outlay_cli
from docs import tables
from outlay_server.server.settings import PREFIX, Settings


def _stated(heading: str) -> list[tuple[str, str]]:
    return sorted((tables.code(row[0]), tables.code(row[1]) or row[1]) for row in tables.rows("settings.md", heading))


def _written(default: object) -> str:
    match default:
        case None | ():
            return "none"
        case bool():
            return str(default).lower()
        case float():
            return f"{default:g}"
    return str(default)


def test_every_setting_of_the_server_is_stated_with_its_default() -> None:
    expected = sorted(
        (f"{PREFIX}{name.upper()}", _written(field.default)) for name, field in Settings.model_fields.items()
    )
    assert _stated("Of the server") == expected


def test_every_variable_that_the_command_line_reads_is_stated() -> None:
    """Found in its sources, apart from those that it only speaks of because the server reads them."""
    sources = Path(os.fspath(next(iter(outlay_cli.__path__)))).rglob("*.py")
    read = {name for source in sources for name in re.findall(r'"(OUTLAY_[A-Z_]+)"', source.read_text())}
    of_the_server = {name for name, _ in _stated("Of the server")}
    assert {name for name, _ in _stated("Of clients")} == read - of_the_server
