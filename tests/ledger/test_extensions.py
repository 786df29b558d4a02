"""An extension takes what is left where it may take less, and is all or nothing where not."""

import pytest

from ledger.stores import cap, check, disagreement, extend, reserved
from outlay_server.domain.commands import ExtendOutcome
from outlay_server.domain.errors import RequestIdReused
from outlay_server.ledger import Ledger
from outlay_server.store.contract import Store


async def extended(ledger: Ledger, *arguments: object, **options: object) -> tuple[bool, int, int]:
    """Whether an extension was admitted, what it added, and what the reservation holds then."""
    outcome = await ledger.submit(extend(*arguments, **options))  # type: ignore[arg-type]
    assert isinstance(outcome, ExtendOutcome)
    return outcome.check.allowed, outcome.check.granted_micros, outcome.reservation.held_micros


@pytest.mark.parametrize(
    ("more", "least", "expected"),
    [
        (30, None, (True, 30, 90)),
        (40, 1, (True, 40, 100)),
        (50, 40, (True, 40, 100)),
        (50, 0, (True, 40, 100)),
        (50, 41, (False, 0, 60)),
        (50, None, (False, 0, 60)),
        (0, 0, (True, 0, 60)),
    ],
)
async def test_40_are_left_of_the_cap(
    store: Store, ledger: Ledger, more: int, least: int | None, expected: tuple[bool, int, int]
) -> None:
    """Of a cap of 100 a reservation holds 60: it gets up to 40 more, and less than it asked only as it said."""
    await cap(store, 100)
    hold = await reserved(ledger, check(60))
    assert await extended(ledger, hold, more, least=least) == expected
    assert await disagreement(store) is None


async def test_the_least_is_taken_from_nothing(store: Store, ledger: Ledger) -> None:
    """Where nothing is left, `least` 0 is a denial too: an extension by nothing would look like one."""
    await cap(store, 60)
    hold = await reserved(ledger, check(60))
    assert await extended(ledger, hold, 10, least=0) == (False, 0, 60)


async def test_a_repetition_answers_what_was_taken(store: Store, ledger: Ledger) -> None:
    """Also after room came back; and it is refused where it would take less than it said first."""
    await cap(store, 100)
    hold = await reserved(ledger, check(60))
    first = await extended(ledger, hold, 50, least=1, request_id="e")
    await cap(store, 1_000)
    assert await extended(ledger, hold, 50, least=1, request_id="e") == first == (True, 40, 100)
    with pytest.raises(RequestIdReused, match="min_additional_micros"):
        await extended(ledger, hold, 50, least=2, request_id="e")
