"""`outlay verify` on the database of a server: the books recomputed from the ledger by the shipped command."""

import json
import os
import subprocess
from typing import Any

from support.server import OUTLAY, ServerProcess

VERIFY_TIMEOUT_SECONDS = 120.0


def verify(server: ServerProcess) -> dict[str, Any]:
    """What `outlay verify --output json` prints. Fails with its text where it finds a disagreement."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OUTLAY_")}
    environment["OUTLAY_DATA_DIR"] = str(server.data_dir)
    if server.database_url is not None:
        environment["OUTLAY_DATABASE_URL"] = server.database_url
    done = subprocess.run(
        [OUTLAY, "verify", "--output", "json"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=VERIFY_TIMEOUT_SECONDS,
        check=False,
    )
    assert done.returncode == 0, f"outlay verify ended with {done.returncode}:\n{done.stdout}{done.stderr}"
    answer: dict[str, Any] = json.loads(done.stdout)
    assert answer["agrees"] is True, done.stdout
    return answer
