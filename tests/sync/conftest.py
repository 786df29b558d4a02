"""Files of caps in, what they ask for or every complaint out; and the real command line against real services."""

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from outlay_cli.caps.rules import RULES
from outlay_sync.desired import Desired
from outlay_sync.files import load_contents
from outlay_sync.problems import InvalidFilesError
from support.command_line import Ran
from support.server import OUTLAY, ServerProcess

Load = Callable[..., Desired]
Complaints = Callable[..., list[str]]


@pytest.fixture
def load() -> Load:
    """What some files ask for, each given as its text; they are called a.yaml, b.yaml and so on."""

    def load_texts(*texts: str, source: str = "") -> Desired:
        contents = {f"{'abcdefgh'[index]}.yaml": text.encode() for index, text in enumerate(texts)}
        return load_contents(contents, RULES, source=source)

    return load_texts


@pytest.fixture
def complaints(load: Load) -> Complaints:
    """Everything that is wrong with some files, a line each."""

    def complain(*texts: str, source: str = "") -> list[str]:
        try:
            load(*texts, source=source)
        except InvalidFilesError as error:
            return [str(problem) for problem in error.problems]
        return []

    return complain


class CommandLine:
    """`outlay` as its users run it: a process of its own, in a folder, against a service."""

    def __init__(self, folder: Path, server: ServerProcess) -> None:
        self.folder = folder
        self.server = server
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("OUTLAY_")}
        self.environment |= {"OUTLAY_ENDPOINT": server.grpc_address, "OUTLAY_API_KEY": server.admin_key}

    def __call__(self, *arguments: str, stdin: str = "", **environment: str) -> Ran:
        done = subprocess.run(
            [OUTLAY, *arguments],
            cwd=self.folder,
            env=self.environment | {f"OUTLAY_{name}": value for name, value in environment.items()},
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        return Ran(done.returncode, done.stdout, done.stderr)

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def budget(self, organization: str, budget_id: str) -> dict[str, object]:
        """A budget as the service has it."""
        found = self("budgets", "get", budget_id, "--org", organization, "--output", "json").ok().json["budget"]
        assert isinstance(found, dict)
        return found

    def audit(self, organization: str) -> list[dict[str, object]]:
        ran = self("audit", "list", "--org", organization, "--output", "json").ok()
        events = json.loads(ran.out)["audit_events"]
        assert isinstance(events, list)
        return events


@pytest.fixture
def command_line(tmp_path: Path, shared_server: ServerProcess) -> CommandLine:
    return CommandLine(tmp_path, shared_server)
