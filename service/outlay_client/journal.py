"""A file of what must still reach the service: written before it is sent, so that a killed process loses nothing.

One line a change, `<crc32> <json>`: an entry that was added, or the number of one that is done. A line counts from the
moment it is synced; a torn last line was never acknowledged and is dropped. One process at a time: a lock beside the
file is held for life.
"""

import base64
import fcntl
import json
import logging
import os
import shutil
import threading
import zlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from google.protobuf.message import Message

from outlay_client.errors import OutlayError

log = logging.getLogger("outlay_client")

MAX_PENDING_BYTES: Final = 64 * 1024 * 1024
"""About 200,000 records. More than that is an outage that somebody must look at."""
COMPACT_BYTES: Final = 1024 * 1024
"""A file below this is not worth rewriting."""


class JournalError(OutlayError):
    """The journal cannot be opened or written."""


class JournalFull(JournalError):
    """As much is pending as the journal may hold."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One request that must reach the service."""

    sequence: int
    method: str
    request: bytes
    offline_micros: int
    """How much of an allowance for outages it stands for."""
    size_bytes: int


class Journal:
    """The journal at a path, which is made where it is missing. Safe to use from several threads.

    An entry that was appended belongs to whoever appended it, until `later` hands it over to the replay.
    """

    def __init__(self, path: str | os.PathLike[str], *, max_pending_bytes: int = MAX_PENDING_BYTES) -> None:
        """Read it, dropping a torn tail. Raises `JournalError`, also where another process has it open."""
        self.path = Path(path)
        self.refused_path = self.path.with_name(f"{self.path.name}.refused")
        self._max_pending_bytes = max_pending_bytes
        self._lock = threading.Lock()
        self._sync_lock = threading.Lock()
        self._pending: dict[int, Entry] = {}
        self._due: dict[int, None] = {}
        self._pending_bytes = 0
        self._next_sequence = 1
        self._written = self._synced = 0
        self._broken: OSError | None = None
        self._lock_file = _locked(self.path.with_name(f"{self.path.name}.lock"))
        try:
            self._read()
            self._file = self._rewrite()
        except OSError as error:
            os.close(self._lock_file)
            raise JournalError(f"{self.path}: {error.strerror}") from error
        self._due = dict.fromkeys(self._pending)

    @property
    def pending(self) -> int:
        """How many entries the service has not acknowledged."""
        return len(self._pending)

    def append(self, method: str, request: Message, *, offline_micros: int = 0) -> Entry:
        """Write a request down; once this returns it survives the process. Raises `JournalError`."""
        body = request.SerializeToString()
        with self._lock:
            entry = Entry(self._next_sequence, method, body, offline_micros, 0)
            line = _line(_added(entry))
            if self._pending_bytes + len(line) > self._max_pending_bytes:
                raise JournalFull(f"{self.path}: {self.pending} requests are pending")
            self._write(line)
            entry = replace(entry, size_bytes=len(line))
            self._next_sequence += 1
            self._pending[entry.sequence] = entry
            self._pending_bytes += len(line)
            written = self._written
        self._sync(written)
        return entry

    def later(self, entry: Entry) -> None:
        """Leave an entry to the replay."""
        with self._lock:
            if entry.sequence in self._pending:
                self._due[entry.sequence] = None

    def due(self) -> list[Entry]:
        """What the replay must send, oldest first."""
        with self._lock:
            return [self._pending[sequence] for sequence in sorted(self._due)]

    def done(self, entry: Entry) -> None:
        """Take an entry out: the service has it, or its caller was told that it never will.

        Not synced: at worst the request is sent once more after a power cut, with the same request_id.
        """
        with self._lock:
            if self._pending.pop(entry.sequence, None) is None:
                return
            self._due.pop(entry.sequence, None)
            self._pending_bytes -= entry.size_bytes
            try:
                self._write(_line({"done": entry.sequence}))
            except JournalError:
                return
            self._compact()

    def refuse(self, entry: Entry, why: str) -> None:
        """Move an entry that the service will never take to the file of refused ones, for people to look at."""
        change = {"method": entry.method, "request": base64.b64encode(entry.request).decode(), "why": why}
        with self.refused_path.open("ab") as refused:
            refused.write(_line(change))
            refused.flush()
            os.fsync(refused.fileno())
        self.done(entry)

    def close(self) -> None:
        """Give the file back. What is pending waits for the next one who opens it."""
        with self._lock, self._sync_lock:
            if self._file >= 0:
                os.close(self._file)
                os.close(self._lock_file)
                self._file = -1

    def _write(self, line: bytes) -> None:
        if self._file < 0 or self._broken is not None:
            raise JournalError(f"{self.path}: {self._broken or 'closed'}")
        end = os.lseek(self._file, 0, os.SEEK_END)
        try:
            _write_all(self._file, line)
        except OSError as error:
            # Half a line would make the next one unreadable.
            os.ftruncate(self._file, end)
            raise JournalError(f"{self.path}: {error.strerror}") from error
        self._written += 1

    def _sync(self, written: int) -> None:
        """Make the first `written` lines durable. Whoever comes first syncs for all who wait."""
        with self._sync_lock:
            if self._synced >= written:
                return
            target = self._written
            try:
                if self._file < 0:
                    raise OSError("closed")
                os.fsync(self._file)
            except OSError as error:
                # After a failed sync nobody knows what is on the disk: nothing more is acknowledged.
                self._broken = error
                raise JournalError(f"{self.path}: {error}") from error
            self._synced = target

    def _compact(self) -> None:
        if os.lseek(self._file, 0, os.SEEK_END) < max(COMPACT_BYTES, 2 * self._pending_bytes):
            return
        with self._sync_lock:
            try:
                rewritten = self._rewrite()
            except OSError as error:
                log.warning("%s is not compacted: %s", self.path, error)
                return
            os.close(self._file)
            self._file = rewritten
            self._synced = self._written

    def _rewrite(self) -> int:
        """Write what is pending to a new file in its place, and return that, open."""
        fresh = self.path.with_name(f"{self.path.name}.new")
        file = os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            for entry in self._pending.values():
                _write_all(file, _line(_added(entry)))
            os.fsync(file)
            fresh.replace(self.path)
            _sync_folder(self.path.parent)
        except OSError:
            os.close(file)
            raise
        return file

    def _read(self) -> None:
        lines = self.path.read_bytes().split(b"\n") if self.path.exists() else [b""]
        damaged = 0
        for line in lines[:-1]:
            change = _change(line)
            if change is None:
                damaged += 1
            elif "add" in change:
                request = base64.b64decode(change["request"])
                entry = Entry(change["add"], change["method"], request, change["offline_micros"], len(line) + 1)
                self._pending[entry.sequence] = entry
                self._next_sequence = max(self._next_sequence, entry.sequence + 1)
            else:
                self._pending.pop(change["done"], None)
        self._pending_bytes = sum(entry.size_bytes for entry in self._pending.values())
        if damaged:
            aside = self.path.with_name(f"{self.path.name}.damaged")
            shutil.copyfile(self.path, aside)
            log.error("%s had %d lines that cannot be read; a copy is kept as %s", self.path, damaged, aside)


def _added(entry: Entry) -> dict[str, Any]:
    return {
        "add": entry.sequence,
        "method": entry.method,
        "request": base64.b64encode(entry.request).decode(),
        "offline_micros": entry.offline_micros,
    }


def _line(change: dict[str, Any]) -> bytes:
    body = json.dumps(change, separators=(",", ":")).encode()
    return b"%08x %s\n" % (zlib.crc32(body), body)


def _change(line: bytes) -> dict[str, Any] | None:
    checksum, _, body = line.partition(b" ")
    if checksum != b"%08x" % zlib.crc32(body):
        return None
    change: dict[str, Any] = json.loads(body)
    return change


def _write_all(file: int, body: bytes) -> None:
    while body:
        body = body[os.write(file, body) :]


def _locked(path: Path) -> int:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise JournalError(f"{path}: {error.strerror}") from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(file)
        raise JournalError(f"{path} is locked: another client has this journal open") from error
    return file


def _sync_folder(folder: Path) -> None:
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
