"""`outlay top`: what it shows, from the stream that it follows."""

import os
import pty
import re
import subprocess
import time
from typing import Any

import pytest

from outlay.v1 import budget_pb2
from outlay.v1 import budget_service_pb2 as pb
from outlay_cli.top.board import Board
from support.command_line import Cli
from support.server import OUTLAY, ServerProcess

INITIAL, CHANGED, DELETED = pb.BUDGET_CHANGE_TYPE_INITIAL, pb.BUDGET_CHANGE_TYPE_CHANGED, pb.BUDGET_CHANGE_TYPE_DELETED


def change(sequence: int, kind: int, name: str, spent: int = 0, percent: float | None = None) -> Any:
    budget = budget_pb2.Budget(name=name, spend=budget_pb2.BudgetSpend(spent_micros=spent, percent_used=percent))
    return pb.WatchBudgetsResponse(sequence=sequence, type=kind, budget=budget)


def names(board: Board) -> list[str]:
    return [line.budget.name for line in board.lines()]


def test_the_fullest_budget_is_first_and_those_without_a_limit_are_last() -> None:
    board = Board()
    board.tell(change(0, INITIAL, "half", 500, 50.0), 0)
    board.tell(change(0, INITIAL, "free", 9_999), 0)
    board.tell(change(7, INITIAL, "full", 10, 100.0), 0)
    assert names(board) == ["full", "half", "free"]


def test_a_state_counts_once_it_is_complete() -> None:
    """Cut in the middle, it is asked for again from the start, and nothing of it is shown."""
    board = Board()
    board.tell(change(0, INITIAL, "a"), 0)
    board.cut()
    assert (names(board), board.sequence) == ([], None)
    board.tell(change(0, INITIAL, "b"), 0)
    board.tell(change(4, INITIAL, "c"), 0)
    assert (sorted(names(board)), board.sequence) == (["b", "c"], 4)


def test_a_state_that_is_sent_anew_replaces_the_old_one() -> None:
    """What was deleted while nobody watched is gone."""
    board = Board()
    board.tell(change(0, INITIAL, "old"), 0)
    board.tell(change(1, INITIAL, "kept"), 0)
    board.tell(change(9, INITIAL, "kept"), 1)
    assert names(board) == ["kept"]


def test_a_deleted_budget_is_gone() -> None:
    board = Board()
    board.tell(change(1, INITIAL, "a"), 0)
    board.tell(change(2, DELETED, "a"), 0)
    assert names(board) == []


@pytest.mark.parametrize(
    ("spends", "now", "expected"),
    [
        ([(0, 0), (30, 100)], 30, 200),
        ([(0, 0), (60, 100)], 60, 100),
        ([(0, 0), (60, 100), (120, 150)], 120, 50),
        ([(0, 100), (10, 40)], 10, 0),
        ([(0, 100)], 500, 0),
    ],
    ids=["half a minute", "a minute", "the last minute only", "a refund", "nothing for long"],
)
def test_the_rate_is_of_the_last_minute(spends: list[tuple[int, int]], now: int, expected: int) -> None:
    board = Board()
    for number, (when, spent) in enumerate(spends, 1):
        board.tell(change(number, INITIAL if number == 1 else CHANGED, "a", spent), float(when))
    assert board.lines()[0].micros_per_minute(float(now)) == expected


def test_without_a_terminal_it_prints_once(cli: Cli, organization: str) -> None:
    org = ("--org", organization)
    cli("budgets", "set", "spending", *org, "--hard-cap", "10.00").ok()
    cli("spend", "record", "7.50", "--unit", "USD", *org).ok()
    printed = cli("top", *org).ok().out
    assert re.search(r"spending +7\.50 USD +0\.00 +10\.00 +2\.50 +█{15}░{5} 75\.0 %", printed), printed


def test_programs_get_the_budgets_as_json(cli: Cli, organization: str) -> None:
    budgets = cli("top", "--org", organization, "--output", "json").ok().json["budgets"]
    assert {budget["name"].rpartition("/")[2] for budget in budgets} == {"credits", "spending"}


def test_an_organization_that_is_not_there_is_an_error(cli: Cli) -> None:
    assert cli("top", "--org", "nobody").err.startswith("Error: NOT_FOUND")


def test_on_a_terminal_it_follows_and_survives_a_restart(server: ServerProcess, offline_cli: Cli) -> None:
    """What is recorded while it runs is drawn, before and after the server was killed."""
    environment = {"ENDPOINT": server.grpc_address, "API_KEY": server.admin_key, "ORGANIZATION": "acme"}
    offline_cli("orgs", "create", "acme", **environment).ok()
    parent, child = pty.openpty()
    variables = {f"OUTLAY_{name}": value for name, value in environment.items()}
    process = subprocess.Popen(
        [OUTLAY, "top", "--for", "60s"], stdout=child, stdin=child, env={**os.environ, **variables, "COLUMNS": "140"}
    )
    os.close(child)
    try:
        offline_cli("spend", "record", "1.25", "--unit", "USD", **environment).ok()
        read_until(parent, "1.25 USD")
        server.kill9()
        read_until(parent, "connecting again")
        server.restart()
        offline_cli("spend", "record", "2.00", "--unit", "USD", **environment).ok()
        read_until(parent, "3.25 USD")
        process.send_signal(2)
        assert process.wait(timeout=20) == 0
    finally:
        process.kill()
        os.close(parent)


def read_until(terminal: int, wanted: str, within_seconds: float = 30.0) -> None:
    """Read what is drawn until the text is there."""
    seen, ends_at = "", time.monotonic() + within_seconds
    while wanted not in seen:
        assert time.monotonic() < ends_at, f"{wanted!r} was not drawn: {seen[-500:]!r}"
        seen += os.read(terminal, 65_536).decode(errors="replace")
