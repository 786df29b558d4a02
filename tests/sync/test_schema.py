"""The JSON Schema for editors says what the loader says, as far as a schema can."""

import json
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml

from docs.tables import ROOT
from outlay_cli.caps.rules import RULES
from outlay_server.domain import limits
from outlay_server.domain.amounts import UNIT_PATTERN
from outlay_server.domain.budget import Enforcement
from outlay_server.domain.caps import MANAGED_BUDGET_PATHS, MANAGED_ENDPOINT_PATHS, MANAGED_ORGANIZATION_PATHS
from outlay_server.domain.cycle import Period
from outlay_server.domain.event import EventType
from outlay_server.domain.webhook import WebhookFormat
from outlay_sync import documents
from outlay_sync.desired import SOURCE
from outlay_sync.fields import ENVIRONMENT_NAME
from outlay_sync.files import load_contents
from outlay_sync.problems import InvalidFilesError
from outlay_sync.schema import FILE_NAME, schema_bytes

SCHEMA: dict[str, Any] = json.loads(schema_bytes())
VALIDATOR = jsonschema_rs.validator_for(SCHEMA)
EXAMPLES = sorted((ROOT / "examples" / "caps-as-code" / "caps").glob("*.yaml"))
BUDGET = SCHEMA["definitions"]["budget"]["properties"]
ORGANIZATION = SCHEMA["definitions"]["organization_document"]["properties"]


HOOK = "organization: acme\nwebhook_endpoints: [{webhook_endpoint_id: a, uri: 'https://example.com'"


class PlainLoader(yaml.SafeLoader):
    """As an editor reads: dates are text."""


PlainLoader.yaml_implicit_resolvers = {
    key: [(tag, regexp) for tag, regexp in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for key, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def fits_schema(text: str) -> bool:
    return VALIDATOR.is_valid(yaml.load(text, Loader=PlainLoader))


def loads(text: str) -> bool:
    try:
        load_contents({"f": text.encode()}, RULES)
    except InvalidFilesError:
        return False
    return True


def test_the_schema_is_one() -> None:
    assert jsonschema_rs.meta.is_valid(SCHEMA)


def test_every_field_of_the_loader_is_described() -> None:
    """A field that the schema lacks would be marked as wrong by every editor."""
    definitions = SCHEMA["definitions"]
    assert set(BUDGET) == set(documents.BUDGET_KEYS)
    assert set(BUDGET["cycle"]["properties"]) == set(documents.CYCLE_FIELDS)
    assert set(definitions["budget_document"]["properties"]) == {"source", "organization", *documents.BUDGET_KEYS}
    assert set(ORGANIZATION) == set(documents.ORGANIZATION_KEYS)
    assert set(definitions["gate"]["properties"]) == set(documents.GATE_KEYS)
    assert set(definitions["webhook_endpoint"]["properties"]) == set(documents.WEBHOOK_KEYS)
    described = [BUDGET, ORGANIZATION, definitions["gate"]["properties"], definitions["webhook_endpoint"]["properties"]]
    assert all(field["description"] for fields in described for field in fields.values())


def test_everything_that_the_service_lets_caps_in_code_say_can_be_written() -> None:
    """A setting that is new in the contract and has no field here is noticed."""
    fields = {field.path for field in (*documents.BUDGET_FIELDS.values(), *documents.CYCLE_FIELDS.values())}
    assert {"unit", "cycle", *fields} == MANAGED_BUDGET_PATHS
    assert {"display_name", "gates"} == MANAGED_ORGANIZATION_PATHS
    assert {"secret", *(field.path for field in documents.WEBHOOK_FIELDS.values())} == MANAGED_ENDPOINT_PATHS
    assert set(documents.WEBHOOK_FORMATS) == {kind.value for kind in WebhookFormat}
    assert set(documents.ENFORCEMENTS) == {kind.value for kind in Enforcement}


def test_its_bounds_are_those_of_the_service() -> None:
    assert BUDGET["budget_id"]["pattern"] == f"^{limits.ID_PATTERN.pattern}$"
    assert BUDGET["unit"]["pattern"] == f"^{UNIT_PATTERN.pattern}$"
    assert BUDGET["display_name"]["maxLength"] == limits.DISPLAY_NAME_MAX_LENGTH
    assert BUDGET["selector"]["maxProperties"] == limits.LABELS_MAX
    assert BUDGET["selector"]["additionalProperties"]["maxLength"] == limits.LABEL_VALUE_MAX_BYTES
    assert BUDGET["hard_cap"]["oneOf"][1]["maximum"] == limits.CAP_MICROS_MAX // 1_000_000
    assert BUDGET["alert_thresholds"]["maxItems"] == limits.ALERT_THRESHOLDS_MAX
    assert BUDGET["alert_thresholds"]["items"]["maximum"] == limits.ALERT_THRESHOLD_PERCENT_MAX
    assert ORGANIZATION["budgets"]["maxItems"] == limits.BUDGETS_PER_ORGANIZATION_MAX
    assert ORGANIZATION["gates"]["maxItems"] == limits.GATES_PER_ORGANIZATION_MAX
    assert ORGANIZATION["webhook_endpoints"]["maxItems"] == limits.WEBHOOK_ENDPOINTS_PER_ORGANIZATION_MAX
    assert ORGANIZATION["source"]["pattern"] == f"^{SOURCE}$"
    hook = SCHEMA["definitions"]["webhook_endpoint"]["properties"]
    assert hook["secretFrom"]["properties"]["env"]["pattern"] == f"^{ENVIRONMENT_NAME}$"
    assert hook["uri"]["maxLength"] == limits.WEBHOOK_URI_MAX_BYTES
    assert set(hook["event_types"]["items"]["enum"]) == {kind.value for kind in EventType}
    periods = [period.value for period in Period]
    assert BUDGET["cycle"]["properties"]["period"]["enum"] == [*periods, *map(str.lower, periods), None]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: str(Path(path).relative_to(ROOT)))
def test_every_example_fits(example: Path) -> None:
    text = example.read_text()
    assert (fits_schema(text), loads(text)) == (True, True)


def test_the_example_has_the_schema_that_is_shipped() -> None:
    assert (ROOT / "examples" / "caps-as-code" / "caps" / FILE_NAME).read_bytes() == schema_bytes()


@pytest.mark.parametrize(
    ("line", "is_valid"),
    [
        ("", True),
        ("display_name: Spending", True),
        ("display_name: null", True),
        ("display_name: 5", False),
        (f"display_name: {'x' * 129}", False),
        ("selector: {team: search, model: claude-*}", True),
        ("selector: {team: a*b}", False),
        ("selector: {team: 5}", False),
        ("selector: null", True),
        ("hard_cap: 500.00", True),
        ('hard_cap: "500.00"', True),
        ("hard_cap: 0", True),
        ("hard_cap: null", True),
        ("hard_cap: -1", False),
        ('hard_cap: "1_000"', False),
        ('hard_cap: "010"', False),
        ('hard_cap: "0.0000001"', False),
        ("hard_cap: 100000000001", False),
        ("hard_cap: true", False),
        ("hard_cap_enabled: true", True),
        ("hard_cap_enabled: 1", False),
        ("alert_thresholds: [0, 50, 1000]", True),
        ("alert_thresholds: []", True),
        ("alert_thresholds: null", True),
        ("alert_thresholds: [50, 50]", False),
        ("alert_thresholds: [1001]", False),
        ("alert_thresholds: [0.5]", False),
        ("alert_thresholds: [0,1,2,3,4,5,6,7,8,9,10]", False),
        ("cycle: {period: MONTH}", True),
        ("cycle: {period: month, anchor: 2026-01-31, time_zone: Europe/Berlin}", True),
        ("cycle: {period: FORTNIGHT}", False),
        ("cycle: {anchor: 31.1.2026}", False),
        ("cycle: {time_zone: ../x}", False),
        ("cycle: {zone: UTC}", False),
        ("enforcement: SHADOW", True),
        ("enforcement: Shadow", False),
        ("hardCap: 5", False),
        ("source: platform/caps", True),
        ("source: a b", False),
        ("budgets: []", False),
    ],
)
def test_schema_and_loader_agree_on_a_budget(line: str, is_valid: bool) -> None:
    text = f"organization: acme\nbudget_id: spending\nunit: USD\n{line}\n"
    assert (fits_schema(text), loads(text)) == (is_valid, is_valid)


@pytest.mark.parametrize(
    ("text", "is_valid"),
    [
        ("organization: acme\n", True),
        ("source: platform/caps\n", True),
        ("display_name: Acme\n", False),
        ("organization: Acme\n", False),
        ("organization: acme\nunit: USD\n", False),
        ("organization: acme\nbudget_id: spending\n", False),
        ("budget_id: spending\nunit: USD\n", False),
        ("organization: acme\nbudgets: []\n", True),
        ("organization: acme\nbudgets: [{budget_id: a, unit: USD}]\n", True),
        ("organization: acme\nbudgets: [{budget_id: a}]\n", False),
        ("organization: acme\nbudgets: [{budget_id: a, unit: USD, organization: acme}]\n", False),
        ("organization: acme\ngates: []\n", True),
        ("organization: acme\ngates: null\n", False),
        ("organization: acme\ngates: [{gate_id: opus, label: model, pattern: x, enabled: true}]\n", True),
        ("organization: acme\ngates: [{gate_id: opus, label: model, pattern: x}]\n", False),
        ("organization: acme\ngates: [{gate_id: opus, label: model, pattern: x*y, enabled: true}]\n", False),
        ("organization: acme\nwebhook_endpoints: [{webhook_endpoint_id: a, uri: 'https://example.com'}]\n", True),
        ("organization: acme\nwebhook_endpoints: [{webhook_endpoint_id: a}]\n", False),
        (f"{HOOK}, secretFrom: {{env: A}}}}]\n", True),
        (f"{HOOK}, secretFrom: {{file: A}}}}]\n", False),
        (f"{HOOK}, secret: A}}]\n", False),
        ("[]\n", False),
        ("{}\n", False),
    ],
)
def test_schema_and_loader_agree_on_an_organization(text: str, is_valid: bool) -> None:
    assert (fits_schema(text), loads(text)) == (is_valid, is_valid)
