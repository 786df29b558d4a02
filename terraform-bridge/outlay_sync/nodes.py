"""One YAML document as a tree in which every node knows its line and column.

Only what cannot be misread is YAML here: mappings, sequences and scalars. Aliases, anchors, tags, merge keys,
directives, several documents and a key written twice are refused, because each of them lets a file mean something else
than what a reader of the line sees. What a plain scalar means is decided by who reads it: see `scalars`.
"""

from dataclasses import dataclass, field
from typing import Any, Final

import yaml

from outlay_sync.problems import Place, Problem, echo

FILE_MAX_BYTES: Final = 1024 * 1024
"""A file: a thousand budgets with everything set are a third of it."""

DEPTH_MAX: Final = 16
"""Nesting; the deepest field of the format is on level 5."""

_Parser = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True, slots=True)
class Scalar:
    """A value without parts, as it is written."""

    text: str
    is_plain: bool
    """Without quotation marks or block style, so that it may stand for something else than text."""
    place: Place


@dataclass(frozen=True, slots=True)
class Sequence:
    """`- a` and `[a, b]`."""

    items: "list[Node]"
    place: Place


@dataclass(frozen=True, slots=True)
class Mapping:
    """`key: value` and `{key: value}`, in the order of the file; no key is there twice."""

    entries: "dict[str, Entry]"
    place: Place


@dataclass(frozen=True, slots=True)
class Entry:
    """One key of a mapping and what it is given."""

    key: Scalar
    value: "Node"


@dataclass(frozen=True, slots=True)
class Unread:
    """Stands where something was refused, so that nothing else is said about what stands there."""

    place: Place


Node = Scalar | Sequence | Mapping | Unread


def read_document(file: str, content: bytes, problems: list[Problem]) -> Node | None:
    """The one document of a file; None where it cannot be read. What is wrong is added to `problems`."""
    start = Place(file, 1, 1)
    if len(content) > FILE_MAX_BYTES:
        problems.append(Problem(start, "", f"the file has more than {FILE_MAX_BYTES // 1024} KiB; split it"))
        return None
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        column = error.start - content.rfind(b"\n", 0, error.start)
        problems.append(Problem(Place(file, line, column), "", "the file is not UTF-8 from here on"))
        return None
    builder = _Builder(file, problems)
    try:
        for event in yaml.parse(text, Loader=_Parser):
            if not builder.take(event):
                break
    except yaml.reader.ReaderError as error:
        problems.append(_unreadable(file, text, error))
        return None
    except yaml.MarkedYAMLError as error:
        problems.append(_malformed(file, error))
        return None
    if builder.root is None and not builder.is_refused:
        problems.append(Problem(start, "", "the file holds no document"))
    return None if builder.is_refused else builder.root


@dataclass(slots=True)
class _Open:
    """A mapping or sequence whose end has not come yet."""

    node: Mapping | Sequence
    key: Scalar | None = None
    """The key whose value comes next."""
    skips: bool = False
    """Whether that value is read over: its key is refused."""
    is_key: bool = False
    """Whether this stands where a key belongs: it is read over."""


@dataclass(slots=True)
class _Builder:
    """Puts nodes together from the events of the parser, without recursion: depth is the file's, not Python's."""

    file: str
    problems: list[Problem]
    root: Node | None = None
    is_refused: bool = False
    """Whether something made the rest of the file unreadable."""
    _open: list[_Open] = field(default_factory=list)
    _document_count: int = 0

    def take(self, event: Any) -> bool:
        """Take one event; False ends the reading."""
        match event:
            case yaml.DocumentStartEvent():
                return self._start_document(event)
            case yaml.AliasEvent():
                self._complain(event, f"an alias (*{event.anchor}) is not read: write out what it stands for")
                self._add(Unread(self._place(event)))
            case yaml.ScalarEvent():
                self._check(event)
                self._add(Scalar(event.value, _is_plain(event), self._place(event)))
            case yaml.MappingStartEvent():
                return self._start(event, Mapping({}, self._place(event)))
            case yaml.SequenceStartEvent():
                return self._start(event, Sequence([], self._place(event)))
            case yaml.MappingEndEvent() | yaml.SequenceEndEvent():
                closed = self._open.pop()
                self._add(Unread(closed.node.place) if closed.is_key else closed.node)
        return True

    def _start_document(self, event: Any) -> bool:
        self._document_count += 1
        if event.version or event.tags:
            self._complain(event, "directives (%YAML, %TAG) are not read: remove them")
        if self._document_count > 1:
            self._complain(event, "a second document begins here: write one document a file")
        return self._document_count == 1

    def _start(self, event: Any, node: Mapping | Sequence) -> bool:
        self._check(event)
        if len(self._open) == DEPTH_MAX:
            self._complain(event, f"nested deeper than {DEPTH_MAX} levels")
            self.is_refused = True
            return False
        is_key = bool(self._open) and isinstance(self._open[-1].node, Mapping) and self._open[-1].key is None
        if is_key:
            self._complain(event, "a key must be a word, not a list or a mapping")
        self._open.append(_Open(node, is_key=is_key))
        return True

    def _add(self, node: Node) -> None:
        """Put a finished node where it belongs."""
        if not self._open:
            self.root = node
            return
        parent = self._open[-1]
        match parent.node:
            case Sequence(items):
                items.append(node)
            case Mapping(entries) if parent.key is None:
                self._take_key(parent, entries, node)
            case Mapping(entries):
                if not parent.skips:
                    entries[parent.key.text] = Entry(parent.key, node)
                parent.key = None

    def _take_key(self, parent: _Open, entries: dict[str, Entry], node: Node) -> None:
        parent.skips = True
        if not isinstance(node, Scalar):
            parent.key = Scalar("", is_plain=False, place=node.place)
            return
        parent.key = node
        if node.is_plain and node.text == "<<":
            self.problems.append(Problem(node.place, "", "merge keys (<<) are not read: write out what they stand for"))
        elif (first := entries.get(node.text)) is not None:
            where = f"line {first.key.place.line}, column {first.key.place.column}"
            self.problems.append(Problem(node.place, "", f"the key {echo(node.text)} is here twice; first in {where}"))
        else:
            parent.skips = False

    def _check(self, event: Any) -> None:
        if event.anchor is not None:
            self._complain(event, f"an anchor (&{event.anchor}) is not read: remove it")
        if event.tag is not None:
            self._complain(event, f"a tag ({echo(event.tag)}) is not read: remove it")

    def _complain(self, event: Any, message: str) -> None:
        self.problems.append(Problem(self._place(event), "", message))

    def _place(self, event: Any) -> Place:
        return Place(self.file, event.start_mark.line + 1, event.start_mark.column + 1)


def _is_plain(event: Any) -> bool:
    return bool(event.implicit[0])


def _unreadable(file: str, text: str, error: Any) -> Problem:
    """A character that YAML does not allow. libyaml counts bytes, PyYAML's own reader characters."""
    character = error.character if isinstance(error.character, int) else ord(error.character)
    index = text.find(chr(character)) if character <= 0x10FFFF else -1
    if index < 0:
        return Problem(Place(file, 1, 1), "", "the file holds a character that YAML does not allow")
    line = text.count("\n", 0, index) + 1
    column = index - text.rfind("\n", 0, index)
    return Problem(Place(file, line, column), "", f"the character U+{character:04X} is not allowed in YAML")


def _malformed(file: str, error: yaml.MarkedYAMLError) -> Problem:
    mark = error.problem_mark or error.context_mark
    place = Place(file, 1, 1) if mark is None else Place(file, mark.line + 1, mark.column + 1)
    text = ", ".join(part for part in (error.context, error.problem) if part)
    return Problem(place, "", f"not YAML: {text}")
