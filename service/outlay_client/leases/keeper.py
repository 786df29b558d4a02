"""What keeps a lease supplied: it reserves, extends, draws, renews and gives back.

Nothing here does I/O: a round is a generator that yields what to ask a server and is sent the answer, or is thrown
`CallFailed`. So the same steps serve threads and asyncio, and a test can answer as it likes.

A request of which no final answer came is sent again as it was, with its `request_id`: the server answers what it had
answered, so nothing is held twice and nothing is recorded twice.
"""

import random
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from math import inf
from typing import Any, Final

from outlay_client.leases.book import Book, Holding
from outlay_client.leases.clock import Clock
from outlay_client.leases.errors import CallFailed
from outlay_client.leases.operations import Draw, DrawBatch, Extend, Grant, Operation, Release, Reserve
from outlay_client.leases.options import MAX_AMOUNT_MICROS, LeaseOptions
from outlay_client.leases.sizing import Sizer

Steps = Generator[Operation, Any, None]

ASK_AGAIN_SECONDS: Final = 1.0
"""After a denial, until more is asked for again."""

FIRST_BACKOFF_SECONDS: Final = 0.05
LAST_BACKOFF_SECONDS: Final = 2.0

MAX_DRAWS: Final = 1_000
"""Of a batch, by the contract."""

MAX_BATCH_BYTES: Final = 512 * 1024
"""Half of what the contract allows, for this is an estimate."""

_NOT_DONE: Final = ("UNAUTHENTICATED", "PERMISSION_DENIED")
"""Codes of calls that the server did not begin. They are not final: a key can be given its scopes."""

_DRAW_BYTES: Final = 300
"""Of a draw without labels, at most."""

_MOST_ASKS: Final = 3
"""Of one round: a renewal after a refusal, and one to spare."""

_SHRINK_AT: Final = 4
"""A slice so many times too large is replaced instead of renewed: a reservation cannot be given back in part."""


@dataclass(slots=True)
class _Asked:
    """A Reserve or Extend, and when it was first sent: what it grants may have been running since then."""

    request: Reserve | Extend
    first_sent_at: float
    effect_is_unknown: bool = False
    """Whether an attempt got no answer: the next must have the same request_id."""


@dataclass(slots=True)
class _Sealed:
    """A draw, and the slice that it is of."""

    draw: Draw
    slice_name: str


class Keeper:
    """The rounds of one lease. `lock` is held around everything that touches the book, and never during a call."""

    def __init__(
        self,
        book: Book,
        options: LeaseOptions,
        *,
        clock: Clock,
        lock: AbstractContextManager[Any],
        new_id: Callable[[], str],
    ) -> None:
        self._book = book
        self._options = options
        self._clock = clock
        self._lock = lock
        self._new_id = new_id
        self._sizer = Sizer(options, clock())
        self._unseen_micros = 0
        self._asked: _Asked | None = None
        self._outbox: list[_Sealed] = []
        self._ask_more_at = -inf
        self._draw_at = -inf
        self._backoff_seconds = 0.0
        self.last_denial: Grant | None = None
        """Why nothing more is held; None since the last grant."""
        self.last_error: CallFailed | None = None
        """Of the last call; None when it was answered."""

    # --- rounds -------------------------------------------------------------------------------------------------------

    def round(self) -> Steps:
        """Do all that is due now. Ends early when a call fails; `pause_seconds` then says how long to wait."""
        try:
            yield from self._refill()
            if self._clock() >= self._draw_at:
                yield from self._draw()
                self._draw_at = self._clock() + self._options.draw_interval_seconds
            yield from self._finish_retired()
        except CallFailed as error:
            self.last_error = error
            self._backoff_seconds = min(max(FIRST_BACKOFF_SECONDS, 2 * self._backoff_seconds), LAST_BACKOFF_SECONDS)
        else:
            self._backoff_seconds = 0.0

    def closing_round(self) -> Steps:
        """Report everything and give back the rest of a closed book; `is_finished` says whether that is done."""
        try:
            yield from self._draw()
            if self._asked is not None:
                # It may hold a slice of which nobody knows the name yet.
                yield from self._ask(self._asked)
            yield from self._finish_retired()
        except CallFailed as error:
            self.last_error = error
            self._backoff_seconds = min(max(FIRST_BACKOFF_SECONDS, 2 * self._backoff_seconds), LAST_BACKOFF_SECONDS)

    @property
    def pause_seconds(self) -> float:
        """Until the next round."""
        if self._backoff_seconds:
            return self._backoff_seconds * random.uniform(0.5, 1.0)  # noqa: S311 (spreads retries, keeps no secret)
        return min(self._options.draw_interval_seconds, self._options.horizon_seconds / 4)

    @property
    def may_be_woken(self) -> bool:
        """Whether a round before its time could do anything."""
        return not self._backoff_seconds and self._clock() >= self._ask_more_at

    @property
    def is_finished(self) -> bool:
        """Whether the server has, or needs, nothing more."""
        return not (self._asked or self._outbox or any(self._book.holdings()))

    @property
    def undelivered(self) -> list[Draw]:
        """What was admitted and not acknowledged, for a book that is closed."""
        self._seal()
        return [sealed.draw for sealed in self._outbox]

    # --- more ---------------------------------------------------------------------------------------------------------

    def _refill(self) -> Steps:
        for _ in range(_MOST_ASKS):
            if self._asked is None:
                with self._lock:
                    request = self._next_request(self._clock())
                if request is None:
                    return
                self._asked = _Asked(request, self._clock())
            yield from self._ask(self._asked)

    def _next_request(self, now: float) -> Reserve | Extend | None:
        book = self._book
        if book.is_closed:
            return None
        self._unseen_micros += book.consumed_micros()
        if self._sizer.look(now, self._unseen_micros):
            self._unseen_micros = 0
        may_ask_more = now >= self._ask_more_at
        if book.ran_dry and may_ask_more:
            book.ran_dry = False
            self._sizer.ran_dry()
        target_micros = max(self._sizer.target_micros, book.wanted_micros)
        current = book.current
        if now >= current.admit_before:
            book.retire_current()
            return self._reserve(target_micros) if may_ask_more else None
        need_micros = target_micros - current.left_micros
        low_micros = max(target_micros // 2, book.wanted_micros)
        if may_ask_more and current.left_micros < low_micros and need_micros > 0:
            return self._extend(current, min(need_micros, MAX_AMOUNT_MICROS))
        book.low_micros = low_micros
        if now < current.renew_at:
            return None
        if may_ask_more and current.left_micros > _SHRINK_AT * target_micros:
            return self._reserve(target_micros)
        return self._extend(current, 0)

    def _reserve(self, amount_micros: int) -> Reserve:
        options = self._options
        return Reserve(
            self._new_id(),
            options.unit,
            options.label_pairs,
            amount_micros,
            options.ttl_seconds,
            options.record_on_expiry,
        )

    def _extend(self, holding: Holding, additional_micros: int) -> Extend:
        return Extend(self._new_id(), holding.name, self._options.ttl_seconds, additional_micros)

    def _ask(self, asked: _Asked) -> Steps:
        request = asked.request
        try:
            answer: Grant = yield request
        except CallFailed as error:
            if not error.is_final:
                asked.effect_is_unknown = asked.effect_is_unknown or error.code not in _NOT_DONE
                if not asked.effect_is_unknown:
                    self._asked = None
                raise
            self._asked = None
            self.last_error = error
            if isinstance(request, Extend) and error.code != "INVALID_ARGUMENT":
                # It is closed, or its cycle is over: a new one, and give back what this one still holds.
                with self._lock:
                    if self._book.current.name == request.reservation:
                        self._book.retire_current()
            else:
                self._ask_more_at = self._clock() + ASK_AGAIN_SECONDS
            return
        self._asked = None
        self.last_error = None
        if answer.allowed:
            with self._lock:
                self._granted(request, answer, asked.first_sent_at)
        else:
            self.last_denial = answer
            self._ask_more_at = self._clock() + ASK_AGAIN_SECONDS

    def _granted(self, request: Reserve | Extend, answer: Grant, first_sent_at: float) -> None:
        """Take in what was granted. It has been held for `ttl_seconds` from some moment after `first_sent_at`."""
        self.last_denial = None
        expires_at = first_sent_at + self._options.ttl_seconds - self._options.margin_seconds
        renew_at = first_sent_at + self._options.ttl_seconds / 2
        if isinstance(request, Extend):
            self._book.extend(request.reservation, answer.granted_micros, expires_at, renew_at)
            return
        cycle_ends_at = inf if answer.cycle_seconds is None else first_sent_at + answer.cycle_seconds
        self._book.adopt(
            Holding(
                answer.reservation,
                answer.granted_micros,
                renew_at=renew_at,
                expires_at=expires_at,
                cycle_ends_at=cycle_ends_at,
            )
        )
        if self._book.is_closed:
            self._book.retire_current()

    # --- reporting ----------------------------------------------------------------------------------------------------

    def _seal(self) -> None:
        with self._lock:
            self._outbox += [_Sealed(draw, draw.reservation) for draw in self._book.seal(self._new_id)]

    def _draw(self) -> Steps:
        if not self._outbox:
            # While some wait for a server that is away, the rest adds up in the book and costs no memory.
            self._seal()
        failed: CallFailed | None = None
        waiting, self._outbox = self._outbox, []
        try:
            while waiting:
                batch = _batch(waiting)
                results: list[CallFailed | None] = yield DrawBatch(tuple(sealed.draw for sealed in batch))
                for sealed, result in zip(batch, results, strict=True):
                    failed = result or failed
                    with self._lock:
                        self._settle(sealed, result)
                del waiting[: len(batch)]
        finally:
            self._outbox = waiting + self._outbox
        if failed is not None:
            raise failed

    def _settle(self, sealed: _Sealed, result: CallFailed | None) -> None:
        if result is None:
            self._book.reported(sealed.slice_name, sealed.draw.amount_micros)
            return
        if result.is_final:
            sealed.draw = self._amended(sealed.draw, result)
        self._outbox.append(sealed)

    def _amended(self, draw: Draw, result: CallFailed) -> Draw:
        """What the server may take instead: the money is gone, and must be recorded by what is still right of it."""
        own = self._options.label_pairs
        if result.code == "INVALID_ARGUMENT" and draw.labels != own:
            return replace(draw, request_id=self._new_id(), labels=own)
        if draw.reservation:
            return replace(draw, request_id=self._new_id(), reservation="")
        return draw

    # --- giving back --------------------------------------------------------------------------------------------------

    def _finish_retired(self) -> Steps:
        for holding in list(self._book.retired):
            with self._lock:
                in_flight_micros, unreported_micros = holding.in_flight_micros, holding.unreported_micros
            if in_flight_micros and not holding.is_lost and self._clock() >= holding.renew_at:
                yield from self._hold_on(holding)
            if unreported_micros:
                continue
            if not holding.is_lost:
                yield from self._release(holding)
            with self._lock:
                self._book.finish(holding)

    def _hold_on(self, holding: Holding) -> Steps:
        """Work is still going on for which this slice holds the amount."""
        first_sent_at = self._clock()
        try:
            yield self._extend(holding, 0)
        except CallFailed as error:
            if not error.is_final:
                raise
            holding.is_lost = True
            return
        ttl_seconds = self._options.ttl_seconds
        expires_at = first_sent_at + ttl_seconds - self._options.margin_seconds
        with self._lock:
            self._book.extend(holding.name, 0, expires_at, first_sent_at + ttl_seconds / 2)

    def _release(self, holding: Holding) -> Steps:
        try:
            yield Release(self._new_id(), holding.name)
        except CallFailed as error:
            if not error.is_final:
                raise
        holding.is_lost = True


def _batch(waiting: list[_Sealed]) -> list[_Sealed]:
    """The first of them, as many as one request carries."""
    size = 0
    for index, sealed in enumerate(waiting[:MAX_DRAWS]):
        size += _DRAW_BYTES + sum(len(key.encode()) + len(value.encode()) + 8 for key, value in sealed.draw.labels)
        if size > MAX_BATCH_BYTES:
            return waiting[: max(1, index)]
    return waiting[:MAX_DRAWS]
