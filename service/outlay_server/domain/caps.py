"""Caps as they are kept in code: what one organization is to be, and what may be done to make it so."""

import dataclasses
from dataclasses import dataclass
from typing import Final

from outlay_server.domain.settings import BUDGET_PATHS, ORGANIZATION_PATHS, BudgetSettings, OrganizationSettings
from outlay_server.domain.webhook import ENDPOINT_PATHS, EndpointSettings

DELETES_DEFAULT_MAX: Final = 10
"""Deletions of one apply where the request does not say: an emptied folder is noticed before it is applied."""

MANAGED_BUDGET_PATHS: Final = BUDGET_PATHS - {"managed_by", "cap_override"}
"""What caps in code can say of a budget. A temporary cap is not in code, so that it outlasts an apply."""

MANAGED_ORGANIZATION_PATHS: Final = ORGANIZATION_PATHS - {"managed_by"}
"""What caps in code can say of an organization itself."""

MANAGED_ENDPOINT_PATHS: Final = ENDPOINT_PATHS - {"managed_by"}
"""What caps in code can say of a webhook endpoint."""


@dataclass(frozen=True, slots=True)
class DesiredBudget:
    """What one budget is to be."""

    budget_id: str
    settings: BudgetSettings
    paths: frozenset[str]
    """The settings that are managed. `unit` is among them where one is given."""
    etag: str
    field: str
    """Where it stands in the request, such as `budgets[3]`."""


@dataclass(frozen=True, slots=True)
class DesiredOrganization:
    """What the organization itself is to be."""

    settings: OrganizationSettings
    paths: frozenset[str]
    etag: str


@dataclass(frozen=True, slots=True)
class DesiredEndpoint:
    """What one webhook endpoint is to be."""

    endpoint_id: str
    settings: EndpointSettings
    secret: str = dataclasses.field(repr=False)
    """"" where none is given."""
    paths: frozenset[str]
    etag: str
    field: str
    """Where it stands in the request, such as `webhook_endpoints[3]`."""


@dataclass(frozen=True, slots=True)
class Leave:
    """What the caller has said may be done."""

    create_organization: bool = False
    adopt: bool = False
    override_manager: bool = False
    prune: bool = False
    max_delete_count: int = DELETES_DEFAULT_MAX
    cap_below_spend: bool = False
    removing_hard_cap: bool = False
    deleting_in_use: bool = False


@dataclass(frozen=True, slots=True)
class DesiredCaps:
    """Everything that one manager wants of one organization."""

    organization_id: str
    manager: str
    organization: DesiredOrganization | None
    budgets: tuple[DesiredBudget, ...]
    """No two of one id."""
    leave: Leave
    plan_etag: str
    """Of the plan that was shown; "" for none."""
    endpoints: tuple[DesiredEndpoint, ...] = ()
    """No two of one id."""
