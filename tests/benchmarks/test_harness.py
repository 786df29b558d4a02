"""The harness runs, on counts too small to measure anything, and a journal that it wrote wrongly fails it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from benchmarks.books import BooksDisagree, check_ledger, check_trial
from benchmarks.loads.closed_loop import Turns, percentile
from benchmarks.outlay import deployment
from benchmarks.processes import run_load
from benchmarks.trial import Plan, Tenant
from benchmarks.variants import chosen

from support.postgres import PostgresMissingError, find_programs

ROOT = Path(__file__).parents[2]
WORDS = ("check, SQLite, 64", "two replicas", "batches of 100, SQLite", "bare")
"""In the names of variants that together use every load and every store."""
SMALL = ("--rounds", "1", "--seconds", "20", "--warm-up", "0.01", "--most-calls", "20")


def has_postgres() -> bool:
    try:
        find_programs()
    except PostgresMissingError:
        return False
    return True


def test_every_load_runs_and_is_reported(tmp_path: Path) -> None:
    """One run: a line for each variant, every trial in the file, and the books exact."""
    output = tmp_path / "build" / "benchmarks.json"
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", *WORDS, *SMALL, "--output", output],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    expected = [variant.name for variant in chosen([*WORDS]) if has_postgres() or not variant.target.needs_postgres]
    found = json.loads(output.read_text())
    assert [line["name"] for line in found["lines"]] == expected
    assert all(len(trials) == 1 and not trials[0]["failures"] for trials in found["trials"].values())
    assert all(f"| {name} |" in done.stdout for name in expected)


def test_a_falsified_journal_fails_against_the_real_service(tmp_path: Path) -> None:
    """The check can fail: the same trial passes, and with one micro more in its callers' journal it does not."""
    with deployment(tmp_path / "data") as outlay:
        plan = Plan(
            load="grpc",
            targets=(outlay.replicas[0].grpc_address,),
            in_flight=4,
            seconds=20,
            warm_up_seconds=0,
            most_calls=20,
            tenants=outlay.new_tenants(1),
        )
        trial = run_load(plan)
        outlay.granted.add(trial.journal)
        check_trial(trial, outlay)
        check_ledger(outlay.verify(), outlay.granted)

        trial.journal[plan.tenants[0].organization_id].micros += 1
        outlay.granted.micros += 1
        with pytest.raises(BooksDisagree, match="the books count"):
            check_trial(trial, outlay)
        with pytest.raises(BooksDisagree, match="the ledger holds"):
            check_ledger(outlay.verify(), outlay.granted)


def test_a_plan_survives_its_way_to_the_load_process() -> None:
    """What the load process reads is what was written."""
    plan = Plan("grpc", ("a:1", "b:2"), 64, 1.0, 0.1, None, 0, (Tenant("acme", "sk_", 9),), (1,), (2, 3))
    assert Plan.from_json(plan.to_json()) == plan


def test_a_chosen_variant_brings_what_it_is_measured_beside() -> None:
    """A ratio needs both of its sides in the same run."""
    assert [variant.name for variant in chosen(["check, SQLite, 64"])] == [
        "echo, 64 in flight",
        "check, SQLite, 64 in flight",
        "native REST check, SQLite, 64",
    ]


def test_turns_stay_with_a_tenant_until_it_is_used_up() -> None:
    """A batch is of one organization, so the last of a tenant may be smaller."""
    first, second = Tenant("first", "", 3), Tenant("second", "", 1)
    turns = Turns((first, second))
    assert [turns.take(2) for _ in range(4)] == [[(first, 1), (first, 2)], [(first, 3)], [(second, 4)], []]


@pytest.mark.parametrize(("percent", "expected"), [(50, 2.0), (99, 4.0), (25, 1.0), (26, 2.0)])
def test_percentiles_are_values_that_were_measured(percent: float, expected: float) -> None:
    """The nearest rank, never an interpolation."""
    assert percentile([1.0, 2.0, 3.0, 4.0], percent) == expected
