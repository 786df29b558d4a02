"""What a scenario can ask of any face, in plain values, and the answers it gets: a word and facts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from properties.model import Spec


@dataclass(frozen=True)
class Check:
    amount: int
    unit: str = "USD"
    minimum: int | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    mode: str = "RESERVE"
    ttl_seconds: int = 300
    on_expiry: str = "RELEASE"
    request_id: str = ""
    full_view: bool = False


@dataclass(frozen=True)
class Record:
    amount: int
    reservation: str | None = None
    """As the face calls it."""
    unit: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    keep_open: bool = False
    ago_seconds: int | None = None
    request_id: str = ""


@dataclass(frozen=True)
class Answer:
    word: str
    facts: Mapping[str, str] = field(default_factory=dict)
    handle: str = ""
    """What it left behind, as the face calls it."""


def error(reason: str, fields: Sequence[str] = ()) -> Answer:
    return Answer("error", {"reason": reason, "field": ",".join(fields)})


class Face(Protocol):
    """One organization `acme`, or whatever it is called there, just made."""

    def create(self, budget_id: str, spec: Spec) -> None: ...
    def update(self, budget_id: str, spec: Spec) -> None: ...
    def delete(self, budget_id: str, *, force: bool) -> Answer: ...
    def set_gate(self, *, enabled: bool) -> None: ...
    def check(self, checks: Sequence[Check]) -> list[Answer]: ...
    def record(self, records: Sequence[Record]) -> list[Answer]: ...
    def refund(self, record: str, amount: int | None, request_id: str) -> Answer: ...
    def release(self, reservation: str, request_id: str) -> Answer: ...
    def extend(self, reservation: str, more: int, ttl_seconds: int, request_id: str) -> Answer: ...
    def spend(self, budget_id: str) -> Mapping[str, str]: ...
    def alerts(self, budget_id: str) -> Sequence[str]:
        """`BASIS:PERCENT`, oldest first."""

    def wait(self, seconds: int) -> None: ...
    def close(self) -> None: ...


def recorded_word(record: Record, *, late: bool) -> str:
    """How a record that was taken is called."""
    if late:
        return "late"
    if record.reservation is None:
        return "recorded"
    return "drawn" if record.keep_open else "settled"
