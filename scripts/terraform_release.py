"""Build what a registry wants of the provider, in `build/terraform-release`: a zip that needs no Python, and its sums.

    terraform-provider-outlay_VERSION_OS_ARCH.zip
    terraform-provider-outlay_VERSION_manifest.json
    terraform-provider-outlay_VERSION_SHA256SUMS

PyInstaller freezes the program for the machine it runs on, in an environment of its own (`build/release-venv`) that has
nothing but what the provider imports. A release for several platforms is made by running this on each, and putting the
lines of their sums together. The signature is left to whoever publishes.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

from terraform_mirror import ROOT, ensure_it_starts, target, version

OUT = ROOT / "build" / "terraform-release"
WORK = ROOT / "build" / "terraform-release-work"
ENVIRONMENT = ROOT / "build" / "release-venv"
SOURCE_ROOTS = ("gen", "service", "terraform-bridge")

PYINSTALLER = "pyinstaller==6.16.0"
IMPORTED = ("cryptography", "googleapis-common-protos", "grpcio", "msgpack", "protobuf")
"""What the provider imports that is not in this repository; pinned as `constraints.txt` says."""

PROTOCOL_VERSIONS = ["6.0"]

LONG_AGO = (1980, 1, 1, 0, 0, 0)
"""The time of every file in the zip, so that the same files give the same bytes."""


def main() -> int:
    """Build, and say what is there; the exit status."""
    python = ensure_environment()
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir(parents=True)
    folder = freeze(python)
    ensure_it_starts(folder / program_name())
    archive = OUT / f"terraform-provider-outlay_{version()}_{target()}.zip"
    pack(folder, archive)
    manifest = OUT / f"terraform-provider-outlay_{version()}_manifest.json"
    manifest.write_text(json.dumps({"version": 1, "metadata": {"protocol_versions": PROTOCOL_VERSIONS}}) + "\n")
    sums = OUT / f"terraform-provider-outlay_{version()}_SHA256SUMS"
    sums.write_text("".join(f"{digest(path)}  {path.name}\n" for path in sorted([archive, manifest])))
    for path in (archive, manifest, sums):
        print(f"{path.relative_to(ROOT)}  {path.stat().st_size:,} bytes")
    return 0


def program_name() -> str:
    """What Terraform looks for in a package."""
    return f"terraform-provider-outlay_v{version()}"


def ensure_environment() -> Path:
    """Return the Python of `build/release-venv`, which is made anew whenever its requirements changed."""
    python = ENVIRONMENT / "bin" / "python"
    stamp = ENVIRONMENT / "requirements.txt"
    wanted = "\n".join((PYINSTALLER, *IMPORTED, (ROOT / "constraints.txt").read_text()))
    if python.exists() and stamp.exists() and stamp.read_text() == wanted:
        return python
    venv.create(ENVIRONMENT, clear=True, with_pip=True)
    install = (python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
    subprocess.run([*install, "--constraint", ROOT / "constraints.txt", PYINSTALLER, *IMPORTED], check=True)
    # Last, so that an interrupted installation is not taken for a whole one.
    stamp.write_text(wanted)
    return python


def freeze(python: Path) -> Path:
    """Build the program with everything it needs beside it, and return its folder."""
    shutil.rmtree(WORK, ignore_errors=True)
    paths = [argument for root in SOURCE_ROOTS for argument in ("--paths", ROOT / root)]
    entry = ROOT / "terraform-bridge" / "outlay_terraform" / "__main__.py"
    # One folder and not one file: a file unpacks itself at every start, several times in each run of Terraform.
    options = ["--onedir", "--noconfirm", "--clean", "--log-level", "WARN", "--name", program_name()]
    places = ["--distpath", WORK / "dist", "--workpath", WORK / "build", "--specpath", WORK]
    subprocess.run([python, "-m", "PyInstaller", *options, *places, *paths, entry], check=True)
    return WORK / "dist" / program_name()


def pack(folder: Path, archive: Path) -> None:
    """Put a folder's files into a zip, with their modes and with its licence."""
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    files["LICENSE"] = ROOT / "LICENSE"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as packed:
        for name, path in sorted(files.items()):
            info = zipfile.ZipInfo(name, LONG_AGO)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = (path.stat().st_mode & 0o777) << 16
            packed.writestr(info, path.read_bytes())


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


if __name__ == "__main__":
    sys.exit(main())
