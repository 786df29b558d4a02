"""Reads never wait for writes."""

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator

import asyncpg

from ledger.stores import budget, cap, check, is_file
from outlay_server.domain.commands import CheckOutcome
from outlay_server.ledger import Ledger
from outlay_server.store.contract import ControlTransaction, Store


@contextlib.asynccontextmanager
async def stuck_write(store: Store, url: str) -> AsyncIterator[None]:
    """Meanwhile nothing can be written: a transaction that has written is not committed."""
    if not is_file(url):
        connection = await asyncpg.connect(url)
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute("UPDATE organizations SET version = version")
        yield
        await transaction.rollback()
        await connection.close()
        return
    begun, may_end = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def work(transaction: ControlTransaction) -> None:
        transaction.connection.exec_driver_sql("UPDATE organizations SET version = version")
        loop.call_soon_threadsafe(begun.set)
        may_end.wait(30)

    change = asyncio.ensure_future(store.change(work))
    await begun.wait()
    try:
        yield
    finally:
        may_end.set()
        await change


async def test_reads_are_answered_while_a_write_is_stuck(store: Store, ledger: Ledger, store_url: str) -> None:
    """With the state before it; more of them than there are pooled connections. The check waits, and is answered."""
    await cap(store, 1_000)
    async with stuck_write(store, store_url):
        asked = asyncio.ensure_future(ledger.submit(check(300)))
        async with asyncio.timeout(20):
            views = await asyncio.gather(*(budget(store) for _ in range(20)))
        assert {view.counter.reserved_micros for view in views} == {0}
        assert not asked.done()
    outcome = await asked
    assert isinstance(outcome, CheckOutcome)
    assert outcome.allowed
    assert (await budget(store)).counter.reserved_micros == 300
