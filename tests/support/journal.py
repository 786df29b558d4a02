"""The callers' journal: what they sent, what they were told, and what the books must therefore say.

It knows nothing of the server but the contract, and adds up acknowledged answers only, so whatever the server lost,
did twice or made up differs from it.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from outlay.v1 import budget_service_pb2 as pb
from outlay.v1 import reservation_pb2, spend_record_pb2


@dataclass(slots=True, eq=False)
class Entry:
    """One request and, once there is one, its answer."""

    method: str
    request: Any
    sends: int = 0
    answer: Any = None


@dataclass(slots=True)
class Journal:
    """Requests of many callers against one organization and one budget that counts all of them."""

    entries: list[Entry] = field(default_factory=list)
    held: dict[str, int] = field(default_factory=dict)
    """What each reservation that was granted still holds, in micros; a closed one is not in it."""
    granted: dict[str, int] = field(default_factory=dict)
    """What each was ever granted."""
    recorded: dict[str, int] = field(default_factory=dict)
    """The amount of each record by its name, in micros; below 0 for a refund."""

    def begin(self, method: str, request: Any) -> Entry:
        """Write down a request before it is sent."""
        entry = Entry(method, request)
        self.entries.append(entry)
        return entry

    def acknowledge(self, entry: Entry, answer: Any) -> None:
        """Write down its answer, and what follows from it."""
        assert entry.answer is None, "an entry is answered once"
        entry.answer = answer
        match entry.method:
            case "CheckSpend":
                self._checked(answer)
            case "RecordSpend":
                self._recorded(entry.request, answer)
            case "RefundSpend":
                self._note_record(answer.spend_record, -answer.spend_record.amount_micros)
            case "ReleaseReservation":
                del self.held[entry.request.name]
            case "ExtendReservation":
                self.held[entry.request.name] += answer.granted_micros
                self.granted[entry.request.name] += answer.granted_micros
            case _:
                raise AssertionError(f"no rule for {entry.method}")

    @property
    def acknowledged(self) -> Iterator[Entry]:
        return (entry for entry in self.entries if entry.answer is not None)

    @property
    def unanswered(self) -> list[Entry]:
        return [entry for entry in self.entries if entry.answer is None]

    @property
    def spent_micros(self) -> int:
        return sum(self.recorded.values())

    @property
    def held_micros(self) -> int:
        return sum(self.held.values())

    def _checked(self, answer: pb.CheckSpendResponse) -> None:
        if answer.reservation:
            assert answer.reservation not in self.granted, "two checks got one reservation"
            self.held[answer.reservation] = self.granted[answer.reservation] = answer.granted_micros
        if answer.spend_record:
            assert answer.spend_record not in self.recorded, "two checks got one record"
            self.recorded[answer.spend_record] = answer.granted_micros

    def _recorded(self, request: pb.RecordSpendRequest, answer: pb.RecordSpendResponse) -> None:
        assert answer.spend_record.amount_micros == request.amount_micros
        self._note_record(answer.spend_record, request.amount_micros)
        if not request.reservation:
            return
        if request.keep_open:
            held = self.held[request.reservation]
            self.held[request.reservation] = held - min(held, request.amount_micros)
        else:
            del self.held[request.reservation]

    def _note_record(self, record: spend_record_pb2.SpendRecord, amount_micros: int) -> None:
        assert record.name not in self.recorded, "two requests got one record"
        self.recorded[record.name] = amount_micros


def differences(
    journal: Journal,
    reservations: list[reservation_pb2.Reservation],
    records: list[spend_record_pb2.SpendRecord],
) -> tuple[list[str], list[str]]:
    """What the ledger lacks of a journal in which all is answered, and what it has beyond it: lost and doubled."""
    lost: list[str] = []
    extra: list[str] = []
    kept = {one.name: one for one in reservations}
    for name, granted in journal.granted.items():
        found = kept.pop(name, None)
        if found is None:
            lost.append(f"{name}: granted {granted}, missing")
            continue
        expected = (granted, journal.held.get(name, 0), name in journal.held)
        is_open = found.state == reservation_pb2.RESERVATION_STATE_OPEN
        if (found.granted_micros, found.held_micros, is_open) != expected:
            lost.append(f"{name}: granted, held, open should be {expected} and is {found!r}")
    extra += [f"{name}: nobody was told of it" for name in kept]
    written = {one.name: one for one in records}
    for name, amount in journal.recorded.items():
        record = written.pop(name, None)
        if record is None:
            lost.append(f"{name}: recorded {amount}, missing")
            continue
        sign = -1 if record.kind == spend_record_pb2.SPEND_RECORD_KIND_REFUND else 1
        if sign * record.amount_micros != amount:
            lost.append(f"{name}: recorded {amount}, is {sign * record.amount_micros}")
    extra += [f"{name}: nobody was told of it" for name in written]
    return lost, extra
