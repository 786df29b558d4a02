"""Play one section on one face."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from properties.model import Spec
from scenarios.face import Answer, Check, Face, Record
from scenarios.rows import Row, Section, micros

BORN_WITH = {"spending": Spec(), "credits": Spec(unit="CREDITS", cap_enabled=True, thresholds=())}

SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


def play(section: Section, face: Face) -> None:
    """Ask every row and hold the answers against what the file says."""
    player = Player(face)
    for batch in section.batches():
        player.play(batch)


class Player:
    def __init__(self, face: Face) -> None:
        self._face = face
        self._specs = dict(BORN_WITH)
        self._handles: dict[str, str] = {}

    def play(self, batch: Sequence[Row]) -> None:
        verb, where = batch[0].words[0], batch[0].where
        assert all(row.words[0] == verb for row in batch), f"{where}: one verb a batch"
        if verb in ("check", "record"):
            names, requests = zip(*(getattr(self, f"_{verb}")(list(row.words[1:])) for row in batch), strict=True)
            answers = getattr(self._face, verb)(requests)
            for name, row, answer in zip(names, batch, answers, strict=True):
                if name and answer.handle:
                    self._handles[name] = answer.handle
                compare(row, answer)
            return
        assert len(batch) == 1, f"{where}: nothing but checks and records is sent together"
        getattr(self, f"_play_{verb}")(batch[0], list(batch[0].words[1:]))

    # Events

    def _play_budget(self, row: Row, words: list[str]) -> None:
        budget_id = words.pop(0)
        is_new = budget_id not in self._specs
        spec = self._specs[budget_id] = _changed(self._specs.get(budget_id, Spec()), words, row.where)
        (self._face.create if is_new else self._face.update)(budget_id, spec)

    def _play_delete(self, row: Row, words: list[str]) -> None:
        answer = self._face.delete(words[0], force="force" in words)
        if answer.word == "deleted":
            del self._specs[words[0]]
        compare(row, answer)

    def _play_gate(self, row: Row, words: list[str]) -> None:
        assert words[0] == "opus", f"{row.where}: there is only one"
        self._face.set_gate(enabled=words[1] == "on")

    def _play_wait(self, row: Row, words: list[str]) -> None:
        self._face.wait(seconds(words[0]))

    def _play_refund(self, row: Row, words: list[str]) -> None:
        options = _Options(words[1:])
        amount = options.take(lambda word: word[0].isdigit())
        request_id = options.value("id") or ""
        options.done(row.where)
        compare(row, self._face.refund(self._handle(words[0]), micros(amount) if amount else None, request_id))

    def _play_release(self, row: Row, words: list[str]) -> None:
        compare(row, self._face.release(self._handle(words[0]), _Options(words[1:]).value("id") or ""))

    def _play_extend(self, row: Row, words: list[str]) -> None:
        options = _Options(words[1:])
        more, ttl = options.value("more"), options.value("ttl")
        request_id = options.value("id") or ""
        options.done(row.where)
        answer = self._face.extend(
            self._handle(words[0]), micros(more) if more else 0, seconds(ttl) if ttl else 300, request_id
        )
        compare(row, answer)

    def _play_spend(self, row: Row, words: list[str]) -> None:
        compare(row, Answer("", self._face.spend(words[0] if words else "spending")))

    def _play_alerts(self, row: Row, words: list[str]) -> None:
        found = self._face.alerts(words[0] if words else "spending")
        assert list(row.expected) == (list(found) or ["none"]), row.where

    # Requests

    def _check(self, words: list[str]) -> tuple[str, Check]:
        name, amount = words[:2]
        options = _Options(words[2:])
        minimum, ttl = options.value("at_least"), options.value("ttl")
        asked = Check(
            amount=micros(amount),
            labels=options.labels(),
            minimum=None if minimum is None else micros(minimum),
            ttl_seconds=seconds(ttl) if ttl else 300,
            request_id=options.value("id") or "",
            mode="CHECK_ONLY" if options.flag("only") else "RECORD" if options.flag("at_once") else "RESERVE",
            on_expiry="RECORD" if options.flag("records") else "RELEASE",
            full_view=options.flag("full"),
            unit=options.take(str.isupper) or "USD",
        )
        options.done(name)
        return name, asked

    def _record(self, words: list[str]) -> tuple[str, Record]:
        settled, amount = words[:2]
        options = _Options(words[2:])
        ago = options.value("ago")
        name = options.value("as") or ""
        asked = Record(
            amount=micros(amount),
            reservation=None if settled == "-" else self._handle(settled),
            labels=options.labels(),
            keep_open=options.flag("keep_open"),
            ago_seconds=None if ago is None else seconds(ago),
            request_id=options.value("id") or "",
            unit=options.take(str.isupper) or "",
        )
        options.done(settled)
        return name, asked

    def _handle(self, name: str) -> str:
        return self._handles[name]


class _Options:
    """The words behind the first ones, taken in any order."""

    def __init__(self, words: Sequence[str]) -> None:
        self._words = list(words)

    def value(self, name: str) -> str | None:
        if name not in self._words:
            return None
        place = self._words.index(name)
        value = self._words[place + 1]
        del self._words[place : place + 2]
        return value

    def flag(self, name: str) -> bool:
        found = name in self._words
        if found:
            self._words.remove(name)
        return found

    def labels(self) -> dict[str, str]:
        pairs = [word for word in self._words if "=" in word]
        self._words = [word for word in self._words if "=" not in word]
        return dict(pair.split("=", 1) for pair in pairs)

    def take(self, fits: Callable[[str], bool]) -> str | None:
        for word in self._words:
            if fits(word):
                self._words.remove(word)
                return word
        return None

    def done(self, where: str) -> None:
        assert not self._words, f"{where}: what is {self._words}?"


def _changed(spec: Spec, words: list[str], where: str) -> Spec:
    """A budget's settings with those that a row names changed."""
    changes: dict[str, Any] = {}
    while words:
        word = words.pop(0)
        if word.isupper():
            changes["unit"] = word
            continue
        value = words.pop(0)
        amount = None if value == "none" else micros(value) if value[0].isdigit() and "," not in value else 0
        match word:
            case "hard_cap":
                changes |= {"cap": amount, "cap_enabled": True}
            case "hard_cap_off":
                changes |= {"cap": amount, "cap_enabled": False}
            case "soft" | "allotment":
                changes[word] = amount
            case "override":
                changes["override"] = None if amount is None else (amount, 0)
            case "thresholds":
                given = {"none": (), "default": None}
                changes[word] = given[value] if value in given else tuple(int(each) for each in value.split(","))
            case "alerts":
                changes["alerts_enabled"] = value == "on"
            case "selector":
                pairs = () if value == "all" else (tuple(pair.split("=", 1)) for pair in value.split(","))
                changes[word] = tuple(sorted(pairs))
            case "period" | "enforcement":
                changes[word] = value.upper()
            case _:
                raise AssertionError(f"{where}: what is {word}?")
    return replace(spec, **changes)


def seconds(text: str) -> int:
    return int(text[:-1]) * SECONDS[text[-1]]


def compare(row: Row, answer: Answer) -> None:
    """The first word is the answer's (a denial or an error says why next), then facts by name."""
    words = list(row.expected)
    if answer.word:
        assert words.pop(0) == answer.word, f"{row.where}: {answer}"
    if answer.word in ("denied", "error"):
        assert words.pop(0).upper() == answer.facts["reason"], f"{row.where}: {answer}"
    for name, value in zip(words[::2], words[1::2], strict=True):
        shown = f"{value}.00" if value.isdigit() and name != "denied" else value
        assert answer.facts.get(name) == shown, f"{row.where}: {name} in {answer}"
