"""`GET` and `PUT /v1/usage/budget`: the budget `credits`, whole credits on the wire, and the gate `opus`."""

import dataclasses
from typing import Any, Final

from google.protobuf.field_mask_pb2 import FieldMask
from google.rpc import code_pb2  # type: ignore[import-untyped]
from starlette.requests import Request
from starlette.responses import Response

from outlay.v1 import budget_pb2, budget_service_pb2, organization_pb2
from outlay_rest.answers import json_response
from outlay_rest.calls import Call, CallFailed
from outlay_rest.faces.bodies import Values, organization_of, read_object
from outlay_rest.faces.session import Session
from outlay_rest.limits import USAGE_THRESHOLDS_MAX
from outlay_rest.problems import Refused, from_status, wrong_method
from outlay_rest.strict_json import Json

PATH: Final = "/v1/usage/budget"
SCOPE: Final = "control:read"
GATE: Final = "opus"

MICROS_PER_CREDIT: Final = 1_000_000
DEFAULT_PERCENTS: Final = (50, 75, 90, 100)

KEYS: Final = ("spend_cap", "alert_thresholds", "credits_allotment", "opus_enabled")


async def answer_usage_budget(request: Request, call: Call, correlation_id: str) -> Response:
    """Answer a request for this path. Raises `Refused` and `CallFailed`."""
    session = Session(request, call, correlation_id)
    if request.method not in ("GET", "HEAD", "PUT"):
        raise wrong_method(["GET", "HEAD", "PUT"])
    name = organization_of(request)
    await _require_scope(session, name)
    data = await (_update if request.method == "PUT" else _read)(request, session, name)
    return json_response({"success": True, "data": data}, correlation_id=correlation_id)


async def _read(_: Request, session: Session, name: str) -> dict[str, Any]:
    organization = await session.get_organization(name)
    return usage_budget_of(await session.get_budget(f"{name}/budgets/credits"), organization, None)


async def _update(request: Request, session: Session, name: str) -> dict[str, Any]:
    budget_name = f"{name}/budgets/credits"
    body = await read_object(request, KEYS, empty_allowed=True)
    update = update_of(body, budget_name)
    organization = await session.get_organization(name)
    budget = await session.update_budget(update) if body else await session.get_budget(budget_name)
    return usage_budget_of(budget, organization, body.get("opus_enabled"))


async def _require_scope(session: Session, name: str) -> None:
    """Ask for the scope of this face before all else; the budget's own methods would take others too.

    The refusal names that scope alone, as it is published.
    """
    try:
        await session.list_alerts(name)
    except CallFailed as failed:
        if failed.status.code != code_pb2.PERMISSION_DENIED:
            raise
        problem = from_status(failed.status)
        message = f"This API key lacks the scope {SCOPE}."
        raise Refused(dataclasses.replace(problem, message=message, facts={"required_scope": SCOPE})) from failed


def update_of(body: dict[str, Json], name: str) -> budget_service_pb2.UpdateBudgetRequest:
    """The one update, of budget and gate together, that a body means. Raises `Refused`."""
    budget, paths, values = budget_pb2.Budget(name=name), [], Values(body)
    if "spend_cap" in body:
        paths.append("hard_cap_micros")
        if (micros := values.amount_micros("spend_cap", MICROS_PER_CREDIT)) is not None:
            budget.hard_cap_micros = micros
            # This face has no switch: a cap that was set here is enforced, whoever switched it off elsewhere.
            budget.hard_cap_enabled = True
            paths.append("hard_cap_enabled")
    if "alert_thresholds" in body:
        paths.append("alert_thresholds")
        percents = values.percents("alert_thresholds", 1, 99, USAGE_THRESHOLDS_MAX)
        # Cleared means none here; absent would mean the default.
        budget.alert_thresholds.CopyFrom(budget_pb2.AlertThresholds(percents=percents or []))
    if "credits_allotment" in body:
        values.refuse("credits_allotment", "is set by the plan and cannot be changed")
    update = budget_service_pb2.UpdateBudgetRequest(budget=budget, update_mask=FieldMask(paths=paths))
    if "opus_enabled" in body:
        update.gates[GATE] = values.flag("opus_enabled", when_null=None)
    values.raise_if_any()
    return update


def usage_budget_of(
    budget: budget_pb2.Budget, organization: organization_pb2.Organization, opus_enabled: bool | None
) -> dict[str, Any]:
    """The `data` of an answer, every key always there. Part credits round up. `opus_enabled`: what was just set."""
    capped = budget.HasField("hard_cap_micros") and budget.hard_cap_enabled
    percents = budget.alert_thresholds.percents if budget.HasField("alert_thresholds") else DEFAULT_PERCENTS
    allotted = budget.HasField("allotment_micros")
    if opus_enabled is None:
        opus_enabled = any(gate.enabled for gate in organization.gates if gate.gate_id == GATE)
    return {
        "spend_cap": _credits(budget.hard_cap_micros) if capped else None,
        "alert_thresholds": list(percents),
        "credits_allotment": _credits(budget.allotment_micros) if allotted else None,
        "opus_enabled": opus_enabled,
    }


def _credits(micros: int) -> int:
    return -(-micros // MICROS_PER_CREDIT)
