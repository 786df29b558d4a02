"""Organizations, keys, alerts and audit events."""

from collections.abc import Mapping
from typing import Final

from google.protobuf.struct_pb2 import Struct

from outlay.v1 import alert_pb2, api_key_pb2, audit_event_pb2, organization_pb2
from outlay_server.api.to_wire.times import optional_timestamp, timestamp
from outlay_server.domain.alert import Alert
from outlay_server.domain.audit import AuditEvent, JsonValue
from outlay_server.domain.budget import AlertBasis
from outlay_server.domain.instant import Instant
from outlay_server.domain.names import AlertName, ApiKeyName, AuditEventName, BudgetName, OrganizationName
from outlay_server.domain.views import KeyView, OrganizationView, etag_of

_BASES: Final = {
    AlertBasis.BUDGET: alert_pb2.ALERT_BASIS_BUDGET,
    AlertBasis.LIMIT: alert_pb2.ALERT_BASIS_LIMIT,
}
_TIME_SUFFIX: Final = "_time_micros"
_AMOUNT_SUFFIX: Final = "_micros"


def organization(view: OrganizationView) -> organization_pb2.Organization:
    return organization_pb2.Organization(
        name=str(OrganizationName(view.organization_id)),
        display_name=view.display_name,
        gates=[
            organization_pb2.Gate(gate_id=gate.gate_id, label=gate.label, pattern=gate.pattern, enabled=gate.enabled)
            for gate in sorted(view.gates, key=lambda gate: gate.gate_id)
        ],
        managed_by=view.managed_by,
        etag=etag_of(view.revision),
        create_time=timestamp(view.create_time),
        update_time=timestamp(view.update_time),
    )


def api_key(view: KeyView, secret: str = "") -> api_key_pb2.ApiKey:
    """A key; with its secret in the one answer that shows it."""
    return api_key_pb2.ApiKey(
        name=str(ApiKeyName(view.organization_id, view.key_id)),
        display_name=view.display_name,
        scopes=sorted(view.scopes),
        secret=secret,
        last_four=view.last_four,
        create_time=timestamp(view.create_time),
        last_used_time=optional_timestamp(view.last_used_time),
        expire_time=None if view.expire_time is None else timestamp(view.expire_time),
        revoke_time=optional_timestamp(view.revoke_time),
        etag=etag_of(view.revision),
    )


def alert(row: Alert) -> alert_pb2.Alert:
    return alert_pb2.Alert(
        name=str(AlertName(row.organization_id, row.alert_id)),
        budget=str(BudgetName(row.organization_id, row.budget_id)),
        cycle_start=timestamp(row.cycle_start),
        basis=_BASES[row.basis],
        threshold_percent=row.threshold_percent,
        spent_micros=row.spent_micros,
        basis_micros=row.basis_micros,
        create_time=timestamp(row.create_time),
    )


def audit_event(event: AuditEvent) -> audit_event_pb2.AuditEvent:
    draft = event.draft
    return audit_event_pb2.AuditEvent(
        name=str(AuditEventName(draft.organization_id, draft.event_id)),
        sequence=event.sequence,
        action=draft.action,
        actor=draft.actor,
        source=draft.source,
        request_id=draft.request_id,
        resource=draft.resource,
        before=_struct(draft.before),
        after=_struct(draft.after),
        create_time=timestamp(draft.create_time),
        previous_hash=event.previous_hash.hex(),
        hash=event.hash.hex(),
    )


def _struct(document: Mapping[str, JsonValue] | None) -> Struct | None:
    if document is None:
        return None
    struct = Struct()
    struct.update(dict(map(json_form, document.items())))
    return struct


def json_form(item: tuple[str, JsonValue]) -> tuple[str, JsonValue]:
    """A field as the resource's own JSON has it: a Struct's numbers are doubles, and cannot hold every amount."""
    name, value = item
    if isinstance(value, dict):
        return name, dict(map(json_form, value.items()))
    if not isinstance(value, int) or isinstance(value, bool) or not name.endswith(_AMOUNT_SUFFIX):
        return name.replace(_TIME_SUFFIX, "_time") if value is None else name, value
    if name.endswith(_TIME_SUFFIX):
        return name.removesuffix(_AMOUNT_SUFFIX), timestamp(Instant(value)).ToJsonString()
    return name, str(value)
