"""`GET` and `POST /v1/organizations/billing/spending-caps`: the budget `spending`, USD, whole cents on the wire."""

from typing import Any, Final

from google.protobuf.field_mask_pb2 import FieldMask
from starlette.requests import Request
from starlette.responses import Response

from outlay.v1 import budget_pb2, budget_service_pb2
from outlay_rest.answers import json_response
from outlay_rest.calls import Call
from outlay_rest.faces.bodies import Values, organization_of, read_object
from outlay_rest.faces.session import Session
from outlay_rest.limits import THRESHOLDS_MAX
from outlay_rest.problems import Refused, wrong_method
from outlay_rest.strict_json import Json

PATH: Final = "/v1/organizations/billing/spending-caps"
DEFAULT_PERCENTS: Final = (50, 75, 90, 100)

MICROS_PER_CENT: Final = 10_000
CENTS_PER_USD: Final = 100

KEYS: Final = (
    "monthly_spending_budget",
    "spending_alert_thresholds",
    "spending_alerts_enabled",
    "hard_spending_cap",
    "hard_cap_enabled",
)


async def answer_spending_caps(request: Request, call: Call, correlation_id: str) -> Response:
    """Answer a request for this path. Raises `Refused` and `CallFailed`."""
    session = Session(request, call, correlation_id)
    match request.method:
        case "GET" | "HEAD":
            budget = await session.get_budget(f"{organization_of(request)}/budgets/spending")
        case "POST":
            budget = await _update(request, session)
        case _:
            raise wrong_method(["GET", "HEAD", "POST"])
    return json_response(spending_caps_of(budget), correlation_id=correlation_id)


async def _update(request: Request, session: Session) -> budget_pb2.Budget:
    name = f"{organization_of(request)}/budgets/spending"
    try:
        body = await read_object(request, KEYS, empty_allowed=False)
        update = update_of(body, name)
    except Refused:
        # A key that may not be used here is told so first: what a valid body looks like is none of its business.
        await session.get_budget(name)
        raise
    return await session.update_budget(update) if body else await session.get_budget(name)


def update_of(body: dict[str, Json], name: str) -> budget_service_pb2.UpdateBudgetRequest:
    """The update that a body means; only what it names is in the mask. Raises `Refused`."""
    budget, paths, values = budget_pb2.Budget(name=name), [], Values(body)
    if "monthly_spending_budget" in body:
        paths.append("budget_micros")
        if (micros := values.amount_micros("monthly_spending_budget", MICROS_PER_CENT)) is not None:
            budget.budget_micros = micros
    if "spending_alert_thresholds" in body:
        paths.append("alert_thresholds")
        if (percents := values.percents("spending_alert_thresholds", 0, 100, THRESHOLDS_MAX)) is not None:
            budget.alert_thresholds.CopyFrom(budget_pb2.AlertThresholds(percents=percents))
    if "spending_alerts_enabled" in body:
        paths.append("alerts_enabled")
        budget.alerts_enabled = values.flag("spending_alerts_enabled", when_null=True)
    if "hard_spending_cap" in body:
        paths.append("hard_cap_micros")
        if (micros := values.amount_micros("hard_spending_cap", MICROS_PER_CENT)) is not None:
            budget.hard_cap_micros = micros
    if "hard_cap_enabled" in body:
        paths.append("hard_cap_enabled")
        budget.hard_cap_enabled = values.flag("hard_cap_enabled", when_null=False)
    values.raise_if_any()
    return budget_service_pb2.UpdateBudgetRequest(budget=budget, update_mask=FieldMask(paths=paths))


def spending_caps_of(budget: budget_pb2.Budget) -> dict[str, Any]:
    """The answer, every key always there. Part cents round up."""
    current_cents = _cents(budget.spend.spent_micros)
    budget_cents = _cents(budget.budget_micros) if budget.HasField("budget_micros") else None
    cap_cents = _cents(budget.hard_cap_micros) if budget.HasField("hard_cap_micros") else None
    percents = budget.alert_thresholds.percents if budget.HasField("alert_thresholds") else DEFAULT_PERCENTS
    return {
        "current_spending_cents": current_cents,
        "current_spending_usd": _usd(current_cents),
        "monthly_spending_budget": budget_cents,
        "monthly_spending_budget_usd": None if budget_cents is None else _usd(budget_cents),
        "spending_alert_thresholds": list(percents),
        "spending_alerts_enabled": budget.alerts_enabled if budget.HasField("alerts_enabled") else True,
        "spending_alerts_sent": list(budget.spend.alerts_sent),
        "hard_spending_cap": cap_cents,
        "hard_spending_cap_usd": None if cap_cents is None else _usd(cap_cents),
        "hard_cap_enabled": budget.hard_cap_enabled,
        "budget_percentage_used": _percent_used(budget),
    }


def _cents(micros: int) -> int:
    return -(-micros // MICROS_PER_CENT)


def _usd(cents: int) -> int | float:
    """Dollars as a JSON number: whole ones without a point, so that 100 is 100."""
    whole, rest = divmod(cents, CENTS_PER_USD)
    return cents / CENTS_PER_USD if rest else whole


def _percent_used(budget: budget_pb2.Budget) -> int | float | None:
    """Of the soft budget, to a tenth, rounded down: 100 means reached. None without one, and for one of nothing."""
    if not budget.budget_micros:
        return None
    tenths = budget.spend.spent_micros * 1000 // budget.budget_micros
    return tenths / 10 if tenths % 10 else tenths // 10
