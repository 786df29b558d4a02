"""Reading the tables of the documentation, so that the tests can compare them with the code."""

import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


def rows(page: str, heading: str | None = None) -> list[list[str]]:
    """The cells of every table row of a page, or of one section of it, without headers; an escaped bar is a bar."""
    text = (DOCS / page).read_text()
    if heading is not None:
        _, found, text = text.partition(f"\n## {heading}\n")
        assert found, f"docs/{page} has no section {heading}"
        text = text.partition("\n## ")[0]
    return [cells for table in _tables(text) for cells in table[2:]]


def code(cell: str) -> str:
    """The text of a cell that is one piece of code; empty for any other."""
    found = re.fullmatch(r"`([^`]+)`", cell)
    return found[1] if found else ""


def _tables(text: str) -> Iterator[list[list[str]]]:
    table: list[list[str]] = []
    for line in [*text.splitlines(), ""]:
        if line.startswith("| "):
            cells = re.split(r"(?<!\\)\|", line.strip().strip("|"))
            table.append([cell.strip().replace("\\|", "|") for cell in cells])
        elif table:
            yield table
            table = []
