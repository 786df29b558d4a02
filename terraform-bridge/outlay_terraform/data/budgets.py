"""`outlay_budget` and `outlay_budgets`: the settings of budgets that are kept elsewhere."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from outlay_terraform import checks, names
from outlay_terraform.framework.schema import Attribute, Mode, Schema, object_of
from outlay_terraform.framework.types import STRING, list_of
from outlay_terraform.framework.values import Values
from outlay_terraform.resources import budget_schema, shared
from outlay_terraform.service import Service


def _read_only(attributes: Iterable[Attribute]) -> tuple[Attribute, ...]:
    """The attributes as what the provider tells."""
    return tuple(
        replace(
            each,
            mode=Mode.COMPUTED,
            default=None,
            derived=None,
            kept=False,
            replaces=False,
            checks=(),
            members=_read_only(each.members),
        )
        for each in attributes
    )


_ORGANIZATION: Final = replace(shared.ORGANIZATION, replaces=False, description=shared.ORGANIZATION_IN_DATA)
_BUDGET_ID: Final = Attribute(
    name="budget_id", type=STRING, mode=Mode.REQUIRED, checks=(checks.ID,), description="The id of the budget."
)
_SETTINGS: Final = _read_only(
    each for each in budget_schema.ATTRIBUTES if each.name not in ("organization", "budget_id")
)
_ELEMENT: Final = _read_only(each for each in budget_schema.ATTRIBUTES if each.name != "organization")


class BudgetData:
    """One budget."""

    type_name = "outlay_budget"
    schema = Schema(
        "The settings of one budget. Where it stands: `outlay_spend`.", (_ORGANIZATION, _BUDGET_ID, *_SETTINGS)
    )

    def read(self, service: Service, config: Values) -> Values:
        name = names.child(config["organization"], "budgets", config["budget_id"])
        return self.schema.as_written(config, budget_schema.values_of(service.budget(name)))


class BudgetsData:
    """All budgets of an organization."""

    type_name = "outlay_budgets"
    schema = Schema(
        "The settings of every budget of an organization.",
        (
            _ORGANIZATION,
            Attribute(
                name="budgets",
                type=list_of(object_of(_ELEMENT)),
                members=_ELEMENT,
                description="The budgets, ordered by id.",
            ),
        ),
    )

    def read(self, service: Service, config: Values) -> Values:
        found = service.budgets_of(names.organization_name(config["organization"]))
        budgets = [budget_schema.values_of(each) for each in found]
        elements = [{each.name: budget[each.name] for each in _ELEMENT} for budget in budgets]
        return {"organization": config["organization"], "budgets": elements}
