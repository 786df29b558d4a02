"""What applying caps starts from: one organization with what it has, as it is or as it would be born."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import Connection, Row, select

from outlay_server.control import budgets, organizations
from outlay_server.domain.budget import Budget
from outlay_server.domain.caps import DesiredCaps
from outlay_server.domain.instant import Instant
from outlay_server.domain.settings import DEFAULT_BUDGETS, BudgetSettings
from outlay_server.domain.views import OrganizationView
from outlay_server.domain.webhook import Endpoint
from outlay_server.store import reads, rows, tables, webhook_rows

NO_KEY = -1
"""The key of an organization that has not been written: nothing is found under it."""


@dataclass(frozen=True, slots=True)
class StoredEndpoint:
    """A webhook endpoint, and its secret as it is stored; "" for none."""

    endpoint: Endpoint
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class State:
    """One organization."""

    organization: OrganizationView | None
    """None where it does not exist and may be created."""
    key: int
    audit_sequence: int
    budgets: Mapping[str, Budget]
    """By id. Empty for an organization that does not exist."""
    endpoints: Mapping[str, StoredEndpoint]
    """Likewise."""

    @property
    def born_budgets(self) -> Mapping[str, BudgetSettings]:
        """The budgets that come to be with the organization, where it does not exist."""
        return DEFAULT_BUDGETS if self.organization is None else {}


def existing(connection: Connection, row: Row[Any]) -> State:
    """The state of an organization that there is, from its row."""
    view = reads.organization_view_of(row)
    table = tables.budgets
    found = connection.execute(select(table).where(table.c.organization_key == row.key).order_by(table.c.id))
    by_id = {each.id: rows.budget_from_row(each, view.organization_id) for each in found}
    # An update that names gates sorts them; those of a new organization begin with the default ones.
    view = replace(view, gates=tuple(sorted(view.gates, key=lambda gate: gate.gate_id)))
    return State(view, row.key, row.audit_sequence, by_id, _endpoints(connection, row.key, view.organization_id))


def missing(connection: Connection, desired: DesiredCaps) -> State:
    """The state of an organization that is to be created. Raises `AlreadyExists` where it was deleted."""
    organizations.ensure_id_is_free(connection, desired.organization_id)
    return State(None, NO_KEY, 0, {}, {})


def _endpoints(connection: Connection, organization_key: int, organization_id: str) -> Mapping[str, StoredEndpoint]:
    table = tables.webhook_endpoints
    found = connection.execute(select(table).where(table.c.organization_key == organization_key).order_by(table.c.id))
    return {row.id: StoredEndpoint(webhook_rows.endpoint_of(row, organization_id), row.secret) for row in found}


def blank_budget(organization_id: str, budget_id: str, now: Instant) -> Budget:
    """What a budget that is created is compared with."""
    return budgets.new_budget(organization_id, budget_id, BudgetSettings(unit=""), now)
