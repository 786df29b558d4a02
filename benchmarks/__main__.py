"""`python -m benchmarks`: measure, check the books, print the table, write the JSON."""

import argparse
import json
import signal
import sys
import tempfile
from pathlib import Path

from benchmarks import postgres, report
from benchmarks.bench import Pace, measure
from benchmarks.books import BooksDisagree
from benchmarks.processes import ROOT, ProcessFailed
from benchmarks.variants import chosen


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    # Ended politely, it ends what it started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    variants = chosen(options.variants)
    if postgres.find_programs() is None and any(variant.target.needs_postgres for variant in variants):
        _say("No PostgreSQL here: its variants are left out.")
        variants = [variant for variant in variants if not variant.target.needs_postgres]
    if not variants:
        _say("No variant has that in its name.")
        return 2
    pace = Pace(options.rounds, options.seconds, options.warm_up, options.most_calls)
    try:
        with tempfile.TemporaryDirectory(prefix="outlay-bench-", ignore_cleanup_errors=True) as folder:
            # PostgreSQL runs as another account where this one is root, and has to get in.
            Path(folder).chmod(0o755)
            results = measure(variants, pace, Path(folder), _say)
    except BooksDisagree as wrong:
        _say(f"THE BOOKS ARE WRONG\n{wrong}")
        return 1
    except ProcessFailed as failed:
        _say(str(failed))
        return 1
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(report.as_json(variants, results, pace), indent=1))
    print(report.table(report.lines(variants, results)))
    if compared := report.comparison_lines(results):
        print(f"\n{compared}")
    _say(f"The books were exact after every trial. All trials: {options.output}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure Outlay beside a bare echo.")
    parser.add_argument("variants", nargs="*", help="only variants with one of these words in their names")
    parser.add_argument("--rounds", type=int, default=3, help="trials of each variant (%(default)s)")
    parser.add_argument("--seconds", type=float, default=1.5, help="measured time of a trial (%(default)s)")
    parser.add_argument("--warm-up", type=float, default=0.3, help="seconds before it (%(default)s)")
    parser.add_argument("--most-calls", type=int, help="end a trial after so many calls")
    parser.add_argument("--output", type=Path, default=ROOT / "build" / "benchmarks.json", help="the JSON file")
    return parser


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
