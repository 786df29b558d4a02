"""Files of caps in, what they ask for or every complaint out; and the real command line against real services."""

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from outlay_cli.caps.rules import RULES
from outlay_cli.main import main
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
    """`outlay` as its users run it, in a folder and against a service; here each command is a process."""

    def __init__(self, folder: Path, server: ServerProcess) -> None:
        self.folder = folder
        self.server = server

    def __call__(self, *arguments: str, **environment: str) -> Ran:
        """Run a command; keywords are OUTLAY_ variables."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("OUTLAY_")}
        done = subprocess.run(
            [OUTLAY, *arguments],
            cwd=self.folder,
            env=inherited | self._variables(environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        return Ran(done.returncode, done.stdout, done.stderr)

    def _variables(self, given: dict[str, str]) -> dict[str, str]:
        variables = {"ENDPOINT": self.server.grpc_address, "API_KEY": self.server.admin_key} | given
        return {f"OUTLAY_{name}": value for name, value in variables.items()}

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


class QuickCommandLine(CommandLine):
    """The same without processes, for tests that run many commands."""

    def __init__(
        self,
        folder: Path,
        server: ServerProcess,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        super().__init__(folder, server)
        self._monkeypatch = monkeypatch
        self._capsys = capsys

    def __call__(self, *arguments: str, **environment: str) -> Ran:
        with self._monkeypatch.context() as patch:
            for name in [name for name in os.environ if name.startswith("OUTLAY_")]:
                patch.delenv(name)
            for name, value in self._variables(environment).items():
                patch.setenv(name, value)
            patch.chdir(self.folder)
            self._capsys.readouterr()
            code = main(arguments)
        captured = self._capsys.readouterr()
        return Ran(int(code), captured.out, captured.err)


@pytest.fixture
def command_line(tmp_path: Path, shared_server: ServerProcess) -> CommandLine:
    """The command line in processes of its own."""
    return CommandLine(tmp_path, shared_server)


@pytest.fixture
def outlay(
    tmp_path: Path,
    shared_server: ServerProcess,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> CommandLine:
    """The command line in the process of the test."""
    return QuickCommandLine(tmp_path, shared_server, monkeypatch, capsys)
