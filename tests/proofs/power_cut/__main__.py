"""Cut the power of a recorded run, again and again.

    PYTHONPATH=tests .venv/bin/python -m proofs.power_cut [--cuts N] [--seconds S] [--seed N] [--synchronous NORMAL]

Exits 1 where an answer was lost or a file was corrupt. With `--synchronous NORMAL`, which does not sync each commit, it
must.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from proofs.power_cut.recording import SYNC, compiler, record
from proofs.power_cut.replay import cut


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cuts", type=int, default=2_000)
    parser.add_argument("--seconds", type=float, default=3.0, help="of load that are recorded")
    parser.add_argument("--seed", type=int, default=20)
    parser.add_argument("--synchronous", choices=("FULL", "NORMAL"), default="FULL")
    arguments = parser.parse_args()
    if compiler() is None:
        raise SystemExit("this takes Linux and a C compiler")
    with tempfile.TemporaryDirectory(prefix="outlay-power-") as name:
        folder = Path(name)
        recording = record(folder, arguments.synchronous, arguments.seconds)
        syncs = sum(operation.kind == SYNC for operation in recording.operations)
        print(
            f"recorded {len(recording.operations)} operations, {syncs} of them syncs, and"
            f" {len(recording.acknowledged)} answers, with synchronous={arguments.synchronous}"
        )
        found = cut(recording, arguments.cuts, arguments.seed, folder)
    print(f"{found.cuts} cuts: {found.losing} lost an acknowledged answer, {found.corrupt} left a corrupt file")
    for example in found.examples[:5]:
        print(f"  {example}")
    return 0 if found.is_clean else 1


if __name__ == "__main__":
    sys.exit(main())
