"""A lease for threads and one for asyncio: the same book and the same keeper, driven in two ways."""

import asyncio
import os
import threading
import uuid
import weakref
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self

from outlay_client.leases.book import Admission, Book
from outlay_client.leases.clock import Clock, boot_clock
from outlay_client.leases.errors import CallFailed, SpendUndelivered
from outlay_client.leases.keeper import Keeper, Steps
from outlay_client.leases.operations import (
    AsyncLeaseTransport,
    DrawBatch,
    Extend,
    Grant,
    LeaseTransport,
    Release,
    Reserve,
)
from outlay_client.leases.options import LeaseOptions

CLOSE_TIMEOUT_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class LeaseState:
    """A lease at one moment, for people and metrics."""

    left_micros: int
    """What can be admitted now; below 0 after an overrun."""

    unreported_micros: int
    """Admitted, and not acknowledged by the server."""

    held_micros: int
    """Both, over all slices: what the server holds as far as the lease knows."""

    last_denial: Grant | None
    """Why the server grants no more; None: it did when last asked."""

    last_error: CallFailed | None
    """Of the last call; None: it was answered."""


def _new_id() -> str:
    return f"lease-{uuid.uuid4()}"


def _state(book: Book, keeper: Keeper) -> LeaseState:
    unreported_micros = sum(one.unreported_micros for one in book.holdings())
    left_micros = sum(one.left_micros for one in book.holdings())
    return LeaseState(
        book.current.left_micros,
        unreported_micros,
        max(0, unreported_micros + left_micros),
        keeper.last_denial,
        keeper.last_error,
    )


class ThreadLease:
    """Admits spend from a slice of the budget, from any thread. Use it as a context manager, or `start` and `close`.

    A thread of its own reserves, extends, reports and gives back. A child that is forked meanwhile admits nothing: the
    slice is its parent's.
    """

    def __init__(self, transport: LeaseTransport, options: LeaseOptions, *, clock: Clock | None = None) -> None:
        clock = clock or boot_clock()
        self.options = options
        self._transport = transport
        self._lock = threading.Lock()
        self._woken = threading.Event()
        self._stopping = threading.Event()
        self._granted = threading.Event()
        self._book = Book(options, clock, self._woken.set)
        self._keeper = Keeper(self._book, options, clock=clock, lock=self._lock, new_id=_new_id)
        self._thread = threading.Thread(target=self._keep, name="outlay-lease", daemon=True)
        _living.add(self)

    # --- admitting ----------------------------------------------------------------------------------------------------

    def admit(self, amount_micros: int, labels: Mapping[str, str] | None = None) -> bool:
        """Whether the amount may be spent; if so, it counts as spent and will be recorded. Never waits for the network.

        `labels` are added to the lease's in the record; they choose no budget that the lease's do not. False: the slice
        does not have it, so the work must not be done; more is being asked for. Raises ValueError for an impossible
        amount or label, LeaseClosed after `close`.
        """
        with self._lock:
            return self._book.admit(amount_micros, labels)

    def hold(self, amount_micros: int, labels: Mapping[str, str] | None = None) -> "Admission | None":
        """The same for work whose cost is known afterwards: admit the most it can be, then `settle` or `cancel` it."""
        with self._lock:
            admission = self._book.hold(amount_micros, labels)
        return None if admission is None else LockedAdmission(admission, self._lock)

    @property
    def state(self) -> LeaseState:
        with self._lock:
            return _state(self._book, self._keeper)

    # --- its life -----------------------------------------------------------------------------------------------------

    def start(self) -> Self:
        """Ask for the first slice, once, and begin to keep it supplied. Nothing is raised where there is none yet."""
        self._run(self._keeper.round())
        self._thread.start()
        return self

    def close(self, timeout_seconds: float = CLOSE_TIMEOUT_SECONDS) -> None:
        """Admit nothing more, report everything, give back the rest. What is in flight counts as it was admitted.

        Raises SpendUndelivered where the server did not acknowledge all of it in time. Calls that are under way then
        are waited for.
        """
        with self._lock:
            self._book.close()
        self._stopping.set()
        self._woken.set()
        if self._thread.is_alive():
            self._thread.join()
        stopwatch = boot_clock()
        ends_at = stopwatch() + timeout_seconds
        self._run(self._keeper.closing_round())
        while not self._keeper.is_finished and stopwatch() < ends_at:
            threading.Event().wait(min(self._keeper.pause_seconds, max(0.0, ends_at - stopwatch())))
            self._run(self._keeper.closing_round())
        if undelivered := self._keeper.undelivered:
            raise SpendUndelivered(undelivered)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # --- inside -------------------------------------------------------------------------------------------------------

    def _keep(self) -> None:
        while not self._stopping.is_set():
            pause_seconds = self._keeper.pause_seconds
            if self._keeper.may_be_woken:
                self._woken.wait(pause_seconds)
            else:
                self._stopping.wait(pause_seconds)
            self._woken.clear()
            if not self._stopping.is_set():
                self._run(self._keeper.round())

    def _run(self, steps: Steps) -> None:
        step: Any = None
        answer: Any = None
        try:
            step = next(steps)
            while True:
                try:
                    answer = self._perform(step)
                except CallFailed as error:
                    step = steps.throw(error)
                else:
                    step = steps.send(answer)
        except StopIteration:
            return

    def _perform(self, step: object) -> Any:
        match step:
            case Reserve():
                return self._transport.reserve(step)
            case Extend():
                return self._transport.extend(step)
            case DrawBatch():
                return self._transport.draw(step.draws)
            case Release():
                return self._transport.release(step)
        raise AssertionError(step)

    def _forget(self) -> None:
        """In a fork's child: another thread of the parent may have held the lock."""
        self._lock = threading.Lock()
        self._book.forget()


class LockedAdmission(Admission):
    """An admission that any thread may settle."""

    __slots__ = ("_inner", "_lock")

    def __init__(self, inner: Admission, lock: threading.Lock) -> None:
        self._inner = inner
        self._lock = lock
        self.amount_micros = inner.amount_micros

    def settle(self, actual_micros: int) -> None:
        """See `Admission.settle`."""
        with self._lock:
            self._inner.settle(actual_micros)


class AsyncLease:
    """The same for one event loop, without a lock. Use it as an async context manager, or `start` and `close`."""

    def __init__(self, transport: AsyncLeaseTransport, options: LeaseOptions, *, clock: Clock | None = None) -> None:
        clock = clock or boot_clock()
        self.options = options
        self._transport = transport
        self._woken = asyncio.Event()
        self._stopping = asyncio.Event()
        self._book = Book(options, clock, self._woken.set)
        self._keeper = Keeper(self._book, options, clock=clock, lock=nullcontext(), new_id=_new_id)
        self._task: asyncio.Task[None] | None = None
        _living.add(self)

    def admit(self, amount_micros: int, labels: Mapping[str, str] | None = None) -> bool:
        """See `ThreadLease.admit`."""
        return self._book.admit(amount_micros, labels)

    def hold(self, amount_micros: int, labels: Mapping[str, str] | None = None) -> Admission | None:
        """See `ThreadLease.hold`."""
        return self._book.hold(amount_micros, labels)

    @property
    def state(self) -> LeaseState:
        return _state(self._book, self._keeper)

    async def start(self) -> Self:
        """See `ThreadLease.start`."""
        await self._run(self._keeper.round())
        self._task = asyncio.create_task(self._keep(), name="outlay-lease")
        return self

    async def close(self, timeout_seconds: float = CLOSE_TIMEOUT_SECONDS) -> None:
        """See `ThreadLease.close`."""
        self._book.close()
        self._stopping.set()
        self._woken.set()
        if self._task is not None:
            await self._task
        stopwatch = boot_clock()
        ends_at = stopwatch() + timeout_seconds
        await self._run(self._keeper.closing_round())
        while not self._keeper.is_finished and stopwatch() < ends_at:
            await asyncio.sleep(min(self._keeper.pause_seconds, max(0.0, ends_at - stopwatch())))
            await self._run(self._keeper.closing_round())
        if undelivered := self._keeper.undelivered:
            raise SpendUndelivered(undelivered)

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _keep(self) -> None:
        while not self._stopping.is_set():
            awaited = self._woken if self._keeper.may_be_woken else self._stopping
            try:
                async with asyncio.timeout(self._keeper.pause_seconds):
                    await awaited.wait()
            except TimeoutError:
                pass
            self._woken.clear()
            if not self._stopping.is_set():
                await self._run(self._keeper.round())

    async def _run(self, steps: Steps) -> None:
        step: Any = None
        answer: Any = None
        try:
            step = next(steps)
            while True:
                try:
                    answer = await self._perform(step)
                except CallFailed as error:
                    step = steps.throw(error)
                else:
                    step = steps.send(answer)
        except StopIteration:
            return

    async def _perform(self, step: object) -> Any:
        match step:
            case Reserve():
                return await self._transport.reserve(step)
            case Extend():
                return await self._transport.extend(step)
            case DrawBatch():
                return await self._transport.draw(step.draws)
            case Release():
                return await self._transport.release(step)
        raise AssertionError(step)

    def _forget(self) -> None:
        self._book.forget()


_living: "weakref.WeakSet[ThreadLease | AsyncLease]" = weakref.WeakSet()


def _forget_all() -> None:
    for lease in list(_living):
        lease._forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_all)
