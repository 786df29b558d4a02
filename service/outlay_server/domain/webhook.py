"""Webhook endpoints and the deliveries to them: what they are, what may be set, and when an attempt is repeated."""

import base64
import binascii
import enum
import re
from collections.abc import Iterable
from dataclasses import dataclass, fields
from typing import Final

from outlay_server.domain.errors import echo
from outlay_server.domain.event import EventType
from outlay_server.domain.instant import MICROS_PER_SECOND, Instant
from outlay_server.domain.limits import WEBHOOK_SECRET_MAX_BYTES, WEBHOOK_SECRET_MIN_BYTES

SECRET_PREFIX: Final = "whsec_"  # noqa: S105  # no secret: how secrets begin

_BASE64: Final = re.compile(r"[A-Za-z0-9+/]+={0,2}", re.ASCII)


class WebhookFormat(enum.Enum):
    """How a message is written."""

    STANDARD = "STANDARD"
    """JSON, signed as Standard Webhooks has it."""
    SLACK = "SLACK"
    MAIL = "MAIL"


class DisableReason(enum.Enum):
    """Why an endpoint is disabled."""

    REQUESTED = "REQUESTED"
    GONE = "GONE"
    """It answered 410."""
    FAILING = "FAILING"
    """Nothing reached it for `ENDPOINT_FAILING_MAX_SECONDS`."""


class DeliveryState(enum.Enum):
    """Where a delivery stands."""

    WAITING = "WAITING"
    DELIVERED = "DELIVERED"
    DEAD = "DEAD"


@dataclass(frozen=True, slots=True)
class EndpointSettings:
    """All that a caller may set, but for the secret, which is never read back."""

    display_name: str = ""
    uri: str = ""
    format: WebhookFormat = WebhookFormat.STANDARD
    event_types: tuple[str, ...] = ()
    """Sorted; an empty one is all of them."""
    disabled: bool = False
    managed_by: str = ""


ENDPOINT_PATHS = frozenset(field.name for field in fields(EndpointSettings)) | {"secret"}
"""Every path that an endpoint's update mask may name."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A webhook endpoint without anything that opens."""

    key: int
    """The row's key in the store; never shown."""
    organization_id: str
    endpoint_id: str
    display_name: str
    uri: str
    format: WebhookFormat
    event_types: tuple[str, ...]
    disabled: bool
    disable_reason: DisableReason | None
    managed_by: str
    failing_since: Instant | None
    previous_secret_expire_time: Instant | None
    revision: int
    create_time: Instant
    update_time: Instant


@dataclass(frozen=True, slots=True)
class Delivery:
    """One event on its way to one endpoint."""

    organization_id: str
    endpoint_id: str
    event_id: str
    event_type: str
    payload: str
    state: DeliveryState
    attempts: int
    due_time: Instant
    is_being_tried: bool
    last_attempt_time: Instant | None
    last_http_status: int | None
    last_error: str
    create_time: Instant
    complete_time: Instant | None


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """When a failed attempt is repeated."""

    delays_seconds: tuple[float, ...]
    """After the first failure, the second, and so on; the last one again and again."""
    give_up_seconds: int
    """After the event; the last attempt is made then."""

    def next_attempt(
        self, attempts: int, now: Instant, deadline: Instant, chance: float, wait_seconds: float = 0
    ) -> Instant | None:
        """When the attempt after `attempts` failed ones is due; None where there is none.

        `chance`, 0 to 1, spreads it over the upper half of its delay: receivers that failed together are not all tried
        again together. `wait_seconds` is what the receiver asked for, and is never cut short but by the deadline.
        """
        if now >= deadline:
            return None
        delay = self.delays_seconds[min(attempts, len(self.delays_seconds)) - 1]
        seconds = max(delay * (1 + chance) / 2, wait_seconds)
        return Instant(min(now + int(seconds * MICROS_PER_SECOND), deadline))


THREE_DAYS: Final = RetryPolicy(
    delays_seconds=(5, 30, 120, 600, 1_800, 3_600, 7_200, 14_400, 28_800), give_up_seconds=3 * 86_400
)
"""Seconds while a receiver restarts, hours while somebody mends it; eighteen attempts or so in all."""


def wants(event_types: Iterable[str], event_type: str) -> bool:
    """Whether an endpoint that asks for these hears of an event of this type."""
    wanted = tuple(event_types)
    return not wanted or event_type in wanted


def event_type_violation(text: str) -> str | None:
    """What is wrong with an event type that was asked for, or None."""
    known = [kind.value for kind in EventType]
    return None if text in known else f"{echo(text)} is no type of event; there are {', '.join(known)}"


def secret_violation(secret: str) -> str | None:
    """What is wrong with a signing secret that a caller chose, or None. Never repeats any of it."""
    key = _key_of(secret)
    if key is not None and WEBHOOK_SECRET_MIN_BYTES <= len(key) <= WEBHOOK_SECRET_MAX_BYTES:
        return None
    return f"must be {SECRET_PREFIX} and base64 of {WEBHOOK_SECRET_MIN_BYTES} to {WEBHOOK_SECRET_MAX_BYTES} bytes"


def secret_of(random_bytes: bytes) -> str:
    """The secret made of bytes that the caller took from a cryptographic source."""
    assert WEBHOOK_SECRET_MIN_BYTES <= len(random_bytes) <= WEBHOOK_SECRET_MAX_BYTES, "a secret that is valid"
    return SECRET_PREFIX + base64.b64encode(random_bytes).decode("ascii")


def _key_of(secret: str) -> bytes | None:
    text = secret.removeprefix(SECRET_PREFIX)
    if text == secret or len(text) > 2 * WEBHOOK_SECRET_MAX_BYTES or not _BASE64.fullmatch(text):
        return None
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        return None
