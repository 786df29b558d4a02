"""`make terraform-release`: what it builds is installed from its zip and works, without the Python of this checkout."""

import hashlib
import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from support.server import ServerProcess
from support.tenants import Tenant
from terraform.conftest import ROOT
from terraform.workspace import Workspace, bare_environment

RELEASE = ROOT / "build" / "terraform-release"
ADDRESS = "registry.terraform.io/outlay/outlay"


@pytest.fixture(scope="module")
def release() -> list[Path]:
    """The files of a release of this checkout, sorted; the environment that builds it is made once."""
    script = ROOT / "scripts" / "terraform_release.py"
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return sorted(RELEASE.iterdir())


@pytest.mark.deep
def test_a_release_is_what_a_registry_takes(release: list[Path]) -> None:
    sums, archive, manifest = release
    assert archive.suffix == ".zip"
    said = dict(reversed(line.split("  ")) for line in sums.read_text().splitlines())
    assert said == {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in (archive, manifest)}
    assert json.loads(manifest.read_text()) == {"version": 1, "metadata": {"protocol_versions": ["6.0"]}}
    with zipfile.ZipFile(archive) as packed:
        modes = {info.filename: info.external_attr >> 16 & 0o777 for info in packed.infolist()}
    (program,) = [name for name in modes if name.startswith("terraform-provider-outlay_v")]
    assert modes[program] & 0o111
    assert "LICENSE" in modes


@pytest.mark.deep
def test_a_release_is_installed_from_its_zip_and_works(
    terraform: str, release: list[Path], outlay: ServerProcess, tenant: Tenant, tmp_path: Path
) -> None:
    """In a mirror of packed packages, which has the names of the release's files."""
    (archive,) = [path for path in release if path.suffix == ".zip"]
    packages = tmp_path / "mirror" / ADDRESS
    packages.mkdir(parents=True)
    shutil.copy(archive, packages)
    configuration = tmp_path / "terraform.rc"
    mirror = f'filesystem_mirror {{ path = "{tmp_path / "mirror"}" }}'
    configuration.write_text(f"provider_installation {{\n  {mirror}\n}}\n")
    folder = tmp_path / "configuration"
    folder.mkdir()
    environment = bare_environment(
        TF_CLI_CONFIG_FILE=str(configuration),
        OUTLAY_ENDPOINT=outlay.grpc_address,
        OUTLAY_API_KEY=outlay.admin_key,
        PATH="/nowhere",
    )
    workspace = Workspace(folder, environment)
    budget = {"organization": tenant.organization_id, "budget_id": "caps", "unit": "USD", "hard_cap": "500.00"}
    workspace.budgets({"caps": budget})
    workspace.ok("init", "-no-color")
    workspace.apply()
    assert tenant.budget("caps").hard_cap_micros == 500_000_000
