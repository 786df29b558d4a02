"""`outlay serve` with a write-ahead log that is moved into the database often, and synced as the argument says.

    python -m proofs.power_cut.server FULL|NORMAL

With FULL this is the server as it is, but for how soon it checkpoints: a short run is to meet many of them. NORMAL is
the canary; the server would refuse to serve so.
"""

import sqlite3
import sys
from pathlib import Path

from outlay_server.server.run import serve_from_environment
from outlay_server.store import sqlite

CHECKPOINT_PAGES = 60


def main() -> int:
    synchronous = sys.argv[1]
    sqlite.CHECKPOINT_PAGES = CHECKPOINT_PAGES
    connect = sqlite._connect

    def connect_and_set(path: Path) -> sqlite3.Connection:
        connection = connect(path)
        connection.execute(f"PRAGMA synchronous = {synchronous}")
        return connection

    sqlite._connect = connect_and_set
    return serve_from_environment()


if __name__ == "__main__":
    sys.exit(main())
