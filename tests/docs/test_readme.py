"""Every command of the README is run, as it stands there, and answers what stands there."""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest

from docs.tables import ROOT
from support import reaper

README = ROOT / "README.md"
MAKE_RUN = "make run"
GRPC, HTTP = "127.0.0.1:50051", "127.0.0.1:8080"
ELLIPSIS = "…"
START_TIMEOUT_SECONDS = 30.0


@dataclass(frozen=True)
class Step:
    """One block of commands, and the block that says what the last of them answers."""

    commands: str
    answer: str
    """Empty where the README shows none."""
    language: str
    """Of the answer."""


def _steps() -> list[Step]:
    blocks = re.findall(r"^```(\w+)\n(.*?)^```$", README.read_text(), re.MULTILINE | re.DOTALL)
    steps: list[Step] = []
    for language, text in blocks:
        if language == "sh":
            steps.append(Step(text.strip(), "", ""))
        else:
            assert not steps[-1].answer, "an answer follows its commands"
            steps[-1] = Step(steps[-1].commands, text.strip(), language)
    return steps


class MakeRun:
    """`make run` where the reader stands, on free ports; each start uses the ports of the first."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self.addresses: dict[str, str] = {}

    def start(self) -> str:
        """Start it, and return what it printed until it was ready."""
        self._forget()
        out = self._folder / "make.stdout"
        environment = {name: value for name, value in os.environ.items() if not name.startswith("OUTLAY_")}
        for what in ("grpc", "http", "metrics"):
            environment[f"OUTLAY_{what.upper()}_ADDRESS"] = self.addresses.get(what, "127.0.0.1:0")
        with out.open("wb") as stdout, (self._folder / "make.stderr").open("ab") as stderr:
            # The environment of the tests is the one that `make setup` makes; here it is not made again.
            self._process = subprocess.Popen(
                ["make", "--no-print-directory", "--old-file=.venv/.installed", "run"],
                cwd=self._folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                start_new_session=True,
            )
        reaper.watch_group(self._process.pid)
        deadline = time.monotonic() + START_TIMEOUT_SECONDS
        while "ready" not in (text := out.read_text()).splitlines():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(text + (self._folder / "make.stderr").read_text())
            time.sleep(0.02)
        self.addresses = {what.lower(): where for what, where in re.findall(r"^(\w+) .*?([\d.]+:\d+)$", text, re.M)}
        return text

    def _forget(self) -> None:
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            reaper.forget_group(self._process.pid)
            self._process = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._forget()


class Shell:
    """The reader's other terminal: one bash, in which a failed command ends the test."""

    _END = "end-of-block"

    def __init__(self, folder: Path) -> None:
        self._errors = folder / "shell.stderr"
        environment = {name: value for name, value in os.environ.items() if not name.startswith("OUTLAY_")}
        with self._errors.open("wb") as stderr:
            self._process = subprocess.Popen(
                ["bash", "--noprofile", "--norc"],
                cwd=folder,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
                start_new_session=True,
            )
        reaper.watch_group(self._process.pid)
        self.run("set -eo pipefail")

    def run(self, commands: str) -> str:
        """Return what the commands print."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{commands}\necho\necho {self._END}\n")
        self._process.stdin.flush()
        lines: list[str] = []
        for line in self._process.stdout:
            if line.strip() == self._END:
                return "".join(lines).strip()
            lines.append(line)
        raise AssertionError(f"{commands}\nfailed:\n{''.join(lines)}{self._errors.read_text()}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.communicate()
        reaper.forget_group(self._process.pid)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the reader stands: a checkout, as far as the commands look at it."""
    for tool in ("bash", "curl", "make"):
        if shutil.which(tool) is None:
            pytest.skip(f"there is no {tool} on the PATH")
    for name in (".venv", "Makefile", "constraints.txt", "pyproject.toml"):
        (tmp_path / name).symlink_to(ROOT / name)
    return tmp_path


def _matches(shown: Any, real: Any) -> bool:
    """Whether an answer is what the README shows; an ellipsis stands for anything, and as a key for further keys."""
    match shown:
        case dict():
            wanted = shown.keys() - {ELLIPSIS}
            complete = ELLIPSIS in shown or shown.keys() == real.keys()
            return complete and wanted <= real.keys() and all(_matches(shown[key], real[key]) for key in wanted)
        case list():
            return len(shown) == len(real) and all(map(_matches, shown, real))
        case str():
            return _text_matches(shown, str(real))
    return type(shown) is type(real) and shown == real


def _last_document(printed: str) -> Any:
    """What the last command answered: `curl` puts no line's end between two answers."""
    document: Any = None
    while printed := printed.lstrip():
        document, end = json.JSONDecoder().raw_decode(printed)
        printed = printed[end:]
    return document


def _text_matches(shown: str, real: str) -> bool:
    pattern = ".*".join(re.escape(part) for part in shown.split(ELLIPSIS))
    return re.fullmatch(pattern, real) is not None


def _check(step: Step, printed: str, addresses: dict[str, str]) -> None:
    assert '"success":false' not in printed, f"{step.commands}\nanswered\n{printed}"
    if step.language == "json":
        assert _matches(json.loads(step.answer), _last_document(printed)), f"{step.commands}\nanswered\n{printed}"
    elif step.answer:
        real = printed
        for what, where in (("grpc", GRPC), ("http", HTTP), ("metrics", "127.0.0.1:9090")):
            real = real.replace(addresses[what], where)
        shown, said = step.answer.splitlines(), real.strip().splitlines()
        assert len(shown) == len(said), real
        assert all(map(_text_matches, shown, said)), real


def test_the_commands_of_the_readme_do_what_it_says(folder: Path) -> None:
    """From `make run` to the end, in order, with a server that is killed on the way."""
    with MakeRun(folder) as server, Shell(folder) as shell:
        for step in _steps():
            if step.commands == MAKE_RUN:
                printed = server.start()
                shell.run(f"export OUTLAY_ENDPOINT={server.addresses['grpc']}")
            else:
                here = step.commands.replace(GRPC, server.addresses["grpc"]).replace(HTTP, server.addresses["http"])
                printed = shell.run(here)
            _check(step, printed, server.addresses)


def test_the_readme_is_short() -> None:
    """Its first screen is what most people read; what does not fit belongs into docs/."""
    assert len(README.read_text().splitlines()) < 150


@pytest.mark.parametrize("page", [README, *(ROOT / "docs").rglob("*.md")], ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files_that_are_there(page: Path) -> None:
    """Relative links, and their headings."""
    for target, anchor in re.findall(r"\]\((?!https?://)([^)#\s]*)(?:#([^)\s]+))?\)", page.read_text()):
        linked = (page.parent / target).resolve() if target else page
        assert linked.exists(), f"{page.name} links to {target}"
        if anchor:
            headings = re.findall(r"^#+ (.+)$", linked.read_text(), re.MULTILINE)
            slugs = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
            named = set(re.findall(r'<a id="([^"]+)">', linked.read_text()))
            assert anchor in slugs | named, f"{page.name} links to {target}#{anchor}"
