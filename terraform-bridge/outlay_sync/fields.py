"""Reading the values of fields: each method takes a node and its path, and returns a value or notes what is wrong."""

import difflib
import re
from collections.abc import Callable, Iterable
from collections.abc import Sequence as Listing
from dataclasses import dataclass
from typing import Final

from outlay_sync import scalars
from outlay_sync.desired import SOURCE, Setting, Value
from outlay_sync.nodes import Mapping, Node, Scalar, Sequence, Unread
from outlay_sync.problems import Place, Problem, echo
from outlay_sync.rules import Rules

ENVIRONMENT_NAME: Final = r"[A-Za-z_][A-Za-z0-9_]{0,127}"
_SOURCE: Final = re.compile(SOURCE, re.ASCII)
_ENVIRONMENT_NAME: Final = re.compile(ENVIRONMENT_NAME, re.ASCII)


@dataclass(frozen=True, slots=True)
class Fields:
    """Reads the fields of one file and collects what is wrong with them."""

    rules: Rules
    problems: list[Problem]

    def complain(self, place: Place, path: str, message: str | None) -> None:
        """Note a problem; None, what a rule says of a valid value, notes nothing."""
        if message is not None:
            self.problems.append(Problem(place, path, message))

    # Structure

    def mapping(self, node: Node, path: str, what: str) -> Mapping | None:
        if isinstance(node, Mapping):
            return node
        self._wrong_kind(node, path, f"must be a mapping: {what}")
        return None

    def sequence(self, node: Node, path: str, what: str) -> list[Node]:
        """The items; none for what is no list, which is noted."""
        if isinstance(node, Sequence):
            return node.items
        self._wrong_kind(node, path, f"must be a list: {what}")
        return []

    def refuse_unknown(self, mapping: Mapping, path: str, known: Iterable[str]) -> None:
        names = list(known)
        for entry in mapping.entries.values():
            if entry.key.text not in names:
                self.complain(entry.key.place, _join(path, entry.key.text), _unknown(entry.key.text, names))

    def required(self, mapping: Mapping, path: str, name: str) -> Node | None:
        entry = mapping.entries.get(name)
        if entry is None:
            self.complain(mapping.place, _join(path, name), "must be set")
            return None
        return entry.value

    def setting(self, node: Node, path: str, read: Callable[[Node, str], Value], *, nullable: bool) -> Setting | None:
        """The setting in a node; None where it is not acceptable, which is noted."""
        if isinstance(node, Unread):
            return None
        if isinstance(node, Scalar) and scalars.is_empty(node):
            instead = "write null for none, or remove the line to leave it unmanaged" if nullable else "give a value"
            self.complain(node.place, path, f"has no value: {instead}")
            return None
        if isinstance(node, Scalar) and scalars.is_null(node):
            if nullable:
                return Setting(None, node.place)
            self.complain(node.place, path, "must not be null")
            return None
        count = len(self.problems)
        value = read(node, path)
        return Setting(value, node.place) if len(self.problems) == count else None

    # Values. What they return after a complaint is only good for reading on.

    def text(self, node: Node, path: str) -> str:
        scalar = self._scalar(node, path, "text")
        if scalar is None:
            return ""
        other = scalars.other_reading(scalar)
        if other is not None:
            self.complain(
                scalar.place, path, f"{echo(scalar.text)} reads as {other}: put it in quotes where text is meant"
            )
        return scalar.text

    def display_name(self, node: Node, path: str) -> str:
        text = self.text(node, path)
        self.complain(node.place, path, self.rules.text(text, self.rules.display_name_max_length))
        return text

    def id(self, node: Node, path: str) -> str:
        return self._ruled(node, path, self.rules.id)

    def source(self, node: Node, path: str) -> str:
        return self._ruled(node, path, source_violation)

    def unit(self, node: Node, path: str) -> str:
        return self._ruled(node, path, self.rules.unit)

    def label(self, node: Node, path: str) -> str:
        return self._ruled(node, path, self.rules.label_key)

    def pattern(self, node: Node, path: str) -> str:
        """A pattern of a gate, which must not be empty; one of a selector may be."""
        return self._ruled(node, path, lambda text: self.rules.label_pattern(text) if text else "must not be empty")

    def time_zone(self, node: Node, path: str) -> str:
        return self._ruled(node, path, self.rules.time_zone)

    def date(self, node: Node, path: str) -> str:
        return self._ruled(node, path, self.rules.date)

    def environment_name(self, node: Node, path: str) -> str:
        return self._ruled(
            node,
            path,
            lambda text: (
                None
                if _ENVIRONMENT_NAME.fullmatch(text)
                else "must be the name of an environment variable, such as OUTLAY_WEBHOOK_SECRET"
            ),
        )

    def amount(self, node: Node, path: str) -> int:
        scalar = self._scalar(node, path, "an amount, such as 500.00")
        if scalar is None:
            return 0
        try:
            return self.rules.amount(scalar.text)
        except ValueError as error:
            self.complain(scalar.place, path, str(error))
            return 0

    def boolean(self, node: Node, path: str) -> bool:
        scalar = self._scalar(node, path, "true or false")
        if scalar is None:
            return False
        value = scalars.boolean(scalar)
        if value is None:
            self.complain(scalar.place, path, f"must be true or false, not {echo(scalar.text)}")
        return value or False

    def choice(self, node: Node, path: str, choices: Listing[str]) -> str:
        """One of some names, which may be written in lower case too."""
        scalar = self._scalar(node, path, f"one of {', '.join(choices)}")
        if scalar is None:
            return ""
        for choice in choices:
            if scalar.text in (choice, choice.lower()):
                return choice
        self.complain(scalar.place, path, f"must be one of {', '.join(choices)}, not {echo(scalar.text)}")
        return ""

    def thresholds(self, node: Node, path: str) -> tuple[int, ...]:
        items = self.sequence(node, path, "whole percents, such as [50, 75, 100]")
        rules = self.rules
        if len(items) > rules.thresholds_max:
            self.complain(node.place, path, f"must have at most {rules.thresholds_max} entries")
            return ()
        percents: list[int] = []
        for index, item in enumerate(items):
            percent = self._percent(item, f"{path}[{index}]")
            if percent is not None and percents and percent <= percents[-1]:
                self.complain(item.place, f"{path}[{index}]", "must be above the one before it")
            if percent is not None:
                percents.append(percent)
        return tuple(percents)

    def _percent(self, node: Node, path: str) -> int | None:
        least, most = self.rules.threshold_percent_min, self.rules.threshold_percent_max
        what = f"a whole percent, {least} to {most}"
        scalar = self._scalar(node, path, what)
        if scalar is None:
            return None
        percent = scalars.integer(scalar)
        if percent is None or not least <= percent <= most:
            self.complain(scalar.place, path, f"must be {what}, not {echo(scalar.text)}")
            return None
        return percent

    def selector(self, node: Node, path: str) -> dict[str, str]:
        mapping = self.mapping(node, path, "label: value, where a trailing * matches a prefix")
        if mapping is None:
            return {}
        if len(mapping.entries) > self.rules.labels_max:
            self.complain(mapping.place, path, f"must have at most {self.rules.labels_max} entries")
            return {}
        patterns = {}
        for key, entry in mapping.entries.items():
            where = f"{path}[{echo(key)}]"
            self.complain(entry.key.place, where, self.rules.label_key(key))
            patterns[key] = self._ruled(entry.value, where, self.rules.label_pattern)
        return patterns

    def event_types(self, node: Node, path: str) -> tuple[str, ...]:
        known = self.rules.webhook_event_types
        found: list[str] = []
        for index, item in enumerate(self.sequence(node, path, f"any of {', '.join(known)}")):
            name = self.choice(item, f"{path}[{index}]", known)
            if name in found:
                self.complain(item.place, f"{path}[{index}]", "must not be there twice")
            found.append(name)
        return tuple(found)

    def _ruled(self, node: Node, path: str, rule: Callable[[str], str | None]) -> str:
        count = len(self.problems)
        text = self.text(node, path)
        if len(self.problems) == count and not isinstance(node, Unread):
            self.complain(node.place, path, rule(text))
        return text

    def _scalar(self, node: Node, path: str, what: str) -> Scalar | None:
        if isinstance(node, Scalar):
            return node
        self._wrong_kind(node, path, f"must be {what}")
        return None

    def _wrong_kind(self, node: Node, path: str, message: str) -> None:
        if not isinstance(node, Unread):
            self.complain(node.place, path, message)


def source_violation(text: str) -> str | None:
    """Return what is wrong with the name of a source, or None."""
    if _SOURCE.fullmatch(text):
        return None
    return "must be 1 to 100 letters, digits, '.', '_', '/' and '-', such as platform/caps"


def _join(path: str, name: str) -> str:
    shown = name if re.fullmatch(r"[A-Za-z0-9_]{1,64}", name) else echo(name)
    return f"{path}.{shown}" if path else shown


def _unknown(name: str, known: Listing[str]) -> str:
    snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name[:64]).lower().replace("-", "_").removesuffix("_micros")
    close = [snake] if snake in known else difflib.get_close_matches(snake, known, n=1, cutoff=0.6)
    if close:
        return f"is no field: did you mean {close[0]}?"
    return f"is no field: there are {', '.join(known)}"
