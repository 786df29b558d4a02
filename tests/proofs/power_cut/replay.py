"""What a disk may hold after a cut: all that was synced, and any part of what was not, torn at any sector."""

import bisect
import random
import sqlite3
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from proofs.power_cut.recording import (
    DATABASE,
    DIRECTORY,
    JOURNAL,
    LOG,
    SYNC,
    TRUNCATE,
    UNLINK,
    WRITE,
    Operation,
    Recording,
)

SECTOR_BYTES: Final = 512
"""What a disk writes whole."""

_SUFFIX: Final = {DATABASE: "", LOG: "-wal", JOURNAL: "-journal"}


@dataclass(slots=True)
class Found:
    """What came of some cuts."""

    cuts: int = 0
    losing: int = 0
    """Cuts after which an acknowledged answer was gone."""
    corrupt: int = 0
    """Cuts after which the file could not be read, or its counters were not the sum of its records."""
    acknowledged: int = 0
    """Answers that were there at the last cut."""
    examples: list[str] = field(default_factory=list)

    @property
    def is_clean(self) -> bool:
        return not (self.losing or self.corrupt)


class _File:
    """One file: what is certainly on the disk, and what may be."""

    def __init__(self) -> None:
        self.synced = bytearray()
        self.pending: list[Operation] = []

    def note(self, operation: Operation) -> None:
        if operation.kind == SYNC:
            for one in self.pending:
                _apply(self.synced, one, None)
            self.pending.clear()
        else:
            self.pending.append(operation)

    def forget_deleted(self) -> None:
        """The directory was synced: a file that was deleted before that does not come back."""
        deleted = [index for index, one in enumerate(self.pending) if one.kind == UNLINK]
        if deleted:
            del self.synced[:]
            del self.pending[: deleted[-1] + 1]

    def after_cut(self, chance: random.Random) -> bytearray:
        """One of the contents that the disk may hold."""
        image = bytearray(self.synced)
        share = chance.choice((0.0, 1.0, chance.random()))
        is_torn = chance.random() < 0.5
        for operation in self.pending:
            if chance.random() <= share:
                _apply(image, operation, chance if is_torn else None)
        return image


def _apply(image: bytearray, operation: Operation, torn_by: random.Random | None) -> None:
    if operation.kind in (TRUNCATE, UNLINK):
        length = operation.offset if operation.kind == TRUNCATE else 0
        del image[length:]
        image.extend(bytes(length - len(image)))
        return
    assert operation.kind == WRITE
    end = operation.offset + len(operation.data)
    if len(image) < end:
        image.extend(bytes(end - len(image)))
    if torn_by is None:
        image[operation.offset : end] = operation.data
        return
    position = operation.offset
    while position < end:
        sector_end = min(end, (position // SECTOR_BYTES + 1) * SECTOR_BYTES)
        if torn_by.random() < 0.5:
            image[position:sector_end] = operation.data[position - operation.offset : sector_end - operation.offset]
        position = sector_end


def cut(recording: Recording, count: int, seed: int, folder: Path) -> Found:
    """Cut the power at `count` moments by chance, and look at what SQLite makes of the disk each time."""
    chance = random.Random(seed)
    operations = recording.operations
    first = bisect.bisect([operation.nanoseconds for operation in operations], recording.acknowledged[0][0])
    moments = Counter(chance.randrange(first, len(operations)) for _ in range(count))
    files = {file: _File() for file in _SUFFIX}
    found = Found()
    times = [nanoseconds for nanoseconds, _ in recording.acknowledged]
    for index, operation in enumerate(operations):
        if operation.file == DIRECTORY:
            for file in files.values():
                file.forget_deleted()
        else:
            files[operation.file].note(operation)
        for _ in range(moments[index]):
            # The cut comes just before the next operation: what was answered until then has to be there.
            until = operations[index + 1].nanoseconds if index + 1 < len(operations) else times[-1] + 1
            told = recording.acknowledged[: bisect.bisect_left(times, until)]
            _look(files, told, found, folder, chance)
    return found


def _look(
    files: dict[int, _File], told: Sequence[tuple[int, str]], found: Found, folder: Path, chance: random.Random
) -> None:
    database = folder / "outlay.db"
    for file, suffix in _SUFFIX.items():
        path = Path(f"{database}{suffix}")
        image = files[file].after_cut(chance)
        path.unlink(missing_ok=True)
        if image or file == DATABASE:
            path.write_bytes(image)
    Path(f"{database}-shm").unlink(missing_ok=True)
    found.cuts += 1
    found.acknowledged = len(told)
    try:
        kept, is_sound = _read(database)
    except sqlite3.Error as error:
        kept, is_sound = set(), False
        found.examples.append(f"after {len(told)} answers: {error}")
    lost = [request_id for _, request_id in told if request_id not in kept]
    found.corrupt += not is_sound
    found.losing += bool(lost)
    if lost:
        found.examples.append(f"after {len(told)} answers {len(lost)} were lost, {lost[0]} first")


def _read(database: Path) -> tuple[set[str], bool]:
    """The request ids that took effect, and whether the file is whole and its counters are right."""
    connection = sqlite3.connect(database)
    try:
        is_whole = connection.execute("PRAGMA quick_check(1)").fetchone()[0] == "ok"
        kept = {row[0] for row in connection.execute("SELECT request_id FROM requests")}
        recorded = connection.execute("SELECT COALESCE(SUM(amount_micros), 0) FROM spend_records").fetchone()[0]
        counted = connection.execute("SELECT COALESCE(SUM(spent_micros), 0) FROM counters").fetchone()[0]
    finally:
        connection.close()
    return kept, is_whole and recorded == counted == len([one for one in kept if one.startswith("caller-")])
