"""Read scenario files: sections of one row an event, its expected answer last.

A section begins with `== its name` and has an organization of its own. Amounts are decimal units. A row that begins
with `&` is sent together with the row above it. `#` begins a comment.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

MICROS = 1_000_000


@dataclass(frozen=True)
class Row:
    """One event and what must be answered; `words` are the event's, without `&`."""

    where: str
    """File and line, for people."""
    words: tuple[str, ...]
    expected: tuple[str, ...]
    joins: bool


@dataclass
class Section:
    file: str
    name: str
    rows: list[Row] = field(default_factory=list)

    @property
    def travels(self) -> bool:
        """Whether time has to pass in it, which it does not over the wire."""
        return any(row.words[0] == "wait" for row in self.rows)

    def batches(self) -> Iterator[list[Row]]:
        """Rows that are sent together, in order."""
        batch: list[Row] = []
        for row in self.rows:
            if not row.joins and batch:
                yield batch
                batch = []
            batch.append(row)
        if batch:
            yield batch


def read_sections(folder: Path) -> list[Section]:
    """Every section of every file."""
    found: list[Section] = []
    for path in sorted(folder.glob("*.txt")):
        for number, line in enumerate(path.read_text().splitlines(), 1):
            text = line.split("#")[0].strip()
            where = f"{path.name}:{number}: {text}"
            if not text:
                continue
            if text.startswith("=="):
                found.append(Section(path.stem, text.removeprefix("==").strip()))
                continue
            event, arrow, expected = text.partition("->")
            words = event.split()
            joins = words[0] == "&"
            assert arrow or words[0] in ("budget", "gate", "wait"), f"{where}: what is the answer?"
            found[-1].rows.append(Row(where, tuple(words[joins:]), tuple(expected.split()), joins))
    return found


def micros(amount: str) -> int:
    whole, _, part = amount.partition(".")
    return int(whole) * MICROS + int((part + "000000")[:6] or 0)


def units(amount: int | None) -> str:
    """As scenario files write it: at least two places."""
    if amount is None:
        return "unlimited"
    whole, part = divmod(amount, MICROS)
    return f"{whole}.{f'{part:06d}'[:2]}{f'{part:06d}'[2:].rstrip('0')}"
