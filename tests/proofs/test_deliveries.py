"""Nothing that crossed is missing or doubled after SIGKILL, and nothing that happened is lost. See `deliveries`."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from proofs import deliveries


@pytest.mark.parametrize("crossings", [100, pytest.param(10_000, marks=[pytest.mark.deep, pytest.mark.timeout(3_600)])])
@pytest.mark.timeout(300)
async def test_every_crossing_has_its_alert_and_every_event_arrives(
    crossings: int, tmp_path: Path, record_property: Callable[[str, Any], None]
) -> None:
    """With a receiver that fails three times in ten, and a server that is killed meanwhile."""
    figures = await deliveries.run(tmp_path, crossings, seed=crossings)
    record_property("figures", figures.summary())
    assert figures.is_clean, figures
    assert (figures.crossings, figures.events) == (crossings, crossings)
    assert figures.kills > 0
    assert figures.failed_by_us > 0
