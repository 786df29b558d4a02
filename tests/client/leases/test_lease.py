"""What a lease does, step by step, against a scripted server and a clock that stands still."""

import asyncio
import os
import threading
from contextlib import nullcontext
from itertools import count
from typing import Any

import pytest

from client.leases.fake import AsyncFakeTransport, FakeClock, FakeServer, FakeTransport
from outlay_client.leases import (
    AsyncLease,
    Draw,
    Extend,
    LeaseClosed,
    LeaseOptions,
    Release,
    Reserve,
    SpendUndelivered,
    ThreadLease,
)
from outlay_client.leases.book import Book
from outlay_client.leases.keeper import Keeper
from outlay_client.leases.operations import DrawBatch

OPTIONS: dict[str, Any] = {"unit": "USD", "max_slice_micros": 1_000, "min_slice_micros": 100, "ttl_seconds": 20.0}


class Lease:
    """A book and its keeper, whose rounds the test runs."""

    def __init__(self, server: FakeServer, **options: Any) -> None:
        chosen = LeaseOptions(**{**OPTIONS, **options})
        self.server = server
        self.woken = 0
        numbers = count()
        self.book = Book(chosen, server.clock, self._wake)
        self.keeper = Keeper(
            self.book, chosen, clock=server.clock, lock=nullcontext(), new_id=lambda: f"{id(self)}-{next(numbers)}"
        )

    def _wake(self) -> None:
        self.woken += 1

    def round(self) -> list[Any]:
        """Run one round, and return what it asked."""
        before = len(self.server.calls)
        self.server.run(self.keeper.round())
        return self.server.calls[before:]

    def close(self) -> list[Any]:
        self.book.close()
        before = len(self.server.calls)
        self.server.run(self.keeper.closing_round())
        return self.server.calls[before:]


@pytest.fixture
def server() -> FakeServer:
    return FakeServer(FakeClock(), cap_micros=10_000)


@pytest.fixture
def lease(server: FakeServer) -> Lease:
    lease = Lease(server)
    lease.round()
    return lease


# --- admitting --------------------------------------------------------------------------------------------------------


def test_nothing_is_admitted_before_a_slice_is_held(server: FakeServer) -> None:
    lease = Lease(server)
    assert lease.book.admit(1) is False
    assert lease.woken == 1


def test_a_slice_is_admitted_to_the_last_micro_and_no_further(lease: Lease) -> None:
    assert [lease.book.admit(60), lease.book.admit(60), lease.book.admit(40), lease.book.admit(1)] == [
        True,
        False,
        True,
        False,
    ]


def test_zero_asks_whether_anything_is_left(lease: Lease) -> None:
    assert lease.book.admit(0) is True
    assert lease.book.admit(100) is True
    assert lease.book.admit(0) is False


@pytest.mark.parametrize("amount_micros", [-1, 10**15 + 1])
def test_an_impossible_amount_is_an_error(lease: Lease, amount_micros: int) -> None:
    with pytest.raises(ValueError, match="10\\^15"):
        lease.book.admit(amount_micros)


def test_a_label_that_the_server_would_refuse_is_an_error_before_anything_is_admitted(server: FakeServer) -> None:
    lease = Lease(server, labels={"team": "a"})
    lease.round()
    for labels in ({"team": "b"}, {"k" * 64: "v"}, {"k": "v" * 256}, {"k": "\n"}, {f"k{n}": "" for n in range(16)}):
        with pytest.raises(ValueError, match=r"label|team"):
            lease.book.admit(1, labels)
    assert lease.book.current.left_micros == 100


def test_the_slice_expires_for_its_holder_before_it_expires_on_the_server(lease: Lease, server: FakeServer) -> None:
    """Of 20 s, a tenth is left for clocks that differ."""
    server.clock.advance(17.9)
    assert lease.book.admit(1) is True
    server.clock.advance(0.1)
    assert lease.book.admit(1) is False
    assert server.held_micros() == 100


# --- work of unknown cost ---------------------------------------------------------------------------------------------


def test_what_work_did_not_cost_goes_back_to_the_slice(lease: Lease) -> None:
    admission = lease.book.hold(80)
    assert admission is not None
    assert lease.book.admit(30) is False
    admission.settle(10)
    assert lease.book.admit(90) is True


def test_work_in_flight_is_not_reported(lease: Lease, server: FakeServer) -> None:
    assert lease.book.hold(80) is not None
    lease.round()
    assert server.records == []


def test_an_overrun_is_recorded_in_full_and_denies_until_it_is_covered(lease: Lease, server: FakeServer) -> None:
    admission = lease.book.hold(80)
    assert admission is not None
    admission.settle(250)
    assert lease.book.current.left_micros == -150
    assert lease.book.admit(1) is False
    server.clock.advance(0.1)
    lease.round()
    assert server.recorded_micros() == 250
    assert lease.book.current.left_micros >= 100


def test_an_admission_is_settled_once(lease: Lease) -> None:
    admission = lease.book.hold(80)
    assert admission is not None
    admission.cancel()
    with pytest.raises(ValueError, match="settled before"):
        admission.settle(1)


# --- reporting --------------------------------------------------------------------------------------------------------


def test_admissions_are_reported_as_one_record_a_label_set(lease: Lease, server: FakeServer) -> None:
    for _ in range(5):
        lease.book.admit(2)
        lease.book.admit(3, {"model": "small", "team": "a"})
        lease.book.admit(3, {"team": "a", "model": "small"})
    server.clock.advance(0.1)
    lease.round()
    written = sorted((draw.amount_micros, draw.labels, draw.reservation) for draw in server.records)
    assert written == [
        (10, (), "reservations/0"),
        (30, (("model", "small"), ("team", "a")), "reservations/0"),
    ]


def test_a_draw_whose_answer_was_lost_is_sent_again_as_it_was(lease: Lease, server: FakeServer) -> None:
    """What was admitted meanwhile waits for the next one."""
    lease.book.admit(10)
    server.clock.advance(0.1)
    server.faults = ["answer lost"]
    sent = lease.round()
    lease.book.admit(20)
    server.clock.advance(0.1)
    again = lease.round()
    assert sent == again[:1]
    server.clock.advance(0.1)
    lease.round()
    assert [draw.amount_micros for draw in server.records] == [10, 20]


def test_what_the_server_takes_from_no_reservation_is_recorded_without_one(lease: Lease, server: FakeServer) -> None:
    lease.book.admit(10)
    del server.reservations["reservations/0"]
    server.clock.advance(0.1)
    lease.round()
    server.clock.advance(0.1)
    lease.round()
    assert [(draw.amount_micros, draw.reservation) for draw in server.records] == [(10, "")]


def test_a_label_that_the_server_refuses_costs_the_label_and_not_the_record(lease: Lease, server: FakeServer) -> None:
    server.refuse_labels = True
    lease.book.admit(10, {"model": "small"})
    for _ in range(2):
        server.clock.advance(0.1)
        lease.round()
    assert [(draw.amount_micros, draw.labels) for draw in server.records] == [(10, ())]


def test_label_sets_are_bounded_while_the_server_is_away(lease: Lease, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("outlay_client.leases.book.MAX_LABEL_SETS", 3)
    assert [lease.book.admit(1, {"job": str(n)}) for n in (1, 2, 3, 4, 1)] == [True, True, True, False, True]


# --- sizes ------------------------------------------------------------------------------------------------------------


def test_a_slice_grows_with_the_traffic_and_is_extended_before_it_is_dry(server: FakeServer) -> None:
    """At 2,000 micros a second and a horizon of one second nothing is denied once it has grown."""
    server.cap_micros = 10**9
    lease = Lease(server, max_slice_micros=100_000)
    lease.round()
    admitted = []
    for _ in range(40):
        server.clock.advance(0.05)
        lease.round()
        admitted.append(lease.book.admit(100))
    assert all(admitted[-30:])
    assert 1_000 <= lease.book.current.left_micros <= 2_000


def test_a_slice_that_ran_dry_is_doubled(lease: Lease) -> None:
    assert lease.book.admit(100)
    assert not lease.book.admit(50)
    (extension,) = [one for one in lease.round() if isinstance(one, Extend)]
    assert extension.additional_micros == 200


def test_no_more_than_the_largest_slice_is_held(lease: Lease, server: FakeServer) -> None:
    for _ in range(100):
        server.clock.advance(0.05)
        while lease.book.admit(50):
            pass
        lease.round()
        assert lease.book.current.left_micros <= 1_000


def test_an_idle_slice_shrinks_by_a_new_reservation(server: FakeServer) -> None:
    server.cap_micros = 10**9
    lease = Lease(server)
    lease.round()
    for _ in range(60):
        server.clock.advance(0.05)
        while lease.book.admit(50):
            pass
        lease.round()
    lease.round()
    assert server.held_micros() > 800
    for _ in range(600):
        server.clock.advance(0.1)
        lease.round()
    assert lease.book.current.left_micros <= 400
    assert server.held_micros() == lease.book.current.left_micros


def test_the_last_of_the_cap_is_taken_in_part(server: FakeServer) -> None:
    server.cap_micros = 130
    lease = Lease(server)
    lease.round()
    assert lease.book.admit(90)
    server.clock.advance(0.1)
    lease.round()
    assert lease.book.current.left_micros == server.held_micros() == 40


def test_a_denial_is_asked_again_after_a_second_and_what_is_held_is_kept(server: FakeServer) -> None:
    server.cap_micros = 100
    lease = Lease(server)
    lease.round()
    assert lease.book.admit(80)
    lease.round()
    lease.round()
    denial = lease.keeper.last_denial
    assert denial is not None
    assert denial.reason == "HARD_CAP_REACHED"
    assert lease.book.admit(20) is True
    server.clock.advance(0.5)
    assert [one for one in lease.round() if isinstance(one, Reserve | Extend)] == []
    server.cap_micros = 10_000
    server.clock.advance(0.6)
    lease.round()
    assert lease.book.admit(100) is True


# --- renewal ----------------------------------------------------------------------------------------------------------


def test_a_slice_is_renewed_at_half_of_its_time(lease: Lease, server: FakeServer) -> None:
    for _ in range(10):
        server.clock.advance(10)
        lease.round()
        assert lease.book.admit(0) is True
    assert [one.granted_micros for one in server.reservations.values()] == [100]


def test_an_expired_slice_is_replaced_and_what_it_admitted_is_recorded_late(lease: Lease, server: FakeServer) -> None:
    """What expiry recorded beyond that stays recorded: the server cannot know that the rest was not spent."""
    lease.book.admit(30)
    server.clock.advance(30)
    lease.round()
    assert lease.book.admit(10) is True
    assert server.reservations["reservations/0"].recorded_micros == 30
    assert server.reservations["reservations/0"].expiry_micros == 70


def test_at_the_end_of_the_cycle_the_slice_is_given_back_and_a_new_one_held() -> None:
    """Not one admission after the end is charged to the cycle before."""
    server = FakeServer(FakeClock(), cap_micros=10_000, cycle_length_seconds=100)
    server.clock.advance(95)
    lease = Lease(server)
    lease.round()
    lease.book.admit(10)
    server.clock.advance(5)
    assert lease.book.admit(10) is False
    lease.round()
    assert lease.book.admit(10) is True
    server.clock.advance(0.1)
    lease.round()
    assert (server.spent_micros(10), server.held_micros(10)) == (10, 0)
    assert (server.spent_micros(11), server.held_micros(11)) == (10, 90)


def test_work_that_spans_the_end_of_the_cycle_keeps_its_slice_and_is_charged_to_it() -> None:
    server = FakeServer(FakeClock(), cap_micros=10_000, cycle_length_seconds=100)
    server.clock.advance(95)
    lease = Lease(server)
    lease.round()
    admission = lease.book.hold(50)
    for _ in range(10):
        server.clock.advance(9)
        lease.round()
    assert server.held_micros(10) == 100
    assert admission is not None
    admission.settle(20)
    server.clock.advance(0.1)
    lease.round()
    assert (server.spent_micros(10), server.held_micros(10)) == (20, 0)


# --- faults -----------------------------------------------------------------------------------------------------------


def test_a_slice_whose_answer_was_lost_is_found_by_its_request_id(server: FakeServer) -> None:
    """And is taken to have run since it was first asked for."""
    lease = Lease(server)
    server.faults = ["answer lost"]
    lease.round()
    server.clock.advance(5)
    lease.round()
    assert len(server.reservations) == 1
    assert lease.book.current.expires_at == server.clock.now - 5 + 18


def test_while_the_server_is_away_the_slice_is_spent_and_then_all_is_denied(lease: Lease, server: FakeServer) -> None:
    server.is_away = True
    assert [lease.book.admit(50) for _ in range(3)] == [True, True, False]
    server.clock.advance(0.1)
    lease.round()
    assert str(lease.keeper.last_error).startswith("UNAVAILABLE")
    assert lease.book.admit(50) is False
    pauses = []
    for _ in range(10):
        lease.round()
        pauses.append(lease.keeper.pause_seconds)
    assert max(pauses) <= 2.0
    assert pauses[-1] >= 1.0
    server.is_away = False
    lease.round()
    lease.round()
    assert lease.book.admit(50) is True
    assert server.recorded_micros() == 100


# --- closing ----------------------------------------------------------------------------------------------------------


def test_closing_reports_everything_and_gives_back_the_rest(lease: Lease, server: FakeServer) -> None:
    lease.book.admit(30)
    asked = lease.close()
    assert [type(one) for one in asked] == [DrawBatch, Release]
    assert (server.spent_micros(), server.held_micros()) == (30, 0)
    assert lease.keeper.is_finished


def test_what_is_in_flight_at_the_close_counts_as_admitted(lease: Lease, server: FakeServer) -> None:
    admission = lease.book.hold(30)
    lease.close()
    assert server.spent_micros() == 30
    assert admission is not None
    with pytest.raises(LeaseClosed):
        admission.settle(10)
    with pytest.raises(LeaseClosed):
        lease.book.admit(1)


def test_a_slice_asked_for_and_not_answered_is_found_and_given_back_at_the_close(server: FakeServer) -> None:
    lease = Lease(server)
    server.faults = ["answer lost"]
    lease.round()
    lease.close()
    assert server.held_micros() == 0
    assert lease.keeper.is_finished


# --- drivers ----------------------------------------------------------------------------------------------------------


def test_threads_admit_no_more_than_is_held_and_the_books_agree(server: FakeServer) -> None:
    admitted = []
    with ThreadLease(FakeTransport(server), LeaseOptions(**OPTIONS)) as lease:

        def work() -> None:
            admitted.append(sum(lease.admit(1) for _ in range(2_000)))

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        admission = lease.hold(1)
        if admission is not None:
            admission.cancel()
        assert lease.state.held_micros >= lease.state.unreported_micros
    assert sum(admitted) > 0
    assert (server.spent_micros(), server.held_micros()) == (sum(admitted), 0)


async def test_tasks_admit_until_the_cap_and_the_books_agree(server: FakeServer) -> None:
    server.cap_micros = 1_500
    admitted = 0
    async with AsyncLease(AsyncFakeTransport(server), LeaseOptions(**OPTIONS)) as lease:
        while lease.state.last_denial is None or lease.state.left_micros:
            admitted += lease.admit(1)
            server.clock.advance(0.001)
            await asyncio.sleep(0)
        assert lease.admit(1) is False
    assert admitted == 1_500
    assert (server.spent_micros(), server.held_micros()) == (1_500, 0)


def test_spend_that_cannot_be_delivered_at_the_close_is_handed_over(server: FakeServer) -> None:
    lease = ThreadLease(FakeTransport(server), LeaseOptions(**OPTIONS)).start()
    assert lease.admit(30)
    server.is_away = True
    with pytest.raises(SpendUndelivered) as raised:
        lease.close(timeout_seconds=0.2)
    (draw,) = raised.value.draws
    assert isinstance(draw, Draw)
    assert (draw.amount_micros, draw.reservation, draw.unit) == (30, "reservations/0", "USD")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_forked_child_admits_nothing(server: FakeServer) -> None:
    """The slice is its parent's, and so is the thread that keeps it."""
    with ThreadLease(FakeTransport(server), LeaseOptions(**OPTIONS)) as lease:
        child = os.fork()
        if child == 0:
            try:
                lease.admit(1)
            except LeaseClosed:
                os._exit(7)
            os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        assert lease.admit(1) is True


@pytest.mark.parametrize(
    "wrong",
    [
        {"unit": ""},
        {"max_slice_micros": 0},
        {"min_slice_micros": 1_001},
        {"ttl_seconds": 0.5},
        {"horizon_seconds": 0.01},
        {"horizon_seconds": 6.0},
        {"draw_interval_seconds": 11.0},
        {"labels": {"": "x"}},
    ],
)
def test_options_that_cannot_work_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="label|" + next(iter(wrong))):
        LeaseOptions(**{**OPTIONS, **wrong})
