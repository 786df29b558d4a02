"""Mail, through a relay of the operator's."""

import asyncio
import logging
import ssl
from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import format_datetime
from typing import Final, Literal

import aiosmtplib

from outlay_server.domain.instant import Instant, to_datetime

logger = logging.getLogger(__name__)

TlsMode = Literal["starttls", "tls", "none"]

_REFUSED_LENGTH_MAX: Final = 200


@dataclass(frozen=True, slots=True)
class MailRelay:
    """Where mail is handed in."""

    host: str
    port: int
    tls: TlsMode
    """`starttls` is insisted on: a relay that does not offer it is not spoken with."""
    sender: str
    username: str | None = None
    password: str | None = None


class Mailer:
    """Hands mail in."""

    def __init__(self, relay: MailRelay, *, ssl_context: ssl.SSLContext | None = None) -> None:
        self._relay = relay
        self._ssl_context = ssl_context

    async def send(
        self, recipient: str, subject: str, text: str, message_id: str, now: Instant, timeout_seconds: float
    ) -> str | None:
        """Hand one mail in; None when the relay took it, else why not, for people."""
        relay = self._relay
        message = EmailMessage()
        message["From"] = relay.sender
        message["To"] = recipient
        message["Subject"] = subject
        message["Date"] = format_datetime(to_datetime(now))
        # The same at every attempt, so that a mail server drops a second copy.
        message["Message-ID"] = f"<{message_id}@{relay.sender.rpartition('@')[2].rstrip('>')}>"
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(text)
        try:
            async with asyncio.timeout(timeout_seconds):
                await aiosmtplib.send(
                    message,
                    hostname=relay.host,
                    port=relay.port,
                    username=relay.username,
                    password=relay.password,
                    use_tls=relay.tls == "tls",
                    start_tls=relay.tls == "starttls",
                    tls_context=self._ssl_context,
                    timeout=timeout_seconds,
                )
        except TimeoutError:
            return f"the mail relay did not answer within {timeout_seconds:g} s"
        except aiosmtplib.SMTPRecipientsRefused:
            return "the mail relay refused the address"
        except aiosmtplib.SMTPResponseException as error:
            # Its text may name users and hosts of the operator's; the code is enough for the recipient's side.
            logger.warning("the mail relay refused", extra={"smtp_code": error.code})
            return f"the mail relay answered {error.code}"[:_REFUSED_LENGTH_MAX]
        except (aiosmtplib.SMTPException, OSError) as error:
            logger.warning("the mail relay failed", extra={"error": type(error).__name__})
            return "the mail relay could not be reached"
        return None
