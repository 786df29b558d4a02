"""What a run writes: medians within rounds, a page between markers, pictures."""

from pathlib import Path

import pytest
from benchmarks.bench import Pace
from benchmarks.trial import Trial
from benchmarks.variants import ECHO_64, VARIANTS

from benchmarks import page, plots, report

ECHO = next(variant for variant in VARIANTS if variant.name == ECHO_64)
CHECK = next(variant for variant in VARIANTS if variant.name == "check, SQLite, 64 in flight")
DENIAL = next(variant for variant in VARIANTS if variant.name == "denial, SQLite, 64")


def a_trial(checks: int, server_cpu_seconds: float = 0.5) -> Trial:
    return Trial(checks, checks, 1.0, 0.01, 0.03, 0.25, server_cpu_seconds, 0.0)


RESULTS = {
    ECHO.name: [a_trial(1_000), a_trial(2_000), a_trial(4_000)],
    CHECK.name: [a_trial(500), a_trial(500), a_trial(3_000)],
    DENIAL.name: [a_trial(1_000, 0.25), a_trial(1_000, 0.25), a_trial(6_000, 0.25)],
}
LINES = report.lines([ECHO, CHECK, DENIAL], RESULTS)


def test_a_ratio_is_the_median_of_the_ratios_of_each_round() -> None:
    """Not the ratio of the medians, which would be 0.25: rounds on a shared machine do not compare."""
    assert [line.ratio for line in LINES] == [1.0, 0.5, 1.0]


def test_comparisons_tell_rate_and_cost() -> None:
    """Twice the rate and half of the time make a quarter of the CPU time a check."""
    (compared,) = report.comparisons(RESULTS)
    assert (compared.first, compared.second) == (DENIAL.name, CHECK.name)
    assert (compared.ratio, compared.service_cpu_ratio, compared.client_cpu_ratio) == (2.0, 0.25, 0.5)


def test_the_page_keeps_what_was_written_by_hand(tmp_path: Path) -> None:
    """Only what is between the markers is replaced."""
    there = tmp_path / "benchmarks.md"
    there.write_text(f"before\n\n{page.BEGIN}\nold\n{page.END}\n\nafter\n")
    page.write(page.section(LINES, [], [], {"Python": "3.11"}, Pace(3, 1.5, 0.3, None), []), there)
    text = there.read_text()
    assert text.startswith("before\n")
    assert text.endswith("\nafter\n")
    assert "old" not in text
    assert f"| {CHECK.name} | 0.50 | 500 |" in text
    with pytest.raises(ValueError, match="has no"):
        page.write("", _without_markers(tmp_path))


def _without_markers(folder: Path) -> Path:
    other = folder / "other.md"
    other.write_text("nothing")
    return other


def test_the_page_of_this_checkout_has_its_markers() -> None:
    """So that a run of half an hour does not end in an error."""
    text = page.PAGE.read_text()
    assert text.index(page.BEGIN) < text.index(page.END)


def test_pictures_are_small_and_the_same_for_the_same_figures(tmp_path: Path) -> None:
    """They are committed, so a run that measured the same changes nothing."""
    pytest.importorskip("matplotlib", reason="the extra outlay[bench] is not installed")
    first, again = plots.write(LINES, tmp_path / "first"), plots.write(LINES, tmp_path / "again")
    assert [path.name for path in first] == ["benchmarks-rate.svg", "benchmarks-latency.svg", "benchmarks-cpu.svg"]
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in again]
    assert all(CHECK.name in path.read_text() and path.stat().st_size < 40_000 for path in first)
