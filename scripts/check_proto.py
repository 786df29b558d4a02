"""Check the style of `proto/`: `buf format` on the sources, `buf lint` on the image that protoc builds of them.

From sources buf would fetch the Google protos from its registry; given an image it needs no network. Which rules hold,
and why two do not, stands in `buf.yaml`.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from gen import PROTO, ROOT, ensure_environment, protoc


def main() -> int:
    """Run both, so that one run shows every complaint; the exit status."""
    python = ensure_environment()
    buf = python.parent / "buf"
    with tempfile.TemporaryDirectory(prefix="outlay-lint-") as folder:
        image = Path(folder) / "image.binpb"
        protoc(python, "--include_imports", "--include_source_info", f"--descriptor_set_out={image}")
        formatted = subprocess.run([buf, "format", "--diff", "--exit-code", PROTO], cwd=ROOT, check=False)
        # The image holds Google's protos and Terraform's protocol too, whose names are not ours to choose.
        linted = subprocess.run([buf, "lint", image, "--path", "outlay"], cwd=ROOT, check=False)
    return 1 if formatted.returncode or linted.returncode else 0


if __name__ == "__main__":
    sys.exit(main())
