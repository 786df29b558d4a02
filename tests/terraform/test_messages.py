"""What people are told: at the line that is wrong, when planning where that is possible, and with what to do."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from outlay_terraform.provider import ADDRESS as PROVIDER_ADDRESS
from outlay_terraform.wire.reattach import reattachable
from support.server import ServerProcess
from support.tenants import Tenant, new_id, new_key
from support.wire import Caller
from terraform.conftest import StartServer, provider_for
from terraform.workspace import Body, Diagnosed, Workspace, bare_environment

HEADER = 'terraform {\n  required_providers {\n    outlay = { source = "outlay/outlay" }\n  }\n}\n'

BUDGET = {"organization": '"acme"', "budget_id": '"caps"', "unit": '"USD"'}
GATE = {"organization": '"acme"', "gate_id": '"g"', "label": '"model"', "pattern": '"x*"', "enabled": "true"}


def _validated(workspace: Workspace, kind: str, attributes: Body) -> list[Diagnosed]:
    lines = [f"  {name} = {value}" for name, value in attributes.items()]
    block = "\n".join([f'resource "{kind}" "x" {{', *lines, "}"])
    source = 'resource "terraform_data" "later" {\n  input = { n = 50, s = "x" }\n}\n'
    (workspace.folder / "main.tf").write_text(f"{HEADER}{source}{block}\n")
    return workspace.validate()


WRONG_BUDGETS = {
    'organization = "Acme"': "the id of an organization",
    'budget_id = "Caps"': "lower-case letter",
    'unit = "US"': "3 to 32 upper-case letters",
    f'display_name = "{"x" * 129}"': "at most 128 characters",
    'display_name = "a\\nb"': "control characters",
    'selector = { "" = "x" }': "must not be empty",
    'selector = { team = "a*b" }': "only at its end",
    "selector = { team = null }": "no pattern for team",
    f"selector = {{ {', '.join(f'l{index} = 1' for index in range(17))} }}": "at most 16",
    'budget = ""': "an amount such as",
    'budget = "-1"': "an amount such as",
    'budget = "1e3"': "an amount such as",
    'budget = "1_000"': "an amount such as",
    'budget = "0.0000001"': "an amount such as",
    'hard_cap = "100000000000.01"': "at most 100000000000",
    'allotment = "٣"': "an amount such as",
    "alert_thresholds = [50, 40]": "above the one before it",
    "alert_thresholds = [50, terraform_data.later.output.n, 40]": "above the one before it",
    "alert_thresholds = [1001]": "0 to 1000",
    "alert_thresholds = [12.5]": "a whole percent",
    "alert_thresholds = [null]": "a whole percent",
    "alert_thresholds = range(11)": "at most 10",
    'cycle = { period = "FORTNIGHT" }': "one of DAY, WEEK",
    'cycle = { anchor = "2024-02-30" }': "a date of the calendar",
    'cycle = { time_zone = "../etc/passwd" }': "IANA name",
    'enforcement = "Enforce"': "one of ENFORCE, SHADOW, FREEZE",
}


@pytest.mark.parametrize("line", WRONG_BUDGETS)
def test_a_wrong_value_is_found_at_its_line_before_any_server_is_asked(workspace: Workspace, line: str) -> None:
    name, _, value = line.partition(" = ")
    (found,) = _validated(workspace, "outlay_budget", {**BUDGET, name: value})
    assert (found.severity, found.summary, found.snippet) == ("error", found.summary, line.strip())
    assert found.summary.startswith("Invalid ")
    assert WRONG_BUDGETS[line] in found.detail


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ('gate_id = "G"', "lower-case letter"),
        ('label = ""', "must not be empty"),
        ('pattern = ""', "must not be empty"),
        ('pattern = "a*b"', "only at its end"),
        (f'pattern = "{"ü" * 128}"', "at most 255 bytes"),
    ],
)
def test_a_wrong_gate_is_found_at_its_line(workspace: Workspace, line: str, complaint: str) -> None:
    name, _, value = line.partition(" = ")
    (found,) = _validated(workspace, "outlay_gate", {**GATE, name: value})
    assert (found.severity, found.snippet) == ("error", line)
    assert complaint in found.detail


def test_all_that_is_wrong_is_said_at_once(workspace: Workspace) -> None:
    wrong = {
        "unit": '"us"',
        "budget": '"x"',
        "alert_thresholds": "[2, 1, 0]",
        "cycle": '{ period = "X", anchor = "Y" }',
    }
    found = _validated(workspace, "outlay_budget", {**BUDGET, **wrong})
    assert len(found) == 6


@pytest.mark.parametrize(
    "attribute", ["selector", "budget", "alert_thresholds", "alerts_enabled", "cycle", "enforcement"]
)
def test_what_is_not_known_yet_is_not_wrong_yet(workspace: Workspace, attribute: str) -> None:
    value = (
        "terraform_data.later.output.s" if attribute in ("budget", "enforcement") else "terraform_data.later.output.v"
    )
    assert _validated(workspace, "outlay_budget", {**BUDGET, attribute: value}) == []


@pytest.mark.parametrize(
    ("settings", "summary", "line"),
    [
        ({"budget": '"20"', "hard_cap": '"10"'}, "The soft budget is never reached", 'budget = "20"'),
        ({"alerts_enabled": "false", "alert_thresholds": "[50]"}, "No alert is raised", "alert_thresholds = [50]"),
    ],
)
def test_settings_that_defeat_each_other_are_warned_of(
    workspace: Workspace, settings: Body, summary: str, line: str
) -> None:
    (found,) = _validated(workspace, "outlay_budget", {**BUDGET, **settings})
    assert (found.severity, found.summary, found.snippet) == ("warning", summary, line)


# --- against the service ----------------------------------------------------------------------------------------------


def _caps(tenant: Tenant, **settings: Any) -> dict[str, Body]:
    return {"caps": {"organization": tenant.organization_id, "budget_id": "caps", "unit": "USD", **settings}}


def test_a_cap_below_current_spend_is_warned_of_in_the_plan(workspace: Workspace, tenant: Tenant) -> None:
    """When it is lowered, when it is enabled, and when the budget is new; not where it is as it was."""
    tenant.admin.call("RecordSpend", tenant.record(30_000_000))
    steps: list[tuple[Body, list[str]]] = [
        ({"hard_cap": "20"}, ["hard_cap is below current spend"]),
        ({"hard_cap": "40"}, []),
        ({"hard_cap": "25"}, ["hard_cap is below current spend"]),
        ({"hard_cap": "25", "display_name": "x"}, []),
        ({"hard_cap": "25", "hard_cap_enabled": False}, []),
        ({"hard_cap": "25", "hard_cap_enabled": True}, ["hard_cap is below current spend"]),
        ({"allotment": "29.99"}, ["allotment is below current spend"]),
    ]
    for settings, summaries in steps:
        workspace.budgets(_caps(tenant, **settings))
        found = workspace.diagnose("plan", "-out=plan")
        assert [each.summary for each in found] == summaries, settings
        assert all("30.00 USD were spent" in each.detail for each in found)
        assert all(
            each.snippet == f'"{each.summary.split()[0]}": "{settings[each.summary.split()[0]]}"' for each in found
        )
        workspace.ok("apply", "plan")


def test_what_only_the_service_knows_to_be_wrong_is_at_its_line_too(workspace: Workspace, tenant: Tenant) -> None:
    workspace.budgets(_caps(tenant, cycle={"time_zone": "Europe/Atlantis"}))
    (found,) = workspace.diagnose("apply", "-auto-approve")
    assert (found.summary, found.snippet.split()[0]) == ("Refused by the service", '"cycle":')
    assert found.detail.startswith("cycle.time_zone must be")
    assert workspace.state() == {}


@pytest.fixture
def as_key(outlay: ServerProcess, workspace: Workspace) -> Iterator[Any]:
    """The workspace with another key."""
    spaces = []

    def with_key(key: str) -> Workspace:
        spaces.append(reattachable(provider_for(outlay, key), PROVIDER_ADDRESS))
        return Workspace(workspace.folder, bare_environment(**spaces[-1].__enter__()))

    yield with_key
    for space in spaces:
        space.__exit__(None, None, None)


def test_a_scope_that_is_missing_is_named(as_key: Any, tenant: Tenant) -> None:
    reader = as_key(tenant.key(["budgets:read"]).secret)
    reader.budgets(_caps(tenant))
    (found,) = reader.diagnose("apply", "-auto-approve")
    assert found.summary == "The API key lacks a scope"
    assert "a key with the scope budgets:write" in found.detail
    reader.write(resource={"outlay_organization": {"new": {"organization_id": new_id("org")}}})
    assert "the platform key" in reader.diagnose("apply", "-auto-approve")[0].detail


def test_a_key_of_the_organization_keeps_its_budgets(as_key: Any, tenant: Tenant) -> None:
    """No platform key is needed for budgets, but for an allotment."""
    owner = as_key(tenant.key(["budgets:read", "budgets:write"]).secret)
    owner.budgets(_caps(tenant, hard_cap="5.00"))
    owner.apply()
    owner.budgets(_caps(tenant, hard_cap="5.00", allotment="9"))
    assert [each.summary for each in owner.diagnose("apply", "-auto-approve")] == ["The API key lacks a scope"]
    owner.budgets({})
    owner.apply()


def test_an_unknown_key_is_said_to_be_one(as_key: Any, tenant: Tenant) -> None:
    stranger = as_key(new_key())
    stranger.budgets(_caps(tenant))
    assert [each.summary for each in stranger.diagnose("apply", "-auto-approve")] == ["The API key was refused"]


def test_more_budgets_than_there_may_be_is_the_services_word(workspace: Workspace, tenant: Tenant) -> None:
    workspace.budgets({"x": {"organization": "nowhere-at-all", "budget_id": "x", "unit": "USD"}})
    (found,) = workspace.diagnose("apply", "-auto-approve")
    assert (found.summary, "organizations/nowhere-at-all" in found.detail) == ("Not found", True)


# --- a service that is away -------------------------------------------------------------------------------------------


def test_what_a_service_that_is_away_may_have_made_is_kept(
    terraform: str, start_server: StartServer, tmp_path: Path
) -> None:
    """As tainted, so that the next run finds out. A service that comes back in time is waited for."""
    server = start_server()
    (tmp_path / "configuration").mkdir()
    workspace = Workspace(tmp_path / "configuration", {})
    workspace.write(resource={"outlay_organization": {"acme": {"organization_id": "acme"}}})
    with reattachable(provider_for(server, patience_seconds=0.5), PROVIDER_ADDRESS) as environment:
        impatient = Workspace(workspace.folder, bare_environment(**environment))
        server.kill9()
        (found,) = impatient.diagnose("apply", "-auto-approve")
        assert found.summary == "The service is away"
        assert list(impatient.state()) == ["outlay_organization.acme"]
    with (
        reattachable(provider_for(server, patience_seconds=60.0), PROVIDER_ADDRESS) as environment,
        ThreadPoolExecutor(1) as pool,
    ):
        patient = Workspace(workspace.folder, bare_environment(**environment))
        running = pool.submit(patient.ok, "apply", "-auto-approve")
        server.restart()
        running.result()
        patient.settled()
    with Caller(server.grpc_address, server.admin_key) as admin:
        assert Tenant(admin, "acme").budget().unit == "USD"
