"""One piece of metered work: what was admitted for it, and what becomes of that when the work ends."""

from collections.abc import Callable
from contextvars import ContextVar
from enum import Enum
from typing import Final

from outlay_client.leases import Admission
from outlay_client.requests import new_request_id, whole_micros
from outlay_client.results import CheckResult

AMBIGUOUS: Final[tuple[type[Exception], ...]] = (TimeoutError,)
"""Errors after which the work may have cost something: what is held stays held, and its expiry decides."""

_current: ContextVar["Spend | None"] = ContextVar("outlay_spend", default=None)


class Ending(Enum):
    """What is done with a reservation."""

    RECORD = "record"
    RELEASE = "release"
    KEEP = "keep"


class Spend:
    """Work that was admitted and runs."""

    def __init__(self, check: CheckResult, admission: Admission | None = None) -> None:
        self.check = check
        self.admission = admission
        """Where a lease admitted it, because the service could not be reached."""
        self.request_id = new_request_id()
        """Of the record that settles it."""
        self._recorded_micros: int | None = None
        self._kept = False
        self._failed = False

    @property
    def granted_micros(self) -> int:
        return self.check.granted_micros

    def record(self, amount_micros: int) -> None:
        """Say what the work cost, in micros: 0 is nothing, and more than was granted is recorded in full.

        It is sent when the work ends, also where it ends in an error. Said twice, the last counts.
        """
        if whole_micros(amount_micros) < 0:
            raise ValueError(f"an amount is not below 0: {amount_micros}")
        self._recorded_micros = amount_micros

    def keep(self) -> None:
        """Leave what is held to its expiry, because nobody knows whether the work cost anything."""
        self._kept = True

    def cost_nothing_unless_recorded(self) -> None:
        """Note that the work failed, where it says so otherwise than by an error."""
        self._failed = True

    def ending(self, error: BaseException | None, ambiguous: tuple[type[BaseException], ...]) -> tuple[Ending, int]:
        """What becomes of the reservation, and the amount to record.

        What was recorded counts, however the work ended. Else work that ended well cost what was granted, work that
        failed cost nothing, and of work that was interrupted (cancelled, a signal, a timeout) nobody knows.
        """
        if self._recorded_micros is not None:
            return (Ending.RECORD, self._recorded_micros) if self._recorded_micros else (Ending.RELEASE, 0)
        if self._kept or isinstance(error, ambiguous):
            return Ending.KEEP, 0
        if error is None:
            costs = self.granted_micros > 0 and not self._failed
            return (Ending.RECORD, self.granted_micros) if costs else (Ending.RELEASE, 0)
        return (Ending.RELEASE if isinstance(error, Exception) else Ending.KEEP), 0


def current_spend() -> Spend | None:
    """The metered work that runs here: inside `spend`, `metered`, the middleware and the interceptors."""
    return _current.get()


def entered(spend: Spend) -> Callable[[], None]:
    """Make `spend` the current one. The answer undoes that."""
    outer = _current.get()
    _current.set(spend)

    def leave() -> None:
        # Not by a token: a generator may be closed in another context than it began in, where a token is refused.
        _current.set(outer)

    return leave
