"""The power goes at any moment of a run, and what was answered until then is there."""

from pathlib import Path

import pytest

from proofs.power_cut.recording import compiler, record
from proofs.power_cut.replay import cut

pytestmark = pytest.mark.skipif(compiler() is None, reason="it takes Linux and a C compiler")


@pytest.mark.parametrize(
    ("cuts", "seconds"), [(300, 1.5), pytest.param(20_000, 10.0, marks=[pytest.mark.deep, pytest.mark.timeout(3_600)])]
)
def test_no_cut_loses_an_answer_or_corrupts_the_file(tmp_path: Path, cuts: int, seconds: float) -> None:
    """Whatever part of the unsynced writes the disk kept, torn at any sector."""
    recording = record(tmp_path, "FULL", seconds)
    found = cut(recording, cuts, 20, tmp_path)
    assert len(recording.acknowledged) > 50
    assert (found.cuts, found.losing, found.corrupt, found.examples) == (cuts, 0, 0, [])


def test_a_server_that_does_not_sync_each_commit_is_found_out(tmp_path: Path) -> None:
    """The canary: SQLite's NORMAL, which no kill of the process would tell from FULL."""
    recording = record(tmp_path, "NORMAL", 1.5)
    assert cut(recording, 100, 20, tmp_path).losing > 20
