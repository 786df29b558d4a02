"""Generate `gen/` from `proto/`: messages, stubs, types, and one descriptor set with comments.

Runs protoc in an environment of its own (`build/gen-venv`), because generated code refuses to load under a protobuf
older than the one that generated it: the pins here suit the oldest that users may have, whatever this repository's own
environment holds.

    python scripts/gen.py           write gen/
    python scripts/gen.py --check   exit 1 and name each stale file where gen/ is not what proto/ gives
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROTO = ROOT / "proto"
GEN = ROOT / "gen"
ENVIRONMENT = ROOT / "build" / "gen-venv"

REQUIREMENTS = (
    "grpcio-tools==1.76.0",
    "protobuf==6.33.6",
    "mypy-protobuf==5.1.0",
    # The Google protos; their comments are in the descriptor set, so another version is another output.
    "googleapis-common-protos==1.76.0",
    "buf-bin==1.75.0",
)

DESCRIPTORS = Path("outlay/v1/descriptors.binpb")
"""Under `gen/`: a FileDescriptorSet with imports and comments, from which OpenAPI and the API reference are made."""

HANDWRITTEN = {
    Path("outlay/__init__.py"): '"""Code generated from `proto/`: change the protos and run `make gen`."""\n',
    Path("outlay/v1/__init__.py"): '"""The package `outlay.v1`: messages, services and their descriptors."""\n',
    Path("outlay/py.typed"): "",
    Path("tfplugin6/__init__.py"): '"""Code generated from `proto/tfplugin6`: Terraform\'s plugin protocol."""\n',
    Path("tfplugin6/py.typed"): "",
}
"""What protoc does not write but Python needs, by path under `gen/`."""


def main() -> int:
    """Generate, or with --check compare; the exit status."""
    parser = argparse.ArgumentParser(description="Generate gen/ from proto/.")
    parser.add_argument("--check", action="store_true", help="write nothing; fail where gen/ is stale")
    check = parser.parse_args().check
    python = ensure_environment()
    with tempfile.TemporaryDirectory(prefix="outlay-gen-") as folder:
        fresh = Path(folder)
        generate(python, fresh)
        stale = differences(fresh)
        if check:
            return report(stale)
        for path in stale:
            write_or_remove(fresh / path, GEN / path)
    print(f"gen/: {len(stale)} file(s) changed")
    return 0


def ensure_environment() -> Path:
    """Return the Python of `build/gen-venv`, which is made anew whenever `REQUIREMENTS` changed since it was made."""
    python = ENVIRONMENT / "bin" / "python"
    stamp = ENVIRONMENT / "requirements.txt"
    wanted = "\n".join(REQUIREMENTS) + "\n"
    if python.exists() and stamp.exists() and stamp.read_text() == wanted:
        return python
    venv.create(ENVIRONMENT, clear=True, with_pip=True)
    install = (python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
    subprocess.run([*install, *REQUIREMENTS], check=True)
    # Last, so that an interrupted installation is not taken for a whole one.
    stamp.write_text(wanted)
    return python


def sources(below: str = "") -> list[str]:
    """Return the proto files as protoc names them, sorted: relative to `proto/`."""
    return sorted(path.relative_to(PROTO).as_posix() for path in (PROTO / below).rglob("*.proto"))


def protoc(python: Path, *arguments: str, below: str = "") -> None:
    """Run protoc on the sources below a folder, with the Google protos that its environment ships."""
    ask = [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    site = subprocess.run(ask, check=True, capture_output=True, text=True).stdout.strip()
    includes = (f"-I{PROTO}", f"-I{site}", f"-I{site}/grpc_tools/_proto")
    subprocess.run([python, "-m", "grpc_tools.protoc", *includes, *arguments, *sources(below)], check=True)


def generate(python: Path, out: Path) -> None:
    """Write all of `gen/` below `out`. The same protos give the same bytes."""
    scripts = python.parent
    protoc(
        python,
        f"--plugin=protoc-gen-mypy={scripts / 'protoc-gen-mypy'}",
        f"--plugin=protoc-gen-mypy_grpc={scripts / 'protoc-gen-mypy_grpc'}",
        f"--python_out={out}",
        f"--grpc_python_out={out}",
        f"--mypy_out=quiet:{out}",
        f"--mypy_grpc_out=quiet:{out}",
    )
    # The contract alone: Terraform's protocol is no part of it.
    set_out = f"--descriptor_set_out={out / DESCRIPTORS}"
    protoc(python, "--include_imports", "--include_source_info", set_out, below="outlay")
    drop_empty_service_modules(out)
    for path, text in HANDWRITTEN.items():
        (out / path).write_text(text)


def drop_empty_service_modules(out: Path) -> None:
    """Remove the `_pb2_grpc` modules of files that define no service: they import grpc and hold nothing."""
    for module in out.rglob("*_pb2_grpc.py"):
        if "Servicer" not in module.read_text():
            module.unlink()
            module.with_suffix(".pyi").unlink(missing_ok=True)


def files_below(folder: Path) -> set[Path]:
    """Return the files below `folder`, relative to it, without what running them leaves behind."""
    files = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return {path for path in files if "__pycache__" not in path.parts}


def differences(fresh: Path) -> list[Path]:
    """Return, sorted, the paths that are missing under `gen/`, not generated any more, or other than in `fresh`."""

    def content(path: Path) -> bytes | None:
        return path.read_bytes() if path.exists() else None

    paths = sorted(files_below(fresh) | files_below(GEN))
    return [path for path in paths if content(fresh / path) != content(GEN / path)]


def report(stale: list[Path]) -> int:
    """Say what is stale on standard error; the exit status."""
    for path in stale:
        print(f"gen/{path.as_posix()} is not what proto/ gives", file=sys.stderr)
    if stale:
        print("run `make gen` and commit gen/", file=sys.stderr)
    return 1 if stale else 0


def write_or_remove(source: Path, target: Path) -> None:
    """Make `target` what `source` is, and gone where there is none."""
    if not source.exists():
        target.unlink()
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(source.read_bytes())


if __name__ == "__main__":
    sys.exit(main())
