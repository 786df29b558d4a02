"""The harness runs, on counts too small to measure anything, and a journal that it wrote wrongly fails it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from benchmarks.__main__ import APART, main
from benchmarks.bench import Pace, measure, startable
from benchmarks.books import BooksDisagree, Totals, check_ledger, check_trial
from benchmarks.loads.closed_loop import Turns, percentile
from benchmarks.outlay import deployment
from benchmarks.processes import run_load
from benchmarks.rivals import environments
from benchmarks.trial import UNBOUNDED, Plan, Tenant
from benchmarks.variants import VARIANTS, Target, Variant, chosen

from benchmarks import caps

ROOT = Path(__file__).parents[2]
LEFT_OUT = ("LiteLLM", "1,000 organizations", "everysec")
"""Ten seconds each to start, and another setting of the same."""
SMALL = ("--rounds", "1", "--seconds", "20", "--warm-up", "0.01", "--most-calls", "20")


def no_words(_: str) -> None:
    """What is left out here is not of interest."""


def one_of_each() -> list[Variant]:
    """Variants that together use every target and every load; the others only differ in numbers."""
    chosen: list[Variant] = []
    for variant in VARIANTS:
        is_new = variant.target not in {one.target for one in chosen} or shape(variant) not in map(shape, chosen)
        if is_new and not any(word in variant.name for word in LEFT_OUT):
            chosen.append(variant)
    return chosen


def shape(variant: Variant) -> tuple[str, bool, str]:
    return variant.load, variant.batch_size > 0, variant.expects


@pytest.mark.timeout(300)
def test_every_target_and_load_that_can_start_here_runs_and_is_reported(tmp_path: Path) -> None:
    """One run: a line for each variant, every trial in the file, and the books exact. It installs nothing."""
    wanted = one_of_each()
    expected = [variant.name for variant in startable(wanted, no_words, install=False)]
    output = tmp_path / "build" / "benchmarks.json"
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", *(variant.name for variant in wanted), *SMALL, "--output", output],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(output.read_text())
    assert [line["name"] for line in found["lines"]] == expected
    assert all(len(trials) == 1 and not trials[0]["failures"] for trials in found["trials"].values())
    assert all(f"| {name} |" in done.stdout for name in expected)


def test_a_cap_that_64_callers_fill_holds_and_is_remembered(tmp_path: Path) -> None:
    """The proof that stands in the page: never above the cap, and all of it there after SIGKILL."""
    tmp_path.chmod(0o755)
    (proof,) = caps.prove([system for system in caps.SYSTEMS if system.name == "Outlay, SQLite"], tmp_path, no_words)
    assert proof.cap_micros - 1_000 < proof.admitted_micros <= proof.cap_micros
    assert proof.admitted_micros == proof.counted_micros == proof.remembered_micros
    assert (proof.overshoot_percent, proof.remembered) == (0, "all")


def test_a_rival_that_does_not_start_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half an hour of measuring does not end because somebody else's program did."""
    program = tmp_path / "litellm" / "bin" / "litellm"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\necho something is missing\nexit 1\n")
    program.chmod(0o755)
    (tmp_path / "litellm" / "installed.txt").write_text("\n".join(environments.REQUIREMENTS["litellm"]))
    monkeypatch.setattr(environments, "FOLDER", tmp_path)
    said: list[str] = []
    (rival,) = (variant for variant in VARIANTS if variant.target is Target.LITELLM)
    assert measure([rival], Pace(1, 1, 0, 1), tmp_path, said.append, install=False) == {}
    assert len(said) == 1
    assert said[0].startswith(f"Left out: {rival.name}. ")
    assert "something is missing" in said[0]


def test_an_overshoot_and_a_loss_are_told() -> None:
    """The table does not only say what one likes to hear."""
    proof = caps.Proof("somebody", "never", 1_200, 1_130, 1_000, 70, 1_130, 0)
    assert caps.line(proof) == "| somebody | 1,130 of 1,000 | 13.0 % | 70 of 1,200 | nothing | never |"


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
        outlay.enter(trial.journal)
        check_trial(trial, outlay, outlay.granted)
        check_ledger(outlay.verify(), Totals.of(outlay.granted.values()))

        outlay.granted[plan.tenants[0].organization_id].held_micros += 1
        with pytest.raises(BooksDisagree, match="the books count"):
            check_trial(trial, outlay, outlay.granted)
        with pytest.raises(BooksDisagree, match="the ledger holds"):
            check_ledger(outlay.verify(), Totals.of(outlay.granted.values()))


def test_a_plan_survives_its_way_to_the_load_process() -> None:
    """What the load process reads is what was written."""
    plan = Plan("grpc", ("a:1", "b:2"), 64, 1.0, 0.1, tenants=(Tenant("acme", "sk_", 9),), database_pids=(2, 3))
    assert Plan.from_json(plan.to_json()) == plan


def test_a_chosen_variant_brings_what_it_is_measured_beside() -> None:
    """A ratio needs both of its sides in the same run."""
    assert [variant.name for variant in chosen(["denial, SQLite"])] == ["echo, 64 in flight", "denial, SQLite, 64"]


@pytest.mark.parametrize("word", APART)
def test_a_benchmark_apart_is_run_by_its_word(word: str) -> None:
    """It has options of its own, and names no variant."""
    assert main([word, "--help"]) == 0
    assert not any(word in variant.name for variant in VARIANTS)


def test_the_short_run_is_a_part_of_the_full_one() -> None:
    """And each variant is measured beside one that is measured."""
    short, full = chosen([], short=True), chosen([])
    assert set(short) < set(full) == set(VARIANTS)
    assert {variant.beside for variant in short} <= {variant.name for variant in short}


def test_turns_stay_with_a_tenant_until_it_is_used_up() -> None:
    """A batch is of one organization, so the last of a tenant may be smaller."""
    first, second = Tenant("first", "", 3), Tenant("second", "", 1)
    turns = Turns((first, second))
    assert [turns.take(2) for _ in range(4)] == [[(first, 1), (first, 2)], [(first, 3)], [(second, 4)], []]


def test_turns_that_spread_go_round() -> None:
    """Each check is of the next organization."""
    first, second = Tenant("first", "", UNBOUNDED), Tenant("second", "", UNBOUNDED)
    turns = Turns((first, second), spread=True)
    assert [turns.take(1) for _ in range(3)] == [[(first, 1)], [(second, 2)], [(first, 3)]]


@pytest.mark.parametrize(("percent", "expected"), [(50, 2.0), (99, 4.0), (25, 1.0), (26, 2.0)])
def test_percentiles_are_values_that_were_measured(percent: float, expected: float) -> None:
    """The nearest rank, never an interpolation."""
    assert percentile([1.0, 2.0, 3.0, 4.0], percent) == expected
