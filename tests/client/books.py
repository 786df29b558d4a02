"""What the books of a test's organization say."""

from outlay.v1 import budget_service_pb2 as pb
from support.tenants import Tenant

USD = 1_000_000


def spent_and_held(tenant: Tenant, budget_id: str = "spending") -> tuple[int, int]:
    """What the budget counts, in micros."""
    spend = tenant.budget(budget_id).spend
    return spend.spent_micros, spend.reserved_micros


def reservations(tenant: Tenant) -> int:
    """How many were ever made."""
    request = pb.ListReservationsRequest(parent=tenant.name, page_size=1_000)
    return len(tenant.admin.call("ListReservations", request).reservations)


def records(tenant: Tenant) -> list[int]:
    """The amounts that were recorded, smallest first."""
    request = pb.ListSpendRecordsRequest(parent=tenant.name, page_size=1_000)
    return sorted(one.amount_micros for one in tenant.admin.call("ListSpendRecords", request).spend_records)
