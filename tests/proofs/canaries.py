"""Code that is broken on purpose, which the tests over the wire must find.

    PYTHONPATH=tests .venv/bin/python -m proofs.canaries [NAME …]

Each canary is one change of the server's text, made in a copy of it, and the tests that must fail on that copy: not by
an error of the test, but by what the server answers or what its books then say.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
_SOURCE_ROOTS: Final = ("gen", "service", "terraform-bridge")
_TIMEOUT_SECONDS: Final = 300.0


class NotCaught(Exception):
    """The tests passed on broken code, or could not be run on it."""


@dataclass(frozen=True)
class Change:
    """One edit of a file of the service; `old` must stand in it, once."""

    file: str
    old: str
    new: str


@dataclass(frozen=True)
class Canary:
    """A way to break the server, and who must notice."""

    name: str
    changes: tuple[Change, ...]
    tests: tuple[str, ...]
    """Arguments of pytest."""
    sign: str = "AssertionError"
    """What the output of the failure must hold, so that no accident passes for a finding."""


def _one(name: str, file: str, old: str, new: str, *tests: str, sign: str = "AssertionError") -> Canary:
    return Canary(name, (Change(file, old, new),), tests, sign)


CANARIES: Final = (
    _one(
        "replicas read, then write, without a lock",
        "outlay_server/store/postgres.py",
        ' ORDER BY "key" FOR UPDATE',
        ' ORDER BY "key"',
        "tests/wire/test_concurrent_fill.py",
        "-k",
        "postgres and small_caps",
    ),
    _one(
        "a request_id's content is not looked at",
        "outlay_server/domain/replay.py",
        "    if stored.method != method:\n",
        '    if stored.method != "":\n        return None\n    if stored.method != method:\n',
        "tests/wire/test_idempotency.py",
        "-k",
        "sqlite and a_check_with_a_used_id",
    ),
    _one(
        "no request_id is remembered",
        "outlay_server/domain/replay.py",
        "    books.changes.requests.append(stored)\n",
        "    books.requests.clear()\n",
        "tests/proofs/test_kill9.py",
        "-k",
        "killed_server",
        sign="is_clean",
    ),
    Canary(
        "answers are given before the commit",
        (
            Change(
                "outlay_server/store/sqlite.py",
                "        # the commit, which waits for the disk, runs apart.\n",
                "        if getattr(self, '_late', None):\n            await self._late\n",
            ),
            Change(
                "outlay_server/store/sqlite.py",
                "                await self._in_thread(self._raw().commit)\n",
                "                self._late = asyncio.get_running_loop().run_in_executor(\n"
                "                    self._thread, lambda: (__import__('time').sleep(0.05), self._raw().commit())\n"
                "                )\n",
            ),
        ),
        ("tests/proofs/test_kill9.py", "-k", "killed_server"),
        sign="is_clean",
    ),
    _one(
        "PostgreSQL commits without a sync",
        "outlay_server/store/postgres.py",
        '"synchronous_commit": "on", "application_name": "outlay-ledger"',
        '"synchronous_commit": "off", "application_name": "outlay-ledger"',
        "tests/proofs/test_kill9.py",
        "-k",
        "killed_postgres",
        sign="is_clean",
    ),
    _one(
        "a malformed message is an exception",
        "outlay_server/api/dispatcher.py",
        "    except DecodeError:\n",
        "    except ZeroDivisionError:\n",
        "tests/wire/test_mutated_bytes.py",
        "-k",
        "sqlite",
    ),
    _one(
        "one RPC asks for another scope",
        "outlay_server/api/permissions.py",
        '"/outlay.v1.BudgetService/DeleteBudget": _WRITE',
        '"/outlay.v1.BudgetService/DeleteBudget": _CHECK',
        "tests/wire/test_scopes.py",
        "-k",
        "sqlite",
    ),
    _one(
        "a key reaches every organization",
        "outlay_server/api/from_wire/fields.py",
        "return self.caller.is_platform or organization_id == self.caller.organization_id",
        "return True",
        "tests/wire/test_tenant_wall.py",
        "-k",
        "sqlite",
    ),
    _one(
        "settings are cached without their version",
        "outlay_server/store/postgres.py",
        "if state is None or state.version != version:",
        "if state is None:",
        "tests/wire/test_new_limits.py",
        "-k",
        "postgres",
    ),
    _one(
        "revocations are looked for every three seconds",
        "outlay_server/api/authentication.py",
        "POLL_SECONDS: Final = 0.4\n",
        "POLL_SECONDS: Final = 3.0\n",
        "tests/wire/test_keys.py",
        "-k",
        "postgres and revoked",
    ),
    _one(
        "a caller that gives up takes the ledger along",
        "outlay_server/ledger/ledger.py",
        "            if not submission.future.done():\n                submission.future.set_result(theirs)\n",
        "            submission.future.set_result(theirs)\n",
        "tests/wire/test_impatience.py",
        "-k",
        "sqlite and thousand",
        sign="Error",
    ),
    _one(
        "SIGTERM ends the process at once",
        "outlay_server/server/run.py",
        "        await stop.wait()\n",
        "        await stop.wait()\n        os._exit(0)\n",
        "tests/wire/test_impatience.py",
        "-k",
        "in_flight_at_sigterm",
        sign="UNAVAILABLE",
    ),
    _one(
        "a draining server says that it is serving",
        "outlay_server/server/health.py",
        "        self._draining = True\n",
        "        self._draining = False\n",
        "tests/wire/test_beside.py",
        "-k",
        "says_so_before",
    ),
)


def run(canary: Canary) -> float:
    """Break a copy, run the tests on it, and return the seconds they took to fail. Raises `NotCaught`."""
    with tempfile.TemporaryDirectory(prefix="outlay-canary-") as folder:
        copy = Path(folder)
        for name in _SOURCE_ROOTS:
            shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        for change in canary.changes:
            file = copy / "service" / change.file
            text = file.read_text()
            if text.count(change.old) != 1:
                raise NotCaught(f"{canary.name}: {change.file} no longer says {change.old!r}; write the canary anew")
            file.write_text(text.replace(change.old, change.new))
        started = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *canary.tests],
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(str(copy / name) for name in _SOURCE_ROOTS)},
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_SECONDS,
            check=False,
        )
    if done.returncode == 0:
        raise NotCaught(f"{canary.name}: the tests passed\n{done.stdout[-2_000:]}")
    if done.returncode != 1 or canary.sign not in done.stdout:
        raise NotCaught(f"{canary.name}: the tests did not fail as they should\n{done.stdout[-4_000:]}{done.stderr}")
    return time.monotonic() - started


def main(names: list[str]) -> int:
    escaped = 0
    for canary in CANARIES:
        if names and not any(name in canary.name for name in names):
            continue
        try:
            print(f"caught after {run(canary):.1f} s: {canary.name}", flush=True)
        except NotCaught as failure:
            escaped += 1
            print(f"NOT CAUGHT: {failure}", flush=True)
    return 1 if escaped else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
