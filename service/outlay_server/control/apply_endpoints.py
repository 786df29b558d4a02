"""Decide what becomes of webhook endpoints when caps in code are applied, and write it.

Secrets are compared and never shown: of one that changes a plan says only that it does, and its etag holds a digest
whose key is the secret itself.
"""

import hashlib
import hmac
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Final

from outlay_server.control import webhook_endpoints
from outlay_server.control.apply_decided import Decided, EndpointEdit, is_taken_over
from outlay_server.control.apply_state import State, StoredEndpoint
from outlay_server.control.documents import Document, endpoint_document
from outlay_server.control.origin import Origin
from outlay_server.control.webhook_endpoints import Secret
from outlay_server.domain.api_key import Scope
from outlay_server.domain.caps import DesiredCaps, DesiredEndpoint
from outlay_server.domain.destination import DestinationRules
from outlay_server.domain.errors import LimitExceeded, Violations
from outlay_server.domain.guard_rails import owner_warnings
from outlay_server.domain.instant import Instant
from outlay_server.domain.limits import WEBHOOK_ENDPOINTS_PER_ORGANIZATION_MAX
from outlay_server.domain.names import WebhookEndpointName
from outlay_server.domain.outside import APPLIED_BY
from outlay_server.domain.plan import CapsWarning, ChangeType, field_changes
from outlay_server.domain.webhook import WebhookFormat
from outlay_server.store.contract import ControlTransaction
from outlay_server.store.sealing import CannotOpen, Sealer

NEEDED: Final = frozenset({Scope.ADMIN.value, Scope.CONTROL_WEBHOOKS.value})
"""As the methods that change one endpoint at a time need them."""

SECRET: Final = "secret"  # noqa: S105  # no secret: the field that holds one
IS_SET: Final = "set"
IS_REPLACED: Final = "replaced"

_NO_SECRET: Final = Secret("", is_given=False)


@dataclass(frozen=True, slots=True)
class EndpointCare:
    """What endpoints need beside the request: where they may point, and how their secrets are kept and made."""

    rules: DestinationRules
    sealer: Sealer
    new_secret: Callable[[], str]


def decide(
    state: State, desired: DesiredCaps, care: EndpointCare, violations: Violations, now: Instant
) -> Iterator[Decided]:
    """All endpoints that differ, by id. Notes violations; raises `LimitExceeded`."""
    named = {each.endpoint_id: each for each in desired.endpoints}
    growth = 0
    for endpoint_id in sorted(named.keys() | state.endpoints.keys()):
        asked, stored = named.get(endpoint_id), state.endpoints.get(endpoint_id)
        if asked is not None:
            growth += stored is None
            yield from _named(stored, desired, asked, care, violations, now)
        elif stored is not None and desired.leave.prune and stored.endpoint.managed_by == desired.manager:
            growth -= 1
            edit = EndpointEdit(stored.endpoint, None, _NO_SECRET if stored.secret else None)
            yield _decided(ChangeType.DELETE, edit, stored)
    if growth > 0 and len(state.endpoints) + growth > WEBHOOK_ENDPOINTS_PER_ORGANIZATION_MAX:
        raise LimitExceeded("webhook endpoints in one organization", WEBHOOK_ENDPOINTS_PER_ORGANIZATION_MAX)


def orphans(state: State, desired: DesiredCaps) -> tuple[str, ...]:
    """Names of the endpoints that the manager keeps and the request does not name."""
    named = {each.endpoint_id for each in desired.endpoints}
    return tuple(
        str(WebhookEndpointName(desired.organization_id, endpoint_id))
        for endpoint_id, stored in state.endpoints.items()
        if stored.endpoint.managed_by == desired.manager and endpoint_id not in named
    )


def write(tx: ControlTransaction, origin: Origin, organization_key: int, edit: EndpointEdit, manager: str) -> None:
    """Write one edit, audited."""
    mark: Document = {APPLIED_BY: manager}
    if edit.after is None:
        assert edit.before is not None, "what is deleted was there"
        webhook_endpoints.write_deletion(tx, origin, organization_key, edit.before, mark)
        return
    secret = None if edit.secret is None else edit.secret.stored
    if edit.before is None:
        webhook_endpoints.write_new(tx, origin, organization_key, edit.after, secret or "", mark)
    else:
        webhook_endpoints.write_change(tx, origin, organization_key, edit.before, edit.after, secret, mark)


def _named(
    stored: StoredEndpoint | None,
    desired: DesiredCaps,
    asked: DesiredEndpoint,
    care: EndpointCare,
    violations: Violations,
    now: Instant,
) -> Iterator[Decided]:
    found = None if stored is None else stored.endpoint
    base = found or webhook_endpoints.blank(desired.organization_id, asked.endpoint_id, now)
    changed = webhook_endpoints.with_settings(base, asked.settings, asked.paths - {SECRET})
    wrong = webhook_endpoints.violations_of(found, changed, bool(asked.secret), care.rules)
    for violation in wrong:
        violations.add(f"{asked.field}.{violation.field}", violation.description)
    signs = changed.format is WebhookFormat.STANDARD
    if signs and SECRET in asked.paths and not asked.secret:
        violations.add(f"{asked.field}.webhook_endpoint.secret", "cannot be cleared: the format STANDARD is signed")
        return
    if wrong:
        return
    secret = _secret("" if stored is None else stored.secret, asked, signs, care)
    if secret is not None:
        changed = replace(changed, previous_secret_expire_time=None)
    managed_by = "" if found is None else found.managed_by
    is_ours = found is not None and managed_by == desired.manager
    if changed == found and secret is None and (is_ours or not is_taken_over(managed_by, desired)):
        return
    changed = replace(changed, managed_by=desired.manager)
    owners: tuple[CapsWarning, ...] = ()
    type_ = ChangeType.CREATE
    if found is not None:
        changed = replace(changed, revision=found.revision + 1, update_time=now)
        owners = () if is_ours else tuple(owner_warnings(managed_by, desired.leave))
        type_ = ChangeType.UPDATE if is_ours else ChangeType.ADOPT
    yield _decided(type_, EndpointEdit(found, changed, secret), stored, owners, asked.secret)


def _secret(stored: str, asked: DesiredEndpoint, signs: bool, care: EndpointCare) -> Secret | None:
    """What becomes the secret, sealed; None where that is what it is."""
    if not signs:
        return _NO_SECRET if stored else None
    if asked.secret:
        is_same = bool(stored) and _is_secret(stored, asked.secret, care.sealer)
        return None if is_same else Secret(care.sealer.seal(asked.secret), is_given=True)
    return None if stored else Secret(care.sealer.seal(care.new_secret()), is_given=False)


def _is_secret(stored: str, secret: str, sealer: Sealer) -> bool:
    """Compare; a secret that this server cannot open is another: it could not sign with it either."""
    try:
        return hmac.compare_digest(sealer.open(stored).encode(), secret.encode())
    except CannotOpen:
        return False


def _decided(
    type_: ChangeType,
    edit: EndpointEdit,
    stored: StoredEndpoint | None,
    owners: tuple[CapsWarning, ...] = (),
    secret: str = "",
) -> Decided:
    endpoint = edit.after or edit.before
    assert endpoint is not None, "an edit is of something"
    was = IS_SET if stored is not None and stored.secret else None
    becomes = was
    if edit.secret is not None:
        becomes = None if not edit.secret.stored else IS_REPLACED if was else IS_SET
    before = None if edit.before is None else endpoint_document(edit.before) | {SECRET: was}
    after = None if edit.after is None else endpoint_document(edit.after) | {SECRET: becomes}
    nothing = webhook_endpoints.blank(endpoint.organization_id, endpoint.endpoint_id, endpoint.create_time)
    blank = endpoint_document(nothing) | {SECRET: None}
    unseen = _digest(edit.name, secret) if edit.secret is not None and edit.secret.is_given else ""
    return Decided(edit.name, type_, edit, field_changes(before, after, blank), owners, NEEDED, unseen)


def _digest(name: str, secret: str) -> str:
    return hmac.new(secret.encode(), name.encode(), hashlib.sha256).hexdigest()
