"""Single questions that are asked at the same time travel together.

There is no timer: what waits is sent as soon as fewer than two batches are on the way, so one caller alone waits for
nobody, and many share a durable commit.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from google.protobuf.message import Message

from outlay_client.errors import OutlayError, Unavailable

RequestT = TypeVar("RequestT", bound=Message)
AnswerT = TypeVar("AnswerT")

MAX_ITEMS: Final = 1_000
"""What the service takes."""
MAX_BYTES: Final = 900_000
"""A batch of the service may have 1 MiB."""
MAX_IN_FLIGHT: Final = 2
"""One that the service works on and one on the way to it; more only makes the batches smaller."""

Send = Callable[[Sequence[RequestT], float], Awaitable[Sequence[AnswerT | OutlayError]]]
"""Sends a batch with a deadline in seconds: an answer or an error for each, in order. Raises `OutlayError` for all."""


@dataclass(slots=True, eq=False)
class _Waiting(Generic[RequestT, AnswerT]):
    request: RequestT
    size_bytes: int
    deadline: float
    answer: asyncio.Future[AnswerT]


class Coalescer(Generic[RequestT, AnswerT]):
    """Sends what is asked at once, as batches, through `send`."""

    def __init__(self, send: Send[RequestT, AnswerT]) -> None:
        self._send = send
        self._waiting: deque[_Waiting[RequestT, AnswerT]] = deque()
        self._batches: set[asyncio.Task[None]] = set()

    async def ask(self, request: RequestT, timeout_seconds: float) -> AnswerT:
        """The answer to one request. Raises `OutlayError`.

        A caller that is cancelled is no longer waited for; its request may have been sent.
        """
        loop = asyncio.get_running_loop()
        waiting = _Waiting[RequestT, AnswerT](
            request, request.ByteSize(), loop.time() + timeout_seconds, loop.create_future()
        )
        self._waiting.append(waiting)
        # After the callers that the same turn of the loop wakes, so that they are in the same batch.
        loop.call_soon(self._send_batches)
        try:
            async with asyncio.timeout_at(waiting.deadline):
                return await waiting.answer
        except TimeoutError:
            raise Unavailable(
                "DEADLINE_EXCEEDED: no answer in time",
                effect_unknown=True,
                request_id=getattr(request, "request_id", ""),
            ) from None

    def _send_batches(self) -> None:
        while self._waiting and len(self._batches) < MAX_IN_FLIGHT:
            batch = self._next_batch()
            if batch:
                task = asyncio.create_task(self._exchange(batch))
                self._batches.add(task)
                task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._batches.discard(task)
        self._send_batches()

    def _next_batch(self) -> list[_Waiting[RequestT, AnswerT]]:
        batch: list[_Waiting[RequestT, AnswerT]] = []
        size_bytes = 0
        while self._waiting and len(batch) < MAX_ITEMS:
            first = self._waiting[0]
            if batch and size_bytes + first.size_bytes > MAX_BYTES:
                break
            self._waiting.popleft()
            if not first.answer.done():
                batch.append(first)
                # Each item also has a tag and a length.
                size_bytes += first.size_bytes + 8
        return batch

    async def _exchange(self, batch: list[_Waiting[RequestT, AnswerT]]) -> None:
        left_seconds = max(one.deadline for one in batch) - asyncio.get_running_loop().time()
        try:
            answers = await self._send([one.request for one in batch], max(left_seconds, 0.001))
        except OutlayError as error:
            for one in batch:
                _fail(one.answer, error.for_request(getattr(one.request, "request_id", "")))
        except BaseException as error:
            for one in batch:
                _fail(one.answer, Unavailable(repr(error), effect_unknown=True))
            raise
        else:
            for one, answer in zip(batch, answers, strict=True):
                if isinstance(answer, OutlayError):
                    _fail(one.answer, answer)
                elif not one.answer.done():
                    one.answer.set_result(answer)


def _fail(answer: asyncio.Future[AnswerT], error: OutlayError) -> None:
    if not answer.done():
        answer.set_exception(error)
