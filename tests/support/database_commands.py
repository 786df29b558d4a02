"""The shipped commands that work on a database itself: `outlay migrate` and `outlay verify`."""

import json
import os
import subprocess
from typing import Any

from support.server import OUTLAY, ServerProcess

TIMEOUT_SECONDS = 120.0


def verify(server: ServerProcess) -> dict[str, Any]:
    """The books of a server recomputed from the ledger: what `outlay verify --output json` prints.

    Fails with its text where it finds a disagreement.
    """
    environment = {"OUTLAY_DATA_DIR": str(server.data_dir)}
    if server.database_url is not None:
        environment["OUTLAY_DATABASE_URL"] = server.database_url
    answer: dict[str, Any] = json.loads(_run("verify", "--output", "json", **environment))
    assert answer["agrees"] is True, answer
    return answer


def migrate(database_url: str) -> None:
    """Bring a database to the newest schema."""
    _run("migrate", OUTLAY_DATABASE_URL=database_url)


def _run(*arguments: str, **environment: str) -> str:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("OUTLAY_")}
    done = subprocess.run(
        [OUTLAY, *arguments],
        env=inherited | environment,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
        check=False,
    )
    assert done.returncode == 0, f"outlay {' '.join(arguments)}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout
