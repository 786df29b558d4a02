"""Write `build/terraform-mirror`: a directory from which `terraform init` installs the provider, without a network.

The package in it is a launcher that starts the provider of this checkout with the Python that runs this script, so it
is for this machine; `make terraform-release` builds what runs on others. Beside it stands `terraform.rc`, a
configuration that makes Terraform look here:

    export TF_CLI_CONFIG_FILE=…/build/terraform-mirror/terraform.rc
"""

from __future__ import annotations

import platform
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MIRROR = ROOT / "build" / "terraform-mirror"
ADDRESS = "registry.terraform.io/outlay/outlay"

MACHINES = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}
"""What Terraform calls the machines that Python names."""

LAUNCHER = """\
#!/bin/sh
# -I: nothing in the directory or environment of a run of Terraform may change what is imported.
# -B: nothing is written beside the code: Terraform's lock file holds a hash of this directory.
exec {python} -I -B -m outlay_terraform "$@"
"""

CONFIGURATION = """\
# The provider comes from this mirror, and everything else from where it always does.
provider_installation {{
  filesystem_mirror {{
    path    = "{mirror}"
    include = ["{address}"]
  }}
  direct {{
    exclude = ["{address}"]
  }}
}}
"""


def main() -> int:
    """Write the mirror and say how it is used; the exit status."""
    launcher = package_folder(MIRROR) / f"terraform-provider-outlay_v{version()}"
    launcher.parent.mkdir(parents=True, exist_ok=True)
    launcher.write_text(LAUNCHER.format(python=shlex.quote(sys.executable)))
    launcher.chmod(0o755)
    configuration = MIRROR / "terraform.rc"
    configuration.write_text(CONFIGURATION.format(mirror=MIRROR, address=ADDRESS))
    ensure_it_starts(launcher)
    print(f"{ADDRESS} {version()} for {target()} is in {MIRROR.relative_to(ROOT)}")
    print(f"export TF_CLI_CONFIG_FILE={configuration}")
    return 0


def version() -> str:
    """The version of this checkout."""
    return str(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"])


def target() -> str:
    """This machine as Terraform names it, such as `linux_amd64`."""
    machine = platform.machine().lower()
    return f"{platform.system().lower()}_{MACHINES.get(machine, machine)}"


def package_folder(mirror: Path) -> Path:
    """Where the package of this version for this machine stands in a mirror of unpacked packages."""
    return mirror / ADDRESS / version() / target()


def ensure_it_starts(program: Path) -> None:
    """Start the provider by hand: it must say that this is not how it is started, and nothing else."""
    done = subprocess.run([program], env={}, capture_output=True, text=True, check=False)
    if done.returncode != 1 or "started by terraform" not in done.stderr:
        raise SystemExit(f"{program} does not start: {done.returncode}\n{done.stdout}{done.stderr}")


if __name__ == "__main__":
    sys.exit(main())
