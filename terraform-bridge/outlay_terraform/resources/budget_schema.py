"""The attributes of a budget, for the resource and for the data sources."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, Final

from outlay.v1 import budget_pb2
from outlay_terraform import checks, money, names
from outlay_terraform.framework.schema import Attribute, Mode, Schema, known, object_of
from outlay_terraform.framework.types import BOOL, NUMBER, STRING, Map, list_of
from outlay_terraform.framework.values import UNKNOWN, Value, Values
from outlay_terraform.resources import shared

PERIODS: Final = ("DAY", "WEEK", "MONTH", "QUARTER", "YEAR", "LIFETIME")
ENFORCEMENTS: Final = ("ENFORCE", "SHADOW", "FREEZE")

_ANCHOR: Final = "1970-01-01"
_MONDAY: Final = "1970-01-05"

LIMITS: Final = ("budget", "hard_cap", "allotment")
"""Amounts, each `…_micros` in the service's messages."""

MASK_PATHS: Final[Mapping[str, str]] = {
    "display_name": "display_name",
    "selector": "selector",
    **{name: f"{name}_micros" for name in LIMITS},
    "hard_cap_enabled": "hard_cap_enabled",
    "alert_thresholds": "alert_thresholds",
    "alerts_enabled": "alerts_enabled",
    "cycle": "cycle",
    "enforcement": "enforcement",
}
"""The path of an update mask that stands for each attribute that can be changed."""

FIELD_PATHS: Final = {
    "budget_id": ("budget_id",),
    "parent": ("organization",),
    "budget.unit": ("unit",),
    "budget.alert_thresholds.percents": ("alert_thresholds",),
    **{f"budget.{path}": (name,) for name, path in MASK_PATHS.items()},
}
"""Where in the block each field stands that the service may complain of."""


def _anchor_of(planned: Values, _config: Values) -> Value:
    period = planned["period"]
    if not known(period):
        return UNKNOWN
    return _MONDAY if period.upper() == "WEEK" else _ANCHOR


def _cap_enabled(planned: Values, config: Values) -> Value:
    """Who writes a cap wants it to hold: one that is stored but not enforced has to be asked for."""
    # What is unknown may turn out to be null.
    return config["hard_cap"] is not None if config["hard_cap"] is not UNKNOWN else UNKNOWN


_CYCLE: Final = (
    Attribute(
        name="period",
        type=STRING,
        mode=Mode.DEFAULTED,
        default=lambda _planned, _config: "MONTH",
        same=shared.same_choice,
        checks=(checks.one_of(*PERIODS),),
        description=f"How long one cycle is: {', '.join(f'`{each}`' for each in PERIODS)}. Default: `MONTH`.",
    ),
    Attribute(
        name="anchor",
        type=STRING,
        mode=Mode.DEFAULTED,
        default=_anchor_of,
        checks=(checks.DATE,),
        description="A local date at whose midnight a cycle begins, `YYYY-MM-DD`. Default: `1970-01-01`; for `WEEK`"
        " `1970-01-05`, a Monday.",
    ),
    Attribute(
        name="time_zone",
        type=STRING,
        mode=Mode.DEFAULTED,
        default=lambda _planned, _config: "UTC",
        checks=(checks.TIME_ZONE,),
        description="The IANA name of the zone whose midnights count, such as `Europe/Berlin`. Default: `UTC`.",
    ),
)

_DEFAULT_CYCLE: Final = {"period": "MONTH", "anchor": _ANCHOR, "time_zone": "UTC"}


def _limit(name: str, description: str) -> Attribute:
    return Attribute(
        name=name,
        type=STRING,
        mode=Mode.OPTIONAL,
        same=money.same,
        checks=(checks.AMOUNT,),
        description=f'{description} A decimal amount of the unit, such as `"500.00"`, with at most 6 places. Absent: no'
        ' such limit; removing the line lifts it. `"0"` is a limit of nothing.',
    )


ATTRIBUTES: Final = (
    shared.ORGANIZATION,
    Attribute(
        name="budget_id",
        type=STRING,
        mode=Mode.REQUIRED,
        replaces=True,
        checks=(checks.ID,),
        description="The id, `[a-z][a-z0-9-]{0,62}`, unique in the organization. Another id takes another budget.",
    ),
    Attribute(
        name="unit",
        type=STRING,
        mode=Mode.REQUIRED,
        replaces=True,
        checks=(checks.UNIT,),
        description="What is counted: an ISO 4217 code (`USD`) or another upper-case name (`CREDITS`, `TOKENS`)."
        " Another unit takes another budget.",
    ),
    shared.DISPLAY_NAME,
    Attribute(
        name="selector",
        type=Map(STRING),
        mode=Mode.DEFAULTED,
        default=lambda _planned, _config: {},
        checks=(checks.selector,),
        description="Which spend counts: every label named here must be there with this value; a trailing `*` matches"
        " what begins with the rest. At most 16. Default: all spend of the unit.",
    ),
    _limit("budget", "The soft budget: raises alerts, never blocks."),
    _limit("hard_cap", "The hard cap: blocks what would exceed it."),
    Attribute(
        name="hard_cap_enabled",
        type=BOOL,
        mode=Mode.DEFAULTED,
        default=_cap_enabled,
        description="Whether the hard cap blocks. Default: `true` where there is a `hard_cap`, else `false`.",
    ),
    _limit("allotment", "What the plan grants in each cycle: always enforced. Takes the platform key."),
    Attribute(
        name="alert_thresholds",
        type=list_of(NUMBER),
        mode=Mode.OPTIONAL,
        checks=(checks.thresholds,),
        description="At which percents of the soft budget (else of the limit) an alert is raised: whole, 0 to 1000,"
        " ascending, at most 10. Absent: 50, 75, 90 and 100. `[]`: none.",
    ),
    Attribute(
        name="alerts_enabled",
        type=BOOL,
        mode=Mode.DEFAULTED,
        default=lambda _planned, _config: True,
        description="Whether alerts are raised at all. Default: `true`.",
    ),
    Attribute(
        name="cycle",
        type=object_of(_CYCLE),
        members=_CYCLE,
        mode=Mode.DEFAULTED,
        default=lambda _planned, _config: dict(_DEFAULT_CYCLE),
        description="Over which stretches of time spend adds up. Default: calendar months in UTC.",
    ),
    Attribute(
        name="enforcement",
        type=STRING,
        mode=Mode.DEFAULTED,
        default=lambda _planned, _config: "ENFORCE",
        same=shared.same_choice,
        checks=(checks.one_of(*ENFORCEMENTS),),
        description="What the limits do: `ENFORCE` denies what does not fit, `SHADOW` decides and counts but never"
        " blocks, `FREEZE` denies everything. Default: `ENFORCE`.",
    ),
    Attribute(
        name="id",
        type=STRING,
        kept=True,
        derived=lambda planned: names.child_if_known(planned, "budgets", "budget_id"),
        description="`organizations/{organization}/budgets/{budget_id}`.",
    ),
    shared.MANAGED_BY,
    shared.CREATE_TIME,
)

SCHEMA: Final = Schema(
    "Limits and alert thresholds over one unit, for all spend of an organization or for the spend whose labels match a"
    " selector. Where it stands is not part of the resource: read `outlay_spend`. A temporary cap"
    " (`outlay budgets override`) is not part of it either: it ends by itself, and no plan undoes it.",
    ATTRIBUTES,
)


def values_of(budget: budget_pb2.Budget) -> Values:
    """The attributes of a budget as the service has it."""
    organization, _, budget_id = budget.name.rpartition("/budgets/")
    values = {
        "organization": names.organization_id(organization),
        "budget_id": budget_id,
        "unit": budget.unit,
        "display_name": budget.display_name,
        "selector": dict(budget.selector),
        "hard_cap_enabled": budget.hard_cap_enabled,
        "alert_thresholds": [Decimal(each) for each in budget.alert_thresholds.percents]
        if budget.HasField("alert_thresholds")
        else None,
        "alerts_enabled": budget.alerts_enabled,
        "cycle": {
            "period": budget_pb2.Period.Name(budget.cycle.period).removeprefix("PERIOD_"),
            "anchor": budget.cycle.anchor,
            "time_zone": budget.cycle.time_zone,
        },
        "enforcement": budget_pb2.Enforcement.Name(budget.enforcement).removeprefix("ENFORCEMENT_"),
        "id": budget.name,
        "managed_by": budget.managed_by,
        "create_time": budget.create_time.ToJsonString(),
    }
    return values | {name: _amount(budget, name) for name in LIMITS}


def message_of(planned: Values) -> budget_pb2.Budget:
    """The settings of a planned budget, all of which are known."""
    cycle: dict[str, str] = planned["cycle"]
    message = budget_pb2.Budget(
        unit=planned["unit"],
        display_name=planned["display_name"],
        selector=planned["selector"],
        hard_cap_enabled=planned["hard_cap_enabled"],
        alerts_enabled=planned["alerts_enabled"],
        cycle=budget_pb2.Cycle(
            period=budget_pb2.Period.Value(f"PERIOD_{cycle['period'].upper()}"),
            anchor=cycle["anchor"],
            time_zone=cycle["time_zone"],
        ),
        enforcement=budget_pb2.Enforcement.Value(f"ENFORCEMENT_{planned['enforcement'].upper()}"),
    )
    for name in LIMITS:
        if planned[name] is not None:
            setattr(message, f"{name}_micros", money.micros(planned[name]))
    if planned["alert_thresholds"] is not None:
        message.alert_thresholds.SetInParent()
        message.alert_thresholds.percents.extend(int(each) for each in planned["alert_thresholds"])
    return message


def _amount(budget: Any, name: str) -> str | None:
    field = f"{name}_micros"
    return money.text(getattr(budget, field)) if budget.HasField(field) else None
