"""Create and revoke the keys of an organization."""

from sqlalchemy import func, insert, select, update

from outlay_server.control.documents import key_document
from outlay_server.control.keys_version import raise_keys_version
from outlay_server.control.organization_row import append_audit_event, ensure_etag, locked_organization
from outlay_server.control.origin import Origin
from outlay_server.domain.api_key import hash_key, last_four
from outlay_server.domain.audit import AuditAction
from outlay_server.domain.errors import LimitExceeded, ValidationFailed, Violation
from outlay_server.domain.instant import Instant
from outlay_server.domain.limits import API_KEYS_PER_ORGANIZATION_MAX
from outlay_server.domain.names import ApiKeyName
from outlay_server.domain.views import KeyView
from outlay_server.store import reads, rows, tables
from outlay_server.store.contract import ControlTransaction


def create(
    tx: ControlTransaction,
    origin: Origin,
    organization_id: str,
    display_name: str,
    scopes: tuple[str, ...],
    expire_time: Instant | None,
    secret: str,
) -> KeyView:
    """Create a key of which only the hash is kept; `secret` is what the caller is shown, this once.

    Raises `NotFound`, `LimitExceeded` (revoked and expired keys do not count), `ValidationFailed`.
    """
    organization = locked_organization(tx, organization_id)
    table = tables.api_keys
    if expire_time is not None and expire_time <= tx.now:
        raise ValidationFailed([Violation("api_key.expire_time", "must be in the future")])
    live = select(func.count()).where(
        table.c.organization_key == organization.key,
        table.c.revoke_time.is_(None),
        (table.c.expire_time.is_(None)) | (table.c.expire_time > tx.now),
    )
    if tx.connection.execute(live).scalar_one() >= API_KEYS_PER_ORGANIZATION_MAX:
        raise LimitExceeded("live API keys in one organization", API_KEYS_PER_ORGANIZATION_MAX)
    view = KeyView(
        organization_id=organization_id,
        key_id=tx.new_id(),
        display_name=display_name,
        scopes=scopes,
        last_four=last_four(secret),
        create_time=tx.now,
        last_used_time=None,
        expire_time=expire_time,
        revoke_time=None,
    )
    tx.connection.execute(
        insert(table).values(
            organization_key=organization.key,
            id=view.key_id,
            key_hash=hash_key(secret),
            last_four=view.last_four,
            display_name=display_name,
            scopes=rows.dump(scopes),
            create_time=tx.now,
            expire_time=expire_time,
        )
    )
    name = str(ApiKeyName(organization_id, view.key_id))
    append_audit_event(
        tx, origin, organization_id, AuditAction.API_KEY_CREATED, name, before=None, after=key_document(view)
    )
    return view


def revoke(tx: ControlTransaction, origin: Origin, organization_id: str, key_id: str, *, etag: str = "") -> KeyView:
    """Revoke a key for good, on every replica within a second. Revoking it again changes nothing. Raises `NotFound`."""
    organization = locked_organization(tx, organization_id)
    row = reads.key_row(tx.connection, organization.key, organization_id, key_id)
    found = reads.key_view_of(row, organization_id)
    ensure_etag(etag, found.revision)
    if found.revoke_time is not None:
        return found
    table = tables.api_keys
    tx.connection.execute(
        update(table)
        .where(table.c.organization_key == organization.key, table.c.id == key_id)
        .values(revoke_time=tx.now)
    )
    raise_keys_version(tx)
    revoked = reads.key_view_of(
        reads.key_row(tx.connection, organization.key, organization_id, key_id), organization_id
    )
    append_audit_event(
        tx,
        origin,
        organization_id,
        AuditAction.API_KEY_REVOKED,
        str(ApiKeyName(organization_id, key_id)),
        before=key_document(found),
        after=key_document(revoked),
    )
    return revoked
