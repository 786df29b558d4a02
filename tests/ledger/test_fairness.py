"""Who floods waits for its own flood: organizations take turns, and the one with most waiting is shed first."""

import asyncio

from ledger.stores import budget, check, new_organization, record
from outlay_server.domain.commands import CheckOutcome
from outlay_server.domain.errors import Overloaded
from outlay_server.domain.limits import BATCH_MAX
from outlay_server.ledger import Ledger
from outlay_server.store.contract import Store


async def test_a_flood_of_one_organization_is_no_wait_for_another(store: Store, ledger: Ledger) -> None:
    """Its calls come last and are answered with the first transaction, whatever is before them."""
    await new_organization(store, "globex")
    answered: list[str] = []

    async def ask(organization_id: str) -> None:
        await ledger.submit(check(1, organization_id=organization_id))
        answered.append(organization_id)

    await asyncio.gather(*(ask("acme") for _ in range(3 * BATCH_MAX)), *(ask("globex") for _ in range(5)))
    assert len(answered) == 3 * BATCH_MAX + 5
    assert answered[:BATCH_MAX].count("globex") == 5


async def test_whole_batches_of_one_organization_do_not_keep_out_the_checks_of_another(
    store: Store, ledger: Ledger
) -> None:
    """A batch fills a transaction; who did not fit has the next."""
    await new_organization(store, "globex")
    answered: list[str] = []

    async def ask_all() -> None:
        await ledger.submit_all([record(1) for _ in range(BATCH_MAX)])
        answered.append("acme")

    async def ask() -> None:
        await ledger.submit(check(1, organization_id="globex"))
        answered.append("globex")

    await asyncio.gather(*(ask_all() for _ in range(4)), ask())
    assert answered.index("globex") <= 1


async def test_the_flood_is_shed_and_not_who_comes_after_it(store: Store) -> None:
    """A full queue makes room for an organization that has less in it; nothing that was shed had an effect."""
    await new_organization(store, "globex")
    ledger = Ledger(store, queue_max=100)
    await ledger.start()
    flood = [asyncio.ensure_future(ledger.submit(record(1))) for _ in range(150)]
    await asyncio.sleep(0)
    others = [asyncio.ensure_future(ledger.submit(record(1, organization_id="globex"))) for _ in range(40)]
    answers = await asyncio.gather(*flood, return_exceptions=True)
    assert not [
        answer for answer in await asyncio.gather(*others, return_exceptions=True) if isinstance(answer, Exception)
    ]
    await ledger.stop()
    assert sum(isinstance(answer, Overloaded) for answer in answers) == 90
    assert (await budget(store)).counter.spent_micros == 60
    assert (await budget(store, organization_id="globex")).counter.spent_micros == 40


async def test_two_floods_get_equal_shares(store: Store) -> None:
    """Neither can push the other below its half of the queue."""
    await new_organization(store, "globex")
    ledger = Ledger(store, queue_max=100)
    await ledger.start()
    asked = [
        asyncio.ensure_future(ledger.submit(check(1, organization_id=organization_id)))
        for organization_id in ["acme"] * 120 + ["globex"] * 120
    ]
    answers = await asyncio.gather(*asked, return_exceptions=True)
    await ledger.stop()
    served = [index < 120 for index, answer in enumerate(answers) if isinstance(answer, CheckOutcome)]
    assert len(served) == 100
    assert served.count(True) in (50, 51)
