"""What the files ask for, as requests: one for each organization, which is applied whole or not at all."""

from collections.abc import Mapping
from typing import Final

from outlay.v1 import budget_pb2
from outlay.v1.caps_pb2 import ApplyCapsRequest, DesiredBudget, DesiredWebhookEndpoint
from outlay.v1.organization_pb2 import Gate as GateMessage
from outlay.v1.webhook_endpoint_pb2 import WebhookEndpoint as EndpointMessage
from outlay.v1.webhook_endpoint_pb2 import WebhookFormat
from outlay_sync.desired import Budget, Gate, Organization, Setting, Value, WebhookEndpoint
from outlay_sync.options import Options

_PERIODS: Final[Mapping[Value, "budget_pb2.Period.ValueType"]] = {
    name.removeprefix("PERIOD_"): number for name, number in budget_pb2.Period.items()
}
_ENFORCEMENTS: Final[Mapping[Value, "budget_pb2.Enforcement.ValueType"]] = {
    name.removeprefix("ENFORCEMENT_"): number for name, number in budget_pb2.Enforcement.items()
}


def apply_request(organization: Organization, manager: str, options: Options) -> ApplyCapsRequest:
    """The request that plans and applies one organization; which of both is the caller's to set.

    What comes from the environment is not in it: see `variables`.
    """
    request = ApplyCapsRequest(
        organization=organization.name,
        budgets=[desired_budget(budget) for budget in organization.budgets],
        webhook_endpoints=[desired_endpoint(endpoint) for endpoint in organization.webhook_endpoints],
        manager=manager,
        allow_missing=organization.is_declared,
        adopt=options.adopt,
        override_manager=options.override_manager,
        prune=options.prune,
        max_delete_count=options.max_delete_count,
        allow_cap_below_spend=options.allow_cap_below_spend,
        allow_removing_hard_cap=options.allow_removing_hard_cap,
        allow_deleting_in_use=options.allow_deleting_in_use,
    )
    settings = request.organization_settings
    if organization.display_name is not None:
        settings.organization.display_name = _text(organization.display_name)
        settings.update_mask.paths.append("display_name")
    if organization.gates is not None:
        settings.organization.gates.extend(map(_gate, organization.gates))
        settings.update_mask.paths.append("gates")
    return request


def desired_budget(budget: Budget) -> DesiredBudget:
    """A budget with the mask of what is managed of it."""
    message = budget_pb2.Budget(name=budget.name, unit=budget.unit)
    for path, setting in budget.settings.items():
        if setting.value is not None:
            _set(message, path, setting.value)
    desired = DesiredBudget(budget=message)
    desired.update_mask.paths.extend(["unit", *budget.settings])
    return desired


def desired_endpoint(endpoint: WebhookEndpoint) -> DesiredWebhookEndpoint:
    """A webhook endpoint with the mask of what is managed of it, without what comes from the environment."""
    message = EndpointMessage(name=endpoint.name)
    for path, setting in endpoint.settings.items():
        match path:
            case _ if setting.value is None:
                pass
            case "format":
                message.format = WebhookFormat.Value(f"WEBHOOK_FORMAT_{setting.value}")
            case "event_types":
                assert isinstance(setting.value, tuple)
                message.event_types.extend(map(str, setting.value))
            case _:
                setattr(message, path, setting.value)
    desired = DesiredWebhookEndpoint(webhook_endpoint=message)
    desired.update_mask.paths.extend(endpoint.settings)
    return desired


def _set(message: budget_pb2.Budget, path: str, value: Value) -> None:
    match path:
        case "cycle.period":
            message.cycle.period = _PERIODS[value]
        case "cycle.anchor":
            message.cycle.anchor = str(value)
        case "cycle.time_zone":
            message.cycle.time_zone = str(value)
        case "enforcement":
            message.enforcement = _ENFORCEMENTS[value]
        case "alert_thresholds":
            assert isinstance(value, tuple)
            message.alert_thresholds.SetInParent()
            message.alert_thresholds.percents.extend(int(percent) for percent in value)
        case "selector":
            assert isinstance(value, Mapping)
            message.selector.update(value)
        case _:
            setattr(message, path, value)


def _gate(gate: Gate) -> GateMessage:
    return GateMessage(gate_id=gate.gate_id, label=gate.label, pattern=gate.pattern, enabled=gate.enabled)


def _text(setting: Setting) -> str:
    return "" if setting.value is None else str(setting.value)
