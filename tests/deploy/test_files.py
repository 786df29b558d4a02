"""What `deploy/` says is so: settings that exist, ports that are served, times that fit, metrics that are shown."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from outlay_client import rpcs
from outlay_server.server.settings import PREFIX, Settings
from support.database_commands import migrate
from support.postgres import PostgresServer
from support.server import ServerProcess
from support.tenants import new_tenant
from support.wire import Caller

DEPLOY = Path(__file__).parents[2] / "deploy"
PORTS = {50051, 8080, 9090}
FILES = sorted(path for path in DEPLOY.rglob("*") if path.is_file() and "github-action" not in path.parts)
SETTINGS = {f"{PREFIX}{name.upper()}" for name in Settings.model_fields}


def documents(name: str) -> list[Any]:
    return [one for one in yaml.safe_load_all((DEPLOY / name).read_text()) if one is not None]


def of_kind(name: str, kind: str) -> list[Any]:
    return [one for one in documents(name) if one["kind"] == kind]


@pytest.fixture
def deployment() -> Any:
    (found,) = of_kind("kubernetes/outlay.yaml", "Deployment")
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_variable_is_a_setting(path: Path) -> None:
    """Also in comments: a name that is not read would mislead."""
    assert set(re.findall(r"\bOUTLAY_[A-Z_]*[A-Z]\b", path.read_text())) <= SETTINGS


def test_the_image_runs_as_nobody_in_particular_at_the_three_ports() -> None:
    """Its defaults are settings that can be read, once whoever runs it has said how it may listen."""
    text = (DEPLOY / "Dockerfile").read_text()
    instructions = re.findall(r"^([A-Z]+) (.+)$", text, re.MULTILINE)
    given = dict(re.findall(r"(OUTLAY_\w+)=(\S+)", text))
    ports = {int(given[f"OUTLAY_{name}_ADDRESS"].rpartition(":")[2]) for name in ("GRPC", "HTTP", "METRICS")}
    assert ("USER", "10001") in instructions
    assert ("STOPSIGNAL", "SIGTERM") in instructions
    assert ("EXPOSE", "50051 8080 9090") in instructions
    assert (ports, json.loads(dict(instructions)["ENTRYPOINT"])) == (PORTS, ["outlay"])
    copied = [source for line in re.findall(r"^COPY (?!--)(.+) \S+$", text, re.MULTILINE) for source in line.split()]
    assert all((DEPLOY.parent / source).exists() for source in copied)
    kept = set((DEPLOY / "Dockerfile.dockerignore").read_text().split())
    assert {f"!{source}" for source in copied} <= kept


def test_compose_has_a_database_a_migration_and_two_replicas() -> None:
    (compose,) = documents("compose.yaml")
    services = compose["services"]
    replica = services["outlay"]
    inside = {int(port.rpartition(":")[2]) for port in replica["ports"]}
    environment = replica["environment"]
    grace_seconds = int(replica["stop_grace_period"].removesuffix("s"))
    drain_seconds = Settings.model_fields["drain_seconds"].default
    assert (services.keys(), replica["deploy"]["replicas"]) == ({"postgres", "migrate", "outlay"}, 2)
    assert (services["migrate"]["command"], replica["command"]) == (["migrate"], ["serve"])
    assert (inside, replica["depends_on"].keys()) == (PORTS, {"migrate"})
    assert grace_seconds > float(environment["OUTLAY_SHUTDOWN_DELAY_SECONDS"]) + drain_seconds


def test_kubernetes_probes_and_drains_what_the_server_has(deployment: Any) -> None:
    """Ready by gRPC's health, alive without it: a restart brings no database back."""
    pod = deployment["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    environment = {one["name"]: one.get("value") for one in container["env"]}
    ports = {one["name"]: one["containerPort"] for one in container["ports"]}
    drain_seconds = sum(float(environment[f"OUTLAY_{name}_SECONDS"]) for name in ("SHUTDOWN_DELAY", "DRAIN"))
    assert set(ports.values()) == PORTS
    assert container["readinessProbe"]["grpc"] == container["startupProbe"]["grpc"] == {"port": ports["grpc"]}
    assert container["livenessProbe"]["httpGet"] == {"path": "/healthz", "port": "metrics"}
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["terminationGracePeriodSeconds"] > drain_seconds


def test_kubernetes_services_find_the_replicas(deployment: Any) -> None:
    """By their labels and the names of their ports; gRPC by a name that resolves to all of them."""
    pod = deployment["spec"]["template"]
    named = {one["name"]: one["containerPort"] for one in pod["spec"]["containers"][0]["ports"]}
    services = {one["metadata"]["name"]: one["spec"] for one in of_kind("kubernetes/outlay.yaml", "Service")}
    for spec in services.values():
        assert spec["selector"].items() <= pod["metadata"]["labels"].items()
        assert all(named[port["targetPort"]] == port["port"] for port in spec["ports"])
    assert services["outlay"]["clusterIP"] == "None"
    (budget,) = of_kind("kubernetes/outlay.yaml", "PodDisruptionBudget")
    assert budget["spec"]["selector"] == deployment["spec"]["selector"]


def test_kubernetes_secrets_are_those_of_the_first_command() -> None:
    """What the comment makes is what the job and the replicas read."""
    text = (DEPLOY / "kubernetes" / "outlay.yaml").read_text()
    made = set(re.findall(r"--from-literal=([\w-]+)=", text))
    read = set(re.findall(r"secretKeyRef: \{name: outlay, key: ([\w-]+)\}", text))
    job = re.findall(r"secretKeyRef: \{name: outlay, key: ([\w-]+)\}", (DEPLOY / "kubernetes/migrate.yaml").read_text())
    assert (read, set(job) <= made) == (made, True)


def test_the_service_config_is_that_of_the_sdk() -> None:
    (block,) = re.findall(r"^```json\n(.*?)^```$", (DEPLOY / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    assert json.loads(block) == rpcs.SERVICE_CONFIG


# The dashboard


@pytest.fixture
def served(postgres_server: PostgresServer, start_server: Callable[..., ServerProcess]) -> dict[str, set[str]]:
    """Every sample that a server with workers shows after a call, with its labels; and what Prometheus adds."""
    name = postgres_server.create_database()
    migrate(postgres_server.url(name))
    server = start_server(database_url=postgres_server.url(name), environment={"OUTLAY_WORKERS": "2"})
    with Caller(server.grpc_address, server.admin_key) as admin:
        tenant = new_tenant(admin)
        admin.call("CheckSpend", tenant.check(1))
        admin.call("RecordSpend", tenant.record(1))
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(httpx2.get(server.metrics_url).text):
        for sample in family.samples:
            found.setdefault(sample.name, {"instance", "job"}).update(sample.labels)
    return found


def test_every_query_of_the_dashboard_finds_something(served: dict[str, set[str]]) -> None:
    """Each metric is shown by a server, and has each label that the query groups or chooses by."""
    dashboard = json.loads((DEPLOY / "grafana" / "outlay.json").read_text())
    queries = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    missing: list[str] = []
    for query in queries:
        metrics = set(re.findall(r"\b(?:outlay|process)_\w+", query))
        labels = {label.strip() for group in re.findall(r"by \(([^)]*)\)", query) for label in group.split(",")}
        labels |= set(re.findall(r"[{,]\s*(\w+)=", query))
        missing += [f"{query}: {one}" for one in metrics - served.keys()]
        missing += [
            f"{query}: {one} of {metric}" for metric in metrics & served.keys() for one in labels - served[metric]
        ]
    assert (missing, len(queries) > 10) == ([], True)
