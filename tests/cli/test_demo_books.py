"""What the demo calls agreement: one micro, one record or one hold too much is none."""

from collections.abc import Callable

import pytest

from outlay.v1.budget_pb2 import Budget, BudgetSpend
from outlay.v1.spend_record_pb2 import SpendRecord, SpendRecordKind
from outlay_cli.demo.books import Books


def books(acknowledged: dict[str, int] | None = None, spent: int = 30_001, reserved: int = 0, cents: int = 4) -> Books:
    recorded = {"one": 10_000, "two": 20_001}
    return Books(
        acknowledged=recorded if acknowledged is None else acknowledged,
        budget=Budget(spend=BudgetSpend(spent_micros=spent, reserved_micros=reserved)),
        records=[
            SpendRecord(request_id=id, amount_micros=micros, kind=SpendRecordKind.SPEND_RECORD_KIND_SPEND)
            for id, micros in recorded.items()
        ],
        billed_cents=cents,
    )


def test_the_same_on_all_sides_agrees() -> None:
    """30,001 micros are 3.0001 cents, which the REST face rounds up."""
    assert books().agree()


@pytest.mark.parametrize(
    "differing",
    [
        lambda: books(spent=30_000),
        lambda: books(reserved=1),
        lambda: books(cents=3),
        lambda: books({"one": 10_000}),
        lambda: books({"one": 20_001, "two": 10_000}),
        lambda: books({"one": 10_000, "two": 20_001, "three": 0}),
    ],
    ids=["spent", "held", "cents", "unacknowledged", "swapped", "missing"],
)
def test_any_difference_is_seen(differing: Callable[[], Books]) -> None:
    assert not differing().agree()


def test_what_was_acknowledged_and_is_gone_is_named() -> None:
    assert books({"one": 10_000, "two": 20_001, "three": 5}).missing() == ["three"]
