"""The real `terraform`, the provider in this process, and a server to talk to."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from outlay_terraform.framework.lifecycle import Lifecycle
from outlay_terraform.provider import ADDRESS, OutlayProvider
from outlay_terraform.wire.reattach import reattachable
from support.server import ServerProcess
from support.tenants import Tenant, new_tenant
from support.wire import Caller
from terraform.workspace import TERRAFORM, Workspace, bare_environment

ROOT = Path(__file__).parents[2]

StartServer = Callable[..., ServerProcess]

PATIENCE_SECONDS = 2.0
"""How long the provider waits for a server that is away: long enough for a restart, short for a test."""


@pytest.fixture(scope="session")
def terraform() -> str:
    """The path of the `terraform` on the PATH; where there is none its tests are skipped."""
    if TERRAFORM is None:
        pytest.skip("there is no terraform on the PATH")
    return TERRAFORM


@pytest.fixture(scope="session")
def outlay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """One server on the embedded database for all tests that leave it alive: the provider sees no store."""
    with ServerProcess(tmp_path_factory.mktemp("outlay")) as process:
        yield process


@pytest.fixture
def admin(outlay: ServerProcess) -> Iterator[Caller]:
    with Caller(outlay.grpc_address, outlay.admin_key) as caller:
        yield caller


@pytest.fixture
def tenant(admin: Caller) -> Tenant:
    """An organization of the test's own, as the platform sees it."""
    return new_tenant(admin, "tf")


def provider_for(
    server: ServerProcess, key: str | None = None, *, patience_seconds: float = PATIENCE_SECONDS
) -> Lifecycle[Any]:
    """A provider that finds the server and a key in its environment."""
    environment = {"OUTLAY_ENDPOINT": server.grpc_address, "OUTLAY_API_KEY": key or server.admin_key}
    return Lifecycle(OutlayProvider(patience_seconds=patience_seconds, environment=environment))


@pytest.fixture(scope="session")
def reattach(outlay: ServerProcess) -> Iterator[dict[str, str]]:
    """The environment by which terraform finds the provider of this process."""
    with reattachable(provider_for(outlay), ADDRESS) as environment:
        yield environment


@pytest.fixture
def workspace(terraform: str, reattach: dict[str, str], tmp_path: Path) -> Workspace:
    """An empty configuration."""
    folder = tmp_path / "configuration"
    folder.mkdir()
    return Workspace(folder, bare_environment(**reattach))


@pytest.fixture(scope="session")
def mirror() -> Path:
    """`make terraform-mirror`."""
    subprocess.run([sys.executable, ROOT / "scripts" / "terraform_mirror.py"], check=True, capture_output=True)
    return ROOT / "build" / "terraform-mirror"


@pytest.fixture
def installed(terraform: str, mirror: Path, outlay: ServerProcess, tmp_path: Path) -> Workspace:
    """A configuration whose provider comes from the mirror, without a network; the key is in the environment."""
    folder = tmp_path / "installed"
    folder.mkdir()
    environment = bare_environment(
        TF_CLI_CONFIG_FILE=str(mirror / "terraform.rc"),
        OUTLAY_ENDPOINT=outlay.grpc_address,
        OUTLAY_API_KEY=outlay.admin_key,
    )
    workspace = Workspace(folder, environment)
    workspace.write()
    workspace.ok("init", "-no-color")
    return workspace


@pytest.fixture
def afterwards(installed: Workspace, reattach: dict[str, str]) -> Workspace:
    """The same configuration and state, with the provider in this process: to look at what a run has left behind."""
    return Workspace(installed.folder, bare_environment(**reattach))
