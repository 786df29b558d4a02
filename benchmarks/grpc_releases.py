"""Releases of grpcio beside each other in one run: `python -m benchmarks.grpc_releases 1.76.0 1.85.1`.

Each is installed into a folder of `build/`, alone, and put before everything else on the path of an echo and of a
service on SQLite; the companions, protobuf and the client are those of this environment. The rounds go back and forth.
"""

import argparse
import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.books import Totals, check_ledger, check_trial
from benchmarks.outlay import Deployment, deployment
from benchmarks.processes import ROOT, address_after, clean_environment, run_load, running, says_ready
from benchmarks.trial import UNBOUNDED, Plan, Tenant, Trial

IN_FLIGHT = 64


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.grpc_releases", description=__doc__)
    parser.add_argument("releases", nargs="+", help="such as 1.76.0; the first is what the others are compared with")
    parser.add_argument("--rounds", type=int, default=5, help="trials of each (%(default)s)")
    parser.add_argument("--seconds", type=float, default=2.0, help="measured time of a trial (%(default)s)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="outlay-grpc-") as folder, contextlib.ExitStack() as stack:
        servers = [_Server(stack, Path(folder), release) for release in options.releases]
        for number in range(options.rounds):
            for server in servers if number % 2 == 0 else reversed(servers):
                server.measure(options.seconds)
                print(f"{number + 1}/{options.rounds}  {server.release}", file=sys.stderr, flush=True)
    print(_table(servers))
    return 0


class _Server:
    """An echo and a service on one release."""

    def __init__(self, stack: contextlib.ExitStack, folder: Path, release: str) -> None:
        self.release = release
        self.echoes: list[Trial] = []
        self.checks: list[Trial] = []
        with _first_on_path(_installed(release)):
            home = folder / release
            home.mkdir()
            self._outlay: Deployment = stack.enter_context(deployment(home / "outlay"))
            self._echo_pid, said = stack.enter_context(
                running(
                    [sys.executable, "-m", "benchmarks.echo"],
                    home / "echo.log",
                    is_ready=says_ready,
                    cwd=ROOT,
                    env=clean_environment({}),
                )
            )
        self._echo_address = address_after("gRPC", said)

    def measure(self, seconds: float) -> None:
        """One trial of each, and the books after it."""
        nobody = Tenant("bare-000000", "sk_" + "0" * 38, UNBOUNDED)
        self.echoes.append(run_load(_plan(self._echo_address, self._echo_pid, (nobody,), seconds)))
        replica = self._outlay.replicas[0]
        trial = run_load(_plan(replica.grpc_address, replica.pid, self._outlay.new_tenants(3), seconds))
        self._outlay.enter(trial.journal)
        check_trial(trial, self._outlay, self._outlay.granted)
        check_ledger(self._outlay.verify(), Totals.of(self._outlay.granted.values()))
        self.checks.append(trial)


def _plan(address: str, pid: int, tenants: tuple[Tenant, ...], seconds: float) -> Plan:
    return Plan("grpc", (address,), IN_FLIGHT, seconds, 0.5, tenants=tenants, server_pids=(pid,))


def _installed(release: str) -> Path:
    """The folder of a release, fetched when it is not there."""
    folder = ROOT / "build" / f"grpcio-{release}"
    if not folder.is_dir():
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(folder)]
        subprocess.run([*command, f"grpcio=={release}"], check=True)
    return folder


@contextlib.contextmanager
def _first_on_path(folder: Path) -> Iterator[None]:
    """For the processes that are started within the block."""
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(folder), before)))
    try:
        yield
    finally:
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before


def _table(servers: Sequence[_Server]) -> str:
    lines = [
        "| grpcio | echo µs | echo × first | echo/s × first | check µs | check × first |",
        "| --- |" + " ---: |" * 5,
    ]
    for server in servers:
        ratios = [
            _median(_cpu(ours) / _cpu(first) for ours, first in zip(server.echoes, servers[0].echoes, strict=True)),
            _median(
                ours.checks_per_second / first.checks_per_second
                for ours, first in zip(server.echoes, servers[0].echoes, strict=True)
            ),
            _median(_cpu(ours) / _cpu(first) for ours, first in zip(server.checks, servers[0].checks, strict=True)),
        ]
        echo, check = _median(map(_cpu, server.echoes)), _median(map(_cpu, server.checks))
        lines.append(
            f"| {server.release} | {echo:.0f} | {ratios[0]:.2f} | {ratios[1]:.2f} | {check:.0f} | {ratios[2]:.2f} |"
        )
    return "\n".join(lines)


def _cpu(trial: Trial) -> float:
    """Server CPU a call, in microseconds."""
    return trial.server_cpu_seconds / trial.checks * 1e6


def _median(values: "Iterator[float] | map[float]") -> float:
    return statistics.median(values)


if __name__ == "__main__":
    sys.exit(main())
