"""One attempt: the message in its format, signed, to where it belongs."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from standardwebhooks import Webhook

from outlay_server.delivery.mail import Mailer
from outlay_server.delivery.posting import Answer, Poster
from outlay_server.delivery.wording import slack_body, subject_of, text_of
from outlay_server.domain.destination import DestinationRules, mail_recipient, uri_violation
from outlay_server.domain.instant import MICROS_PER_SECOND, Instant, to_datetime
from outlay_server.domain.webhook import WebhookFormat
from outlay_server.store.sealing import CannotOpen, Sealer

logger = logging.getLogger(__name__)

ATTEMPT_SECONDS: Final = 15.0
"""What Standard Webhooks asks of senders at least: from looking up the name to the status."""

RETRY_AFTER_MAX_SECONDS: Final = 3_600
"""A receiver may ask for a pause, and not for the rest of the message's life."""

_GONE: Final = 410
_SUCCESS: Final = range(200, 300)
_REDIRECTS: Final = range(300, 400)


@dataclass(frozen=True, slots=True)
class Message:
    """What is to be sent, and where to."""

    message_id: str
    event_type: str
    payload: str
    uri: str
    format: WebhookFormat
    stored_secrets: Sequence[str]
    """As they are stored; each of them signs."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """What came of it."""

    is_delivered: bool
    http_status: int | None
    error: str
    wait_seconds: float = 0
    """What the receiver asked for, within bounds."""

    @property
    def is_gone(self) -> bool:
        """The receiver wants nothing any more."""
        return self.http_status == _GONE


class Sender:
    """Makes attempts."""

    def __init__(
        self, rules: DestinationRules, sealer: Sealer, poster: Poster, mailer: Mailer | None, *, user_agent: str
    ) -> None:
        self._rules = rules
        self._sealer = sealer
        self._poster = poster
        self._mailer = mailer
        self._user_agent = user_agent

    async def send(self, message: Message, now: Instant, timeout_seconds: float = ATTEMPT_SECONDS) -> Attempt:
        """Make one attempt. Never raises but for cancellation."""
        try:
            refused = uri_violation(message.uri, message.format, self._rules)
            if refused is not None:
                return Attempt(False, None, f"the URI {refused}")
            match message.format:
                case WebhookFormat.MAIL:
                    return await self._mail(message, now, timeout_seconds)
                case WebhookFormat.SLACK:
                    body, headers = slack_body(message.event_type, message.payload), self._headers()
                case WebhookFormat.STANDARD:
                    body = message.payload.encode()
                    headers = self._headers() | self._signed(message, now)
            return _attempt_of(await self._poster.post(message.uri, headers, body, now, timeout_seconds))
        except CannotOpen:
            logger.error("a webhook's secret was sealed with a key that this server was not given")
            return Attempt(False, None, "the server cannot open the secret")
        except Exception:
            logger.exception("an attempt to deliver failed by a defect", extra={"message_id": message.message_id})
            return Attempt(False, None, "the server failed")

    async def _mail(self, message: Message, now: Instant, timeout_seconds: float) -> Attempt:
        assert self._mailer is not None, "the rules refuse mail where there is no relay"
        error = await self._mailer.send(
            mail_recipient(message.uri),
            subject_of(message.event_type, message.payload),
            text_of(message.event_type, message.payload),
            message.message_id,
            now,
            timeout_seconds,
        )
        return Attempt(error is None, None, error or "")

    def _headers(self) -> dict[str, str]:
        return {"content-type": "application/json", "user-agent": self._user_agent}

    def _signed(self, message: Message, now: Instant) -> dict[str, str]:
        seconds = now // MICROS_PER_SECOND
        at = to_datetime(Instant(seconds * MICROS_PER_SECOND))
        signatures = [
            Webhook(self._sealer.open(stored)).sign(message.message_id, at, message.payload)
            for stored in message.stored_secrets
        ]
        return {
            "webhook-id": message.message_id,
            "webhook-timestamp": str(seconds),
            "webhook-signature": " ".join(signatures),
        }


def _attempt_of(answer: Answer) -> Attempt:
    status = answer.http_status
    if status is None:
        return Attempt(False, None, answer.error)
    if status in _SUCCESS:
        return Attempt(True, status, "")
    wait = min(answer.retry_after_seconds, RETRY_AFTER_MAX_SECONDS)
    more = ", and redirects are not followed" if status in _REDIRECTS else ""
    return Attempt(False, status, f"it answered {status}{more}", wait)
