"""The tests over the wire fail on code that is broken on purpose: what cannot fail proves nothing. See `canaries`."""

import pytest

from proofs import canaries

pytestmark = pytest.mark.timeout(300)

FAST = {"a request_id's content is not looked at"}
"""Shown in every run, so that this file is known to work; the others before a release."""


@pytest.mark.parametrize(
    "canary",
    [
        pytest.param(one, id=one.name, marks=[] if one.name in FAST else [pytest.mark.deep, pytest.mark.timeout(600)])
        for one in canaries.CANARIES
    ],
)
def test_a_canary_is_caught(canary: canaries.Canary) -> None:
    assert canaries.run(canary) > 0
