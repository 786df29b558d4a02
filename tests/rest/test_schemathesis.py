"""The real server keeps to its own OpenAPI document, whatever is sent.

Requests are made from the document, valid ones and invalid ones. Each answer must have a status, a content type,
headers and a body that the document names; nothing that the document forbids may pass, and nothing may be a defect.
"""

from collections.abc import Iterator

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.specs.openapi import checks

from outlay_rest.openapi.document import openapi_document
from rest.live import connect
from support.server import ServerProcess

EXAMPLES = 4
DEEP_EXAMPLES = 1_500
"""Beside the edge cases of each parameter, which are always tried; for each of 38 operations."""

ORGANIZATION_ID = "acme"
"""That of the document's examples, so that many requests meet an organization that exists."""


def no_defect(context: schemathesis.CheckContext, response: schemathesis.Response, case: schemathesis.Case) -> None:
    """No 5xx, but for a method that this server says it does not offer."""
    assert response.status_code < 500 or response.status_code == 501, response.text


CHECKS = [
    no_defect,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
    checks.negative_data_rejection,
    checks.unsupported_method,
]
"""All but those that ask for more than a schema can say: a valid budget may still name a zone that does not exist."""


@pytest.fixture(scope="module")
def fuzzed_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server of its own: among its requests are those that delete organizations."""
    with ServerProcess(tmp_path_factory.mktemp("fuzzed")) as process:
        with connect(process, process.admin_key) as platform:
            made = platform.post("/v1/organizations", params={"organization_id": ORGANIZATION_ID}, json={})
            assert made.status_code == 200, made.text
        yield process


schema = schemathesis.openapi.from_dict(openapi_document("0")).exclude(operation_id="WatchBudgets")
"""The same as the server serves; made here, so that each operation is a test of its own. A stream does not end."""


def check(case: schemathesis.Case, server: ServerProcess) -> None:
    """Send the case with the platform's key and hold the answer to the document."""
    if case.method == "DELETE" and case.path_parameters.get("organization") == ORGANIZATION_ID:
        # Its id could not be given again, and all that follows would meet nothing.
        case.path_parameters["organization"] = "gone"
    headers = {"authorization": f"Bearer {server.admin_key}"}
    # One wrong item spoils no batch: it is told in that item's answer.
    excluded = [checks.negative_data_rejection] if ":batch" in case.operation.path else []
    case.call_and_validate(base_url=server.http_url, headers=headers, checks=CHECKS, excluded_checks=excluded)


@schema.parametrize()
@settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck))
def test_every_operation_answers_as_documented(case: schemathesis.Case, fuzzed_server: ServerProcess) -> None:
    check(case, fuzzed_server)


@pytest.mark.deep
@pytest.mark.timeout(3600)
@schema.parametrize()
@settings(max_examples=DEEP_EXAMPLES, suppress_health_check=list(HealthCheck))
def test_every_operation_answers_as_documented_to_many(case: schemathesis.Case, fuzzed_server: ServerProcess) -> None:
    check(case, fuzzed_server)
