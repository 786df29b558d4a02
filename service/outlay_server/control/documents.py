"""Resources as the audit keeps them: JSON without fractions, by the names the wire uses."""

from outlay_server.domain.audit import JsonValue
from outlay_server.domain.budget import Budget
from outlay_server.domain.destination import shortened
from outlay_server.domain.names import ApiKeyName, BudgetName, OrganizationName, WebhookEndpointName
from outlay_server.domain.views import KeyView, OrganizationView
from outlay_server.domain.webhook import Endpoint

Document = dict[str, JsonValue]


def budget_document(budget: Budget) -> Document:
    """A budget's settings."""
    override = budget.cap_override
    return {
        "name": str(BudgetName(budget.organization_id, budget.budget_id)),
        "display_name": budget.display_name,
        "unit": budget.unit,
        "selector": dict(budget.selector.patterns().items()),
        "cycle": {
            "period": budget.cycle.period.value,
            "anchor": budget.cycle.anchor.isoformat(),
            "time_zone": budget.cycle.time_zone,
        },
        "budget_micros": budget.budget_micros,
        "hard_cap_micros": budget.hard_cap_micros,
        "hard_cap_enabled": budget.hard_cap_enabled,
        "allotment_micros": budget.allotment_micros,
        "alert_thresholds": None if budget.alert_thresholds is None else list(budget.alert_thresholds),
        "alerts_enabled": budget.alerts_enabled,
        "enforcement": budget.enforcement.value,
        "cap_override": None
        if override is None
        else {
            "hard_cap_micros": override.hard_cap_micros,
            "expire_time_micros": override.expire_time,
            "reason": override.reason,
        },
        "managed_by": budget.managed_by,
    }


def organization_document(view: OrganizationView) -> Document:
    """An organization's settings."""
    return {
        "name": str(OrganizationName(view.organization_id)),
        "display_name": view.display_name,
        "gates": [
            {"gate_id": gate.gate_id, "label": gate.label, "pattern": gate.pattern, "enabled": gate.enabled}
            for gate in view.gates
        ],
        "managed_by": view.managed_by,
    }


def endpoint_document(endpoint: Endpoint) -> Document:
    """A webhook endpoint without anything that opens: not its secret, and not the path of its URI."""
    return {
        "name": str(WebhookEndpointName(endpoint.organization_id, endpoint.endpoint_id)),
        "display_name": endpoint.display_name,
        "uri": shortened(endpoint.uri),
        "format": endpoint.format.value,
        "event_types": list(endpoint.event_types),
        "disabled": endpoint.disabled,
        "disable_reason": endpoint.disable_reason.value if endpoint.disable_reason else None,
        "managed_by": endpoint.managed_by,
    }


def key_document(view: KeyView) -> Document:
    """A key without anything that opens."""
    return {
        "name": str(ApiKeyName(view.organization_id, view.key_id)),
        "display_name": view.display_name,
        "scopes": list(view.scopes),
        "last_four": view.last_four,
        "expire_time_micros": view.expire_time,
        "revoke_time_micros": view.revoke_time,
    }
