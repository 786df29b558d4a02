"""Who may call what: one row for each RPC, and nothing is allowed that has no row.

The rows are those of the contract and of the comments in the protos, to which a test compares them.
"""

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from outlay_server.domain.api_key import Scope


class Reach(enum.Enum):
    """Whose resources a method can be asked about."""

    ORGANIZATION = "ORGANIZATION"
    """Those of one organization: the caller's own, or the one that a platform key names."""

    PLATFORM = "PLATFORM"
    """All of them: for a platform key alone."""


@dataclass(frozen=True, slots=True)
class Permission:
    """What a caller needs for one method."""

    scopes: tuple[Scope, ...]
    """One of these is enough. The platform key holds all."""

    reach: Reach = Reach.ORGANIZATION

    @property
    def required(self) -> str:
        """The scopes as an error names them."""
        return ",".join(self.scopes)


class PermissionMissing(Exception):
    """A method of the contract has no permission. The server must not start: it would not know whom to refuse."""


_READ: Final = Permission((Scope.CONTROL_READ, Scope.BUDGETS_READ))
_CHECK: Final = Permission((Scope.SPEND_CHECK,))
_RECORD: Final = Permission((Scope.SPEND_RECORD,))
_WRITE: Final = Permission((Scope.BUDGETS_WRITE,))
_PLATFORM: Final = Permission((Scope.ADMIN,), Reach.PLATFORM)
_ADMIN_READ: Final = Permission((Scope.ADMIN, Scope.CONTROL_READ))
_WEBHOOKS: Final = Permission((Scope.ADMIN, Scope.CONTROL_WEBHOOKS))

PERMISSIONS: Final[Mapping[str, Permission]] = MappingProxyType(
    {
        "/outlay.v1.BudgetService/GetBudget": _READ,
        "/outlay.v1.BudgetService/ListBudgets": _READ,
        "/outlay.v1.BudgetService/CreateBudget": _WRITE,
        "/outlay.v1.BudgetService/UpdateBudget": Permission((Scope.CONTROL_READ, Scope.BUDGETS_WRITE)),
        "/outlay.v1.BudgetService/DeleteBudget": _WRITE,
        "/outlay.v1.BudgetService/CheckSpend": _CHECK,
        "/outlay.v1.BudgetService/BatchCheckSpend": _CHECK,
        "/outlay.v1.BudgetService/RecordSpend": _RECORD,
        "/outlay.v1.BudgetService/BatchRecordSpend": _RECORD,
        "/outlay.v1.BudgetService/RefundSpend": _RECORD,
        "/outlay.v1.BudgetService/ReleaseReservation": _CHECK,
        "/outlay.v1.BudgetService/ExtendReservation": _CHECK,
        "/outlay.v1.BudgetService/GetReservation": _READ,
        "/outlay.v1.BudgetService/ListReservations": _READ,
        "/outlay.v1.BudgetService/ListSpendRecords": _READ,
        "/outlay.v1.BudgetService/QuerySpend": _READ,
        "/outlay.v1.BudgetService/WatchBudgets": _READ,
        # The gates are part of the organization, and the faces that show them are asked by these scopes.
        "/outlay.v1.AdminService/GetOrganization": Permission((Scope.ADMIN, Scope.CONTROL_READ, Scope.BUDGETS_READ)),
        "/outlay.v1.AdminService/ListOrganizations": _PLATFORM,
        "/outlay.v1.AdminService/CreateOrganization": _PLATFORM,
        "/outlay.v1.AdminService/UpdateOrganization": _PLATFORM,
        "/outlay.v1.AdminService/DeleteOrganization": _PLATFORM,
        # What a plan shows. What applying it takes beyond that, its changes say.
        "/outlay.v1.AdminService/ApplyCaps": Permission((Scope.CONTROL_READ, Scope.BUDGETS_READ, Scope.BUDGETS_WRITE)),
        "/outlay.v1.AdminService/CreateApiKey": _PLATFORM,
        "/outlay.v1.AdminService/ListApiKeys": _ADMIN_READ,
        "/outlay.v1.AdminService/RevokeApiKey": _PLATFORM,
        "/outlay.v1.AdminService/GetWebhookEndpoint": _WEBHOOKS,
        "/outlay.v1.AdminService/ListWebhookEndpoints": _WEBHOOKS,
        "/outlay.v1.AdminService/CreateWebhookEndpoint": _WEBHOOKS,
        "/outlay.v1.AdminService/UpdateWebhookEndpoint": _WEBHOOKS,
        "/outlay.v1.AdminService/DeleteWebhookEndpoint": _WEBHOOKS,
        "/outlay.v1.AdminService/TestWebhookEndpoint": _WEBHOOKS,
        "/outlay.v1.AdminService/RotateWebhookSecret": _WEBHOOKS,
        "/outlay.v1.AdminService/ListDeliveries": _WEBHOOKS,
        "/outlay.v1.AdminService/ReplayDelivery": _WEBHOOKS,
        "/outlay.v1.AdminService/ReplayDeadDeliveries": _WEBHOOKS,
        "/outlay.v1.AdminService/ListAlerts": _ADMIN_READ,
        "/outlay.v1.AdminService/ListAuditEvents": _ADMIN_READ,
    }
)


def ensure_complete(methods: Iterable[str], permissions: Mapping[str, Permission] = PERMISSIONS) -> None:
    """Raise `PermissionMissing` unless each method has its row, and each row its method."""
    served = set(methods)
    if missing := sorted(served - permissions.keys()):
        raise PermissionMissing(f"no permission is set for {', '.join(missing)}")
    if unknown := sorted(permissions.keys() - served):
        raise PermissionMissing(f"a permission is set for what is no method: {', '.join(unknown)}")
