"""Everything that callers can see of a server's books, to be compared with itself later."""

from typing import Any, Final

from outlay.v1 import admin_service_pb2 as admin
from outlay.v1 import budget_service_pb2 as pb
from support.wire import Caller

_PAGE: Final = 1_000


def all_of(caller: Caller, method: str, request: Any, field: str) -> list[Any]:
    """Every row of a list, over all of its pages."""
    asked = type(request)()
    asked.CopyFrom(request)
    asked.page_size = _PAGE
    rows: list[Any] = []
    while True:
        page = caller.call(method, asked)
        rows += getattr(page, field)
        if not page.next_page_token:
            return rows
        asked.page_token = page.next_page_token


def snapshot(caller: Caller) -> dict[str, list[Any]]:
    """Every organization with its budgets and counters, reservations, records, keys, alerts and audit events.

    Without what may change by itself: when a key was last used, and a forecast.
    """
    organizations = all_of(caller, "ListOrganizations", admin.ListOrganizationsRequest(), "organizations")
    seen: dict[str, list[Any]] = {"organizations": organizations}
    for organization in organizations:
        seen |= snapshot_of(caller, organization.name)
    return seen


def snapshot_of(caller: Caller, name: str) -> dict[str, list[Any]]:
    """The same of one organization."""
    seen: dict[str, list[Any]] = {
        f"{name}/budgets": all_of(caller, "ListBudgets", pb.ListBudgetsRequest(parent=name), "budgets"),
        f"{name}/reservations": all_of(
            caller, "ListReservations", pb.ListReservationsRequest(parent=name), "reservations"
        ),
        f"{name}/spendRecords": all_of(
            caller, "ListSpendRecords", pb.ListSpendRecordsRequest(parent=name), "spend_records"
        ),
        f"{name}/apiKeys": all_of(caller, "ListApiKeys", admin.ListApiKeysRequest(parent=name), "api_keys"),
        f"{name}/alerts": all_of(caller, "ListAlerts", admin.ListAlertsRequest(parent=name), "alerts"),
        f"{name}/auditEvents": all_of(
            caller, "ListAuditEvents", admin.ListAuditEventsRequest(parent=name), "audit_events"
        ),
    }
    for budget in seen[f"{name}/budgets"]:
        budget.spend.ClearField("projected_exhaustion_time")
    for key in seen[f"{name}/apiKeys"]:
        key.ClearField("last_used_time")
    return seen


def newest_of(caller: Caller, name: str) -> list[Any]:
    """A quicker look: all budgets with their counters, and the newest reservation, record and audit event."""
    budgets = all_of(caller, "ListBudgets", pb.ListBudgetsRequest(parent=name), "budgets")
    for budget in budgets:
        budget.spend.ClearField("projected_exhaustion_time")
    return [
        *budgets,
        caller.call("ListReservations", pb.ListReservationsRequest(parent=name, page_size=1)),
        caller.call("ListSpendRecords", pb.ListSpendRecordsRequest(parent=name, page_size=1)),
        caller.call("ListAuditEvents", admin.ListAuditEventsRequest(parent=name, page_size=1)),
    ]
