"""Read an organization's settings, as the ledger needs them, over a store's driver."""

from typing import Any

from outlay_server.domain.books import OrganizationState
from outlay_server.store import rows, tables
from outlay_server.store.batch import Driver

_ORGANIZATION = 'SELECT "key", version, gates FROM organizations WHERE id = ? AND delete_time IS NULL'
_BUDGET_COLUMNS = [column.name for column in tables.budgets.columns]
_BUDGETS = "SELECT " + ", ".join(f'"{name}"' for name in _BUDGET_COLUMNS) + " FROM budgets WHERE organization_key = ?"


class _Named:
    """A driver's row under its columns' names."""

    def __init__(self, values: Any) -> None:
        self.__dict__.update(zip(_BUDGET_COLUMNS, values, strict=True))


def load_state(driver: Driver, organization_id: str) -> OrganizationState | None:
    """The organization with its gates and budgets and no counters, or None when there is none."""
    found = driver.fetch(_ORGANIZATION, organization_id)
    if not found:
        return None
    key, version, gates = found[0]
    budgets = [rows.budget_from_row(_Named(row), organization_id) for row in driver.fetch(_BUDGETS, key)]
    return OrganizationState(key, organization_id, version, rows.load_gates(gates), budgets)
