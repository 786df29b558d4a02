"""The data sources, the function, and the settings of the provider."""

from pathlib import Path
from typing import Any

import pytest

from outlay_terraform.framework.lifecycle import Lifecycle
from outlay_terraform.provider import ADDRESS, OutlayProvider
from outlay_terraform.wire.reattach import reattachable
from support.certificates import make_certificate
from support.server import ServerProcess
from support.tenants import Tenant
from terraform.conftest import StartServer
from terraform.workspace import Body, Workspace, bare_environment


def _outputs(workspace: Workspace) -> dict[str, Any]:
    workspace.ok("apply", "-auto-approve")
    plan = workspace.plan()
    assert plan.get("output_changes", {}).items() >= {}.items()
    return {name: each["value"] for name, each in plan["planned_values"].get("outputs", {}).items()}


def test_spend_is_data_and_read_anew_in_every_plan(workspace: Workspace, tenant: Tenant) -> None:
    tenant.cap(100_000_000)
    where = {"organization": tenant.name, "budget_id": "spending"}
    output = {"spend": {"value": "${data.outlay_spend.now}"}}
    workspace.write(data={"outlay_spend": {"now": where}}, output=output)
    before = _outputs(workspace)["spend"]
    assert (before["spent"], before["available"], before["percent_used"]) == ("0.00", "100.00", 0)
    tenant.admin.call("RecordSpend", tenant.record(80_000_001))
    after = _outputs(workspace)["spend"]
    assert (after["spent"], after["available"], after["percent_used"]) == ("80.000001", "19.999999", 80)
    assert (after["unit"], after["alerts_sent"], after["reserved"], after["overrun"]) == (
        "USD",
        [50, 75],
        "0.00",
        "0.00",
    )
    assert after["cycle_start"] < after["cycle_end"]


def test_budgets_that_are_kept_elsewhere_are_data(workspace: Workspace, tenant: Tenant) -> None:
    tenant.create_budget("caps", unit="USD", hard_cap_micros=500_000_000, selector={"team": "a"})
    workspace.write(
        data={
            "outlay_budget": {"one": {"organization": tenant.organization_id, "budget_id": "caps"}},
            "outlay_budgets": {"all": {"organization": tenant.name}},
        },
        output={"one": {"value": "${data.outlay_budget.one}"}, "all": {"value": "${data.outlay_budgets.all.budgets}"}},
    )
    outputs = _outputs(workspace)
    one = outputs["one"]
    assert (one["hard_cap"], one["hard_cap_enabled"], one["selector"]) == ("500.00", False, {"team": "a"})
    assert one["cycle"] == {"period": "MONTH", "anchor": "1970-01-01", "time_zone": "UTC"}
    assert [each["budget_id"] for each in outputs["all"]] == ["caps", "credits", "spending"]
    assert {**outputs["all"][0], "organization": tenant.organization_id} == one


def test_data_that_is_not_there_is_an_error_at_the_block(workspace: Workspace, tenant: Tenant) -> None:
    workspace.write(data={"outlay_spend": {"now": {"organization": tenant.name, "budget_id": "none"}}})
    (found,) = workspace.diagnose("plan")
    assert (found.summary, tenant.child("budgets", "none") in found.detail) == ("Not found", True)


@pytest.mark.parametrize(
    ("given", "amount"),
    [("500", "500.00"), ("$1,250.5", "1250.50"), ("0.000001", "0.000001"), ("1,000,000", "1000000.00"), ("0", "0.00")],
)
def test_usd_writes_an_amount_in_full(workspace: Workspace, given: str, amount: str) -> None:
    workspace.write(output={"amount": {"value": f'${{provider::outlay::usd("{given}")}}'}})
    assert _outputs(workspace) == {"amount": amount}


@pytest.mark.parametrize("given", ["-1", "1,00", "1.0000001", "", "$", "12,3456", "1e3", ",100", "€5"])
def test_usd_refuses_what_is_no_amount_when_planning(workspace: Workspace, given: str) -> None:
    workspace.write(output={"amount": {"value": f'${{provider::outlay::usd("{given}")}}'}})
    (found,) = workspace.diagnose("plan")
    assert found.summary == "Invalid function argument"
    assert 'Invalid value for "amount" parameter' in found.detail


# --- the provider's own settings --------------------------------------------------------------------------------------


def _configured(tmp_path: Path, environment: dict[str, str], provider: Body, **blocks: Body) -> Any:
    """A workspace whose provider block and environment are the test's own; a context manager of it."""
    lifecycle: Lifecycle[Any] = Lifecycle(OutlayProvider(patience_seconds=0.2, environment=environment))
    serving = reattachable(lifecycle, ADDRESS)
    workspace = Workspace(tmp_path, bare_environment(**serving.__enter__()))
    workspace.write(provider={"outlay": provider}, **blocks)
    return workspace, serving


@pytest.mark.parametrize(
    ("provider", "environment", "complaint", "line"),
    [
        ({}, {}, "there is no API key", ""),
        ({"api_key": ""}, {}, "there is no API key", '"api_key": ""'),
        ({"endpoint": "ftp://x"}, {"OUTLAY_API_KEY": "sk_x"}, "write host:port", '"endpoint": "ftp://x"'),
        ({"endpoint": "example.com:1"}, {"OUTLAY_API_KEY": "sk_x"}, "without TLS", '"endpoint": "example.com:1"'),
        ({"ca_file": "/none"}, {"OUTLAY_API_KEY": "sk_x"}, "cannot be read", '"ca_file": "/none"'),
    ],
)
def test_a_setting_that_is_wrong_is_named(
    terraform: str, tmp_path: Path, provider: Body, environment: dict[str, str], complaint: str, line: str
) -> None:
    workspace, serving = _configured(
        tmp_path, environment, provider, data={"outlay_budgets": {"all": {"organization": "acme"}}}
    )
    (found,) = workspace.diagnose("plan")
    serving.__exit__(None, None, None)
    assert (found.summary, complaint in found.detail) == ("The provider cannot be configured", True)
    assert line in found.snippet


def test_the_block_wins_over_the_environment_and_tls_takes_the_authority_it_names(
    terraform: str, start_server: StartServer, tmp_path: Path
) -> None:
    certificate, key = make_certificate(tmp_path, "server")
    server = start_server(environment={"OUTLAY_TLS_CERT_FILE": certificate, "OUTLAY_TLS_KEY_FILE": key})
    endpoint = f"https://localhost:{server.grpc_address.rpartition(':')[2]}"
    provider = {"endpoint": endpoint, "api_key": server.admin_key, "ca_file": certificate}
    environment = {"OUTLAY_ENDPOINT": "127.0.0.1:1", "OUTLAY_API_KEY": "sk_other"}
    folder = tmp_path / "configuration"
    folder.mkdir()
    workspace, serving = _configured(
        folder, environment, provider, resource={"outlay_organization": {"acme": {"organization_id": "acme"}}}
    )
    workspace.apply()
    serving.__exit__(None, None, None)
    assert server.admin_key not in (folder / "terraform.tfstate").read_text()


def test_an_endpoint_that_is_not_known_yet_does_not_stop_a_plan(
    terraform: str, outlay: ServerProcess, tenant: Tenant, tmp_path: Path
) -> None:
    """What is planned for the first time and what is in the state; data has to wait."""
    provider = {"endpoint": "${terraform_data.endpoint.output}"}
    budget = {"organization": tenant.organization_id, "budget_id": "caps", "unit": "USD", "hard_cap": "500.00"}
    workspace, serving = _configured(tmp_path, {"OUTLAY_API_KEY": outlay.admin_key}, provider)
    for replace in ("1", "2"):
        source = {"input": outlay.grpc_address, "triggers_replace": replace}
        resource = {"terraform_data": {"endpoint": source}, "outlay_budget": {"caps": budget}}
        workspace.write(provider={"outlay": provider}, resource=resource)
        workspace.apply()
    assert tenant.budget("caps").hard_cap_micros == 500_000_000
    serving.__exit__(None, None, None)
