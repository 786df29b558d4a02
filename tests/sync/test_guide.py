"""Every command of docs/caps-as-code.md is run, in order, exits as the page says and prints what stands there."""

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from docs.tables import ROOT
from outlay_cli.caps.rules import RULES
from outlay_sync.files import load_contents
from support.server import OUTLAY, ServerProcess

GUIDE = ROOT / "docs" / "caps-as-code.md"
EXAMPLE = ROOT / "examples" / "caps-as-code"
ELLIPSIS = "…"
MARK = "end of block"


@dataclass(frozen=True)
class Block:
    commands: str
    answer: str
    """What all of its commands print; empty where the page shows none."""


@pytest.fixture(scope="session")
def backend() -> str:
    """What is tried is the page: once is enough."""
    return "sqlite"


def blocks(page: Path) -> list[Block]:
    found: list[Block] = []
    for language, text in re.findall(r"^```(\w+)\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL):
        if language == "sh":
            found.append(Block(text, ""))
        elif language == "text":
            found[-1] = Block(found[-1].commands, text)
    return found


def script(page: Path) -> str:
    """The page as one script; a command exits 0, or as the comment behind it says."""
    lines = ["set -e"]
    for block in blocks(page):
        for line in block.commands.splitlines():
            said = re.fullmatch(r"(.*?)\s+# exits (\d+).*", line)
            lines.append(f"code=0; {said[1]} || code=$?; [ $code = {said[2]} ]" if said else line)
        lines.append(f"echo; echo '{MARK}'")
    return "\n".join(lines)


def run(page: Path, folder: Path, server: ServerProcess, **environment: str) -> list[str]:
    """What each block printed, in one shell for all of them."""
    if shutil.which("bash") is None:
        pytest.skip("there is no bash on the PATH")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("OUTLAY_")}
    path = f"{Path(OUTLAY).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "--noprofile", "--norc"],
        input=script(page).replace("127.0.0.1:50051", server.grpc_address),
        cwd=folder,
        env=inherited | environment | {"PATH": path},
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr
    return done.stdout.split(f"{MARK}\n")[:-1]


def test_the_commands_of_the_guide_do_what_it_says(tmp_path: Path, server: ServerProcess) -> None:
    key = tmp_path / "data" / "admin.key"
    key.parent.mkdir()
    key.touch(mode=0o600)
    key.write_text(server.admin_key)
    for block, real in zip(blocks(GUIDE), run(GUIDE, tmp_path, server), strict=True):
        shown = ".*".join(re.escape(part.strip("\n")) for part in block.answer.split(ELLIPSIS))
        if block.answer:
            assert re.fullmatch(rf"\s*{shown}\s*", real, re.DOTALL), f"{block.commands}\nprinted\n{real}"


def test_the_commands_of_the_example_do_what_it_says(tmp_path: Path, server: ServerProcess) -> None:
    shutil.copytree(EXAMPLE, tmp_path / "example")
    (printed,) = run(
        EXAMPLE / "README.md",
        tmp_path / "example",
        server,
        OUTLAY_ENDPOINT=server.grpc_address,
        OUTLAY_API_KEY=server.admin_key,
    )
    assert printed.rstrip().endswith("No changes.")


def test_the_files_that_the_guide_shows_are_valid() -> None:
    for text in re.findall(r"^```yaml\n(.*?)^```$", GUIDE.read_text(), re.MULTILINE | re.DOTALL):
        load_contents({"caps.yaml": text.encode()}, RULES)


def test_every_option_of_the_guard_rails_exists() -> None:
    helped = subprocess.run([OUTLAY, "apply", "--help"], capture_output=True, text=True, check=True).stdout
    options = set(re.findall(r"`(--[a-z-]+)", GUIDE.read_text().split("## Guard rails")[1].split("## In CI")[0]))
    assert {option for option in options if option not in helped} == set()
