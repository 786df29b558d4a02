"""What one document says: of an organization, or of one budget of it.

A document that has `budget_id` is a budget in a file of its own; any other is about its organization, and budgets,
gates and webhook endpoints stand in it as lists. Either may name the `source`, and a document may do nothing else.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from outlay_sync.desired import Budget, Gate, Setting, Value, WebhookEndpoint
from outlay_sync.fields import Fields
from outlay_sync.nodes import Mapping as MappingNode
from outlay_sync.nodes import Node
from outlay_sync.problems import Place

PERIODS: Final = ("DAY", "WEEK", "MONTH", "QUARTER", "YEAR", "LIFETIME")
ENFORCEMENTS: Final = ("ENFORCE", "SHADOW", "FREEZE")
WEBHOOK_FORMATS: Final = ("STANDARD", "SLACK", "MAIL")

Read = Callable[[Fields, Node, str], Value]


@dataclass(frozen=True, slots=True)
class _Field:
    """How a field of the files becomes a setting."""

    path: str
    """As an update mask names it."""
    read: Read
    nullable: bool = True
    """Whether `null` may be written: the default, which for a limit is no limit."""


BUDGET_FIELDS: Final[Mapping[str, _Field]] = {
    "display_name": _Field("display_name", Fields.display_name),
    "selector": _Field("selector", Fields.selector),
    "budget": _Field("budget_micros", Fields.amount),
    "hard_cap": _Field("hard_cap_micros", Fields.amount),
    "hard_cap_enabled": _Field("hard_cap_enabled", Fields.boolean),
    "allotment": _Field("allotment_micros", Fields.amount),
    "alert_thresholds": _Field("alert_thresholds", Fields.thresholds),
    "alerts_enabled": _Field("alerts_enabled", Fields.boolean),
    "enforcement": _Field("enforcement", lambda fields, node, path: fields.choice(node, path, ENFORCEMENTS)),
}
"""The fields of a budget beside its ids, `unit` and `cycle`."""

CYCLE_FIELDS: Final[Mapping[str, _Field]] = {
    "period": _Field("cycle.period", lambda fields, node, path: fields.choice(node, path, PERIODS)),
    "anchor": _Field("cycle.anchor", Fields.date),
    "time_zone": _Field("cycle.time_zone", Fields.time_zone),
}

WEBHOOK_FIELDS: Final[Mapping[str, _Field]] = {
    "display_name": _Field("display_name", Fields.display_name),
    "uri": _Field("uri", Fields.text, nullable=False),
    "format": _Field("format", lambda fields, node, path: fields.choice(node, path, WEBHOOK_FORMATS)),
    "event_types": _Field("event_types", Fields.event_types),
    "disabled": _Field("disabled", Fields.boolean),
}

BUDGET_KEYS: Final = ("budget_id", "unit", *BUDGET_FIELDS, "cycle")
GATE_KEYS: Final = ("gate_id", "label", "pattern", "enabled")
WEBHOOK_KEYS: Final = ("webhook_endpoint_id", *WEBHOOK_FIELDS, "uriFrom", "secretFrom")
ORGANIZATION_KEYS: Final = ("source", "organization", "display_name", "gates", "budgets", "webhook_endpoints")


@dataclass(frozen=True, slots=True)
class Document:
    """What one document says, as far as it is acceptable."""

    place: Place
    source: Setting | None
    organization_id: str
    """Empty where the document names none, as one that only names the source."""
    is_about_organization: bool
    display_name: Setting | None
    gates: tuple[Gate, ...] | None
    gates_place: Place | None
    budgets: tuple[Budget, ...]
    webhook_endpoints: tuple[WebhookEndpoint, ...]


def read(fields: Fields, node: Node) -> Document | None:
    """Read a document; what is wrong is noted in `fields`. None where nothing in it can be read."""
    mapping = fields.mapping(node, "", "organization, budgets, …")
    if mapping is None:
        return None
    return _budget_document(fields, mapping) if "budget_id" in mapping.entries else _organization(fields, mapping)


def _budget_document(fields: Fields, mapping: MappingNode) -> Document:
    """A budget in a file of its own."""
    fields.refuse_unknown(mapping, "", ("source", "organization", *BUDGET_KEYS))
    organization_id = _id(fields, mapping, "", "organization")
    budget = _budget(fields, mapping, "", organization_id)
    return Document(
        place=mapping.place,
        source=_source(fields, mapping),
        organization_id=organization_id,
        is_about_organization=False,
        display_name=None,
        gates=None,
        gates_place=None,
        budgets=() if budget is None else (budget,),
        webhook_endpoints=(),
    )


def _organization(fields: Fields, mapping: MappingNode) -> Document:
    fields.refuse_unknown(mapping, "", ORGANIZATION_KEYS)
    names_only_source = "source" in mapping.entries and len(mapping.entries) == 1
    organization_id = "" if names_only_source else _id(fields, mapping, "", "organization")
    gates = mapping.entries.get("gates")
    display_name = mapping.entries.get("display_name")
    return Document(
        place=mapping.place,
        source=_source(fields, mapping),
        organization_id=organization_id,
        is_about_organization=not names_only_source,
        display_name=None
        if display_name is None
        else fields.setting(display_name.value, "display_name", fields.display_name, nullable=True),
        gates=None if gates is None else _gates(fields, gates.value),
        gates_place=None if gates is None else gates.key.place,
        budgets=_budgets(fields, mapping, organization_id),
        webhook_endpoints=_webhook_endpoints(fields, mapping, organization_id),
    )


def _source(fields: Fields, mapping: MappingNode) -> Setting | None:
    entry = mapping.entries.get("source")
    return None if entry is None else fields.setting(entry.value, "source", fields.source, nullable=False)


def _budgets(fields: Fields, mapping: MappingNode, organization_id: str) -> tuple[Budget, ...]:
    entry = mapping.entries.get("budgets")
    if entry is None:
        return ()
    budgets = []
    for index, item in enumerate(fields.sequence(entry.value, "budgets", "- budget_id: …")):
        path = f"budgets[{index}]"
        node = fields.mapping(item, path, "budget_id, unit, …")
        if node is None:
            continue
        fields.refuse_unknown(node, path, BUDGET_KEYS)
        budget = _budget(fields, node, path, organization_id)
        if budget is not None:
            budgets.append(budget)
    return tuple(budgets)


def _budget(fields: Fields, mapping: MappingNode, path: str, organization_id: str) -> Budget | None:
    budget_id = _id(fields, mapping, path, "budget_id")
    unit_node = fields.required(mapping, path, "unit")
    unit = None if unit_node is None else fields.setting(unit_node, _at(path, "unit"), fields.unit, nullable=False)
    settings = _settings(fields, mapping, path, BUDGET_FIELDS)
    cycle = mapping.entries.get("cycle")
    if cycle is not None:
        settings |= _cycle(fields, cycle.value, _at(path, "cycle"))
    cap = settings.get("hard_cap_micros")
    if cap is not None and cap.value is not None and "hard_cap_enabled" not in mapping.entries:
        # A cap that is written down and blocks nothing is what nobody means; who does writes `false` beside it.
        settings["hard_cap_enabled"] = Setting(True, cap.place)
    if not budget_id or not organization_id or unit is None:
        return None
    return Budget(organization_id, budget_id, str(unit.value), settings, unit.place, mapping.place)


def _cycle(fields: Fields, node: Node, path: str) -> dict[str, Setting]:
    def read_members(node: Node, path: str) -> Value:
        mapping = fields.mapping(node, path, "period, anchor, time_zone")
        if mapping is not None:
            fields.refuse_unknown(mapping, path, CYCLE_FIELDS)
            members.update(_settings(fields, mapping, path, CYCLE_FIELDS))
        return ""

    members: dict[str, Setting] = {}
    whole = fields.setting(node, path, read_members, nullable=True)
    return {"cycle": whole} if whole is not None and whole.value is None else members


def _gates(fields: Fields, node: Node) -> tuple[Gate, ...]:
    gates: list[Gate] = []
    items = fields.sequence(node, "gates", "- gate_id: …, or [] for none")
    if len(items) > fields.rules.gates_max:
        fields.complain(node.place, "gates", f"must have at most {fields.rules.gates_max} entries")
        return ()
    for index, item in enumerate(items):
        path = f"gates[{index}]"
        mapping = fields.mapping(item, path, "gate_id, label, pattern, enabled")
        if mapping is None:
            continue
        fields.refuse_unknown(mapping, path, GATE_KEYS)
        gate = Gate(
            gate_id=_id(fields, mapping, path, "gate_id"),
            label=str(_required(fields, mapping, path, "label", fields.label)),
            pattern=str(_required(fields, mapping, path, "pattern", fields.pattern)),
            # The list of gates is kept as a whole, so how each one stands has to be said.
            enabled=bool(_required(fields, mapping, path, "enabled", fields.boolean)),
            place=mapping.place,
        )
        gates.append(gate)
    return tuple(gates)


def _webhook_endpoints(fields: Fields, mapping: MappingNode, organization_id: str) -> tuple[WebhookEndpoint, ...]:
    entry = mapping.entries.get("webhook_endpoints")
    if entry is None:
        return ()
    endpoints = []
    for index, item in enumerate(fields.sequence(entry.value, "webhook_endpoints", "- webhook_endpoint_id: …")):
        path = f"webhook_endpoints[{index}]"
        node = fields.mapping(item, path, "webhook_endpoint_id, uri, …")
        if node is None:
            continue
        fields.refuse_unknown(node, path, WEBHOOK_KEYS)
        endpoint_id = _id(fields, node, path, "webhook_endpoint_id")
        settings = _settings(fields, node, path, WEBHOOK_FIELDS)
        uri_variable = _from_environment(fields, node, path, "uriFrom")
        secret_variable = _from_environment(fields, node, path, "secretFrom")
        _check_uri(fields, node, path, settings)
        if endpoint_id and organization_id:
            endpoints.append(
                WebhookEndpoint(organization_id, endpoint_id, settings, uri_variable, secret_variable, node.place)
            )
    return tuple(endpoints)


def _check_uri(fields: Fields, mapping: MappingNode, path: str, settings: Mapping[str, Setting]) -> None:
    """A URI is written, or comes from a variable; what it may be depends on the format."""
    if ("uri" in mapping.entries) == ("uriFrom" in mapping.entries):
        fields.complain(mapping.place, _at(path, "uri"), "must be set, or uriFrom; not both")
    uri, format_ = settings.get("uri"), settings.get("format")
    if uri is not None:
        kind = "STANDARD" if format_ is None or format_.value is None else str(format_.value)
        fields.complain(uri.place, _at(path, "uri"), fields.rules.webhook_uri(str(uri.value), kind))


def _from_environment(fields: Fields, mapping: MappingNode, path: str, name: str) -> str | None:
    """The variable that `NAME: {env: VARIABLE}` names. A secret itself is never written into a file."""
    entry = mapping.entries.get(name)
    if entry is None:
        return None
    where = _at(path, name)
    node = fields.mapping(entry.value, where, "env: NAME")
    if node is None:
        return None
    fields.refuse_unknown(node, where, ("env",))
    return str(_required(fields, node, where, "env", fields.environment_name)) or None


def _settings(fields: Fields, mapping: MappingNode, path: str, known: Mapping[str, _Field]) -> dict[str, Setting]:
    settings = {}
    for name, field in known.items():
        entry = mapping.entries.get(name)
        if entry is None:
            continue

        def read_value(node: Node, where: str, field: _Field = field) -> Value:
            return field.read(fields, node, where)

        setting = fields.setting(entry.value, _at(path, name), read_value, nullable=field.nullable)
        if setting is not None:
            settings[field.path] = setting
    return settings


def _required(
    fields: Fields, mapping: MappingNode, path: str, name: str, read_value: Callable[[Node, str], Value]
) -> Value:
    """The value of a field that must be there; the empty text where it is not acceptable."""
    node = fields.required(mapping, path, name)
    setting = None if node is None else fields.setting(node, _at(path, name), read_value, nullable=False)
    return "" if setting is None else setting.value


def _id(fields: Fields, mapping: MappingNode, path: str, name: str) -> str:
    return str(_required(fields, mapping, path, name, fields.id))


def _at(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
