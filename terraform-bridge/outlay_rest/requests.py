"""An HTTP request becomes the request message of the RPC that it means, or every reason why it cannot."""

import re
from typing import Any, Final

from google.protobuf.message import Message
from starlette.requests import Request

from outlay_rest.bodies import read_document
from outlay_rest.from_json import mask_paths, read_message
from outlay_rest.problems import Violation, invalid
from outlay_rest.query import parse_pairs, read_query, unknown_parameter
from outlay_rest.rules import Rule
from outlay_rest.strict_json import Json

_IF_MATCH: Final = re.compile(r'(?:W/)?"([\x21\x23-\x7e]*)"')


async def read_request(request: Request, rule: Rule, path_value: str) -> Message:
    """Return the message of a request for `rule`. Raises `Refused` with every violation."""
    message = rule.new_request()
    body_field = rule.body if rule.body not in ("", "*") else ""
    variable = rule.template.field
    taken = {variable.partition(".")[0], body_field} - {""}
    pairs = parse_pairs(request.scope["query_string"])
    violations: list[Violation] = []
    if rule.body == "*":
        violations += [unknown_parameter(key) for key, _ in pairs]
    else:
        violations += read_query(pairs, message, taken)
    document = await read_document(request, rule.body_max_bytes, required=bool(body_field), allowed=bool(rule.body))
    if document is not None:
        violations += _read_body(document, message, rule, body_field)
    violations += _put_path_value(message, variable, path_value)
    violations += _put_if_match(message, body_field, request.headers.getlist("if-match"))
    if violations:
        raise invalid(violations)
    return message


def _read_body(document: Json, message: Message, rule: Rule, body_field: str) -> list[Violation]:
    if not body_field:
        return read_message(document, message, "")
    resource = getattr(message, body_field)
    resource.SetInParent()
    patch = rule.http_method == "PATCH"
    violations = read_message(document, resource, body_field, patch=patch)
    if patch and not violations and not message.HasField("update_mask"):
        paths = mask_paths(document, resource.DESCRIPTOR)
        if paths:
            message.update_mask.paths.extend(paths)  # type: ignore[attr-defined]
        else:
            # An absent mask would mean every field that is present, such as the whole of `cycle: {}`.
            _keep_only(resource, {"name", "etag"})
    return violations


def _keep_only(resource: Message, names: set[str]) -> None:
    for field, _ in resource.ListFields():
        if field.name not in names:
            resource.ClearField(field.name)


def _put_path_value(message: Message, variable: str, value: str) -> list[Violation]:
    """Set the field that the path names; a body may repeat it, but not contradict it."""
    if not variable:
        return []
    *parents, name = variable.split(".")
    target: Any = message
    for parent in parents:
        target = getattr(target, parent)
    given = getattr(target, name)
    setattr(target, name, value)
    return [Violation(variable, "is another than in the path")] if given not in ("", value) else []


def _put_if_match(message: Message, body_field: str, headers: list[str]) -> list[Violation]:
    """Carry `If-Match` into the etag of the resource that changes. `*` asks that it exists, which it must anyway."""
    if not headers or headers == ["*"]:
        return []
    target: Any = getattr(message, body_field) if body_field else message
    if "etag" not in target.DESCRIPTOR.fields_by_name:
        return []
    matched = _IF_MATCH.fullmatch(headers[0])
    if len(headers) > 1 or matched is None:
        return [Violation("if-match", 'must be one etag in quotation marks, such as "1", or *')]
    if target.etag not in ("", matched[1]):
        return [Violation("if-match", "is another etag than in the request")]
    target.etag = matched[1]
    return []
