"""What a store keeps in memory is bounded, and forgetting it changes no answer."""

import pytest

from ledger.stores import CENT, budget, cap, check, new_organization, opened, reserved, running
from outlay_server.domain import books
from outlay_server.store import postgres, sqlite


async def test_forgetting_settings_and_counters_changes_no_answer(
    store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With room for nothing, every batch reads all anew: the cap holds, and the books are the same."""
    for module in (sqlite, postgres):
        monkeypatch.setattr(module, "ORGANIZATIONS_REMEMBERED_MAX", 0)
    monkeypatch.setattr(books, "COUNTERS_REMEMBERED_MAX", 0)
    async with opened(store_url) as store, running(store) as ledger:
        await new_organization(store)
        await cap(store, 3 * CENT)
        for _ in range(3):
            await reserved(ledger, check(CENT))
        denied = await ledger.submit(check(CENT))
        assert not denied.allowed
        assert (await budget(store)).counter.reserved_micros == 3 * CENT
