"""Streams over HTTP: one line or one event for each answer, and a failure in its place."""

import json

import httpx2
import pytest

from outlay.v1 import budget_pb2
from outlay.v1 import budget_service_pb2 as pb
from outlay_rest import streams
from rest.script import KEY, Script, failed

PATH = "/v1/organizations/acme/budgets:watch"
STATE = pb.WatchBudgetsResponse(type=pb.BUDGET_CHANGE_TYPE_INITIAL, budget=budget_pb2.Budget(name="a"))
CHANGE = pb.WatchBudgetsResponse(
    sequence=7, type=pb.BUDGET_CHANGE_TYPE_CHANGED, budget=budget_pb2.Budget(name="b", hard_cap_micros=5)
)
TOO_SLOW = failed("ABORTED", "WATCHER_TOO_SLOW", "Watch again.", limit="1000")


@pytest.fixture(autouse=True)
def streamed(script: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "PULSES_PER_COMMENT", 2)
    script.streamed["WatchBudgets"] = [STATE, CHANGE, None, None, TOO_SLOW]


async def test_a_line_of_json_for_each_answer_and_the_failure_last(client: httpx2.AsyncClient) -> None:
    """A pulse is an empty line, which readers of the format skip."""
    answer = await client.get(PATH)
    lines = answer.content.split(b"\n")
    bodies = [json.loads(line) for line in lines if line]
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/x-ndjson")
    assert [body.get("sequence") for body in bodies] == ["0", "7", None]
    assert bodies[1]["budget"]["hard_cap_micros"] == "5"
    assert bodies[2]["error"]["details"][0]["reason"] == "WATCHER_TOO_SLOW"
    assert lines == [*lines[:2], b"", lines[3], b""]


async def test_events_for_browsers_carry_the_id_to_resume_from(client: httpx2.AsyncClient) -> None:
    """Only what can be resumed from has an id; a pulse is a comment; a failure is an event of its own."""
    answer = await client.get(PATH, headers={"accept": "text/event-stream"})
    first, second, pulse, last, _ = answer.text.split("\n\n")
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert first.startswith("event: change\ndata: {")
    assert second.startswith("id: 7\nevent: change\ndata: {")
    assert pulse == ":"
    assert last.startswith('event: error\ndata: {"error"')


async def test_a_browser_that_comes_back_goes_on_where_it_was(client: httpx2.AsyncClient, script: Script) -> None:
    await client.get(PATH, headers={"accept": "text/event-stream", "last-event-id": "41"})
    assert script.last() == pb.WatchBudgetsRequest(parent="organizations/acme", after_sequence=41)


@pytest.mark.parametrize("given", ["", "-1", "1.0", "0x1", "seven", "9" * 30])
async def test_an_id_that_is_none_of_ours_is_refused(client: httpx2.AsyncClient, script: Script, given: str) -> None:
    answer = await client.get(PATH, headers={"accept": "text/event-stream", "last-event-id": given})
    assert (answer.status_code, script.seen) == (400, [])


async def test_a_stream_that_does_not_open_has_a_status(client: httpx2.AsyncClient) -> None:
    answer = await client.get(PATH, headers={"authorization": KEY + "x"})
    assert (answer.status_code, answer.json()["error"]["status"]) == (401, "UNAUTHENTICATED")


async def test_head_has_the_headers_and_no_stream(client: httpx2.AsyncClient) -> None:
    answer = await client.head(PATH)
    assert (answer.status_code, answer.headers["content-type"], answer.content) == (200, "application/x-ndjson", b"")
