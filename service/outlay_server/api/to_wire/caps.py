"""Plans of caps that are kept in code."""

from typing import Final

from google.protobuf.struct_pb2 import Struct, Value

from outlay.v1 import caps_pb2 as pb
from outlay_server.api.to_wire.organizations import json_form
from outlay_server.api.to_wire.times import timestamp
from outlay_server.domain.audit import JsonValue
from outlay_server.domain.outside import Mover
from outlay_server.domain.plan import CapsWarning, Change, ChangeType, FieldChange, Plan, WarningReason

_TYPES: Final = {
    ChangeType.CREATE: pb.CAPS_CHANGE_TYPE_CREATE,
    ChangeType.UPDATE: pb.CAPS_CHANGE_TYPE_UPDATE,
    ChangeType.ADOPT: pb.CAPS_CHANGE_TYPE_ADOPT,
    ChangeType.DELETE: pb.CAPS_CHANGE_TYPE_DELETE,
}
_REASONS: Final = {
    WarningReason.CAP_BELOW_SPEND: pb.CAPS_WARNING_REASON_CAP_BELOW_SPEND,
    WarningReason.HARD_CAP_REMOVED: pb.CAPS_WARNING_REASON_HARD_CAP_REMOVED,
    WarningReason.BUDGET_IN_USE: pb.CAPS_WARNING_REASON_BUDGET_IN_USE,
    WarningReason.NOT_ADOPTED: pb.CAPS_WARNING_REASON_NOT_ADOPTED,
    WarningReason.MANAGED_ELSEWHERE: pb.CAPS_WARNING_REASON_MANAGED_ELSEWHERE,
    WarningReason.TOO_MANY_DELETES: pb.CAPS_WARNING_REASON_TOO_MANY_DELETES,
    WarningReason.RECOUNTED: pb.CAPS_WARNING_REASON_RECOUNTED,
}


def plan(plan: Plan) -> pb.ApplyCapsResponse:
    return pb.ApplyCapsResponse(
        changes=map(_change, plan.changes),
        plan_etag=plan.etag,
        required_scopes=plan.required_scopes,
        orphans=plan.orphans,
    )


def _change(change: Change) -> pb.CapsChange:
    return pb.CapsChange(
        resource=change.resource,
        type=_TYPES[change.type],
        fields=map(_field, change.fields),
        warnings=map(_warning, change.warnings),
        outside_change=_outside(change.mover),
        etag=change.etag,
    )


def _field(field: FieldChange) -> pb.CapsFieldChange:
    return pb.CapsFieldChange(
        path=field.path,
        before=_value(field.path, field.before),
        after=_value(field.path, field.after),
        last_applied=None if field.mover is None else _value(field.path, field.last_applied),
        outside_change=_outside(field.mover),
    )


def _value(path: str, value: JsonValue) -> Value:
    """A field's value as an audit event would show it."""
    if value is None:
        return Value(null_value=0)  # type: ignore[arg-type]  # the only value that NullValue has
    name, form = json_form((path, value))
    holder = Struct()
    holder.update({name: form})
    return holder.fields[name]


def _warning(warning: CapsWarning) -> pb.CapsWarning:
    return pb.CapsWarning(
        reason=_REASONS[warning.reason], refused=warning.refused, message=warning.message, metadata=warning.facts
    )


def _outside(mover: Mover | None) -> pb.OutsideChange | None:
    if mover is None:
        return None
    return pb.OutsideChange(
        actor=mover.actor,
        source=mover.source,
        request_id=mover.request_id,
        audit_event=mover.audit_event,
        create_time=timestamp(mover.time),
    )
