"""The machine finds what it is there to find: each of these defects must make it fail."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from outlay_server.domain import books, checks, records, replay
from outlay_server.domain.alert import newly_crossed
from outlay_server.domain.decision import Position, decide
from properties.drivers import DomainDriver
from properties.machine import OutlayMachine


def _decide_without_reservations(amount: int, minimum: int | None, gate: Any, positions: Sequence[Position]) -> Any:
    """What is held counts for nothing: two checks may take the same room."""
    return decide(amount, minimum, gate, [replace(p, counter=replace(p.counter, reserved_micros=0)) for p in positions])


def _decide_by_the_first_budget(amount: int, minimum: int | None, gate: Any, positions: Sequence[Position]) -> Any:
    """The other budgets that match are not asked."""
    return decide(amount, minimum, gate, positions[:1])


def _crossed_again(budget: Any, counter: Any, now: Any) -> Any:
    """Nobody looks which alerts have been sent."""
    return newly_crossed(budget, replace(counter, alerts_sent=()), now)


def _nothing(*_: Any) -> None:
    return None


RARE = "a late record counts beside what expiry recorded"
"""Found after hundreds of histories only."""

DEFECTS: dict[str, tuple[Any, str, Callable[..., Any]]] = {
    "no content check on request_id": (replay, "first_difference", _nothing),
    "requests are not remembered": (replay, "remember", _nothing),
    "reservations do not count": (checks, "decide", _decide_without_reservations),
    "only one budget is asked": (checks, "decide", _decide_by_the_first_budget),
    "alerts are sent again": (books, "newly_crossed", _crossed_again),
    RARE: (records, "_replace_expiry_record", _nothing),
}


@pytest.mark.parametrize(
    "defect", [pytest.param(name, marks=[pytest.mark.deep] if name == RARE else []) for name in DEFECTS]
)
def test_the_machine_finds_a_defect(defect: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the defect the same machine passes, see `test_promise`."""
    module, name, broken = DEFECTS[defect]
    monkeypatch.setattr(module, name, broken)
    if module is replay and name == "remember":
        monkeypatch.setattr("outlay_server.domain.posting.remember", broken)
    machine = type("Machine", (OutlayMachine,), {"make_driver": DomainDriver})
    generating = settings(
        max_examples=600,
        stateful_step_count=40,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
        database=None,
        derandomize=True,
        print_blob=False,
    )
    with pytest.raises((AssertionError, ExceptionGroup)):
        run_state_machine_as_test(machine, settings=generating)
