"""What can go wrong with a lease, for its user and between its parts."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from outlay_client.leases.operations import Draw


class LeaseClosed(Exception):
    """The lease was closed; it admits nothing any more, and what it had admitted was recorded as admitted."""


class SpendUndelivered(Exception):
    """The lease was closed, but the server did not acknowledge all of its spend in time.

    Write `draws` to a journal and send them again, each with its `request_id`, until they are acknowledged. What a
    reservation held stays held until it expires.
    """

    def __init__(self, draws: "Sequence[Draw]") -> None:
        super().__init__(f"{sum(draw.amount_micros for draw in draws)} micros in {len(draws)} records")
        self.draws = tuple(draws)


@dataclass(eq=False)
class CallFailed(Exception):
    """A call of a transport that did not answer OK, or one item of a batch."""

    code: str
    """A gRPC code, such as `UNAVAILABLE`."""

    reason: str = ""
    """The `ErrorInfo.reason`, such as `RESERVATION_CLOSED`; empty where the server did not say."""

    message: str = ""

    @property
    def is_final(self) -> bool:
        """Whether the same request can only fail again: it took no effect and never will.

        Of every other failure the effect may be unknown, and the same request_id finds out.
        """
        return self.code in ("FAILED_PRECONDITION", "INVALID_ARGUMENT", "NOT_FOUND")

    def __str__(self) -> str:
        return f"{self.code} {self.reason}: {self.message}"
