"""One attempt, over real sockets: what receivers are sent, and what becomes of every way in which they can fail."""

import asyncio
import json
import ssl
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path

import pytest

from delivery.receiver import receiving
from delivery.senders import OTHER_SECRET, PAYLOAD, SECRET, message, sending
from outlay_server.domain.instant import MICROS_PER_SECOND, Instant, from_datetime
from outlay_server.domain.webhook import WebhookFormat
from outlay_server.store.sealing import FernetSealer, PlainSealer
from support.certificates import make_certificate

SHORT_SECONDS = 0.4


def now() -> Instant:
    return from_datetime(datetime.now(UTC))


async def test_a_message_is_verified_by_the_standardwebhooks_package() -> None:
    """Its body is the payload byte for byte, and the id is the one that was given."""
    async with receiving() as receiver, sending() as sender:
        attempt = await sender.send(message(receiver.url()), now())
    (received,) = receiver.received
    assert (attempt.is_delivered, attempt.http_status, attempt.error) == (True, 200, "")
    assert (received.body.decode(), received.message_id) == (PAYLOAD, message("").message_id)
    assert received.verified(SECRET) == json.loads(PAYLOAD)
    assert (received.headers["content-type"], received.headers["user-agent"]) == ("application/json", "Outlay/test")


async def test_a_message_is_not_verified_by_another_secret() -> None:
    async with receiving() as receiver, sending() as sender:
        await sender.send(message(receiver.url()), now())
    assert not receiver.received[0].is_genuine(OTHER_SECRET)


async def test_two_live_secrets_both_sign() -> None:
    """A receiver that knows either of them accepts the message."""
    stored = [PlainSealer().seal(secret) for secret in (OTHER_SECRET, SECRET)]
    async with receiving() as receiver, sending() as sender:
        await sender.send(message(receiver.url(), stored_secrets=stored), now())
    (received,) = receiver.received
    assert [received.is_genuine(secret) for secret in (SECRET, OTHER_SECRET)] == [True, True]


async def test_a_sealed_secret_signs() -> None:
    sealer = FernetSealer(["MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="])
    async with receiving() as receiver, sending(sealer=sealer) as sender:
        await sender.send(message(receiver.url(), stored_secrets=[sealer.seal(SECRET)]), now())
    assert receiver.received[0].is_genuine(SECRET)


async def test_a_secret_that_cannot_be_opened_sends_nothing() -> None:
    async with receiving() as receiver, sending() as sender:
        attempt = await sender.send(message(receiver.url(), stored_secrets=["fernet:gAAAA"]), now())
    assert (receiver.received, attempt.error) == ([], "the server cannot open the secret")


async def test_slack_gets_its_own_message_unsigned() -> None:
    data = {
        "organization": "organizations/acme",
        "budget": "organizations/acme/budgets/spending",
        "display_name": "<!channel> & co",
        "unit": "USD",
        "basis": "BUDGET",
        "basis_amount": "100.00",
        "spent": "93.12",
        "thresholds_percent": [75, 90],
    }
    payload = json.dumps({"type": "alert.crossed", "timestamp": "2026-01-15T12:00:00Z", "data": data})
    async with receiving() as receiver, sending() as sender:
        settings = {"event_type": "alert.crossed", "payload": payload, "format": WebhookFormat.SLACK}
        await sender.send(message(receiver.url(), stored_secrets=[], **settings), now())
    (received,) = receiver.received
    assert json.loads(received.body) == {
        "text": "*&lt;!channel&gt; &amp; co of acme has reached 90 % of its budget of 100.00: 93.12 USD spent*\n"
        "organizations/acme · alert.crossed · 2026-01-15T12:00:00Z"
    }
    assert "webhook-signature" not in received.headers


@pytest.mark.parametrize(
    ("behaviour", "status", "error"),
    [
        ("500", 500, "it answered 500"),
        ("404", 404, "it answered 404"),
        ("410", 410, "it answered 410"),
        ("301 Location: /other", 301, "it answered 301, and redirects are not followed"),
        ("307 Location: http://169.254.169.254/", 307, "it answered 307, and redirects are not followed"),
        ("hang", None, "no answer within 0.4 s"),
        ("reset", None, "the connection broke, or what came was no HTTP"),
        ("cut", None, "the connection broke, or what came was no HTTP"),
        ("garbage", None, "the connection broke, or what came was no HTTP"),
        ("slow 500", 500, "it answered 500"),
    ],
)
async def test_every_failure_is_told_in_words(behaviour: str, status: int | None, error: str) -> None:
    """A redirect is not followed: one request is all that is ever made."""
    async with receiving(lambda *_: behaviour) as receiver, sending() as sender:
        attempt = await sender.send(message(receiver.url()), now(), SHORT_SECONDS if behaviour == "hang" else 5)
    assert (attempt.is_delivered, attempt.http_status, attempt.error) == (False, status, error)
    assert len(receiver.received) == 1


@pytest.mark.parametrize("behaviour", ["200", "204", "299", "slow body", "huge"])
async def test_any_2xx_is_a_delivery_whatever_its_body(behaviour: str) -> None:
    """The status says it; a body that trickles or floods costs a second at most and no memory."""
    async with receiving(lambda *_: behaviour) as receiver, sending() as sender:
        attempt = await sender.send(message(receiver.url()), now())
    assert attempt.is_delivered


async def test_a_status_that_came_in_time_stands_whatever_time_its_body_takes() -> None:
    """Or a message that was taken would be sent again."""
    async with receiving(lambda *_: "slow body") as receiver, sending() as sender:
        attempt = await sender.send(message(receiver.url()), now(), SHORT_SECONDS)
    assert attempt.is_delivered


async def test_a_receiver_that_is_not_there_is_a_failure() -> None:
    async with receiving() as receiver:
        url = receiver.url()
    async with sending() as sender:
        attempt = await sender.send(message(url), now())
    assert (attempt.is_delivered, attempt.error) == (False, "it could not be connected to")


async def test_a_host_that_is_not_there_is_a_failure() -> None:
    async with sending() as sender:
        attempt = await sender.send(message("http://nowhere.invalid/hooks"), now())
    assert attempt.error == "the host was not found"


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("429 Retry-After: 7", 7),
        ("503 Retry-After: 7", 7),
        ("429 Retry-After: 999999", 3_600),
        ("500 Retry-After: 7", 0),
        ("429 Retry-After: soon", 0),
        ("429 Retry-After: -7", 0),
        ("429 Retry-After: \u0667", 0),
        ("429", 0),
    ],
)
async def test_a_pause_that_was_asked_for_is_kept_within_bounds(header: str, seconds: int) -> None:
    async with receiving(lambda *_: header.encode().decode("latin-1")) as receiver, sending() as sender:
        attempt = await sender.send(message(receiver.url()), now())
    assert attempt.wait_seconds == seconds


async def test_a_pause_may_be_a_date() -> None:
    then = datetime.now(UTC).replace(microsecond=0)
    script = f"503 Retry-After: {format_datetime(then, usegmt=True)}"
    async with receiving(lambda *_: script) as receiver, sending() as sender:
        attempt = await sender.send(message(receiver.url()), Instant(from_datetime(then) - 90 * MICROS_PER_SECOND))
    assert attempt.wait_seconds == 90


async def test_the_environments_proxies_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    async with receiving() as receiver, receiving() as proxy, sending() as sender:
        for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url(""))
        await sender.send(message(receiver.url()), now())
    assert (len(receiver.received), proxy.received) == (1, [])


async def test_connections_are_used_again() -> None:
    async with receiving() as receiver, sending() as sender:
        for _ in range(3):
            await sender.send(message(receiver.url()), now())
    assert (len(receiver.received), receiver.open_most) == (3, 1)


# TLS


def contexts(folder: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Of a receiver whose certificate is for `localhost`, and of a sender that trusts it."""
    certificate, key = make_certificate(folder, "receiver")
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate, key)
    return server, ssl.create_default_context(cafile=certificate)


async def here(_host: str, _port: int) -> list[str]:
    return ["127.0.0.1"]


async def test_tls_asks_for_the_name_and_not_for_the_address_that_was_checked(tmp_path: Path) -> None:
    """SNI and the certificate's check use the host of the URL, whose address was looked up and judged beforehand."""
    server_context, client_context = contexts(tmp_path)
    names: list[str | None] = []
    server_context.sni_callback = lambda _socket, name, _context: names.append(name)
    async with (
        receiving(ssl_context=server_context) as receiver,
        sending(resolve=here, ssl_context=client_context) as sender,
    ):
        attempt = await sender.send(message(f"https://localhost:{receiver.port}/hooks"), now())
    assert (attempt.error, attempt.is_delivered, names) == ("", True, ["localhost"])


async def test_a_certificate_for_another_name_is_refused(tmp_path: Path) -> None:
    server_context, client_context = contexts(tmp_path)
    async with (
        receiving(ssl_context=server_context) as receiver,
        sending(resolve=here, ssl_context=client_context) as sender,
    ):
        attempt = await sender.send(message(f"https://example.com:{receiver.port}/hooks"), now())
    assert attempt.error.startswith("the certificate was refused: Hostname mismatch")
    assert receiver.received == []


async def test_a_certificate_that_nobody_signed_is_refused(tmp_path: Path) -> None:
    server_context, _ = contexts(tmp_path)
    async with receiving(ssl_context=server_context) as receiver, sending(resolve=here) as sender:
        attempt = await sender.send(message(f"https://localhost:{receiver.port}/hooks"), now())
    assert attempt.error.startswith("the certificate was refused: self-signed certificate")
    assert receiver.received == []


async def test_plain_http_behind_an_https_url_is_a_failure() -> None:
    async def answer(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, sending(resolve=here) as sender:
        attempt = await sender.send(message(f"https://localhost:{port}/hooks"), now())
    assert (attempt.is_delivered, attempt.error) == (False, "there is no TLS to speak with it")


@pytest.mark.parametrize("behaviour", ["500", "reset", "hang", "301 Location: /"])
async def test_an_error_repeats_nothing_of_the_url_and_no_secret(behaviour: str) -> None:
    """The path may be what opens the receiver, as Slack's is."""
    async with receiving(lambda *_: behaviour) as receiver, sending() as sender:
        attempt = await sender.send(message(receiver.url("/services/T0/B0/opens-it")), now(), SHORT_SECONDS)
    assert "opens" not in attempt.error
    assert "whsec" not in attempt.error
