"""Labels, and the selectors that decide which spend a budget counts.

A selector is a conjunction: every label it names must be there with that value, or, where its pattern ends in `*`, with
a value that begins with what stands before the `*`. `*` alone asks only that the label is there. The empty selector
matches all spend. A `*` anywhere else is refused, because people would read it as a wildcard and it would not be one.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from outlay_server.domain.errors import Violations, echo
from outlay_server.domain.limits import LABEL_KEY_MAX_BYTES, LABEL_VALUE_MAX_BYTES, LABELS_MAX
from outlay_server.domain.text import is_plain

Labels = Mapping[str, str]
"""What a call says about its spend, such as `model` or `team`. Values are literal; `*` means nothing in them."""

CanonicalLabels = tuple[tuple[str, str], ...]
"""Labels in the one order that equal labels share: by key, by code point. Hashable."""


@dataclass(frozen=True, slots=True)
class Selector:
    """A parsed selector; make it with `selector_of`. Split by kind and sorted, so equal selectors compare equal."""

    exact: CanonicalLabels = ()
    """(label, value) pairs that must be equal."""

    prefixes: CanonicalLabels = ()
    """(label, prefix) pairs, without the `*`."""

    def patterns(self) -> dict[str, str]:
        """Return the selector as its owner wrote it, by label."""
        written = dict(self.exact) | {label: f"{prefix}*" for label, prefix in self.prefixes}
        return dict(sorted(written.items()))


MATCH_ALL: Final = Selector()


def selector_of(patterns: Mapping[str, str]) -> Selector:
    """Return the selector of patterns in which `add_selector_violations` found nothing."""
    items = sorted(patterns.items())
    return Selector(
        exact=tuple((label, pattern) for label, pattern in items if not pattern.endswith("*")),
        prefixes=tuple((label, pattern[:-1]) for label, pattern in items if pattern.endswith("*")),
    )


def matches(selector: Selector, labels: Labels) -> bool:
    """Say whether spend with these labels is counted. Called for every budget of every check: no allocation."""
    for label, expected in selector.exact:
        if labels.get(label) != expected:
            return False
    for label, prefix in selector.prefixes:
        value = labels.get(label)
        if value is None or not value.startswith(prefix):
            return False
    return True


def matches_pattern(pattern: str, value: str) -> bool:
    """Say whether one value matches one pattern, exact or with a trailing `*`."""
    return value.startswith(pattern[:-1]) if pattern.endswith("*") else value == pattern


def canonical(labels: Labels) -> CanonicalLabels:
    """Return the one tuple that stands for these labels."""
    return tuple(sorted(labels.items()))


def labels_to_json(labels: Labels) -> str:
    """Return labels, or a selector's patterns, as one JSON text: equal mappings give equal texts."""
    return json.dumps(dict(labels), sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def labels_from_json(text: str) -> dict[str, str]:
    """Return the mapping that `labels_to_json` wrote."""
    labels = json.loads(text)
    assert isinstance(labels, dict), "labels are stored as a JSON object"
    return labels


def add_label_violations(violations: Violations, field: str, labels: Labels) -> None:
    """Note everything that is wrong with a call's labels."""
    if _too_many(violations, field, labels):
        return
    for key, value in labels.items():
        problem = label_key_violation(key) or label_value_violation(value)
        if problem is not None:
            violations.add(f"{field}[{echo(key)}]", problem)


def add_selector_violations(violations: Violations, field: str, patterns: Mapping[str, str]) -> None:
    """Note everything that is wrong with a budget's selector."""
    if _too_many(violations, field, patterns):
        return
    for key, pattern in patterns.items():
        problem = label_key_violation(key) or pattern_violation(pattern)
        if problem is not None:
            violations.add(f"{field}[{echo(key)}]", problem)


def label_key_violation(key: str) -> str | None:
    """Return what is wrong with the key of a label, or None."""
    if not key:
        return "the key must not be empty"
    return _text_violation("key", key, LABEL_KEY_MAX_BYTES)


def label_value_violation(value: str) -> str | None:
    """Return what is wrong with the value of a label, or None. The empty value is a value."""
    return _text_violation("value", value, LABEL_VALUE_MAX_BYTES)


def pattern_violation(pattern: str) -> str | None:
    """Return what is wrong with a pattern of a selector or a gate, or None."""
    if "*" in pattern[:-1]:
        return "a '*' may stand only at the end of the pattern"
    return _text_violation("pattern", pattern, LABEL_VALUE_MAX_BYTES)


def _too_many(violations: Violations, field: str, labels: Mapping[str, str]) -> bool:
    if len(labels) <= LABELS_MAX:
        return False
    # Nothing else is said about them: two hundred thousand labels must not buy two hundred thousand checks.
    violations.add(field, f"must have at most {LABELS_MAX} entries")
    return True


def _text_violation(what: str, text: str, max_bytes: int) -> str | None:
    if len(text) <= max_bytes and text.isascii() and text.isprintable():
        return None  # Nearly all labels of nearly all checks.
    if not is_plain(text):
        return f"the {what} must not contain control characters or unpaired surrogates"
    # A character is at least one byte: long text need not be encoded to be refused.
    if len(text) > max_bytes or len(text.encode()) > max_bytes:
        return f"the {what} must be at most {max_bytes} bytes of UTF-8"
    return None
