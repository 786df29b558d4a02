"""Mail, handed in to a real relay on loopback."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

from delivery.senders import message, sending
from delivery.test_sending import now
from outlay_server.delivery import Mailer, MailRelay
from outlay_server.domain.webhook import WebhookFormat
from support.certificates import make_certificate

PAYLOAD = (
    '{"type":"cap.reached","timestamp":"2026-01-15T12:00:00Z","data":{"organization":"organizations/acme",'
    '"budget":"organizations/acme/budgets/spending","display_name":"Ausgaben \\u00e4","unit":"USD",'
    '"spent_micros":10000000,"spent":"10.00","limit_micros":10000000,"limit":"10.00"}}'
)


class Mailbox:
    """Takes mail, or answers as it is told."""

    def __init__(self) -> None:
        self.mail: list[EmailMessage] = []
        self.answer = "250 OK"

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802  # aiosmtpd's name
        if self.answer.startswith("250"):
            parsed = message_from_bytes(envelope.content, policy=policy.default)
            assert isinstance(parsed, EmailMessage)
            self.mail.append(parsed)
        return self.answer


@contextlib.asynccontextmanager
async def relay(mailbox: Mailbox, **options: Any) -> AsyncIterator[int]:
    """The port of a relay."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMTP(mailbox, loop=loop, **options), "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


def mail(**settings: Any) -> Any:
    return message(
        "mailto:oncall@example.com",
        event_type="cap.reached",
        payload=PAYLOAD,
        format=WebhookFormat.MAIL,
        stored_secrets=[],
        **settings,
    )


async def test_an_event_is_mailed_in_words() -> None:
    mailbox = Mailbox()
    async with relay(mailbox) as port:
        mailer = Mailer(MailRelay("127.0.0.1", port, "none", "outlay@example.org"))
        async with sending(mailer=mailer) as sender:
            attempts = [await sender.send(mail(), now()) for _ in range(2)]
    first, second = mailbox.mail
    assert [attempt.is_delivered for attempt in attempts] == [True, True]
    assert (first["To"], first["From"]) == ("oncall@example.com", "outlay@example.org")
    assert first["Subject"] == "Ausgaben ä of acme has reached its limit of 10.00 USD: 10.00 USD spent"
    assert "spent: 10.00\n" in first.get_content().replace("\r\n", "\n")
    assert first["Message-ID"] == second["Message-ID"] == f"<{mail().message_id}@example.org>"


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ("451 later", "the mail relay answered 451"),
        ("550 5.7.1 not for you, customer 7", "the mail relay answered 550"),
    ],
)
async def test_a_refusal_is_told_by_its_code_alone(answer: str, error: str) -> None:
    """Its text is the operator's relay speaking, and not for customers."""
    mailbox = Mailbox()
    mailbox.answer = answer
    async with relay(mailbox) as port:
        mailer = Mailer(MailRelay("127.0.0.1", port, "none", "outlay@example.org"))
        async with sending(mailer=mailer) as sender:
            attempt = await sender.send(mail(), now())
    assert (attempt.is_delivered, attempt.error) == (False, error)


async def test_a_relay_that_is_not_there_is_a_failure() -> None:
    async with relay(Mailbox()) as port:
        pass
    async with sending(mailer=Mailer(MailRelay("127.0.0.1", port, "none", "outlay@example.org"))) as sender:
        attempt = await sender.send(mail(), now())
    assert attempt.error == "the mail relay could not be reached"


async def test_a_relay_without_starttls_is_not_spoken_with() -> None:
    mailbox = Mailbox()
    async with relay(mailbox) as port:
        mailer = Mailer(MailRelay("127.0.0.1", port, "starttls", "outlay@example.org"))
        async with sending(mailer=mailer) as sender:
            attempt = await sender.send(mail(), now())
    assert (attempt.is_delivered, mailbox.mail) == (False, [])


async def test_the_password_is_sent_under_tls(tmp_path: Path) -> None:
    certificate, key = make_certificate(tmp_path, "relay")
    server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_context.load_cert_chain(certificate, key)
    seen: list[LoginPassword] = []

    def authenticate(*arguments: Any) -> AuthResult:
        seen.append(arguments[4])
        return AuthResult(success=True)

    mailbox = Mailbox()
    options = {"tls_context": server_context, "authenticator": authenticate, "auth_required": True}
    async with relay(mailbox, **options) as port:
        trust = ssl.create_default_context(cafile=certificate)
        settings = MailRelay("localhost", port, "starttls", "outlay@example.org", "outlay", "opens-it")
        async with sending(mailer=Mailer(settings, ssl_context=trust)) as sender:
            attempt = await sender.send(mail(), now())
    assert (attempt.error, len(mailbox.mail)) == ("", 1)
    assert [(one.login, one.password) for one in seen] == [(b"outlay", b"opens-it")]
