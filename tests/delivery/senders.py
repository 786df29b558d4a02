"""Senders for the tests: by default everything insecure is allowed, as `OUTLAY_WEBHOOK_ALLOW_INSECURE` does."""

import contextlib
import ssl
from collections.abc import AsyncIterator
from typing import Any

from outlay_server.delivery import Mailer, Message, Poster, Sender
from outlay_server.delivery.addresses import Resolve, SystemResolver
from outlay_server.domain.destination import DestinationRules
from outlay_server.domain.webhook import WebhookFormat
from outlay_server.store.sealing import PlainSealer, Sealer

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER_SECRET = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"

PAYLOAD = '{"type":"budget.updated","timestamp":"2026-01-15T12:00:00Z","data":{"unit":"USD"}}'


@contextlib.asynccontextmanager
async def sending(
    *,
    allow_insecure: bool = True,
    mail: bool = False,
    mailer: Mailer | None = None,
    resolve: Resolve | None = None,
    ssl_context: ssl.SSLContext | None = None,
    sealer: Sealer | None = None,
) -> AsyncIterator[Sender]:
    """A sender with connections of its own, closed with the block."""
    resolver = SystemResolver()
    poster = Poster(resolve or resolver, allow_private=allow_insecure, ssl_context=ssl_context)
    rules = DestinationRules(allow_insecure=allow_insecure, mail=mail or mailer is not None)
    try:
        yield Sender(rules, sealer or PlainSealer(), poster, mailer, user_agent="Outlay/test")
    finally:
        await poster.close()
        resolver.close()


def message(uri: str, **settings: Any) -> Message:
    """A message to a URI, signed with `SECRET`."""
    return Message(
        **{
            "message_id": "0190a0b0-0000-7000-8000-000000000001",
            "event_type": "budget.updated",
            "payload": PAYLOAD,
            "uri": uri,
            "format": WebhookFormat.STANDARD,
            "stored_secrets": [PlainSealer().seal(SECRET)],
            **settings,
        }
    )
