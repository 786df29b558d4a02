"""Keys: found once and remembered, forgotten when one stops being valid, and never asked for in vain."""

import asyncio
from collections.abc import Mapping

import pytest

from outlay_server.api.authentication import Authenticator
from outlay_server.api.caller import PLATFORM
from outlay_server.domain.api_key import assemble, hash_key
from outlay_server.domain.errors import InvalidApiKey, StorageUnavailable
from outlay_server.domain.instant import Instant
from outlay_server.store.key_reads import StoredKey

ADMIN = assemble(bytes(20))
KEY = assemble(bytes(range(20)))
REVOKED = assemble(bytes(range(1, 21)))
EXPIRING = assemble(bytes(range(2, 22)))
UNKNOWN = assemble(bytes(range(3, 23)))


class Keys:
    """Two valid keys and a revoked one."""

    def __init__(self) -> None:
        self.stored = {
            hash_key(KEY): StoredKey("acme", "key-1", ("spend:check",), None, None),
            hash_key(REVOKED): StoredKey("acme", "key-2", ("spend:check",), None, Instant(1)),
            hash_key(EXPIRING): StoredKey("acme", "key-3", ("spend:check",), Instant(1_000), None),
        }
        self.searches = 0
        self.began = asyncio.Event()
        self.number = 7
        self.is_down = False
        self.last_used: dict[str, Instant] = {}

    async def find(self, key_hash: bytes) -> StoredKey | None:
        self.searches += 1
        self.began.set()
        await asyncio.sleep(0)
        if self.is_down:
            raise StorageUnavailable
        return self.stored.get(key_hash)

    async def version(self) -> int:
        if self.is_down:
            raise StorageUnavailable
        return self.number

    async def touch(self, last_used: Mapping[str, Instant]) -> None:
        if self.is_down:
            raise StorageUnavailable
        self.last_used.update(last_used)

    def revoke(self, key: str) -> None:
        found = self.stored[hash_key(key)]
        self.stored[hash_key(key)] = StoredKey("acme", found.key_id, found.scopes, None, Instant(1))
        self.number += 1


class Clock:
    now = Instant(0)

    def __call__(self) -> Instant:
        return self.now


@pytest.fixture
def keys() -> Keys:
    return Keys()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def authenticator(keys: Keys, clock: Clock) -> Authenticator:
    return Authenticator(keys, hash_key(ADMIN), clock)


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


async def test_a_key_is_looked_up_once(authenticator: Authenticator, keys: Keys) -> None:
    callers = [await authenticator.authenticate(bearer(KEY)) for _ in range(3)]
    assert {(caller.organization_id, caller.key_id, caller.is_platform) for caller in callers} == {
        ("acme", "key-1", False)
    }
    assert keys.searches == 1


async def test_callers_that_come_together_share_one_look_up(authenticator: Authenticator, keys: Keys) -> None:
    await asyncio.gather(*(authenticator.authenticate(bearer(KEY)) for _ in range(20)))
    assert keys.searches == 1


async def test_a_caller_that_gives_up_does_not_fail_those_that_wait_with_it(
    authenticator: Authenticator, keys: Keys
) -> None:
    first = asyncio.create_task(authenticator.authenticate(bearer(KEY)))
    second = asyncio.create_task(authenticator.authenticate(bearer(KEY)))
    await asyncio.sleep(0)
    first.cancel()
    assert (await second).key_id == "key-1"


async def test_the_platform_key_is_known_without_a_look_up(authenticator: Authenticator, keys: Keys) -> None:
    assert await authenticator.authenticate(bearer(ADMIN)) is PLATFORM
    assert keys.searches == 0


@pytest.mark.parametrize(
    "header",
    [
        "",
        KEY,
        "Bearer",
        "Bearer ",
        f"Basic {KEY}",
        f"Bearer {KEY[:-1]}0" if KEY[-1] != "0" else f"Bearer {KEY[:-1]}1",
        f"Bearer {KEY.upper()}",
        f"Bearer {KEY} {KEY}",
        f"Bearer {KEY}, Bearer {KEY}",
        "Bearer sk_",
        "Bearer é",
    ],
)
async def test_what_is_no_key_is_refused_without_a_look_up(
    authenticator: Authenticator, keys: Keys, header: str
) -> None:
    with pytest.raises(InvalidApiKey):
        await authenticator.authenticate({"authorization": header})
    assert keys.searches == 0


async def test_a_call_without_authorization_is_refused(authenticator: Authenticator) -> None:
    with pytest.raises(InvalidApiKey):
        await authenticator.authenticate({})


async def test_the_scheme_is_read_in_any_case(authenticator: Authenticator) -> None:
    """RFC 9110, 11.1."""
    assert (await authenticator.authenticate({"authorization": f"bearer {KEY}"})).key_id == "key-1"


@pytest.mark.parametrize("key", [UNKNOWN, REVOKED], ids=["unknown", "revoked"])
async def test_a_key_that_opens_nothing_is_refused_and_not_looked_up_again(
    authenticator: Authenticator, keys: Keys, key: str
) -> None:
    for _ in range(3):
        with pytest.raises(InvalidApiKey):
            await authenticator.authenticate(bearer(key))
    assert keys.searches == 1


async def test_a_key_stops_working_at_the_instant_it_expires(authenticator: Authenticator, clock: Clock) -> None:
    clock.now = Instant(999)
    await authenticator.authenticate(bearer(EXPIRING))
    clock.now = Instant(1_000)
    with pytest.raises(InvalidApiKey):
        await authenticator.authenticate(bearer(EXPIRING))


async def test_a_key_revoked_here_is_refused_at_once(authenticator: Authenticator, keys: Keys) -> None:
    await authenticator.authenticate(bearer(KEY))
    keys.revoke(KEY)
    authenticator.forget()
    with pytest.raises(InvalidApiKey):
        await authenticator.authenticate(bearer(KEY))


async def test_a_look_up_that_began_before_a_revocation_is_not_remembered(
    authenticator: Authenticator, keys: Keys
) -> None:
    early = asyncio.create_task(authenticator.authenticate(bearer(KEY)))
    await keys.began.wait()
    authenticator.forget()
    await early
    keys.revoke(KEY)
    with pytest.raises(InvalidApiKey):
        await authenticator.authenticate(bearer(KEY))


async def refused_within(authenticator: Authenticator, seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds):
            while True:
                try:
                    await authenticator.authenticate(bearer(KEY))
                except InvalidApiKey:
                    return True
                await asyncio.sleep(0.01)
    except TimeoutError:
        return False


async def test_a_key_revoked_elsewhere_is_refused_within_a_second(authenticator: Authenticator, keys: Keys) -> None:
    await authenticator.start()
    await authenticator.authenticate(bearer(KEY))
    keys.revoke(KEY)
    assert await refused_within(authenticator, 1.0)
    await authenticator.stop()


async def test_keys_are_not_trusted_while_nobody_can_say_whether_they_are_valid(
    authenticator: Authenticator, keys: Keys
) -> None:
    await authenticator.authenticate(bearer(KEY))
    keys.is_down = True
    await authenticator._poll()
    with pytest.raises(StorageUnavailable):
        await authenticator.authenticate(bearer(KEY))


async def test_the_last_use_of_keys_is_written_when_the_server_stops(
    authenticator: Authenticator, keys: Keys, clock: Clock
) -> None:
    clock.now = Instant(123)
    await authenticator.authenticate(bearer(KEY))
    await authenticator.authenticate(bearer(ADMIN))
    await authenticator.stop()
    assert keys.last_used == {"key-1": Instant(123)}


async def test_a_last_use_that_could_not_be_written_is_written_later(authenticator: Authenticator, keys: Keys) -> None:
    await authenticator.authenticate(bearer(KEY))
    keys.is_down = True
    await authenticator._touch()
    keys.is_down = False
    await authenticator._touch()
    assert keys.last_used == {"key-1": Instant(0)}
