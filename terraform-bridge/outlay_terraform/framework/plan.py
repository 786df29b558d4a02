"""What a resource will be: the configuration, the defaults, and what only the service knows.

Terraform holds a provider to these rules: what is configured is planned as it is written (or stays as it was, where it
means the same); what was planned as known comes back unchanged from the apply; nothing is planned to change where
nothing changes.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from outlay_terraform.framework.diagnostics import Path
from outlay_terraform.framework.schema import Attribute, Mode, Schema
from outlay_terraform.framework.values import UNKNOWN, Unknown, Value, Values


@dataclass(frozen=True, slots=True)
class Plan:
    """A planned change."""

    planned: Values
    replace: tuple[Path, ...]
    """What cannot be changed in place."""
    changes: bool
    """Whether anything is to be done at all."""


def plan_change(schema: Schema, prior: Values | None, config: Values) -> Plan:
    """Plan the creation (without `prior`) or the change of a resource."""
    planned = _configured(schema.attributes, prior, config)
    settable = [each for each in schema.attributes if each.mode is not Mode.COMPUTED and not each.write_only]
    changed = [each for each in settable if prior is None or planned[each.name] != prior[each.name]]
    for each in schema.attributes:
        if each.mode is Mode.COMPUTED:
            planned[each.name] = _computed(each, prior, planned) if changed else (prior or planned)[each.name]
    replace = [(each.name,) for each in changed if each.replaces and prior is not None]
    # In the order of the schema, which dicts keep.
    ordered = {each.name: planned[each.name] for each in schema.attributes}
    return Plan(ordered, tuple(replace), bool(changed))


def _configured(attributes: Iterable[Attribute], prior: Values | None, config: Values) -> Values:
    """The attributes that the configuration decides, and the others as they were."""
    planned: Values = {}
    for each in attributes:
        before = prior[each.name] if prior is not None else None
        planned[each.name] = _configured_value(each, before, config, planned)
    return planned


def _configured_value(attribute: Attribute, before: Value, config: Values, planned: Values) -> Value:
    if attribute.write_only:
        return None
    if attribute.mode is Mode.COMPUTED:
        return before
    value = config[attribute.name]
    if value is None and attribute.mode is Mode.DEFAULTED:
        assert attribute.default is not None, f"{attribute.name} has no default"
        value = attribute.default(planned, config)
    elif attribute.members and isinstance(value, dict):
        value = _configured(attribute.members, before if isinstance(before, dict) else None, value)
    return attribute.as_written(before, value)


def _computed(attribute: Attribute, prior: Values | None, planned: Values) -> Value:
    if attribute.kept and prior is not None:
        return prior[attribute.name]
    return UNKNOWN if attribute.derived is None else attribute.derived(planned)


def settled(schema: Schema, planned: Values, found: Values) -> Values:
    """The state after an apply: as planned where that was known, and else as it was found."""
    merged = {name: found[name] if isinstance(value, Unknown) else value for name, value in planned.items()}
    return schema.as_written(merged, found)
