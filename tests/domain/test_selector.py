"""Selectors: a conjunction of exact values and prefixes."""

import fnmatch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from outlay_server.domain.errors import Violations
from outlay_server.domain.selector import (
    MATCH_ALL,
    add_label_violations,
    add_selector_violations,
    canonical,
    labels_from_json,
    labels_to_json,
    matches,
    selector_of,
)

keys = st.text("ab", min_size=1, max_size=2)
values = st.text("xy*", max_size=3)
patterns = st.builds(lambda text, star: text + star, st.text("xy", max_size=3), st.sampled_from(["", "*"]))


def violated(labels: dict[str, str]) -> list[str]:
    violations = Violations()
    add_label_violations(violations, "labels", labels)
    return [violation.field for violation in violations.found()]


def violated_selector(selector: dict[str, str]) -> list[str]:
    violations = Violations()
    add_selector_violations(violations, "selector", selector)
    return [violation.field for violation in violations.found()]


@given(st.dictionaries(keys, patterns), st.dictionaries(keys, values))
def test_a_selector_matches_when_each_of_its_labels_does(wanted: dict[str, str], labels: dict[str, str]) -> None:
    """Checked against shell patterns, which agree where `*` is the only special character."""
    expected = all(key in labels and fnmatch.fnmatchcase(labels[key], pattern) for key, pattern in wanted.items())
    assert matches(selector_of(wanted), labels) == expected


@pytest.mark.parametrize(
    ("selector", "labels", "expected"),
    [
        ({"model": "claude-opus-*"}, {"model": "claude-opus-4"}, True),
        ({"model": "claude-opus-*"}, {"model": "claude-opus-"}, True),
        ({"model": "claude-opus-*"}, {"model": "claude-sonnet-4"}, False),
        ({"model": "claude-opus-*"}, {}, False),
        ({"team": ""}, {"team": ""}, True),
        ({"team": ""}, {}, False),
        ({"team": "*"}, {"team": "anything"}, True),
        ({"team": "*"}, {}, False),
        ({"team": "red"}, {"team": "Red"}, False),
        ({"team": "red", "model": "a*"}, {"team": "red", "model": "b"}, False),
        ({"team": "red", "model": "a*"}, {"team": "red", "model": "abc", "region": "eu"}, True),
    ],
)
def test_what_a_selector_matches(selector: dict[str, str], labels: dict[str, str], expected: bool) -> None:
    """One row a rule: prefixes, presence, case, conjunction, labels that nobody asked for."""
    assert matches(selector_of(selector), labels) is expected


def test_the_empty_selector_matches_all_spend() -> None:
    """Also spend without labels."""
    assert selector_of({}) == MATCH_ALL
    assert matches(MATCH_ALL, {})
    assert matches(MATCH_ALL, {"model": "any"})


@given(st.dictionaries(keys, patterns))
def test_a_selector_is_given_back_as_it_was_written(wanted: dict[str, str]) -> None:
    """Also in another order, which makes no other selector."""
    assert selector_of(wanted).patterns() == wanted
    assert selector_of(dict(reversed(wanted.items()))) == selector_of(wanted)


@given(st.dictionaries(st.text(), st.text()))
def test_equal_labels_have_one_canonical_form_and_one_text(labels: dict[str, str]) -> None:
    """Whatever order they came in; and the text can be read back."""
    reordered = dict(reversed(labels.items()))
    assert canonical(reordered) == canonical(labels)
    assert labels_to_json(reordered) == labels_to_json(labels)
    assert labels_from_json(labels_to_json(labels)) == labels


def test_the_json_of_labels_is_compact_and_sorted() -> None:
    """Stored rows are compared by this text."""
    assert labels_to_json({"b": "ü", "a": "1"}) == '{"a":"1","b":"ü"}'


@pytest.mark.parametrize(
    "labels",
    [{}, {"k" * 63: "v" * 255}, {"é" * 31: "é" * 127}, {"a b": ""}, {"a": "*"}, {str(n): "" for n in range(16)}],
)
def test_labels_within_the_limits_are_accepted(labels: dict[str, str]) -> None:
    """Any text that is UTF-8 and shows; an empty value is a value; `*` means nothing in a label."""
    assert violated(labels) == []


@pytest.mark.parametrize(
    ("labels", "fields"),
    [
        ({"": "v"}, ['labels[""]']),
        ({"k" * 64: "v"}, [f'labels["{"k" * 64}"]']),
        ({"é" * 32: "v"}, ["labels[\"" + "\\xe9" * 32 + "\"]"]),
        ({"k": "v" * 256}, ['labels["k"]']),
        ({"k": "é" * 128}, ['labels["k"]']),
        ({"k": "a\x00b"}, ['labels["k"]']),
        ({"k": "a\nb"}, ['labels["k"]']),
        ({"k": "\ud800"}, ['labels["k"]']),
        ({"k\x7f": "v"}, ['labels["k\\x7f"]']),
        ({"a": "\x00", "b": "ok", "c": "\x00"}, ['labels["a"]', 'labels["c"]']),
    ],
)  # fmt: skip
def test_labels_outside_the_limits_are_named(labels: dict[str, str], fields: list[str]) -> None:
    """Lengths count bytes of UTF-8, and every label that is wrong is listed."""
    assert violated(labels) == fields


def test_too_many_labels_are_one_violation() -> None:
    """However many there are, and whatever else is wrong with them."""
    assert violated({f"\x00{n}": "" for n in range(1_000)}) == ["labels"]


@pytest.mark.parametrize("pattern", ["", "a", "a*", "*", "v" * 255])
def test_patterns_are_exact_or_end_in_a_star(pattern: str) -> None:
    """The empty pattern asks for the empty value."""
    assert violated_selector({"k": pattern}) == []


@pytest.mark.parametrize("pattern", ["*a", "a*b", "a**", "**", "v" * 256, "a\x00*"])
def test_a_star_elsewhere_is_refused(pattern: str) -> None:
    """People would read it as a wildcard, and it would match nothing."""
    assert violated_selector({"k": pattern}) == ['selector["k"]']
