"""What authentication asks of the store."""

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, select, update

from outlay_server.domain.instant import Instant
from outlay_server.store import rows, tables
from outlay_server.store.contract import ControlTransaction


@dataclass(frozen=True, slots=True)
class StoredKey:
    """A key as found by its hash; revoked and expired ones too."""

    organization_id: str
    key_id: str
    scopes: tuple[str, ...]
    expire_time: Instant | None
    revoke_time: Instant | None


def key_by_hash(connection: Connection, key_hash: bytes) -> StoredKey | None:
    """The key with this hash, or None where there is none or its organization was deleted."""
    keys, organizations = tables.api_keys, tables.organizations
    query = (
        select(organizations.c.id.label("organization_id"), keys)
        .join(organizations, organizations.c.key == keys.c.organization_key)
        .where(keys.c.key_hash == key_hash, organizations.c.delete_time.is_(None))
    )
    row = connection.execute(query).one_or_none()
    if row is None:
        return None
    return StoredKey(
        organization_id=row.organization_id,
        key_id=row.id,
        scopes=rows.load_scopes(row.scopes),
        expire_time=None if row.expire_time is None else Instant(row.expire_time),
        revoke_time=None if row.revoke_time is None else Instant(row.revoke_time),
    )


def keys_version(connection: Connection) -> int:
    """Grows whenever a key stops being valid."""
    return int(connection.execute(select(tables.server_state.c.keys_version)).scalar_one())


def touch_keys(tx: ControlTransaction, last_used: Mapping[str, Instant]) -> None:
    """Note when keys, by id, were last used; an earlier time than is there already changes nothing."""
    if not last_used:
        return
    table = tables.api_keys
    statement = (
        update(table)
        .where(
            table.c.id == bindparam("key_id"),
            (table.c.last_used_time.is_(None)) | (table.c.last_used_time < bindparam("used")),
        )
        .values(last_used_time=bindparam("used"))
    )
    tx.connection.execute(statement, [{"key_id": key, "used": used} for key, used in sorted(last_used.items())])
