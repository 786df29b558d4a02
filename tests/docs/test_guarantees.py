"""`docs/guarantees.md` names tests that are there."""

import re

import pytest

from docs import tables


@pytest.mark.parametrize("heading", ["Spend", "Durability", "Delivery", "Access", "Running"])
def test_every_test_that_is_named_is_there(heading: str) -> None:
    named = {name for row in tables.rows("guarantees.md", heading) for name in re.findall(r"`(tests/[\w/.]+)`", row[2])}
    assert named
    assert {name for name in named if not (tables.ROOT / name).exists()} == set()
