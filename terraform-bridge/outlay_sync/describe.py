"""Changes in words: fields by the names of the files, amounts in units, and who moved what."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from google.protobuf import json_format
from google.protobuf.struct_pb2 import Value

from outlay.v1.caps_pb2 import CapsChange, CapsFieldChange, CapsWarning, CapsWarningReason, OutsideChange
from outlay_sync.places import field_name
from outlay_sync.planning import OrganizationPlan

FormatAmount = Callable[[int], str]

FLAGS: Final[Mapping[str, str]] = {
    "CAP_BELOW_SPEND": "--allow-cap-below-spend",
    "HARD_CAP_REMOVED": "--allow-removing-hard-cap",
    "BUDGET_IN_USE": "--allow-deleting-in-use",
    "NOT_ADOPTED": "--adopt",
    "MANAGED_ELSEWHERE": "--force",
    "TOO_MANY_DELETES": "--max-deletes",
}
"""The option that lets through what a warning refuses."""

SIGNS: Final[Mapping[str, str]] = {"create": "+", "update": "~", "adopt": "=", "delete": "-"}

_DEFAULT: Final = "the default"


@dataclass(frozen=True, slots=True)
class FieldLine:
    """One field of a change, for people."""

    name: str
    before: str
    after: str
    outside: str
    """Who changed it outside, from what; empty where nobody did."""


def short_name(resource: str) -> str:
    """A resource within its organization: `budgets/spending`; the organization itself is `organization`."""
    _, _, rest = resource.removeprefix("organizations/").partition("/")
    return rest or "organization"


def field_lines(plan: OrganizationPlan, change: CapsChange, format_amount: FormatAmount) -> list[FieldLine]:
    unit = _unit(plan, change)

    def shown(path: str, value: Value) -> str:
        return value_text(path, value_of(value), unit, format_amount)

    return [
        FieldLine(
            name=field_name(field.path),
            before=shown(field.path, field.before),
            after=shown(field.path, field.after),
            outside=_moved(field, shown) if field.HasField("outside_change") else "",
        )
        for field in change.fields
    ]


def value_of(value: Value) -> Any:
    """A value in its JSON form."""
    return json_format.MessageToDict(value) if value.WhichOneof("kind") not in (None, "null_value") else None


def value_text(path: str, value: Any, unit: str, format_amount: FormatAmount) -> str:
    """A value of a field as people write it."""
    if path.endswith("_micros"):
        return "none" if value is None else f"{format_amount(int(value))} {unit}".rstrip()
    match value:
        case None:
            return _DEFAULT if path == "alert_thresholds" else "none"
        case bool():
            return "true" if value else "false"
        case float():
            return f"{value:g}"
        case str():
            return value or "none"
        case list() if path == "gates":
            return ", ".join(map(_gate, value)) or "none"
        case list():
            return f"[{', '.join(value_text('', item, unit, format_amount) for item in value)}]"
        case dict() if path == "selector":
            return ", ".join(f"{key}={value[key]}" for key in sorted(value)) or "all spend"
        case dict():
            return ", ".join(f"{key}: {value_text('', value[key], unit, format_amount)}" for key in sorted(value))
    return str(value)


def outside_text(change: OutsideChange) -> str:
    """`platform (rest) at 2026-11-22T00:40:00Z`."""
    return f"{change.actor} ({change.source}) at {change.create_time.ToJsonString()}"


def warning_reason(warning: CapsWarning) -> str:
    return CapsWarningReason.Name(warning.reason).removeprefix("CAPS_WARNING_REASON_")


def warning_text(warning: CapsWarning) -> str:
    """What a person should know, and which option lets it through where it is refused."""
    if not warning.refused:
        return warning.message
    flag = FLAGS.get(warning_reason(warning))
    return f"{warning.message} Refused without {flag}." if flag else f"{warning.message} Refused."


def summary(counts: Mapping[str, int]) -> str:
    """`1 to create, 2 to update`; what there is none of is left out."""
    return ", ".join(f"{count} to {what}" for what, count in counts.items() if count)


def _moved(field: CapsFieldChange, shown: Callable[[str, Value], str]) -> str:
    was = shown(field.path, field.last_applied)
    return f"changed outside from {was} by {outside_text(field.outside_change)}"


def _unit(plan: OrganizationPlan, change: CapsChange) -> str:
    for field in change.fields:
        if field.path == "unit":
            return field.after.string_value or field.before.string_value
    for desired in plan.request.budgets:
        if desired.budget.name == change.resource:
            return desired.budget.unit
    return ""


def _gate(gate: Mapping[str, Any]) -> str:
    state = "on" if gate.get("enabled") else "off"
    return f"{gate.get('gate_id')} {state} ({gate.get('label')}={gate.get('pattern')})"
