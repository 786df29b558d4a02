"""The journal, as a file."""

from pathlib import Path

import pytest

from outlay.v1 import budget_service_pb2 as pb
from outlay_client import Journal, JournalError, JournalFull
from outlay_client import journal as journal_module


def request(number: int) -> pb.RecordSpendRequest:
    return pb.RecordSpendRequest(amount_micros=number, request_id=f"r{number}")


def amounts(journal: Journal) -> list[int]:
    return [pb.RecordSpendRequest.FromString(entry.request).amount_micros for entry in journal.due()]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "folder" / "journal"


def test_what_was_appended_and_not_done_is_due_when_it_is_opened_again(path: Path) -> None:
    first = Journal(path)
    entries = [first.append("RecordSpend", request(number)) for number in (1, 2, 3)]
    assert amounts(first) == []
    first.done(entries[1])
    first.close()
    second = Journal(path)
    assert amounts(second) == [1, 3]
    assert second.append("RecordSpend", request(4)).sequence == 4
    second.close()


def test_an_entry_that_is_left_is_due_until_it_is_done(path: Path) -> None:
    journal = Journal(path)
    entry = journal.append("RecordSpend", request(7), offline_micros=5)
    journal.later(entry)
    assert (amounts(journal), journal.due()[0].offline_micros) == ([7], 5)
    journal.done(entry)
    journal.later(entry)
    assert (amounts(journal), journal.pending) == ([], 0)
    journal.close()


@pytest.mark.parametrize("cut", [1, 10, 60])
def test_a_torn_tail_is_dropped(path: Path, cut: int) -> None:
    journal = Journal(path)
    for number in (1, 2):
        journal.append("RecordSpend", request(number))
    journal.close()
    path.write_bytes(path.read_bytes()[:-cut])
    again = Journal(path)
    assert amounts(again) == [1]
    again.append("RecordSpend", request(3))
    again.close()
    last = Journal(path)
    assert amounts(last) == [1, 3]
    last.close()


def test_a_damaged_line_is_kept_aside_and_the_others_are_read(path: Path) -> None:
    journal = Journal(path)
    for number in (1, 2, 3):
        journal.append("RecordSpend", request(number))
    journal.close()
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([lines[0], lines[1].replace(b"RecordSpend", b"RecordSpent"), lines[2]]))
    again = Journal(path)
    assert amounts(again) == [1, 3]
    assert b"RecordSpent" in path.with_name("journal.damaged").read_bytes()
    again.close()


def test_two_clients_cannot_share_one(path: Path) -> None:
    journal = Journal(path)
    with pytest.raises(JournalError, match="locked"):
        Journal(path)
    journal.close()
    Journal(path).close()


def test_it_has_a_limit(path: Path) -> None:
    probe = Journal(path.with_name("probe"))
    size_bytes = probe.append("RecordSpend", request(1)).size_bytes
    probe.close()
    journal = Journal(path, max_pending_bytes=2 * size_bytes)
    entry, _ = (journal.append("RecordSpend", request(number)) for number in (1, 2))
    with pytest.raises(JournalFull):
        journal.append("RecordSpend", request(3))
    journal.done(entry)
    journal.append("RecordSpend", request(3))
    journal.close()


def test_the_file_is_rewritten_as_entries_are_done(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_module, "COMPACT_BYTES", 2_000)
    journal = Journal(path)
    kept = journal.append("RecordSpend", request(1))
    journal.later(kept)
    for number in range(2, 200):
        journal.done(journal.append("RecordSpend", request(number)))
        assert path.stat().st_size < 2_500
    journal.close()
    again = Journal(path)
    assert amounts(again) == [1]
    again.close()


def test_what_is_refused_for_good_is_kept_for_people(path: Path) -> None:
    journal = Journal(path)
    journal.refuse(journal.append("RecordSpend", request(1)), "VALIDATION_FAILED: no")
    assert b"VALIDATION_FAILED" in journal.refused_path.read_bytes()
    journal.close()
    again = Journal(path)
    assert again.pending == 0
    again.close()


def test_nothing_is_appended_to_a_closed_one(path: Path) -> None:
    journal = Journal(path)
    journal.close()
    with pytest.raises(JournalError):
        journal.append("RecordSpend", request(1))
