"""`outlay_spend`: where a budget stands."""

from decimal import Decimal
from typing import Any, Final

from outlay_terraform import checks, money, names
from outlay_terraform.framework.schema import Attribute, Mode, Schema
from outlay_terraform.framework.types import NUMBER, STRING, list_of
from outlay_terraform.framework.values import Values
from outlay_terraform.resources import shared
from outlay_terraform.service import Service

_TEXTS: Final = {
    "unit": "What is counted.",
    "cycle_start": "First instant of the cycle that runs, RFC 3339.",
    "cycle_end": "First instant after it. Null where the cycle is `LIFETIME`.",
    "spent": "Recorded spend less refunds, as a decimal amount of the unit.",
    "reserved": "Held by open reservations.",
    "overrun": "How far spend stands above the limit.",
    "available": "What is left under the limit. Null without a limit.",
    "projected_exhaustion_time": "When the limit is reached if spend goes on as it did. Null where it is not.",
}

_AMOUNTS: Final = ("spent", "reserved", "overrun")


class SpendData:
    """The current cycle of one budget."""

    type_name = "outlay_spend"
    schema = Schema(
        "Where a budget stands in the cycle that runs, read anew in every plan. Values that change by themselves do not"
        " belong into what resources depend on: use them in outputs and checks.",
        (
            Attribute(
                name="organization",
                type=STRING,
                mode=Mode.REQUIRED,
                same=names.same_organization,
                checks=(checks.ORGANIZATION,),
                description=shared.ORGANIZATION_IN_DATA,
            ),
            Attribute(
                name="budget_id",
                type=STRING,
                mode=Mode.REQUIRED,
                checks=(checks.ID,),
                description="The id of the budget.",
            ),
            *(Attribute(name=name, type=STRING, description=text) for name, text in _TEXTS.items()),
            Attribute(
                name="percent_used",
                type=NUMBER,
                description="Spend as percent of the soft budget, else of the limit, rounded down to a tenth. Null"
                " without either.",
            ),
            Attribute(name="denied_count", type=NUMBER, description="How many checks it refused in this cycle."),
            Attribute(
                name="alerts_sent",
                type=list_of(NUMBER),
                description="The thresholds, in percent, that raised an alert in this cycle.",
            ),
        ),
    )

    def read(self, service: Service, config: Values) -> Values:
        name = names.child(config["organization"], "budgets", config["budget_id"])
        budget = service.budget(name)
        spend: Any = budget.spend
        return {
            "organization": config["organization"],
            "budget_id": config["budget_id"],
            "unit": budget.unit,
            **{each: money.text(getattr(spend, f"{each}_micros")) for each in _AMOUNTS},
            "available": money.text(spend.available_micros) if spend.HasField("available_micros") else None,
            **{each: _instant(spend, each) for each in ("cycle_start", "cycle_end", "projected_exhaustion_time")},
            "percent_used": Decimal(str(spend.percent_used)) if spend.HasField("percent_used") else None,
            "denied_count": Decimal(spend.denied_count),
            "alerts_sent": [Decimal(each) for each in spend.alerts_sent],
        }


def _instant(spend: Any, name: str) -> str | None:
    return getattr(spend, name).ToJsonString() if spend.HasField(name) else None
