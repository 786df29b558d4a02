"""`docs/reference/` is what the protos say."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_reference_is_what_the_protos_say() -> None:
    """A comment that was changed without `python scripts/gen_docs.py` leaves a page that says something else."""
    check = [sys.executable, ROOT / "scripts" / "gen_docs.py", "--check"]
    done = subprocess.run(check, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
