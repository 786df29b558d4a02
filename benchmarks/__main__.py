"""`python -m benchmarks`: measure, check the books, print the tables, write the JSON, the pictures and the page."""

import argparse
import json
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks import caps, machine, page, plots, report
from benchmarks.bench import Pace, Results, measure, startable
from benchmarks.books import BooksDisagree
from benchmarks.processes import ROOT, ProcessFailed, clean_environment
from benchmarks.variants import Variant, chosen

CAPS = "caps"
APART = ("apply_caps", "history", "scaling", "watch")
"""Benchmarks with a shape and options of their own: modules that are commands, run by their name as the first word."""


def main(arguments: list[str] | None = None) -> int:
    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments and arguments[0] in APART:
        command = [sys.executable, "-m", f"benchmarks.{arguments[0]}", *arguments[1:]]
        return subprocess.run(command, cwd=ROOT, env=clean_environment({}), check=False).returncode
    # Ended politely, it ends what it started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    options = _parser().parse_args(arguments)
    words = [word for word in options.variants if word != CAPS]
    wants_caps = CAPS in options.variants or options.full
    variants = chosen(words, short=not options.full) if words or CAPS not in options.variants else []
    variants = startable(variants, _say, install=options.install)
    systems = _startable_systems(options.install) if wants_caps else []
    if not variants and not systems:
        _say("No variant that can be started here has that in its name.")
        return 2
    pace = Pace(options.rounds, options.seconds, options.warm_up, options.most_calls)
    facts = machine.facts([*variants, *(system.variant for system in systems)])
    load_before = machine.load_average()
    try:
        with tempfile.TemporaryDirectory(prefix="outlay-bench-", ignore_cleanup_errors=True) as folder:
            # PostgreSQL runs as another account where this one is root, and has to get in.
            Path(folder).chmod(0o755)
            proofs = caps.prove(systems, Path(folder), _say)
            results = measure(variants, pace, Path(folder), _say, install=options.install)
            variants = [variant for variant in variants if variant.name in results]
    except BooksDisagree as wrong:
        _say(f"THE BOOKS ARE WRONG\n{wrong}")
        return 1
    except ProcessFailed as failed:
        _say(str(failed))
        return 1
    facts["load average before and after"] = f"{load_before}; {machine.load_average()} (over 1, 5 and 15 minutes)"
    _report(options, variants, results, proofs, facts, pace)
    return 0


def _report(
    options: argparse.Namespace,
    variants: Sequence[Variant],
    results: Results,
    proofs: Sequence[caps.Proof],
    facts: dict[str, str],
    pace: Pace,
) -> None:
    found, compared = report.lines(variants, results), report.comparisons(results)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    content = report.as_json(variants, results, pace, facts, caps.as_json(proofs))
    options.output.write_text(json.dumps(content, indent=1))
    if found:
        print(report.table(found))
    if compared:
        print(f"\n{report.comparison_table(compared)}")
    if proofs:
        print(f"\n{caps.table(proofs)}")
    _say(f"The books were exact after every trial. All trials: {options.output}")
    if found:
        _draw(found, page.IMAGES if options.write_docs else options.output.parent)
    if options.write_docs:
        page.write(page.section(found, compared, proofs, facts, pace, _notes(results)))
        _say(f"Written: {page.PAGE.relative_to(ROOT)}")


def _draw(found: Sequence[report.Line], folder: Path) -> None:
    try:
        paths = plots.write(found, folder)
    except ModuleNotFoundError:
        _say("No pictures: matplotlib is missing (pip install 'outlay[bench]').")
    else:
        _say(f"Pictures: {', '.join(str(path) for path in paths)}")


def _notes(results: Results) -> list[str]:
    drifts = {name: [trial.drift_micros for trial in trials] for name, trials in results.items()}
    return [
        f"{name}: after the trials its own sum was off by {', '.join(f'{drift:+,}' for drift in found)} micros."
        for name, found in drifts.items()
        if any(found)
    ]


def _startable_systems(install: bool) -> list[caps.System]:
    can_start = {variant.name for variant in startable([s.variant for s in caps.SYSTEMS], _say, install=install)}
    return [system for system in caps.SYSTEMS if system.name in can_start]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure Outlay beside a bare echo.")
    parser.add_argument(
        "variants", nargs="*", help=f"only variants with one of these words in their names; {CAPS}: whether caps hold"
    )
    parser.add_argument("--full", action="store_true", help="every variant, the rivals, and whether caps hold")
    parser.add_argument("--install", action="store_true", help="make the rivals' environments in build/rivals")
    parser.add_argument("--rounds", type=int, default=3, help="trials of each variant (%(default)s)")
    parser.add_argument("--seconds", type=float, default=1.5, help="measured time of a trial (%(default)s)")
    parser.add_argument("--warm-up", type=float, default=0.3, help="seconds before it (%(default)s)")
    parser.add_argument("--most-calls", type=int, help="end a trial after so many calls")
    parser.add_argument("--output", type=Path, default=ROOT / "build" / "benchmarks.json", help="the JSON file")
    parser.add_argument("--write-docs", action="store_true", help="and docs/benchmarks.md with its pictures")
    return parser


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
