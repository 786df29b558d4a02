"""Changes as they happen, for the page to load its figures again: server-sent events under the console's own cookie."""

import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from outlay.v1 import budget_service_pb2 as pb
from outlay_rest.answers import SECURITY_HEADERS
from outlay_rest.calls import Call, CallFailed, Stream
from outlay_rest.console import session
from outlay_rest.console.figures import last_segment
from outlay_rest.console.visit import BUDGETS, Visit
from outlay_rest.problems import from_status
from outlay_rest.streams import EVENT_STREAM, PULSES_PER_COMMENT, Answers


def changes(call: Call, stream: Stream) -> Callable[[Request], Awaitable[Response]]:
    """The endpoint: `state` once every later change will be told, then `change` for each commit, with the budget's id.

    A page was made a moment before it listens, so it asks once more at `state`: what happened in between is not lost.
    """

    async def answer(request: Request) -> Response:
        visit = Visit(request, call, session.key_of(request), uuid.uuid4().hex)
        asked = pb.WatchBudgetsRequest(parent=visit.organization())
        answers = stream(f"{BUDGETS}WatchBudgets", asked, visit.headers, visit.correlation_id)
        try:
            await anext(answers)
        except CallFailed as failed:
            return Response(status_code=from_status(failed.status).http_status, headers=dict(SECURITY_HEADERS))
        if request.method == "HEAD":
            await answers.aclose()
            return Response(media_type=EVENT_STREAM, headers=dict(SECURITY_HEADERS))
        return StreamingResponse(_events(answers), media_type=EVENT_STREAM, headers=dict(SECURITY_HEADERS))

    return answer


async def _events(answers: Answers) -> AsyncIterator[bytes]:
    pulses = 0
    try:
        async with aclosing(answers):
            async for answer in answers:
                if answer is None:
                    pulses += 1
                    if pulses % PULSES_PER_COMMENT == 0:
                        yield b":\n\n"
                elif isinstance(answer, pb.WatchBudgetsResponse):
                    yield _event(answer)
    except CallFailed:
        # The page asks again by itself, and is told why where it asks for more than this.
        return


def _event(answer: pb.WatchBudgetsResponse) -> bytes:
    if answer.type != pb.BUDGET_CHANGE_TYPE_INITIAL:
        return f"event: change\ndata: {last_segment(answer.budget.name)}\n\n".encode()
    # Of the answers that tell how things stand, the last one has a number.
    return b"event: state\ndata:\n\n" if answer.sequence else b""
