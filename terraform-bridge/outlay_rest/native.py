"""The native face: every RPC by its `google.api.http` rule."""

from google.protobuf.message import Message
from starlette.requests import Request
from starlette.responses import Response

from outlay.v1.budget_service_pb2 import DECISION_ALLOWED, CheckSpendResponse
from outlay_rest import rules
from outlay_rest.answers import json_response, to_json
from outlay_rest.calls import Call, Stream
from outlay_rest.denial import denial_error
from outlay_rest.metadata import call_headers, deadline_seconds_of
from outlay_rest.requests import read_request
from outlay_rest.streams import answer_stream


async def answer_native(request: Request, path: str, call: Call, stream: Stream, correlation_id: str) -> Response:
    """Answer a request for `path`. Raises `Refused` and `CallFailed`."""
    rule, path_value = rules.find(request.method, path)
    headers = call_headers(request, correlation_id)
    if "authorization" not in headers:
        # Whoever has no key learns nothing about what a valid body is, and none of it is read.
        message = rule.new_request()
    else:
        message = await read_request(request, rule, path_value)
    if rule.streaming:
        return await answer_stream(request, rule, message, stream, headers)
    answer, correlation_id = await call(rule.method, message, headers, deadline_seconds_of(request))
    return _response(message, answer, correlation_id)


def _response(message: Message, answer: Message, correlation_id: str) -> Response:
    body, status = to_json(answer), 200
    if isinstance(answer, CheckSpendResponse) and answer.decision != DECISION_ALLOWED:
        # Anything but ALLOWED is a denial.
        status, body["error"] = denial_error(message, answer, correlation_id)
    etag = getattr(answer, "etag", "")
    headers = {"etag": f'"{etag}"'} if etag else {}
    return json_response(body, status=status, correlation_id=correlation_id, headers=headers)
