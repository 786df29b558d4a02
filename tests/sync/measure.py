"""Times the commands of caps as code, each as a process of its own, against a server on SQLite.

    PYTHONPATH=tests .venv/bin/python -m sync.measure --budgets 500

Prints wall and CPU seconds of the command (the server's are not among the latter), best and median of the rounds.
"""

import argparse
import os
import resource
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from support.server import OUTLAY, ServerProcess

BUDGET = """\
organization: acme
budget_id: b{number}
unit: USD
display_name: Budget {number}
selector: {{team: t{number}}}
budget: {number}.00
hard_cap: {cap}.50
alert_thresholds: [50, 80, 100]
alerts_enabled: true
cycle: {{period: MONTH, anchor: 2026-01-01, time_zone: Europe/Berlin}}
enforcement: ENFORCE
"""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--budgets", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, ServerProcess(Path(name) / "server") as server:
        folder = Path(name) / "caps"
        folder.mkdir()
        environment = {**os.environ, "OUTLAY_ENDPOINT": server.grpc_address, "OUTLAY_API_KEY": server.admin_key}
        times: dict[str, list[tuple[float, float]]] = {}

        def run(label: str, *arguments: str) -> None:
            cpu, start = _cpu(), time.monotonic()
            subprocess.run([OUTLAY, *arguments], cwd=name, env=environment, check=False, stdout=subprocess.DEVNULL)
            times.setdefault(label, []).append((time.monotonic() - start, _cpu() - cpu))

        run("(the organization)", "orgs", "create", "acme")
        for round_number in range(given.rounds):
            for number in range(given.budgets):
                cap = number + 100 + round_number
                (folder / f"b{number}.yaml").write_text(BUDGET.format(number=number, cap=cap))
            created = "create" if round_number == 0 else "change"
            run("validate", "validate", "caps")
            run(f"plan that would {created} all", "plan", "-f", "caps")
            run(f"apply that does {created} all", "apply", "-f", "caps")
            run("plan of nothing", "plan", "-f", "caps")
            run("drift", "drift", "-f", "caps")
            run("export", "export", "acme", "-o", "out", "--overwrite")
    print(f"{given.budgets} budgets in as many files; load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    for label, rows in times.items():
        wall, cpu_seconds = ([row[column] for row in rows] for column in (0, 1))
        print(
            f"{label:<24} wall {min(wall):5.2f} best {statistics.median(wall):5.2f} median"
            f"   cpu {min(cpu_seconds):5.2f} best {statistics.median(cpu_seconds):5.2f} median"
        )


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
