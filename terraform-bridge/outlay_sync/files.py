"""From files to what they ask for: finding them, reading each, and putting them together.

Nothing may be written in two places: which of two would hold must not depend on the names of files.
"""

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from outlay_sync import documents
from outlay_sync.desired import (
    DEFAULT_SOURCE,
    Budget,
    Desired,
    Gate,
    Organization,
    Setting,
    WebhookEndpoint,
)
from outlay_sync.documents import Document
from outlay_sync.fields import Fields
from outlay_sync.nodes import FILE_MAX_BYTES, read_document
from outlay_sync.problems import InvalidFilesError, Place, Problem
from outlay_sync.rules import Rules

SUFFIXES: Final = (".yaml", ".yml")

FILES_MAX: Final = 10_000
"""Files of one plan. More are a folder that was meant to be another one."""


def find(paths: Iterable[Path]) -> list[Path]:
    """The files of some paths, in order: a file stands for itself, a folder for the YAML files in and below it.

    Hidden files and folders are passed over, so that `.github` may lie among the caps. Raises `InvalidFilesError` for a
    path that is not there and for a folder without any: to plan nothing would say that nothing is wanted.
    """
    found: dict[Path, None] = {}
    problems = []
    for path in paths:
        if path.is_dir():
            inside = list(_below(path))
            found.update(dict.fromkeys(inside))
            if not inside:
                problems.append(Problem(Place(str(path), 1, 1), "", "there is no .yaml or .yml file in this folder"))
        elif path.exists():
            found[path] = None
        else:
            problems.append(Problem(Place(str(path), 1, 1), "", "there is no such file or folder"))
    if len(found) > FILES_MAX:
        problems.append(Problem(Place("-", 1, 1), "", f"there are more than {FILES_MAX} files"))
    if problems:
        raise InvalidFilesError(problems)
    return list(found)


def _below(folder: Path) -> Iterator[Path]:
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            if name.endswith(SUFFIXES) and not name.startswith("."):
                yield Path(parent) / name


def load(paths: Iterable[Path], rules: Rules, *, source: str = "") -> Desired:
    """Read files (not folders: see `find`). `source` names the source where no file does.

    Raises `InvalidFilesError` with everything that is wrong with all of them.
    """
    contents: dict[str, bytes] = {}
    problems = []
    for path in paths:
        try:
            with path.open("rb") as opened:
                contents[str(path)] = opened.read(FILE_MAX_BYTES + 1)
        except OSError as error:
            problems.append(Problem(Place(str(path), 1, 1), "", f"cannot be read: {error.strerror}"))
    return load_contents(contents, rules, source=source, problems=problems)


def load_contents(
    contents: Mapping[str, bytes], rules: Rules, *, source: str = "", problems: Iterable[Problem] = ()
) -> Desired:
    """The same from the contents of files, by name; `problems` are those that were met before."""
    found = list(problems)
    union = _Union(found)
    for file, content in contents.items():
        node = read_document(file, content, found)
        document = None if node is None else documents.read(Fields(rules, found), node)
        if document is not None:
            union.add(document)
    desired = union.desired(source, rules)
    if found:
        raise InvalidFilesError(found)
    return desired


@dataclass(slots=True)
class _Parts:
    """What the documents say of one organization."""

    place: Place
    is_declared: bool = False
    display_name: Setting | None = None
    gates: tuple[Gate, ...] | None = None
    gates_place: Place | None = None
    budgets: dict[str, Budget] = field(default_factory=dict)
    webhook_endpoints: dict[str, WebhookEndpoint] = field(default_factory=dict)


@dataclass(slots=True)
class _Union:
    """Puts documents together and notes what two of them say both."""

    problems: list[Problem]
    source: Setting | None = None
    organizations: dict[str, _Parts] = field(default_factory=dict)

    def add(self, document: Document) -> None:
        if document.source is not None:
            if self.source is not None:
                self._twice(document.source.place, "source", "the source", self.source.place)
            self.source = self.source or document.source
        if not document.organization_id:
            return
        parts = self.organizations.setdefault(document.organization_id, _Parts(document.place))
        if document.is_about_organization and not parts.is_declared:
            parts.place, parts.is_declared = document.place, True
        self._add_settings(parts, document)
        for budget in document.budgets:
            first = parts.budgets.setdefault(budget.budget_id, budget)
            if first is not budget:
                self._twice(budget.place, "budget_id", f"budget {budget.name}", first.place)
        for endpoint in document.webhook_endpoints:
            known = parts.webhook_endpoints.setdefault(endpoint.webhook_endpoint_id, endpoint)
            if known is not endpoint:
                self._twice(endpoint.place, "webhook_endpoint_id", f"webhook endpoint {endpoint.name}", known.place)

    def _add_settings(self, parts: _Parts, document: Document) -> None:
        name = f"organizations/{document.organization_id}"
        if document.display_name is not None:
            if parts.display_name is not None:
                where = document.display_name.place
                self._twice(where, "display_name", f"the display name of {name}", parts.display_name.place)
            parts.display_name = parts.display_name or document.display_name
        if document.gates is None or document.gates_place is None:
            return
        if parts.gates_place is not None:
            self._twice(document.gates_place, "gates", f"the gates of {name}", parts.gates_place)
            return
        parts.gates, parts.gates_place = document.gates, document.gates_place
        seen: dict[str, Gate] = {}
        for gate in document.gates:
            first = seen.setdefault(gate.gate_id, gate)
            if first is not gate and gate.gate_id:
                self._twice(gate.place, "gate_id", f"gate {gate.gate_id} of {name}", first.place)

    def _twice(self, place: Place, path: str, what: str, first: Place) -> None:
        self.problems.append(Problem(place, path, f"{what}: written a second time, first in {first}"))

    def desired(self, source: str, rules: Rules) -> Desired:
        if self.source is not None and source and source != self.source.value:
            message = f"is {self.source.value} here and {source} on the command line"
            self.problems.append(Problem(self.source.place, "source", message))
        return Desired(
            source=str(self.source.value) if self.source is not None else source or DEFAULT_SOURCE,
            organizations=tuple(
                self._organization(id, self.organizations[id], rules) for id in sorted(self.organizations)
            ),
        )

    def _organization(self, id: str, parts: _Parts, rules: Rules) -> Organization:
        for what, count, most in (
            ("budgets", len(parts.budgets), rules.budgets_max),
            ("webhook_endpoints", len(parts.webhook_endpoints), rules.webhook_endpoints_max),
        ):
            if count > most:
                self.problems.append(
                    Problem(parts.place, what, f"there are {count} of organization {id}: at most {most}")
                )
        return Organization(
            organization_id=id,
            place=parts.place,
            is_declared=parts.is_declared,
            display_name=parts.display_name,
            gates=None if parts.gates is None else tuple(sorted(parts.gates, key=lambda gate: gate.gate_id)),
            gates_place=parts.gates_place,
            budgets=tuple(parts.budgets[id] for id in sorted(parts.budgets)),
            webhook_endpoints=tuple(parts.webhook_endpoints[id] for id in sorted(parts.webhook_endpoints)),
        )
