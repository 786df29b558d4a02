"""Streams over HTTP: a line of JSON for each answer, or server-sent events for browsers.

Whatever goes wrong before the first answer has a status of its own. After that the failure is the last line (the last
event, `error`), in the form of any other failure.
"""

import re
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from typing import Any, Final

from google.protobuf.message import Message
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from outlay_rest.answers import SECURITY_HEADERS, encoded, problem_body, to_json
from outlay_rest.calls import CallFailed, Stream
from outlay_rest.metadata import REQUEST_ID_HEADER
from outlay_rest.problems import Violation, from_status, invalid
from outlay_rest.rules import Rule

JSON_LINES: Final = "application/x-ndjson"
EVENT_STREAM: Final = "text/event-stream"

LAST_EVENT_ID: Final = "last-event-id"
RESUMED_BY: Final = "after_sequence"
RESUMES_FROM: Final = "sequence"

PULSES_PER_COMMENT: Final = 30
"""So many quiet pulses make one comment, which keeps proxies from taking a quiet stream for a dead one."""

_SEQUENCE: Final = re.compile(r"0|[1-9][0-9]{0,17}", re.ASCII)

Answers = AsyncGenerator[Message | None, None]
Written = Callable[[str, dict[str, Any] | None], bytes]


async def answer_stream(
    request: Request, rule: Rule, message: Message, stream: Stream, headers: dict[str, str]
) -> Response:
    """Open the stream and hand it on. Raises `Refused` and `CallFailed` where it does not open."""
    as_events = EVENT_STREAM in request.headers.get("accept", "")
    if as_events:
        _resume(request, message)
    correlation_id = headers[REQUEST_ID_HEADER]
    answers = stream(rule.method, message, headers, correlation_id)
    await anext(answers)
    sent_headers = {**SECURITY_HEADERS, REQUEST_ID_HEADER: correlation_id}
    media_type = EVENT_STREAM if as_events else JSON_LINES
    if request.method == "HEAD":
        await answers.aclose()
        return Response(headers=sent_headers, media_type=media_type)
    body = _sent(answers, _event if as_events else _line, correlation_id)
    return StreamingResponse(body, headers=sent_headers, media_type=media_type)


def _resume(request: Request, message: Message) -> None:
    """Go on after the last event that a browser saw, by what it sends itself when it connects again."""
    given = request.headers.get(LAST_EVENT_ID)
    if given is None:
        return
    if not _SEQUENCE.fullmatch(given):
        raise invalid([Violation(LAST_EVENT_ID, "must be the id of an event of this stream")])
    setattr(message, RESUMED_BY, int(given))


def _line(name: str, body: dict[str, Any] | None) -> bytes:
    """One line; a pulse is an empty one, which readers of this format pass over."""
    return b"\n" if body is None else encoded(body) + b"\n"


def _event(name: str, body: dict[str, Any] | None) -> bytes:
    """One event; a pulse is a comment. Only an answer that can be resumed from has an id."""
    if body is None:
        return b":\n\n"
    sequence = body.get(RESUMES_FROM, "0")
    named = f"id: {sequence}\nevent: {name}\n" if sequence != "0" else f"event: {name}\n"
    return named.encode() + b"data: " + encoded(body) + b"\n\n"


async def _sent(answers: Answers, written: Written, correlation_id: str) -> AsyncIterator[bytes]:
    pulses = 0
    try:
        async with aclosing(answers):
            async for answer in answers:
                if answer is not None:
                    yield written("change", to_json(answer))
                    continue
                pulses += 1
                if pulses % PULSES_PER_COMMENT == 0:
                    yield written("", None)
    except CallFailed as failed:
        yield written("error", problem_body(from_status(failed.status), correlation_id))
