"""The document is valid OpenAPI 3.1, says everything that is routed, and agrees with the server's bounds."""

from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import pytest
import schemathesis

import outlay_server.domain.limits as server_limits
from outlay_rest import limits
from outlay_rest.openapi.document import openapi_document
from outlay_rest.openapi.operations import path_of
from outlay_rest.rules import RULES


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return openapi_document("1.0.0")


def nodes(value: Any) -> Iterator[dict[str, Any]]:
    """Every object in a JSON value."""
    if isinstance(value, dict):
        yield value
        for item in value.values():
            yield from nodes(item)
    elif isinstance(value, list):
        for item in value:
            yield from nodes(item)


def test_it_is_valid(document: dict[str, Any]) -> None:
    """Against the meta-schema of OpenAPI 3.1."""
    schemathesis.openapi.from_dict(document).validate()


def test_every_schema_is_valid_and_every_example_fits(document: dict[str, Any]) -> None:
    for name, schema in document["components"]["schemas"].items():
        whole = {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
        validator = jsonschema_rs.Draft202012Validator(whole)
        for example in schema.get("examples", []):
            validator.validate(example)


def test_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    for node in nodes(document):
        if isinstance(reference := node.get("$ref"), str):
            target: Any = document
            for part in reference.removeprefix("#/").split("/"):
                target = target[part]


def test_every_rpc_is_in_it(document: dict[str, Any]) -> None:
    listed = {op["operationId"] for item in document["paths"].values() for op in item.values()}
    rpcs = {rule.descriptor.name for rule in RULES}
    faces = {"GetSpendingCaps", "UpdateSpendingCaps", "GetUsageBudget", "UpdateUsageBudget"}
    assert listed == rpcs | faces | {"Healthz", "Readyz"}


def test_every_operation_and_field_is_described(document: dict[str, Any]) -> None:
    """By the comments of the protos; one without would show as a gap in the page."""
    for rule in RULES:
        operation = document["paths"][path_of(rule)][rule.http_method.lower()]
        assert operation["description"], rule.method
    schemas = document["components"]["schemas"]
    for name in ("Budget", "BudgetInput", "CheckSpendRequest", "CheckSpendResponse", "SpendRecord", "AuditEvent"):
        for field, schema in schemas[name]["properties"].items():
            assert schema.get("description"), f"{name}.{field}"


def test_answers_print_64_bit_integers_as_strings_and_requests_take_both(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    assert schemas["Budget"]["properties"]["hard_cap_micros"]["type"] == "string"
    assert schemas["BudgetInput"]["properties"]["hard_cap_micros"]["type"] == ["integer", "string", "null"]
    assert schemas["CheckSpendRequest"]["properties"]["amount_micros"]["type"] == ["integer", "string"]


@pytest.mark.parametrize(
    ("ours", "servers"),
    [
        (limits.BODY_MAX_BYTES, server_limits.REST_BODY_MAX_BYTES),
        (limits.BATCH_BODY_MAX_BYTES, server_limits.REST_BATCH_BODY_MAX_BYTES),
        (limits.DEPTH_MAX, server_limits.JSON_DEPTH_MAX),
        (limits.VIOLATIONS_MAX, server_limits.VIOLATIONS_MAX),
        (limits.ECHO_MAX_LENGTH, server_limits.ECHO_MAX_LENGTH),
        (limits.CAP_MICROS_MAX, server_limits.CAP_MICROS_MAX),
        (limits.THRESHOLDS_MAX, server_limits.ALERT_THRESHOLDS_MAX),
        (limits.DEADLINE_MAX_SECONDS, server_limits.DEADLINE_MAX_SECONDS),
    ],
)
def test_a_bound_that_is_kept_twice_is_the_same(ours: float, servers: float) -> None:
    assert ours == servers
