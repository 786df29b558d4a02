"""`docs/terraform.md` and `examples/terraform`: every command is run, every example is applied, every page is fresh."""

import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from outlay_terraform.provider import ADDRESS
from outlay_terraform.wire.reattach import reattachable
from support.server import OUTLAY, ServerProcess
from support.tenants import Tenant, new_id
from terraform.conftest import ROOT, StartServer, provider_for
from terraform.workspace import Workspace, bare_environment

GUIDE = ROOT / "docs" / "terraform.md"
EXAMPLES = ROOT / "examples" / "terraform"

RESOURCES = sorted(path.parent.name for path in EXAMPLES.glob("resources/*/resource.tf"))
READ = sorted(
    str(path.relative_to(EXAMPLES))
    for path in [*EXAMPLES.glob("data-sources/*/*.tf"), *EXAMPLES.glob("functions/*/*.tf")]
)


def _script(folder: Path, server: ServerProcess, reattach: Mapping[str, str]) -> str:
    """The commands of the guide as one script; a command exits 0, or as the comment behind it says.

    The first block installs the provider from the mirror and uses it; after that the one of this process serves.
    """
    lines = ["set -e"]
    exports = [f"export {name}={shlex.quote(value)}" for name, value in reattach.items()]
    for index, text in enumerate(re.findall(r"^```sh\n(.*?)^```$", GUIDE.read_text(), re.MULTILINE | re.DOTALL)):
        lines += exports if index == 1 else []
        for line in text.splitlines():
            said = re.fullmatch(r"(.*?)\s+# exits (\d+)", line)
            lines.append(f"code=0; {said[1]} || code=$?; [ $code = {said[2]} ]" if said else line)
    script = "\n".join(lines)
    replaced = {
        # What the target does; make itself might find the environment stale and install it again.
        "make terraform-mirror": f"{sys.executable} scripts/terraform_mirror.py",
        "127.0.0.1:50051": server.grpc_address,
        "$PWD/data/admin.key": str(server.data_dir / "admin.key"),
        "$PWD/.venv/bin": str(OUTLAY.parent),
        "../acme-caps": str(folder / "acme-caps"),
    }
    for written, meant in replaced.items():
        assert written in script, written
        script = script.replace(written, meant)
    return script


def test_the_commands_of_the_guide_do_what_it_says(terraform: str, start_server: StartServer, tmp_path: Path) -> None:
    server = start_server()
    with reattachable(provider_for(server), ADDRESS) as reattach:
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-x"],
            input=_script(tmp_path, server, reattach),
            cwd=ROOT,
            env=bare_environment(),
            capture_output=True,
            text=True,
            timeout=110,
            check=False,
        )
    assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"


def test_the_makefile_makes_the_mirror_by_the_script() -> None:
    assert "terraform-mirror: $(STAMP)" in (ROOT / "Makefile").read_text()
    assert "$(BIN)/python scripts/terraform_mirror.py" in (ROOT / "Makefile").read_text()


@pytest.mark.parametrize("name", RESOURCES)
def test_the_example_of_a_resource_applies_and_its_import_leaves_nothing_to_do(
    workspace: Workspace, tmp_path: Path, name: str
) -> None:
    """With the configuration of the provider that stands beside it, under another organization's id."""
    organization_id = new_id("example")
    text = (EXAMPLES / "resources" / name / "resource.tf").read_text().replace('= "acme"', f'= "{organization_id}"')
    shutil.copy(EXAMPLES / "provider" / "provider.tf", workspace.folder)
    (workspace.folder / "main.tf").write_text(text)
    secret = {"TF_VAR_webhook_secret": "whsec_" + "c2VjcmV0" * 6}
    space = Workspace(workspace.folder, {**workspace.environment, **(secret if "webhook_secret" in text else {})})
    space.ok("apply", "-auto-approve")
    space.settled()
    command = (
        (EXAMPLES / "resources" / name / "import.sh")
        .read_text()
        .replace("organizations/acme", f"organizations/{organization_id}")
    )
    _, *arguments = command.split()
    space.ok("state", "rm", arguments[1])
    space.ok(*arguments)
    # What is write-only cannot be imported: it is sent once more.
    assert space.changes() == ({arguments[1]: ["update"]} if "secret_wo" in text else {})


@pytest.mark.parametrize("path", READ)
def test_the_example_of_what_is_read_applies(workspace: Workspace, tenant: Tenant, path: str) -> None:
    shutil.copy(EXAMPLES / "provider" / "provider.tf", workspace.folder)
    text = (EXAMPLES / path).read_text().replace('= "acme"', f'= "{tenant.organization_id}"')
    (workspace.folder / "main.tf").write_text(text)
    workspace.ok("apply", "-auto-approve")


def test_the_examples_are_formatted(workspace: Workspace) -> None:
    workspace.ok("fmt", "-check", "-recursive", str(EXAMPLES))


def test_the_pages_are_what_the_provider_says(terraform: str) -> None:
    """`docs/terraform/`, in the registry's layout."""
    command = [sys.executable, ROOT / "scripts" / "gen_terraform_docs.py", "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
