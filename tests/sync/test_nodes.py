"""YAML as it is read here: one tree, every node with its place, and everything that can be misread refused."""

import pytest

from outlay_sync.nodes import DEPTH_MAX, FILE_MAX_BYTES, Mapping, Node, Scalar, read_document
from outlay_sync.problems import Problem


def read(content: bytes | str) -> tuple[Node | None, list[str]]:
    problems: list[Problem] = []
    node = read_document("f", content.encode() if isinstance(content, str) else content, problems)
    return node, [str(problem) for problem in problems]


def test_every_node_knows_its_line_and_column_in_characters() -> None:
    """Columns are those that an editor shows, beyond letters of several bytes too."""
    node, problems = read('é: 1\nb:\n  - "ü": {ß: x, k: y}\n')
    assert problems == []
    assert isinstance(node, Mapping)
    inner = node.entries["b"].value.items[0].entries["ü"].value  # type: ignore[union-attr]
    assert (str(inner.place), str(inner.entries["k"].key.place)) == ("f:3:10", "f:3:17")  # type: ignore[union-attr]


def test_a_byte_order_mark_is_no_part_of_the_first_key() -> None:
    node, problems = read(b"\xef\xbb\xbfa: 1\n")
    assert (problems, list(node.entries)) == ([], ["a"])  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("a: &x 1\n", "f:1:4: an anchor (&x) is not read: remove it"),
        ("a: [*x]\n", "f:1:5: an alias (*x) is not read: write out what it stands for"),
        ("a: !!str 1\n", 'f:1:4: a tag ("tag:yaml.org,2002:str") is not read: remove it'),
        ("a: ! 1\n", 'f:1:4: a tag ("!") is not read: remove it'),
        (
            "!!python/object/apply:os.system ['true']\n",
            'f:1:1: a tag ("tag:yaml.org,2002:python/object/apply:os.system") is not read: remove it',
        ),
        ("<<: {a: 1}\n", "f:1:1: merge keys (<<) are not read: write out what they stand for"),
        ("a: 1\nb: 2\na: 3\n", 'f:3:1: the key "a" is here twice; first in line 1, column 1'),
        ("{a: 1, 'a': 2}\n", 'f:1:8: the key "a" is here twice; first in line 1, column 2'),
        ("? [a, b]\n: 1\n", "f:1:3: a key must be a word, not a list or a mapping"),
        ("a: 1\n---\nb: 2\n", "f:2:1: a second document begins here: write one document a file"),
        ("%YAML 1.1\n---\na: 1\n", "f:1:1: directives (%YAML, %TAG) are not read: remove them"),
        ("", "f:1:1: the file holds no document"),
        ("# nothing\n", "f:1:1: the file holds no document"),
        (b"a: 1\nb: \xff\n", "f:2:4: the file is not UTF-8 from here on"),
        (b"\xff\xfea\x00", "f:1:1: the file is not UTF-8 from here on"),
        ("a: \x07\n", "f:1:4: the character U+0007 is not allowed in YAML"),
        ("a: b: c\n", "f:1:5: not YAML: mapping values are not allowed in this context"),
    ],
)
def test_what_can_be_misread_is_refused_at_its_place(content: bytes | str, complaint: str) -> None:
    _, problems = read(content)
    assert complaint in problems


def test_everything_that_is_wrong_is_said_at_once() -> None:
    _, problems = read("a: &x 1\nb: *x\nb: !t 2\n<<: 3\n")
    assert [problem.split(": ")[0] for problem in problems] == ["f:1:4", "f:2:4", "f:3:1", "f:3:4", "f:4:1"]


def test_a_billion_laughs_cost_nothing() -> None:
    """An alias is refused where it stands, and never put in place of what it names."""
    lines = ["a0: &a0 [x, x]"] + [f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 64)]
    _, problems = read("\n".join(lines))
    assert sum("an alias" in problem for problem in problems) == 126


@pytest.mark.parametrize("opened", ["[", "{a: ", "- ", "? "])
def test_five_thousand_levels_are_refused_at_the_first_that_is_too_deep(opened: str) -> None:
    _, problems = read(opened * 5000)
    assert len(problems) <= DEPTH_MAX
    assert f"nested deeper than {DEPTH_MAX} levels" in problems[-1]


def test_a_file_that_is_too_large_is_not_read() -> None:
    node, problems = read(b"a: " + b"x" * FILE_MAX_BYTES)
    assert (node, problems) == (None, ["f:1:1: the file has more than 1024 KiB; split it"])


def test_quotation_marks_and_blocks_are_told_from_plain_text() -> None:
    node, _ = read("a: x\nb: 'x'\nc: \"x\"\nd: |\n  x\n")
    scalars = [entry.value for entry in node.entries.values()]  # type: ignore[union-attr]
    assert [isinstance(scalar, Scalar) and scalar.is_plain for scalar in scalars] == [True, False, False, False]
