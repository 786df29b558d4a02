"""The write path: take what waits, load once, decide each, write once, answer all.

One task owns it. While one transaction syncs, the next batch gathers, so the number of syncs does not grow with the
number of callers; nothing waits for a timer, so a lone command commits at once. A caller that gives up stops only its
own waiting: what has been taken is decided and written all the same, and its request_id gives the answer later.
"""

import asyncio
import logging
import time
from collections.abc import Sequence
from typing import Protocol

from outlay_server.domain.books import Books
from outlay_server.domain.commands import Command, Outcome
from outlay_server.domain.errors import OutlayError, Overloaded
from outlay_server.domain.limits import BATCH_MAX
from outlay_server.domain.posting import post, settle_expired, with_retry_times
from outlay_server.ledger.line import Answer, Line, Submission
from outlay_server.store.contract import Store

logger = logging.getLogger(__name__)

QUEUE_MAX = 20_000
"""Commands that may wait. More than are decided within a caller's patience would only be decided in vain."""

QUIET_TURNS = 3
"""Turns of the event loop without a new command after which a batch is taken."""

GATHER_TURNS_MAX = 64
"""Turns after which it is taken all the same."""

RETRY_AFTER_SECONDS = 1
"""What a caller that was shed is told to wait."""


class LedgerObserver(Protocol):
    """Told of every batch; must not raise and must not wait."""

    def batch_posted(self, commands: int, seconds: float) -> None:
        """A batch of so many commands was decided and is durable, that long after it was taken."""

    def answered(self, answers: Sequence[Answer]) -> None:
        """These commands were answered, in this order; those that are exceptions were not carried out."""


class _NobodyWatches:
    def batch_posted(self, commands: int, seconds: float) -> None:
        pass

    def answered(self, answers: Sequence[Answer]) -> None:
        pass


class Ledger:
    """Decides and writes commands in batches over one store."""

    def __init__(self, store: Store, *, observer: LedgerObserver | None = None, queue_max: int = QUEUE_MAX) -> None:
        self._store = store
        self._observer = observer or _NobodyWatches()
        self._queue_max = queue_max
        self._line = Line()
        self._arrived = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._stopping = False

    @property
    def queue_depth(self) -> int:
        """Commands that wait for the next batch."""
        return self._line.commands

    async def start(self) -> None:
        """Start deciding."""
        self._task = asyncio.create_task(self._run(), name="outlay-ledger")

    async def stop(self) -> None:
        """Refuse new commands, decide all that wait, return when the last batch is durable."""
        self._stopping = True
        self._arrived.set()
        if self._task is not None:
            await self._task
            self._task = None

    async def submit(self, command: Command) -> Outcome:
        """Return the durable answer to one command; raises its `OutlayError`."""
        (answer,) = await self._enqueue((command,))
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def submit_all(self, commands: Sequence[Command]) -> list[Outcome | OutlayError]:
        """Return the answers to commands that are decided in order and become durable together.

        At most `BATCH_MAX`. A failure of one is in its place; the others are decided regardless.
        """
        assert len(commands) <= BATCH_MAX
        if not commands:
            return []
        answers: list[Outcome | OutlayError] = []
        for answer in await self._enqueue(commands):
            if isinstance(answer, Exception) and not isinstance(answer, OutlayError):
                raise answer
            answers.append(answer)
        return answers

    def shed_for(self, organization_id: str) -> bool:
        """Make room for an organization at the cost of the one that has most waiting, whose latest call is shed.

        So the one that floods is told to come again, and not everybody else. False where nobody has more waiting.
        """
        submission = self._line.take_from_longest(organization_id)
        if submission is None:
            return False
        if not submission.future.done():
            submission.future.set_exception(Overloaded(RETRY_AFTER_SECONDS))
        return True

    async def _enqueue(self, commands: Sequence[Command]) -> list[Answer]:
        if self._stopping or self._task is None:
            raise Overloaded(RETRY_AFTER_SECONDS)
        submission = Submission(commands, asyncio.get_running_loop().create_future())
        while self._line.commands + len(commands) > self._queue_max:
            if not self.shed_for(submission.organization_id):
                raise Overloaded(RETRY_AFTER_SECONDS)
        self._line.put(submission)
        self._arrived.set()
        return await submission.future

    async def _run(self) -> None:
        while True:
            await self._arrived.wait()
            await self._gather()
            batch = self._line.take(BATCH_MAX)
            if batch:
                await self._settle(batch)
            elif self._stopping:
                return
            else:
                self._arrived.clear()

    async def _gather(self) -> None:
        """Let the event loop bring what it has received already; a lone command waits for a few empty turns of it.

        A call takes several turns from its socket to this queue, so one turn without a new command is not yet quiet.
        """
        quiet_turns = 0
        for _ in range(GATHER_TURNS_MAX):
            seen = self._line.commands
            await asyncio.sleep(0)
            quiet_turns = quiet_turns + 1 if self._line.commands == seen else 0
            if quiet_turns == QUIET_TURNS:
                return

    async def _settle(self, batch: list[Submission]) -> None:
        """Decide one batch and answer everybody in it, whatever happens."""
        started = time.perf_counter()
        commands = [command for submission in batch for command in submission.commands]
        try:
            answers = await self._post(commands)
        except OutlayError as error:
            answers = [error] * len(commands)
        except Exception as error:
            logger.exception("a batch failed")
            answers = [error] * len(commands)
        else:
            self._observer.batch_posted(len(commands), time.perf_counter() - started)
        self._observer.answered(answers)
        position = 0
        for submission in batch:
            theirs = answers[position : position + len(submission.commands)]
            position += len(submission.commands)
            if not submission.future.done():
                submission.future.set_result(theirs)

    async def _post(self, commands: list[Command]) -> list[Answer]:
        """Post the batch; a command that breaks an invariant is taken out and the rest is posted without it."""
        broken: dict[int, Exception] = {}
        kept = list(range(len(commands)))
        while kept:
            batch = _Batch([commands[index] for index in kept] if broken else commands)
            try:
                posted = await self._store.post(batch.commands, batch.apply)
            except _BrokenCommand as failure:
                logger.exception("a command broke an invariant", extra={"command": type(failure.command).__name__})
                broken[kept[failure.index]] = failure.defect
                del kept[failure.index]
                continue
            with_retry_times(posted.books, batch.commands, batch.outcomes, posted.expiries)
            if not broken:
                return list(batch.outcomes)
            answers: dict[int, Answer] = dict(zip(kept, batch.outcomes, strict=True)) | broken
            return [answers[index] for index in range(len(commands))]
        return [broken[index] for index in range(len(commands))]


class _BrokenCommand(AssertionError):
    """A command met a defect of ours half-way; the books it was applied to are worthless."""

    def __init__(self, index: int, command: Command, defect: Exception) -> None:
        super().__init__(str(defect))
        self.index = index
        self.command = command
        self.defect = defect


class _Batch:
    """The commands of one transaction and, once applied, their outcomes."""

    def __init__(self, commands: Sequence[Command]) -> None:
        self.commands = commands
        self.outcomes: list[Outcome | OutlayError] = []

    def apply(self, books: Books) -> None:
        """Decide every command in order. Starts over when the store does."""
        outcomes: list[Outcome | OutlayError] = []
        settle_expired(books)
        for index, command in enumerate(self.commands):
            try:
                outcomes.append(post(books, command))
            except OutlayError as error:
                outcomes.append(error)
            except Exception as error:
                raise _BrokenCommand(index, command, error) from error
        self.outcomes = outcomes
