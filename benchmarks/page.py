"""The generated part of `docs/benchmarks.md`: between two markers, so that the prose around it is written by hand."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks import caps, report
from benchmarks.bench import Pace
from benchmarks.processes import ROOT

PAGE = ROOT / "docs" / "benchmarks.md"
IMAGES = ROOT / "docs" / "images"
BEGIN = "<!-- begin: written by make bench-full -->"
END = "<!-- end: written by make bench-full -->"

_COLUMNS = """\
µs are CPU time per check. “× echo” is of the echo of the same round: the one with 256 callers, or from h2load, for what
has these in its name, and the one with 64 for everything else."""


def section(
    found: Sequence[report.Line],
    compared: Sequence[report.Comparison],
    proofs: Sequence[caps.Proof],
    machine: Mapping[str, str],
    pace: Pace,
    notes: Sequence[str],
) -> str:
    """Everything that a run says, as Markdown."""
    parts = [
        f"`make bench-full`, {pace.rounds} rounds, {pace.seconds:g} s a trial. The books were exact after every trial.",
        _list([f"{name}: {value}" for name, value in machine.items()]),
        "### All variants",
        "![Rates](images/benchmarks-rate.svg)",
        report.table(found),
        _COLUMNS,
        "![Latency](images/benchmarks-latency.svg)",
        "![CPU time](images/benchmarks-cpu.svg)",
        "### Beside each other",
        "Each ratio is the median of its rounds. CPU time is per check.",
        report.comparison_table(compared),
    ]
    if proofs:
        parts += ["### Does the cap hold", caps.table(proofs)]
    if notes:
        parts += ["### Noted", _list(notes)]
    return "\n\n".join(parts)


def _list(items: Sequence[str]) -> str:
    return "\n".join(f"- {item}" for item in items)


def write(text: str, page: Path = PAGE) -> None:
    """Put it between the markers. Raises `ValueError` where they are missing."""
    before, begin, rest = page.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{page} has no {BEGIN} and {END}")
    page.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}")
