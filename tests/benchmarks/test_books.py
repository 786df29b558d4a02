"""A trial whose books are one micro off is refused, whichever side is wrong."""

import copy
from dataclasses import dataclass
from typing import Any

import pytest
from benchmarks.books import BooksDisagree, Totals, check_answers, check_ledger, check_trial
from benchmarks.loads.closed_loop import Journal
from benchmarks.trial import Entry, Trial


@dataclass
class Counted:
    micros: dict[str, int]

    def counted_micros(self, organization_id: str) -> int:
        return self.micros[organization_id]


def a_trial(**changes: Any) -> Trial:
    measured = Trial(
        calls=3,
        checks=3,
        seconds=1.0,
        p50_seconds=0.1,
        p99_seconds=0.2,
        client_cpu_seconds=0.0,
        server_cpu_seconds=0.0,
        database_cpu_seconds=0.0,
        journal={"acme": Entry(reservations=2, held_micros=30), "other": Entry(reservations=1, held_micros=7)},
    )
    for name, value in changes.items():
        setattr(measured, name, value)
    return measured


VERIFIED: dict[str, Any] = {
    "agrees": True,
    "open_reservations": 3,
    "units": [{"unit": "USD", "spent_micros": "5", "held_micros": "37"}],
    "disagreement": None,
}


def test_books_that_agree_pass() -> None:
    """No difference, no error."""
    check_trial(a_trial(), Counted({"acme": 30, "other": 7}), a_trial().journal)
    check_ledger(VERIFIED, Totals(reservations=3, held_micros=37, spent_micros=5))


@pytest.mark.parametrize("counted", [29, 31], ids=["lost", "doubled"])
def test_one_micro_of_difference_fails(counted: int) -> None:
    """Lost or counted twice: one micro is enough, and the organization is named."""
    with pytest.raises(BooksDisagree, match="acme: callers were granted 30 micros"):
        check_trial(a_trial(), Counted({"acme": counted, "other": 7}), a_trial().journal)


def test_differences_that_cancel_out_fail() -> None:
    """What one organization lost is not made good by what another has too much."""
    with pytest.raises(BooksDisagree, match=r"acme.*\n.*other"):
        check_trial(a_trial(), Counted({"acme": 29, "other": 8}), a_trial().journal)


def test_what_earlier_trials_were_granted_counts_too() -> None:
    """An organization that is used by several trials has the sum of them in its books."""
    granted = {"acme": Entry(held_micros=30, spent_micros=1_000), "other": Entry(held_micros=7)}
    check_trial(a_trial(), Counted({"acme": 1_030, "other": 7}), granted)
    with pytest.raises(BooksDisagree, match="acme: callers were granted 1030 micros"):
        check_trial(a_trial(), Counted({"acme": 30, "other": 7}), granted)


def test_a_failed_call_fails_the_trial() -> None:
    """A server that refuses is fast; its figure does not count."""
    with pytest.raises(BooksDisagree, match="2 calls failed: UNAVAILABLE"):
        check_trial(a_trial(failures={"UNAVAILABLE": 2}), Counted({"acme": 30, "other": 7}), a_trial().journal)


def test_a_trial_that_was_answered_nothing_fails() -> None:
    """Nothing was proved by it, with books or without."""
    with pytest.raises(BooksDisagree, match="nothing was answered"):
        check_trial(a_trial(journal={}), Counted({}), {})
    with pytest.raises(BooksDisagree, match="nothing was answered"):
        check_answers(a_trial(journal={}))


@pytest.mark.parametrize(
    ("expects", "failures"),
    [("admissions", {"HARD_CAP_REACHED": 1}), ("denials", {"ADMITTED": 1}), ("either", {})],
)
def test_an_answer_that_was_not_expected_is_a_failure(expects: Any, failures: dict[str, int]) -> None:
    """A denial in a trial of admissions, and an admission in a trial of denials."""
    journal = Journal(expects)
    journal.admitted("acme", 30)
    journal.denied("acme", "HARD_CAP_REACHED")
    assert journal.failures == failures
    assert journal.entries == {"acme": Entry(reservations=1, held_micros=30, denied=1)}


@pytest.mark.parametrize(
    ("change", "granted"),
    [
        ({"agrees": False, "disagreement": {"where": "counters"}}, Totals(3, 37, 5)),
        ({"open_reservations": 2}, Totals(3, 37, 5)),
        ({"units": []}, Totals(3, 37, 5)),
        ({}, Totals(3, 38, 5)),
        ({}, Totals(3, 37, 6)),
        ({}, Totals(4, 37, 5)),
    ],
    ids=[
        "verify disagrees",
        "a reservation is missing",
        "nothing is held",
        "wrong held",
        "wrong spent",
        "wrong number",
    ],
)
def test_a_ledger_that_says_something_else_fails(change: dict[str, Any], granted: Totals) -> None:
    """The recomputed ledger must hold what all callers together were granted, in number and amount."""
    with pytest.raises(BooksDisagree, match="outlay verify"):
        check_ledger(copy.deepcopy(VERIFIED) | change, granted)
