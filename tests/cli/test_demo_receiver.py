"""The receiver that the demo starts: it believes a signature and nothing else."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import httpx2
import pytest
from standardwebhooks.webhooks import Webhook

from outlay_cli.demo.receiver import Receiver

SECRET = "whsec_" + "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER = "whsec_" + "C2FVsBQIhrscChlQIMV+b5sSYspob7oD"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as running:
        running.trust(SECRET)
        yield running


def send(receiver: Receiver, message_id: str, *, secret: str = SECRET, age: timedelta = timedelta(0)) -> int:
    body = json.dumps(
        {"type": "alert.crossed", "data": {"organization": "organizations/acme", "thresholds_percent": [75]}}
    )
    sent = datetime.now(UTC) - age
    headers = {
        "webhook-id": message_id,
        "webhook-timestamp": str(int(sent.timestamp())),
        "webhook-signature": Webhook(secret).sign(message_id, sent, body),
    }
    return httpx2.post(receiver.url, content=body, headers=headers).status_code


def test_a_signed_message_is_taken_once(receiver: Receiver) -> None:
    assert [send(receiver, "one"), send(receiver, "one"), send(receiver, "two")] == [204, 204, 204]
    assert (list(receiver.verified), receiver.thresholds("acme"), receiver.thresholds("other")) == (
        ["one", "two"],
        {75},
        set(),
    )


def test_what_is_signed_by_somebody_else_or_long_ago_is_refused(receiver: Receiver) -> None:
    assert send(receiver, "forged", secret=OTHER) == 401
    assert send(receiver, "old", age=timedelta(hours=1)) == 401
    assert httpx2.post(receiver.url, content=b"{}").status_code == 401
    assert (receiver.verified, receiver.refused) == ({}, 3)


def test_without_a_secret_nothing_is_taken() -> None:
    with Receiver() as receiver:
        assert send(receiver, "one") == 401
