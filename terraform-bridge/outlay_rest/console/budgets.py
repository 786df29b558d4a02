"""The lists: organizations, the budgets of one, and the thresholds that were crossed."""

from typing import Any, Final

from starlette.responses import Response

from outlay.v1 import admin_service_pb2 as admin_pb
from outlay.v1 import budget_service_pb2 as pb
from outlay.v1.budget_pb2 import Budget
from outlay_rest.console.visit import ADMIN, BUDGETS, Visit

PAGE_SIZE: Final = 100
_BUDGETS_AT_ONCE: Final = 1_000
"""As many as an organization can have."""


async def show_organizations(visit: Visit) -> Response:
    """A page of organizations, for the platform key."""
    request = admin_pb.ListOrganizationsRequest(
        page_size=PAGE_SIZE, page_token=visit.request.query_params.get("page", "")
    )
    found = await visit.ask(f"{ADMIN}ListOrganizations", request)
    return await visit.page("organizations.html", organizations=found.organizations, next_page=found.next_page_token)


async def show_budgets(visit: Visit) -> Response:
    """All budgets of an organization, the fullest first."""
    name = visit.organization()
    organization = await visit.ask(f"{ADMIN}GetOrganization", admin_pb.GetOrganizationRequest(name=name))
    found = await visit.ask(f"{BUDGETS}ListBudgets", pb.ListBudgetsRequest(parent=name, page_size=_BUDGETS_AT_ONCE))
    wanted = visit.request.query_params.get("q", "")[:128]
    shown = [budget for budget in found.budgets if _matches(budget, wanted)]
    return await visit.page(
        "budgets.html",
        resource=organization,
        budgets=sorted(shown, key=fullness, reverse=True),
        count=len(found.budgets),
        wanted=wanted,
        limit_of=limit_of,
    )


async def show_alerts(visit: Visit) -> Response:
    """A page of alerts, the newest first."""
    request = admin_pb.ListAlertsRequest(
        parent=visit.organization(), page_size=PAGE_SIZE, page_token=visit.request.query_params.get("page", "")
    )
    found = await visit.ask(f"{ADMIN}ListAlerts", request)
    return await visit.page("alerts.html", alerts=found.alerts, next_page=found.next_page_token)


def limit_of(budget: Budget) -> tuple[str, int] | None:
    """The limit that binds, by name: the smallest of the cap in force and the allotment. None: unlimited."""
    limits: list[tuple[int, str]] = []
    if budget.HasField("cap_override"):
        limits.append((budget.cap_override.hard_cap_micros, "temporary cap"))
    elif budget.hard_cap_enabled and budget.HasField("hard_cap_micros"):
        limits.append((budget.hard_cap_micros, "hard cap"))
    if budget.HasField("allotment_micros"):
        limits.append((budget.allotment_micros, "allotment"))
    if not limits:
        return None
    micros, name = min(limits)
    return name, micros


def fullness(budget: Budget) -> tuple[float, int, str]:
    """By share used, then by spend; what has neither a limit nor a soft budget comes last."""
    spend: Any = budget.spend
    return (spend.percent_used if spend.HasField("percent_used") else -1.0, spend.spent_micros, budget.name)


def _matches(budget: Budget, wanted: str) -> bool:
    text = f"{budget.name.rpartition('/')[2]} {budget.display_name} {budget.unit}".lower()
    return all(word in text for word in wanted.lower().split())
