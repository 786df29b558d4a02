"""Who holds the key of a call: a look-up in memory for a key that was seen before, one query for one that was not.

A key is found by the SHA-256 of its text. What was found is kept under the `authorization` value that brought it, in
memory only, until a key or an organization somewhere stops being valid: the store counts those, every replica asks for
the count more than twice a second, and forgets all it has kept when the count has moved or cannot be read.
"""

import asyncio
import contextlib
import hmac
import logging
from collections.abc import Callable, Mapping
from typing import Final, Protocol

from sqlalchemy import Connection

from outlay_server.api.caller import PLATFORM, Caller
from outlay_server.domain.api_key import hash_key, is_well_formed
from outlay_server.domain.errors import InvalidApiKey, OutlayError
from outlay_server.domain.instant import Instant
from outlay_server.store.contract import Store
from outlay_server.store.key_reads import StoredKey, key_by_hash, keys_version, touch_keys

logger = logging.getLogger(__name__)

AUTHORIZATION: Final = "authorization"

POLL_SECONDS: Final = 0.4
POLL_TIMEOUT_SECONDS: Final = 0.4
"""One poll and the wait before it stay below the second within which a revocation must be felt everywhere."""

TOUCH_SECONDS: Final = 30.0
"""How often the last use of keys is written: `last_used_time` is promised to about a minute."""

CALLERS_MAX: Final = 10_000
"""Keys that are kept in memory; above that all are forgotten and found again."""

_SCHEME: Final = "bearer"


class KeySource(Protocol):
    """What authentication asks of the store."""

    async def find(self, key_hash: bytes) -> StoredKey | None:
        """The key with this hash, revoked and expired ones too."""

    async def version(self) -> int:
        """Grows whenever a key stops being valid."""

    async def touch(self, last_used: Mapping[str, Instant]) -> None:
        """Note when keys, by id, were last used."""


class StoreKeys:
    """A `KeySource` over a store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def find(self, key_hash: bytes) -> StoredKey | None:
        def read(connection: Connection) -> StoredKey | None:
            return key_by_hash(connection, key_hash)

        return await self._store.read(read)

    async def version(self) -> int:
        return await self._store.read(keys_version)

    async def touch(self, last_used: Mapping[str, Instant]) -> None:
        await self._store.change(lambda transaction: touch_keys(transaction, last_used))


class Authenticator:
    """Turns the metadata of a call into its caller. For one event loop."""

    def __init__(self, keys: KeySource, admin_key_hash: bytes, clock: Callable[[], Instant]) -> None:
        """`admin_key_hash` is `hash_key` of the platform key, which no store knows."""
        self._keys = keys
        self._admin_key_hash = admin_key_hash
        self._clock = clock
        self._callers: dict[str, Caller] = {}
        self._refused: set[str] = set()
        self._searches: dict[str, asyncio.Task[Caller | None]] = {}
        self._generation = 0
        self._version: int | None = None
        self._used: set[str] = set()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to watch for keys that stop being valid."""
        self._task = asyncio.create_task(self._watch(), name="outlay-keys")

    async def stop(self) -> None:
        """Stop watching, and write down when keys were last used."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None
        await self._touch()

    def forget(self) -> None:
        """Look every key up anew. Call it when this server has revoked one, which then binds its next call."""
        self._callers.clear()
        self._refused.clear()
        # What is being looked up at this moment may have been read too early: it is not kept.
        self._searches.clear()
        self._generation += 1

    async def authenticate(self, metadata: Mapping[str, str]) -> Caller:
        """The caller, by the one value under `authorization`. Raises `InvalidApiKey`, always the same."""
        header = metadata.get(AUTHORIZATION, "")
        caller = self._callers.get(header)
        if caller is None:
            caller = await self._look_up(header)
        if caller.expire_time is not None and self._clock() >= caller.expire_time:
            raise InvalidApiKey
        if caller.key_id:
            self._used.add(caller.key_id)
        return caller

    def known(self, metadata: Mapping[str, str]) -> Caller | None:
        """The caller, if its key was found before: without a query, for where there is no room for one."""
        return self._callers.get(metadata.get(AUTHORIZATION, ""))

    async def _look_up(self, header: str) -> Caller:
        scheme, _, text = header.partition(" ")
        key = text.strip(" ")
        if scheme.lower() != _SCHEME or header in self._refused:
            raise InvalidApiKey
        key_hash = hash_key(key)
        if hmac.compare_digest(key_hash, self._admin_key_hash):
            self._callers[header] = PLATFORM
            return PLATFORM
        if not is_well_formed(key):
            raise InvalidApiKey
        search = self._searches.get(header)
        if search is None:
            search = self._searches[header] = asyncio.create_task(self._search(header, key_hash))
        # One caller that gives up must not fail the others that wait for the same key.
        caller = await asyncio.shield(search)
        if caller is None:
            raise InvalidApiKey
        return caller

    async def _search(self, header: str, key_hash: bytes) -> Caller | None:
        generation = self._generation
        try:
            stored = await self._keys.find(key_hash)
        finally:
            if generation == self._generation:
                self._searches.pop(header, None)
        caller = None
        if stored is not None and stored.revoke_time is None:
            caller = Caller(stored.organization_id, stored.key_id, frozenset(stored.scopes), stored.expire_time)
        if generation == self._generation:
            if len(self._callers) + len(self._refused) >= CALLERS_MAX:
                self.forget()
            # A key that is not valid never becomes valid: nobody can hold one before it is made.
            if caller is None:
                self._refused.add(header)
            else:
                self._callers[header] = caller
        return caller

    async def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        touched = loop.time()
        while True:
            await asyncio.sleep(POLL_SECONDS)
            await self._poll()
            if loop.time() - touched >= TOUCH_SECONDS:
                touched = loop.time()
                await self._touch()

    async def _poll(self) -> None:
        """Forget all keys unless it is certain that none of them stopped being valid."""
        version: int | None = None
        try:
            async with asyncio.timeout(POLL_TIMEOUT_SECONDS):
                version = await self._keys.version()
        except (OutlayError, TimeoutError):
            pass
        except Exception:
            logger.exception("the version of the keys could not be read")
        if version is None or version != self._version:
            self.forget()
        self._version = version

    async def _touch(self) -> None:
        """Write down when keys were last used. That it fails now and then is nobody's loss."""
        used, self._used = self._used, set()
        if not used:
            return
        now = self._clock()
        try:
            await self._keys.touch(dict.fromkeys(used, now))
        except OutlayError:
            self._used |= used
        except Exception:
            logger.exception("the last use of keys could not be written")
