"""Who waits for the ledger, and whose turn it is."""

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from outlay_server.domain.commands import CheckSpend, Command, ExtendReservation, Outcome, SettleExpired
from outlay_server.domain.errors import OutlayError

Answer = Outcome | OutlayError | Exception
"""An `Exception` that is no `OutlayError` is a defect of ours that one command met."""


@dataclass(slots=True)
class Submission:
    """Commands that one caller sent together, of one organization: one transaction, one answer each."""

    commands: Sequence[Command]
    future: "asyncio.Future[list[Answer]]"

    @property
    def organization_id(self) -> str:
        return self.commands[0].organization_id


@dataclass(slots=True)
class _Queue:
    """What one organization waits for. What settles goes first: it frees what is held, and its money is spent."""

    settling: deque[Submission] = field(default_factory=deque)
    asking: deque[Submission] = field(default_factory=deque)
    commands: int = 0

    def put(self, submission: Submission) -> None:
        asks = isinstance(submission.commands[0], CheckSpend | ExtendReservation | SettleExpired)
        (self.asking if asks else self.settling).append(submission)
        self.commands += len(submission.commands)

    def take(self, commands_max: int) -> Submission | None:
        """The next, or None where it has more commands than that."""
        line = self.settling or self.asking
        if len(line[0].commands) > commands_max:
            return None
        submission = line.popleft()
        self.commands -= len(submission.commands)
        return submission

    def take_last(self) -> Submission:
        submission = (self.asking or self.settling).pop()
        self.commands -= len(submission.commands)
        return submission


class Line:
    """All that wait, by organization. Organizations take turns, so that a flood of one is no wait for another."""

    def __init__(self) -> None:
        self.commands = 0
        # In the order of their turns: who was served goes to the end.
        self._queues: dict[str, _Queue] = {}

    def put(self, submission: Submission) -> None:
        organization_id = submission.organization_id
        queue = self._queues.get(organization_id)
        if queue is None:
            queue = self._queues[organization_id] = _Queue()
        queue.put(submission)
        self.commands += len(submission.commands)

    def take(self, commands_max: int) -> list[Submission]:
        """Up to so many commands: an equal share for everybody who waits, and what is left over for who wants more.

        What nobody waits for any more is dropped unseen.
        """
        taken: list[Submission] = []
        room = commands_max
        served = True
        while served and self._queues and room > 0:
            share = max(1, room // len(self._queues))
            served = False
            for organization_id in tuple(self._queues):
                used = self._serve(organization_id, share, room, taken)
                room -= used
                served = served or used > 0
        return taken

    def _serve(self, organization_id: str, share: int, room: int, taken: list[Submission]) -> int:
        """Take one organization's share, but its next submission whole where it fits at all; return what it used."""
        queue = self._queues[organization_id]
        used = 0
        while queue.commands and used < share:
            submission = queue.take(room - used)
            if submission is None:
                break
            self.commands -= len(submission.commands)
            if not submission.future.done():
                taken.append(submission)
                used += len(submission.commands)
        if used or not queue.commands:
            del self._queues[organization_id]
            if queue.commands:
                self._queues[organization_id] = queue
        return used

    def take_from_longest(self, organization_id: str) -> Submission | None:
        """The latest submission of whoever has most waiting; None where nobody has more than this organization."""
        ours = self._queues.get(organization_id)
        longest, queue = max(self._queues.items(), key=lambda item: item[1].commands, default=("", None))
        if queue is None or longest == organization_id or queue.commands <= (ours.commands if ours else 0) + 1:
            return None
        submission = queue.take_last()
        self.commands -= len(submission.commands)
        if not queue.commands:
            del self._queues[longest]
        return submission
