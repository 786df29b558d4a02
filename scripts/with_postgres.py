"""Run a command with OUTLAY_DATABASE_URL set to a PostgreSQL of its own, which is gone afterwards.

    python scripts/with_postgres.py outlay demo

The server is the one of the tests: from the PATH, else from the development dependencies.
"""

import os
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from support.postgres import PostgresServer


def main(command: list[str]) -> int:
    """Return the command's exit code."""
    if not command:
        print(__doc__, file=sys.stderr)
        return 64
    with PostgresServer() as server:
        url = server.url(server.create_database())
        return subprocess.run(command, env={**os.environ, "OUTLAY_DATABASE_URL": url}, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
