"""One reader of the log of changes for each organization that is watched, however many watch it.

The log is in the store, so a watcher on any replica is told of the commits of all. The hub looks when this server has
committed something, and otherwise a few times a second for what others have. Each watcher has a bounded queue: one that
does not read is cut off and can come back with the sequence of the last change it saw.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from itertools import islice
from typing import Final

from outlay_server.domain.budget_change import BudgetChange
from outlay_server.domain.errors import NotFound, OutlayError, Overloaded, StorageUnavailable, WatcherTooSlow
from outlay_server.domain.limits import BUDGETS_PER_ORGANIZATION_MAX, WATCHER_BEHIND_MAX, WATCHERS_MAX
from outlay_server.domain.names import OrganizationName
from outlay_server.store import change_log
from outlay_server.store.contract import Store

logger = logging.getLogger(__name__)

POLL_SECONDS: Final = 0.2
"""Between two looks for the commits of other replicas and of the control plane."""

GATHER_SECONDS: Final = 0.01
"""After a look, so that a busy ledger does not make one of every commit."""

ORGANIZATIONS_LOOKED_AT_ONCE: Final = 500

PAGE: Final = 500
"""Entries read at once."""

RETRY_AFTER_SECONDS: Final = 1
"""What a watcher is told to wait where it is turned away or let go."""


class Watcher:
    """What one stream has yet to be told."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[BudgetChange] = asyncio.Queue()
        self._ending: OutlayError | None = None
        self._woken = asyncio.Event()

    def tell(self, changes: list[BudgetChange]) -> None:
        """Queue changes; where too many wait already, let the watcher go and what waits with it."""
        if self._ending is not None:
            return
        if self._queue.qsize() + len(changes) > WATCHER_BEHIND_MAX:
            self._queue = asyncio.Queue()
            self.end(WatcherTooSlow())
            return
        for change in changes:
            self._queue.put_nowait(change)
        self._woken.set()

    def end(self, ending: OutlayError) -> None:
        """Let the watcher go once it has been told what waits."""
        self._ending = self._ending or ending
        self._woken.set()

    async def next(self, timeout_seconds: float) -> BudgetChange | None:
        """The next change, or None where there was none in that time. Raises why it is let go."""
        if self._queue.empty() and self._ending is None:
            self._woken.clear()
            try:
                async with asyncio.timeout(timeout_seconds):
                    await self._woken.wait()
            except TimeoutError:
                return None
        if not self._queue.empty():
            return self._queue.get_nowait()
        assert self._ending is not None, "woken for nothing"
        raise self._ending


class _Feed:
    """The watchers of one organization, and how far the log has been read for them."""

    def __init__(self, sequence: int) -> None:
        self.sequence = sequence
        self.watchers: set[Watcher] = set()

    def end(self, ending: OutlayError) -> None:
        """Let all of them go."""
        for watcher in self.watchers:
            watcher.end(ending)


class WatchHub:
    """Reads the log for everybody who watches on this server. For one event loop."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._feeds: dict[str, _Feed] = {}
        self._watchers = 0
        self._committed = asyncio.Event()
        self._stopping = False

    @property
    def watchers(self) -> int:
        """Streams that are open."""
        return self._watchers

    def committed(self) -> None:
        """This server has committed something: look at once."""
        self._committed.set()

    def stop(self) -> None:
        """Let everybody go and take nobody in."""
        self._stopping = True
        for feed in self._feeds.values():
            feed.end(Overloaded(RETRY_AFTER_SECONDS))

    async def run(self) -> None:
        """Read for ever."""
        while True:
            try:
                async with asyncio.timeout(POLL_SECONDS):
                    await self._committed.wait()
            except TimeoutError:
                pass
            self._committed.clear()
            try:
                await self._look()
            except StorageUnavailable:
                # It ends no stream: what was committed is read once the storage is back.
                pass
            except Exception:
                logger.exception("the log of changes could not be read")
            await asyncio.sleep(GATHER_SECONDS)

    async def _look(self) -> None:
        """Read on wherever there is something new."""
        feeds = dict(self._feeds)
        for some in _batched(feeds, ORGANIZATIONS_LOOKED_AT_ONCE):
            newest = await self._newest_sequences(some)
            for organization_id in some:
                feed = feeds[organization_id]
                if organization_id not in newest:
                    feed.end(NotFound(str(OrganizationName(organization_id))))
                elif newest[organization_id] != feed.sequence:
                    await self._read(organization_id, feed)

    async def _read(self, organization_id: str, feed: _Feed) -> None:
        """Tell the watchers of one organization what is new."""
        while True:
            page = await self._entries_after(organization_id, feed.sequence)
            feed.sequence = page.read_to
            if not page.is_whole:
                feed.end(WatcherTooSlow())
            for watcher in feed.watchers:
                watcher.tell(page.entries)
            if page.is_last:
                return

    async def _newest_sequences(self, organization_ids: list[str]) -> dict[str, int]:
        return await self._store.read(lambda connection: change_log.newest_sequences(connection, organization_ids))

    async def _entries_after(self, organization_id: str, sequence: int) -> change_log.Page:
        return await self._store.read(
            lambda connection: change_log.entries_after(connection, organization_id, sequence, PAGE)
        )

    async def watch(
        self, organization_id: str, after_sequence: int | None, pulse_seconds: float
    ) -> AsyncGenerator[BudgetChange | None, None]:
        """First the state, then every change, in the order of commits; None whenever `pulse_seconds` brought nothing.

        With `after_sequence`, only what came after it; where the log does not reach back so far, the state again.
        Raises `NotFound`, `Overloaded` (too many watch, or the server stops), `WatcherTooSlow`, `StorageUnavailable`.
        """
        if self._stopping or self._watchers >= WATCHERS_MAX:
            raise Overloaded(RETRY_AFTER_SECONDS)
        self._watchers += 1
        watcher = Watcher()
        feed: _Feed | None = None
        try:
            # What is committed from here on waits in the watcher's queue while it is told what was before.
            feed = await self._enter(organization_id, watcher)
            yield None
            told = -1
            async for change in self._before(organization_id, after_sequence):
                told = max(told, change.sequence)
                yield change
            while True:
                next_change = await watcher.next(pulse_seconds)
                if next_change is None or next_change.sequence > told:
                    yield next_change
        finally:
            self._watchers -= 1
            if feed is not None:
                self._leave(organization_id, feed, watcher)

    async def _enter(self, organization_id: str, watcher: Watcher) -> _Feed:
        feed = self._feeds.get(organization_id)
        if feed is None:
            newest = await self._newest_sequences([organization_id])
            if organization_id not in newest:
                raise NotFound(str(OrganizationName(organization_id)))
            feed = self._feeds.setdefault(organization_id, _Feed(newest[organization_id]))
        feed.watchers.add(watcher)
        return feed

    def _leave(self, organization_id: str, feed: _Feed, watcher: Watcher) -> None:
        feed.watchers.discard(watcher)
        if not feed.watchers and self._feeds.get(organization_id) is feed:
            del self._feeds[organization_id]

    async def _before(self, organization_id: str, after_sequence: int | None) -> AsyncIterator[BudgetChange]:
        """What the log holds after the given sequence, or the state, where none is given or the log is too short."""
        sequence = after_sequence
        while sequence is not None:
            page = await self._entries_after(organization_id, sequence)
            if not page.is_whole:
                break
            for change in page.entries:
                yield change
            if page.is_last:
                return
            sequence = page.read_to
        now = await self._store.now()
        for change in await self._store.read(
            lambda connection: change_log.state(connection, organization_id, BUDGETS_PER_ORGANIZATION_MAX, now)
        ):
            yield change


def _batched(mapping: Mapping[str, _Feed], size: int) -> Iterator[list[str]]:
    """The keys, `size` at a time."""
    keys = iter(mapping)
    while some := list(islice(keys, size)):
        yield some
