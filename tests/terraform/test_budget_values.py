"""`outlay_budget`: whatever is written, absent, null, empty, set or not known yet, the plan is empty afterwards."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from outlay.v1 import budget_pb2
from support.tenants import Tenant
from terraform.workspace import Body, Workspace

SETTINGS: Mapping[str, Mapping[str, Any]] = {
    "display_name": {"null": None, "empty": "", "set": "Research", "odd": "Füße ☂"},
    "selector": {"null": None, "empty": {}, "set": {"team": "research-*"}, "any": {"model": "*", "team": ""}},
    "budget": {"null": None, "zero": "0", "set": "1000.10", "short": "7", "micro": "0.000001", "number": 12.5},
    "hard_cap": {"null": None, "zero": "0.00", "set": "100000000000", "spelled": "500.0"},
    "hard_cap_enabled": {"null": None, "on": True, "off": False},
    "allotment": {"null": None, "zero": "0", "set": "12.34"},
    "alert_thresholds": {"null": None, "empty": [], "set": [0, 75, 1000], "one": [50]},
    "alerts_enabled": {"null": None, "on": True, "off": False},
    "cycle": {
        "null": None,
        "empty": {},
        "nulls": {"period": None, "anchor": None, "time_zone": None},
        "week": {"period": "WEEK"},
        "lower": {"period": "quarter", "anchor": "2024-01-31"},
        "set": {"period": "DAY", "anchor": "2024-02-29", "time_zone": "Europe/Berlin"},
        "lifetime": {"period": "LIFETIME"},
    },
    "enforcement": {"null": None, "set": "SHADOW", "lower": "freeze"},
}
"""For each setting the ways to write it; that it is absent is the case of every other one."""

CASES = {
    f"{name}-{case}".replace("_", "-"): {name: value}
    for name, cases in SETTINGS.items()
    for case, value in cases.items()
}


WRITTEN = {
    "display_name": "Research",
    "selector": {"team": "research-*"},
    "budget": "1000.10",
    "hard_cap": "2000",
    "allotment": "3000.000001",
    "alert_thresholds": [75, 100],
    "alerts_enabled": False,
    "cycle": {"period": "WEEK", "anchor": "2024-01-01", "time_zone": "Europe/Berlin"},
    "enforcement": "SHADOW",
}
"""One value for each setting, none of them its default."""


def _budgets(organization: str, cases: Mapping[str, Body]) -> dict[str, Body]:
    return {
        name: {"organization": organization, "budget_id": name, "unit": "USD", **settings}
        for name, settings in cases.items()
    }


def _settings(budget: budget_pb2.Budget) -> budget_pb2.Budget:
    """What was set, without what the service adds."""
    settings = budget_pb2.Budget()
    settings.CopyFrom(budget)
    for field in ("name", "etag", "create_time", "update_time", "spend"):
        settings.ClearField(field)  # type: ignore[arg-type]  # each is a field
    return settings


def test_every_way_to_write_a_setting_leaves_an_empty_plan(
    workspace: Workspace, tenant: Tenant, tmp_path: Path
) -> None:
    """After the apply; and in another state after an import, which changes nothing by itself."""
    configured = _budgets(tenant.organization_id, CASES | {"bare": {}})
    configured["named"] = {"organization": tenant.name, "budget_id": "named", "unit": "USD"}
    workspace.budgets(configured)
    workspace.apply()

    other = Workspace(tmp_path, workspace.environment)
    names = [{"to": f"outlay_budget.{name}", "id": tenant.child("budgets", name)} for name in configured]
    other.budgets(configured, **{"import": names})
    plan = other.plan()
    assert {each["address"]: each["change"]["actions"] for each in plan["resource_changes"]} == {
        f"outlay_budget.{name}": ["no-op"] for name in configured
    }
    assert all("importing" in each["change"] for each in plan["resource_changes"])
    other.ok("apply", "plan")
    other.settled()


def test_what_is_written_arrives(workspace: Workspace, tenant: Tenant) -> None:
    """Exactly, to the micro; and what is not written has the service's defaults."""
    workspace.budgets(_budgets(tenant.organization_id, {"full": WRITTEN, "bare": {}}))
    workspace.apply()
    assert _settings(tenant.budget("full")) == budget_pb2.Budget(
        display_name="Research",
        unit="USD",
        selector={"team": "research-*"},
        budget_micros=1_000_100_000,
        hard_cap_micros=2_000_000_000,
        hard_cap_enabled=True,
        allotment_micros=3_000_000_001,
        alert_thresholds=budget_pb2.AlertThresholds(percents=[75, 100]),
        alerts_enabled=False,
        cycle=budget_pb2.Cycle(period=budget_pb2.PERIOD_WEEK, anchor="2024-01-01", time_zone="Europe/Berlin"),
        enforcement=budget_pb2.ENFORCEMENT_SHADOW,
        managed_by="terraform",
    )
    assert _settings(tenant.budget("bare")) == budget_pb2.Budget(
        unit="USD",
        alerts_enabled=True,
        cycle=budget_pb2.Cycle(period=budget_pb2.PERIOD_MONTH, anchor="1970-01-01", time_zone="UTC"),
        enforcement=budget_pb2.ENFORCEMENT_ENFORCE,
        managed_by="terraform",
    )


def test_a_line_that_is_removed_clears_its_setting(workspace: Workspace, tenant: Tenant) -> None:
    """Each line alone, and all at once: what is left is what a budget is that never had the line."""
    lines = {_id(name): _without(WRITTEN, name) for name in WRITTEN} | {"all": {}}
    workspace.budgets(_budgets(tenant.organization_id, dict.fromkeys(lines, WRITTEN)))
    workspace.apply()
    never = {f"{name}-never": settings for name, settings in lines.items()}
    workspace.budgets(_budgets(tenant.organization_id, lines | never))
    assert workspace.changes() == {
        **{f"outlay_budget.{name}": ["update"] for name in lines},
        **{f"outlay_budget.{name}": ["create"] for name in never},
    }
    workspace.apply()
    for name in lines:
        assert _settings(tenant.budget(name)) == _settings(tenant.budget(f"{name}-never")), name


def test_what_is_not_known_at_plan_is_planned_as_unknown(workspace: Workspace, tenant: Tenant) -> None:
    """Each setting, when its budget is made and again when it is there: both applies end in an empty plan."""
    budgets = _budgets(tenant.organization_id, {_id(name): {name: _from_source(name)} for name in WRITTEN})
    nested = {
        "cycle": {"time_zone": _from_source("zone")},
        "selector": {"team": _from_source("display_name")},
        "alert_thresholds": [50, _from_source("number"), 100],
        "hard_cap_enabled": _from_source("alerts_enabled"),
    }
    budgets |= _budgets(tenant.organization_id, {"nested": nested})
    budgets["identity"] = {
        "organization": tenant.organization_id,
        "budget_id": _from_source("identity"),
        "unit": _from_source("unit"),
    }
    for zone, percent in (("Europe/London", 60), ("America/New_York", 70)):
        source = {**WRITTEN, "number": percent, "unit": "USD", "identity": "late", "zone": zone}
        workspace.budgets(budgets, resource={"terraform_data": {"source": {"input": source}}})
        unknown = {
            each["address"].removeprefix("outlay_budget."): each["change"]["after_unknown"]
            for each in workspace.plan()["resource_changes"]
        }
        assert {_id(attribute): unknown[_id(attribute)].get(attribute) for attribute in WRITTEN} == {
            _id(attribute): True for attribute in WRITTEN
        }
        assert unknown["nested"]["cycle"] == {"time_zone": True}
        assert unknown["nested"]["alert_thresholds"] == [False, True, False]
        assert unknown["identity"]["budget_id"]
        workspace.apply()
        made = tenant.budget("nested")
        assert (made.cycle.time_zone, list(made.alert_thresholds.percents)) == (zone, [50, percent, 100])
        assert tenant.budget("late").unit == "USD"


def test_another_spelling_is_no_change(workspace: Workspace, tenant: Tenant) -> None:
    """An amount with other zeros, an enum in lower case, an organization by its name instead of its id."""
    workspace.budgets(_budgets(tenant.organization_id, {"spelled": WRITTEN}))
    workspace.apply()
    other = {
        "budget": "1000.1",
        "hard_cap": 2000,
        "enforcement": "shadow",
        "cycle": {**WRITTEN["cycle"], "period": "week"},
    }
    workspace.budgets(_budgets(tenant.name, {"spelled": WRITTEN | other}))
    workspace.settled()


def _id(attribute: str) -> str:
    return attribute.replace("_", "-")


def _without(settings: Mapping[str, Any], name: str) -> Body:
    return {key: value for key, value in settings.items() if key != name}


def _from_source(name: str) -> str:
    return f"${{terraform_data.source.output.{name}}}"
