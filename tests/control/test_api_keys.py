"""Keys: kept as hashes, revoked for good, and no more of them than every replica can hold."""

import pytest

from ledger.stores import DAY_MICROS, PLATFORM, SettableClock, new_organization, snapshot
from outlay_server import control
from outlay_server.domain.api_key import assemble, hash_key
from outlay_server.domain.errors import EtagMismatch, LimitExceeded, NotFound, ValidationFailed
from outlay_server.domain.instant import Instant
from outlay_server.domain.views import KeyView, etag_of
from outlay_server.store import key_reads, ledger_reads, reads
from outlay_server.store.contract import Store

SECRET = assemble(bytes(range(20)))


async def create(
    store: Store, secret: str = SECRET, *, organization_id: str = "acme", expire_time: Instant | None = None
) -> KeyView:
    scopes = ("spend:check", "control:read")
    return await store.change(
        lambda tx: control.api_keys.create(tx, PLATFORM, organization_id, "CI", scopes, expire_time, secret)
    )


async def revoke(store: Store, key_id: str, organization_id: str = "acme", etag: str = "") -> KeyView:
    return await store.change(lambda tx: control.api_keys.revoke(tx, PLATFORM, organization_id, key_id, etag=etag))


async def version(store: Store) -> int:
    return await store.read(key_reads.keys_version)


async def test_a_key_is_found_by_its_hash_and_its_secret_is_nowhere(store: Store) -> None:
    """Neither in a table nor in the audit."""
    made = await create(store)
    assert made.last_four == SECRET[-4:]
    found = await store.read(lambda connection: key_reads.key_by_hash(connection, hash_key(SECRET)))
    assert found is not None
    assert (found.organization_id, found.key_id, found.scopes) == ("acme", made.key_id, made.scopes)
    for table, rows in (await snapshot(store)).items():
        assert SECRET not in repr(rows), table
        assert SECRET[3:-10] not in repr(rows), table
    assert await store.read(lambda connection: key_reads.key_by_hash(connection, hash_key("sk_other"))) is None


async def test_revoking_is_for_good_told_once_and_tells_the_replicas(store: Store) -> None:
    """The version that replicas poll grows; revoking again changes nothing."""
    made = await create(store)
    assert etag_of(made.revision)
    with pytest.raises(EtagMismatch):
        await revoke(store, made.key_id, etag="r1")
    before = await version(store)
    revoked = await revoke(store, made.key_id, etag=etag_of(made.revision))
    assert revoked.revoke_time is not None
    assert await version(store) > before
    rows = await snapshot(store)
    assert (await revoke(store, made.key_id)) == revoked
    assert await snapshot(store) == rows
    events = await store.read(lambda connection: ledger_reads.audit_events(connection, "acme", None, 2))
    assert [event.draft.action for event in events] == ["api_key.revoked", "api_key.created"]


async def test_another_organization_s_key_is_missing(store: Store) -> None:
    """As is one that never was."""
    await new_organization(store, "globex")
    made = await create(store)
    for organization_id, key_id in (("globex", made.key_id), ("acme", "nope"), ("nobody", made.key_id)):
        with pytest.raises(NotFound):
            await revoke(store, key_id, organization_id)
    assert await store.read(lambda connection: reads.key_views(connection, "globex", "", 10)) == []


async def test_keys_of_a_deleted_organization_stop_working(store: Store) -> None:
    """And the replicas are told."""
    await create(store)
    before = await version(store)
    await store.change(lambda tx: control.organizations.delete(tx, PLATFORM, "acme"))
    assert await version(store) > before
    assert await store.read(lambda connection: key_reads.key_by_hash(connection, hash_key(SECRET))) is None


async def test_a_key_cannot_be_born_expired(timed_store: Store, clock: SettableClock) -> None:
    """It expires in the future or not at all."""
    with pytest.raises(ValidationFailed):
        await create(timed_store, expire_time=clock.now)
    made = await create(timed_store, expire_time=Instant(clock.now + DAY_MICROS))
    assert made.expire_time == clock.now + DAY_MICROS


async def test_revoked_and_expired_keys_make_room(
    timed_store: Store, clock: SettableClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The limit is on live ones."""
    monkeypatch.setattr(control.api_keys, "API_KEYS_PER_ORGANIZATION_MAX", 2)
    secrets = iter(assemble(bytes([number] * 20)) for number in range(9))
    first = await create(timed_store, next(secrets))
    await create(timed_store, next(secrets), expire_time=Instant(clock.now + 1))
    with pytest.raises(LimitExceeded):
        await create(timed_store, next(secrets))
    await revoke(timed_store, first.key_id)
    await create(timed_store, next(secrets))
    with pytest.raises(LimitExceeded):
        await create(timed_store, next(secrets))
    await clock.advance(1)
    await create(timed_store, next(secrets))


async def test_the_last_use_of_a_key_only_moves_forward(store: Store) -> None:
    """Notes of replicas come in any order."""
    made = await create(store)
    for used, expected in ((5, 5), (3, 5), (8, 8)):
        await store.change(lambda tx, used=used: key_reads.touch_keys(tx, {made.key_id: Instant(used)}))
        found = await store.read(lambda connection: reads.key_views(connection, "acme", "", 10))
        assert found[0].last_used_time == expected
