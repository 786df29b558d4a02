"""The whole document."""

from typing import Any, Final

from outlay_rest.openapi.comments import comments
from outlay_rest.openapi.errors import error_responses, error_schemas
from outlay_rest.openapi.face_operations import face_paths, face_schemas
from outlay_rest.openapi.operations import operation_of, path_of
from outlay_rest.openapi.schemas import Schemas
from outlay_rest.rules import RULES, SERVICES

_INTRODUCTION: Final = """\
Every method of the gRPC API by its HTTP rule, and two faces for caps in cents and in credits.

**Names** in bodies are those of the fields here; lowerCamelCase is read too, but a field given in both is refused, like
every unknown key, a key given twice, and text that is not one strict JSON document.

**64-bit integers** are printed as strings and read as numbers or strings of digits. Fields with a default value are
printed; fields that can be absent are left out where they are.

**PATCH** sets the fields that its body names, and `null` clears; members of `cycle` are set one by one, every other
field as a whole. With `update_mask` in the query only the fields named there are set. Output-only fields in a body are
ignored.

**etags** stand in the header `ETag` too, and `If-Match` carries one back.

**A denied check** answers 402, or 403 where a gate is off, with the whole answer and an object `error` beside it;
batches answer 200 with a decision for each item.

**Deadline**: 5 s, or what the header `X-Outlay-Timeout` says in seconds, at most 30. `X-Request-Id` is given back, and
stands in the server's logs.
"""


def openapi_document(version: str) -> dict[str, Any]:
    """Build the document for one version of the server."""
    schemas = Schemas()
    paths: dict[str, Any] = face_paths()
    for rule in RULES:
        paths.setdefault(path_of(rule), {})[rule.http_method.lower()] = operation_of(rule, schemas)
    components = {**schemas.components, **error_schemas(), **face_schemas()}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Outlay",
            "version": version,
            "description": _INTRODUCTION,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{"apiKey": []}],
        "tags": _tags(),
        "paths": {**paths, **_health_paths()},
        "components": {
            "securitySchemes": {
                "apiKey": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "An API key, `sk_…`, in the header Authorization only; never in a URL.",
                }
            },
            "schemas": dict(sorted(components.items())),
            "responses": error_responses(),
        },
    }


def _tags() -> list[dict[str, str]]:
    texts = comments()
    services = [{"name": service.name, "description": texts.get(service.full_name, "")} for service in SERVICES]
    return [
        {"name": "Billing", "description": "Caps in US cents: the budget `spending`."},
        {"name": "Usage", "description": "Caps in credits: the budget `credits` and the gate `opus`."},
        *services,
        {"name": "Health", "description": "Whether the server runs and can answer."},
    ]


def _health_paths() -> dict[str, Any]:
    def item(operation_id: str, summary: str, statuses: dict[str, str]) -> dict[str, Any]:
        schema = {"type": "object", "properties": {"status": {"type": "string"}}, "required": ["status"]}
        responses = {
            status: {"description": text, "content": {"application/json": {"schema": schema}}}
            for status, text in statuses.items()
        }
        operation = {
            "operationId": operation_id,
            "tags": ["Health"],
            "summary": summary,
            "security": [],
            "responses": responses,
        }
        return {"get": operation}

    return {
        "/healthz": item("Healthz", "Whether the process runs", {"200": "It does."}),
        "/readyz": item(
            "Readyz",
            "Whether calls can be answered now",
            {"200": "They can.", "503": "They cannot: the storage is down, or the server is draining."},
        ),
    }
