"""Caps as they are kept in code: the desired state of one organization."""

from outlay.v1 import caps_pb2 as pb
from outlay_server.api.caller import Caller
from outlay_server.api.from_wire import budgets, organizations, webhooks
from outlay_server.api.from_wire.fields import Fields
from outlay_server.api.from_wire.masks import paths_of
from outlay_server.domain.caps import (
    DELETES_DEFAULT_MAX,
    MANAGED_BUDGET_PATHS,
    MANAGED_ENDPOINT_PATHS,
    MANAGED_ORGANIZATION_PATHS,
    DesiredBudget,
    DesiredCaps,
    DesiredEndpoint,
    DesiredOrganization,
    Leave,
)
from outlay_server.domain.errors import Violations
from outlay_server.domain.limits import BUDGETS_PER_ORGANIZATION_MAX, WEBHOOK_ENDPOINTS_PER_ORGANIZATION_MAX
from outlay_server.domain.names import BudgetName, OrganizationName, WebhookEndpointName
from outlay_server.domain.plan import plan_etag_violation


class _Within(Violations):
    """Notes violations of one member of a request, by their path in the whole of it."""

    def __init__(self, whole: Violations, field: str) -> None:
        super().__init__()
        self._whole = whole
        self._field = field

    def add(self, field: str, description: str | None) -> None:
        self._whole.add(f"{self._field}.{field}", description)


def apply(request: pb.ApplyCapsRequest, caller: Caller) -> DesiredCaps:
    fields = Fields(caller)
    organization_id = fields.required_organization("organization", request.organization)
    if not request.manager:
        fields.violations.add("manager", "must be set")
    if request.plan_etag:
        fields.violations.add("plan_etag", plan_etag_violation(request.plan_etag))
    fields.request_id(request.request_id)
    desired = DesiredCaps(
        organization_id=organization_id,
        manager=fields.manager(request.manager),
        organization=_organization(fields, request, organization_id),
        budgets=_budgets(fields, request, organization_id),
        leave=_leave(fields, request),
        plan_etag=request.plan_etag,
        endpoints=_endpoints(fields, request, organization_id),
    )
    fields.finish()
    return desired


def _leave(fields: Fields, request: pb.ApplyCapsRequest) -> Leave:
    deletes = request.max_delete_count if request.HasField("max_delete_count") else DELETES_DEFAULT_MAX
    if not 0 <= deletes <= BUDGETS_PER_ORGANIZATION_MAX:
        fields.violations.add("max_delete_count", f"must be 0 to {BUDGETS_PER_ORGANIZATION_MAX}")
    return Leave(
        create_organization=request.allow_missing,
        adopt=request.adopt,
        override_manager=request.override_manager,
        prune=request.prune,
        max_delete_count=deletes,
        cap_below_spend=request.allow_cap_below_spend,
        removing_hard_cap=request.allow_removing_hard_cap,
        deleting_in_use=request.allow_deleting_in_use,
    )


def _organization(fields: Fields, request: pb.ApplyCapsRequest, organization_id: str) -> DesiredOrganization | None:
    if not request.HasField("organization_settings"):
        return None
    wanted = request.organization_settings
    within = _within(fields, "organization_settings")
    paths = paths_of(within, wanted, "organization", MANAGED_ORGANIZATION_PATHS)
    name = wanted.organization.name
    if name and name not in (request.organization, str(OrganizationName(organization_id))):
        within.violations.add("organization.name", "must be the request's organization, or be left out")
    settings = organizations.settings(within, wanted.organization, paths)
    return DesiredOrganization(settings, paths, wanted.organization.etag)


def _budgets(fields: Fields, request: pb.ApplyCapsRequest, organization_id: str) -> tuple[DesiredBudget, ...]:
    if len(request.budgets) > BUDGETS_PER_ORGANIZATION_MAX:
        fields.violations.add("budgets", f"must have at most {BUDGETS_PER_ORGANIZATION_MAX} entries")
        return ()
    desired: dict[str, DesiredBudget] = {}
    for index, wanted in enumerate(request.budgets):
        budget = _budget(fields, f"budgets[{index}]", wanted, organization_id)
        if budget is None:
            continue
        if budget.budget_id in desired:
            fields.violations.add(f"{budget.field}.budget.name", f"is {desired[budget.budget_id].field}'s already")
        desired.setdefault(budget.budget_id, budget)
    return tuple(desired.values())


def _budget(fields: Fields, field: str, wanted: pb.DesiredBudget, organization_id: str) -> DesiredBudget | None:
    within = _within(fields, field)
    name = fields.child(f"{field}.budget.name", wanted.budget.name, BudgetName, organization_id=organization_id)
    paths = paths_of(within, wanted, "budget", MANAGED_BUDGET_PATHS) - {"unit"}
    if wanted.budget.unit:
        # Immutable: it is compared wherever it is given, whatever the mask says.
        paths |= {"unit"}
    settings = budgets.settings(within, wanted.budget, paths)
    if name is None:
        return None
    return DesiredBudget(name.resource_id, settings, paths, wanted.budget.etag, field)


def _endpoints(fields: Fields, request: pb.ApplyCapsRequest, organization_id: str) -> tuple[DesiredEndpoint, ...]:
    most = WEBHOOK_ENDPOINTS_PER_ORGANIZATION_MAX
    if len(request.webhook_endpoints) > most:
        fields.violations.add("webhook_endpoints", f"must have at most {most} entries")
        return ()
    desired: dict[str, DesiredEndpoint] = {}
    for index, wanted in enumerate(request.webhook_endpoints):
        endpoint = _endpoint(fields, f"webhook_endpoints[{index}]", wanted, organization_id)
        if endpoint is None:
            continue
        if endpoint.endpoint_id in desired:
            first = desired[endpoint.endpoint_id].field
            fields.violations.add(f"{endpoint.field}.webhook_endpoint.name", f"is {first}'s already")
        desired.setdefault(endpoint.endpoint_id, endpoint)
    return tuple(desired.values())


def _endpoint(
    fields: Fields, field: str, wanted: pb.DesiredWebhookEndpoint, organization_id: str
) -> DesiredEndpoint | None:
    within = _within(fields, field)
    endpoint = wanted.webhook_endpoint
    where = f"{field}.webhook_endpoint.name"
    name = fields.child(where, endpoint.name, WebhookEndpointName, organization_id=organization_id)
    paths = paths_of(within, wanted, "webhook_endpoint", MANAGED_ENDPOINT_PATHS)
    settings = webhooks.endpoint_settings(within, endpoint, paths)
    secret = webhooks.signing_secret(within, "webhook_endpoint.secret", endpoint.secret) if "secret" in paths else ""
    if name is None:
        return None
    return DesiredEndpoint(name.resource_id, settings, secret, paths, endpoint.etag, field)


def _within(fields: Fields, field: str) -> Fields:
    within = Fields(fields.caller)
    within.violations = _Within(fields.violations, field)
    return within
