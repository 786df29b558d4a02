"""One OpenAPI operation for each RPC, from its rule."""

import re
from typing import Any, Final

from google.protobuf.descriptor import FieldDescriptor

from outlay_rest.denial import RESPONSE_TYPE
from outlay_rest.fields import FIELD_MASK, behaviors, is_scalar
from outlay_rest.openapi.bounds import bounds_of
from outlay_rest.openapi.comments import comments, summary_and_description
from outlay_rest.openapi.errors import denied_schema
from outlay_rest.openapi.schemas import Schemas, Use
from outlay_rest.rules import Rule
from outlay_rest.streams import EVENT_STREAM, JSON_LINES

_VARIABLE: Final = re.compile(r"\{[a-z_.]+=([^}]+)\}")

_SINGULAR: Final = {
    "organizations": "organization",
    "budgets": "budget",
    "reservations": "reservation",
    "apiKeys": "api_key",
    "webhookEndpoints": "webhook_endpoint",
    "deliveries": "delivery",
}

_ORGANIZATION: Final = {
    "description": "The organization; `-` means the one that the calling key belongs to.",
    "schema": {"type": "string", "pattern": "^([a-z][a-z0-9-]{0,62}|-)$", "examples": ["acme"]},
}
_ID: Final[dict[str, Any]] = {"schema": {"type": "string", "pattern": "^[a-z0-9][a-z0-9-]{0,62}$"}}
_BUDGET: Final[dict[str, Any]] = {"schema": {**_ID["schema"], "examples": ["spending"]}}
_KNOWN: Final[dict[str, dict[str, Any]]] = {"organization": _ORGANIZATION, "budget": _BUDGET}


def path_of(rule: Rule) -> str:
    """The template as OpenAPI writes it: `/v1/organizations/{organization}/budgets/{budget}`."""
    pieces = _VARIABLE.sub(r"\1", rule.template.text).split("/")
    named = [
        piece.replace("*", "{" + _SINGULAR[pieces[index - 1]] + "}") if "*" in piece else piece
        for index, piece in enumerate(pieces)
    ]
    return "/".join(named)


def operation_of(rule: Rule, schemas: Schemas) -> dict[str, Any]:
    """The operation; the schemas it refers to are put into `schemas`."""
    comment = comments().get(rule.descriptor.full_name, "")
    summary, description = summary_and_description(comment)
    operation: dict[str, Any] = {
        "operationId": rule.descriptor.name,
        "tags": [rule.descriptor.containing_service.name],
        "summary": summary,
        "description": description,
        "parameters": [*_path_parameters(rule), *_query_parameters(rule, schemas), *_header_parameters(rule)],
        "responses": _responses(rule, schemas),
    }
    if rule.body:
        operation["requestBody"] = {
            "required": rule.body != "*" or _needs_body(rule),
            "content": {"application/json": {"schema": _body_schema(rule, schemas)}},
        }
    return operation


def _path_parameters(rule: Rule) -> list[dict[str, Any]]:
    names = re.findall(r"\{([a-z_]+)\}", path_of(rule))
    return [{"name": name, "in": "path", "required": True, **_KNOWN.get(name, _ID)} for name in names]


def _query_parameters(rule: Rule, schemas: Schemas) -> list[dict[str, Any]]:
    if rule.body == "*":
        return []
    taken = {rule.template.field.partition(".")[0], rule.body}
    return [
        _query_parameter(field, schemas) for field in rule.input.fields if field.name not in taken and is_scalar(field)
    ]


def _query_parameter(field: FieldDescriptor, schemas: Schemas) -> dict[str, Any]:
    schema = schemas.field(field, Use.INPUT)
    description = schema.pop("description", "")
    # What may be absent is left out of a query; there is no null in it.
    if isinstance(schema.get("type"), list):
        schema["type"] = next(kind for kind in schema["type"] if kind != "null")
    if "anyOf" in schema:
        schema = schema["anyOf"][0]
    parameter: dict[str, Any] = {"name": field.name, "in": "query", "description": description, "schema": schema}
    if field.message_type is not None and field.message_type.full_name == FIELD_MASK:
        schema.pop("description", None)
        schema.update(bounds_of(field.full_name))
    if field.name.endswith("_id") and field.name != "request_id":
        parameter["required"] = True
    return parameter


def _header_parameters(rule: Rule) -> list[dict[str, Any]]:
    target = rule.input
    if rule.body not in ("", "*"):
        member = target.fields_by_name[rule.body].message_type
        assert member is not None
        target = member
    if "etag" not in target.fields_by_name or rule.http_method not in ("PATCH", "DELETE"):
        return []
    return [
        {
            "name": "If-Match",
            "in": "header",
            "description": "The etag that must still be current, in quotation marks; the same as the field `etag`.",
            "schema": {"type": "string", "pattern": r"^(\*|(W/)?\"[!#-~]*\")$"},
        }
    ]


def _needs_body(rule: Rule) -> bool:
    bound = rule.template.field
    return any("REQUIRED" in behaviors(field) for field in rule.input.fields if field.name != bound)


def _body_schema(rule: Rule, schemas: Schemas) -> dict[str, Any]:
    if rule.body != "*":
        resource = rule.input.fields_by_name[rule.body].message_type
        assert resource is not None
        return schemas.reference(resource, Use.PATCH if rule.http_method == "PATCH" else Use.INPUT)
    reference = schemas.reference(rule.input, Use.INPUT)
    body = schemas.components[rule.input.name]
    # What the path says, the body may repeat and need not.
    if required := [name for name in body.pop("required", []) if name != rule.template.field]:
        body["required"] = required
    return reference


def _responses(rule: Rule, schemas: Schemas) -> dict[str, Any]:
    answer = schemas.reference(rule.output, Use.ANSWER)
    media_types = (JSON_LINES, EVENT_STREAM) if rule.streaming else ("application/json",)
    success: dict[str, Any] = {
        "description": "OK: one of these after the other, until either side ends it." if rule.streaming else "OK",
        "content": {media_type: {"schema": answer} for media_type in media_types},
    }
    if "etag" in rule.output.fields_by_name:
        success["headers"] = {"ETag": {"description": "The field `etag`, quoted.", "schema": {"type": "string"}}}
    responses: dict[str, Any] = {"200": success}
    statuses = ["400", "401", "403", "404", "500", "501", "503", "504"]
    if rule.http_method != "GET":
        statuses.append("409")
    if rule.body:
        statuses += ["408", "413", "415"]
    responses.update({status: {"$ref": f"#/components/responses/{status}"} for status in sorted(statuses)})
    if rule.output.full_name == RESPONSE_TYPE:
        responses.update(_denials(schemas))
    return dict(sorted(responses.items()))


def _denials(schemas: Schemas) -> dict[str, Any]:
    schemas.components["CheckSpendDenied"] = denied_schema(schemas.components["CheckSpendResponse"])
    denied = {"$ref": "#/components/schemas/CheckSpendDenied"}
    return {
        "402": {
            "description": "Denied by a budget. Never 429: a spent budget does not come back with a retry.",
            "content": {"application/json": {"schema": denied}},
        },
        "403": {
            "description": "Denied by a gate that is off; or MISSING_SCOPE.",
            "content": {"application/json": {"schema": {"anyOf": [denied, {"$ref": "#/components/schemas/Error"}]}}},
        },
    }
