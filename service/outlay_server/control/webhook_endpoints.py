"""Create, change and delete webhook endpoints, rotate their secrets, and have deliveries made again.

Secrets arrive here sealed, as they are stored: nothing in this module could show one.
"""

from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Row, func, insert, select
from sqlalchemy import update as sql_update

from outlay_server.control.documents import Document, endpoint_document
from outlay_server.control.organization_row import (
    append_audit_event,
    ensure_etag,
    ensure_manager,
    locked_organization,
)
from outlay_server.control.origin import Origin
from outlay_server.domain.audit import AuditAction, AuditSource
from outlay_server.domain.destination import DestinationRules, uri_violation
from outlay_server.domain.errors import (
    AlreadyExists,
    EndpointDisabled,
    LimitExceeded,
    NotFound,
    ValidationFailed,
    Violation,
)
from outlay_server.domain.instant import Instant, plus_seconds
from outlay_server.domain.limits import WEBHOOK_ENDPOINTS_PER_ORGANIZATION_MAX
from outlay_server.domain.names import WebhookEndpointName
from outlay_server.domain.webhook import (
    THREE_DAYS,
    Delivery,
    DisableReason,
    Endpoint,
    EndpointSettings,
    WebhookFormat,
)
from outlay_server.store import outbox, tables, webhook_rows
from outlay_server.store.contract import ControlTransaction
from outlay_server.store.reads import organization_row

SERVER = Origin(actor="server", source=AuditSource.SERVER.value, correlation_id="", is_platform=True)
"""Where a change comes from that the server makes by itself."""

_ERRORS = {
    DisableReason.REQUESTED: "the endpoint was disabled",
    DisableReason.GONE: "the endpoint was disabled: it answered 410",
    DisableReason.FAILING: "the endpoint was disabled: nothing reached it for five days",
}


@dataclass(frozen=True, slots=True)
class Secret:
    """A signing secret for an endpoint that has none or wants another, sealed."""

    stored: str
    is_given: bool
    """The caller chose it."""


@dataclass(frozen=True, slots=True)
class Written:
    """An endpoint after a change, and whether the secret that was brought along is its secret now."""

    endpoint: Endpoint
    has_new_secret: bool


def create(
    tx: ControlTransaction,
    origin: Origin,
    organization_id: str,
    endpoint_id: str,
    settings: EndpointSettings,
    secret: Secret,
    rules: DestinationRules,
    *,
    validate_only: bool = False,
) -> Written:
    """Create an endpoint. Raises `NotFound`, `AlreadyExists`, `LimitExceeded`, `ValidationFailed`."""
    organization = locked_organization(tx, organization_id)
    name = str(WebhookEndpointName(organization_id, endpoint_id))
    if webhook_rows.find_endpoint_row(tx.connection, organization.key, endpoint_id) is not None:
        raise AlreadyExists(name)
    table = tables.webhook_endpoints
    count = select(func.count()).select_from(table).where(table.c.organization_key == organization.key)
    if tx.connection.execute(count).scalar_one() >= WEBHOOK_ENDPOINTS_PER_ORGANIZATION_MAX:
        raise LimitExceeded("webhook endpoints in one organization", WEBHOOK_ENDPOINTS_PER_ORGANIZATION_MAX)
    endpoint = with_settings(blank(organization_id, endpoint_id, tx.now), settings)
    _ensure_valid(None, endpoint, secret, rules)
    signs = endpoint.format is WebhookFormat.STANDARD
    if validate_only:
        return Written(endpoint, has_new_secret=False)
    write_new(tx, origin, organization.key, endpoint, secret.stored if signs else "")
    return Written(endpoint, has_new_secret=signs)


def update(
    tx: ControlTransaction,
    origin: Origin,
    organization_id: str,
    endpoint_id: str,
    settings: EndpointSettings,
    paths: AbstractSet[str],
    secret: Secret,
    rules: DestinationRules,
    *,
    etag: str = "",
    allow_missing: bool = False,
    validate_only: bool = False,
    manager: str = "",
    override_manager: bool = False,
) -> Written:
    """Change the fields that `paths` names; `secret` becomes the endpoint's where `paths` says so, or it needs one.

    Raises `NotFound`, `EtagMismatch`, `ManagedElsewhere`, `ValidationFailed`.
    """
    organization = locked_organization(tx, organization_id)
    row = webhook_rows.find_endpoint_row(tx.connection, organization.key, endpoint_id)
    if row is None:
        if not allow_missing:
            raise NotFound(str(WebhookEndpointName(organization_id, endpoint_id)))
        return create(tx, origin, organization_id, endpoint_id, settings, secret, rules, validate_only=validate_only)
    found = webhook_rows.endpoint_of(row, organization_id)
    ensure_etag(etag, found.revision)
    ensure_manager(found.managed_by, manager, override_manager)
    changed = with_settings(found, settings, paths - {"secret"})
    _ensure_valid(found, changed, secret if "secret" in paths else None, rules)
    signs = changed.format is WebhookFormat.STANDARD
    takes_secret = signs and ("secret" in paths or not row.secret)
    if changed == found and not takes_secret:
        return Written(found, has_new_secret=False)
    if takes_secret or not signs:
        changed = replace(changed, previous_secret_expire_time=None)
    changed = replace(changed, revision=found.revision + 1, update_time=tx.now)
    if validate_only:
        return Written(changed, has_new_secret=False)
    stored = (secret.stored if signs else "") if takes_secret or not signs else None
    write_change(tx, origin, organization.key, found, changed, stored)
    return Written(changed, has_new_secret=takes_secret)


def delete(
    tx: ControlTransaction,
    origin: Origin,
    organization_id: str,
    endpoint_id: str,
    *,
    etag: str = "",
    validate_only: bool = False,
    manager: str = "",
    override_manager: bool = False,
) -> None:
    """Delete an endpoint with its deliveries. Raises `NotFound`, `EtagMismatch`, `ManagedElsewhere`."""
    organization = locked_organization(tx, organization_id)
    row = webhook_rows.endpoint_row(tx.connection, organization.key, organization_id, endpoint_id)
    found = webhook_rows.endpoint_of(row, organization_id)
    ensure_etag(etag, found.revision)
    ensure_manager(found.managed_by, manager, override_manager)
    if validate_only:
        return
    write_deletion(tx, origin, organization.key, found)


def rotate_secret(
    tx: ControlTransaction,
    origin: Origin,
    organization_id: str,
    endpoint_id: str,
    secret: Secret,
    overlap_micros: int,
    *,
    etag: str = "",
) -> Endpoint:
    """Sign with another secret from now on, and with the one before too until the overlap is over.

    Raises `NotFound`, `EtagMismatch`, `ValidationFailed` where the endpoint's format has no secret.
    """
    organization = locked_organization(tx, organization_id)
    row = webhook_rows.endpoint_row(tx.connection, organization.key, organization_id, endpoint_id)
    found = webhook_rows.endpoint_of(row, organization_id)
    ensure_etag(etag, found.revision)
    if found.format is not WebhookFormat.STANDARD:
        raise ValidationFailed([Violation("name", f"has the format {found.format.value}, which has no secret")])
    until = plus_seconds(tx.now, overlap_micros // 1_000_000) if overlap_micros else None
    changed = replace(found, previous_secret_expire_time=until, revision=found.revision + 1, update_time=tx.now)
    secrets = {"secret": secret.stored, "previous_secret": row.secret if until else None}
    _write(tx, origin, organization.key, found, changed, secrets, AuditAction.WEBHOOK_SECRET_ROTATED)
    return changed


def disable_by_server(tx: ControlTransaction, organization_key: int, endpoint_key: int, reason: DisableReason) -> bool:
    """Disable an endpoint that is gone or fails; False where it is gone from here too, or disabled already."""
    organizations, table = tables.organizations, tables.webhook_endpoints
    query = select(organizations.c.id).where(organizations.c.key == organization_key)
    organization_id = tx.connection.execute(query).scalar_one()
    try:
        locked_organization(tx, organization_id)
    except NotFound:
        return False
    row = tx.connection.execute(select(table).where(table.c.key == endpoint_key)).one_or_none()
    if row is None or row.disabled:
        return False
    found = webhook_rows.endpoint_of(row, organization_id)
    changed = replace(found, disabled=True, disable_reason=reason, revision=found.revision + 1, update_time=tx.now)
    _write(tx, SERVER, organization_key, found, changed, {}, AuditAction.WEBHOOK_ENDPOINT_UPDATED)
    return True


def replay_delivery(tx: ControlTransaction, organization_id: str, endpoint_id: str, event_id: str) -> Delivery:
    """Have one delivery made again, for three days from now. Raises `NotFound`, `EndpointDisabled`."""
    organization, row = _locked_endpoint(tx, organization_id, endpoint_id)
    webhook_rows.delivery(tx.connection, organization.key, organization_id, endpoint_id, event_id)
    deadline = plus_seconds(tx.now, THREE_DAYS.give_up_seconds)
    outbox.replay(tx.connection, organization.key, row.key, tx.now, deadline, event_id=event_id)
    return webhook_rows.delivery(tx.connection, organization.key, organization_id, endpoint_id, event_id)


def replay_dead(tx: ControlTransaction, organization_id: str, endpoint_id: str) -> int:
    """Have dead deliveries made again, the oldest first; returns how many. Raises `NotFound`, `EndpointDisabled`."""
    organization, row = _locked_endpoint(tx, organization_id, endpoint_id)
    deadline = plus_seconds(tx.now, THREE_DAYS.give_up_seconds)
    return outbox.replay(tx.connection, organization.key, row.key, tx.now, deadline)


def _locked_endpoint(tx: ControlTransaction, organization_id: str, endpoint_id: str) -> tuple[Row[Any], Row[Any]]:
    """The rows of an organization and of its endpoint. The latter is locked, so that nobody disables it meanwhile."""
    organization = organization_row(tx.connection, organization_id)
    row = webhook_rows.endpoint_row(tx.connection, organization.key, organization_id, endpoint_id, lock=True)
    tx.has_waited()
    if row.disabled:
        raise EndpointDisabled(str(WebhookEndpointName(organization_id, endpoint_id)))
    return organization, row


def blank(organization_id: str, endpoint_id: str, now: Instant) -> Endpoint:
    """An endpoint of which nothing has been set."""
    return Endpoint(
        key=0,
        organization_id=organization_id,
        endpoint_id=endpoint_id,
        display_name="",
        uri="",
        format=WebhookFormat.STANDARD,
        event_types=(),
        disabled=False,
        disable_reason=None,
        managed_by="",
        failing_since=None,
        previous_secret_expire_time=None,
        revision=now,
        create_time=now,
        update_time=now,
    )


def with_settings(endpoint: Endpoint, settings: EndpointSettings, paths: AbstractSet[str] | None = None) -> Endpoint:
    """The endpoint with the settings that `paths` names, or all of them. Enabled anew, it starts afresh."""
    names = EndpointSettings.__dataclass_fields__.keys() if paths is None else paths
    changed = replace(endpoint, **{name: getattr(settings, name) for name in names})
    if changed.disabled and not endpoint.disabled:
        return replace(changed, disable_reason=DisableReason.REQUESTED)
    if endpoint.disabled and not changed.disabled:
        return replace(changed, disable_reason=None, failing_since=None)
    return changed


def violations_of(
    old: Endpoint | None, endpoint: Endpoint, has_given_secret: bool, rules: DestinationRules
) -> list[Violation]:
    """What is wrong with several fields together, some of which may have been there before.

    A destination that stays is not checked again: where the rules have become stricter since, its endpoint can still be
    disabled; and nothing is sent there by the rules of now.
    """
    found = []
    is_new = old is None or (old.uri, old.format) != (endpoint.uri, endpoint.format)
    wrong = uri_violation(endpoint.uri, endpoint.format, rules) if is_new else None
    if wrong is not None:
        found.append(Violation("webhook_endpoint.uri", wrong))
    if has_given_secret and endpoint.format is not WebhookFormat.STANDARD:
        found.append(Violation("webhook_endpoint.secret", f"does not belong to the format {endpoint.format.value}"))
    return found


def write_new(
    tx: ControlTransaction,
    origin: Origin,
    organization_key: int,
    endpoint: Endpoint,
    stored_secret: str,
    more: Document | None = None,
) -> None:
    """Insert an endpoint, and its audit event with `more` in it."""
    values = webhook_rows.endpoint_to_values(endpoint, organization_key)
    tx.connection.execute(insert(tables.webhook_endpoints).values(**values, secret=stored_secret))
    after = endpoint_document(endpoint) | (more or {})
    name = str(WebhookEndpointName(endpoint.organization_id, endpoint.endpoint_id))
    action = AuditAction.WEBHOOK_ENDPOINT_CREATED
    append_audit_event(tx, origin, endpoint.organization_id, action, name, before=None, after=after)


def write_change(
    tx: ControlTransaction,
    origin: Origin,
    organization_key: int,
    found: Endpoint,
    changed: Endpoint,
    stored_secret: str | None,
    more: Document | None = None,
) -> None:
    """Write changed settings, and their audit event with `more` in what is after.

    `stored_secret` becomes the only one, "" is none, and None keeps what there is.
    """
    secrets: dict[str, str | None] = {}
    if stored_secret is not None:
        secrets = {"secret": stored_secret, "previous_secret": None}
    _write(tx, origin, organization_key, found, changed, secrets, AuditAction.WEBHOOK_ENDPOINT_UPDATED, more)


def write_deletion(
    tx: ControlTransaction, origin: Origin, organization_key: int, found: Endpoint, more: Document | None = None
) -> None:
    """Delete an endpoint with its deliveries, and write its audit event with `more` in what was before."""
    outbox.drop_endpoints(tx.connection, organization_key, found.key)
    before = endpoint_document(found) | (more or {})
    name = str(WebhookEndpointName(found.organization_id, found.endpoint_id))
    action = AuditAction.WEBHOOK_ENDPOINT_DELETED
    append_audit_event(tx, origin, found.organization_id, action, name, before=before, after=None)


def _ensure_valid(old: Endpoint | None, endpoint: Endpoint, secret: Secret | None, rules: DestinationRules) -> None:
    found = violations_of(old, endpoint, secret is not None and secret.is_given, rules)
    if found:
        raise ValidationFailed(found)


def _write(
    tx: ControlTransaction,
    origin: Origin,
    organization_key: int,
    old: Endpoint,
    new: Endpoint,
    secrets: dict[str, str | None],
    action: AuditAction,
    more: Document | None = None,
) -> None:
    """Update the row and the audit; what waits for an endpoint that is disabled now is given up."""
    table = tables.webhook_endpoints
    values = webhook_rows.endpoint_to_values(new, organization_key) | secrets
    tx.connection.execute(sql_update(table).where(table.c.key == old.key).values(**values))
    if new.disabled and not old.disabled:
        assert new.disable_reason is not None, "a disabled endpoint has a reason"
        outbox.give_up_waiting(tx.connection, organization_key, new.key, _ERRORS[new.disable_reason], tx.now)
    after = endpoint_document(new) | ({"secret": "replaced"} if secrets.get("secret") else {}) | (more or {})
    name = str(WebhookEndpointName(new.organization_id, new.endpoint_id))
    append_audit_event(tx, origin, new.organization_id, action, name, before=endpoint_document(old), after=after)
