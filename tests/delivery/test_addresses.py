"""Nothing is sent to where it must not be: hostile names, hostile answers, and answers that change."""

from collections.abc import Sequence

import pytest

from delivery.receiver import receiving
from delivery.senders import message, sending
from delivery.test_sending import now

PRIVATE = [
    "127.0.0.1",
    "127.8.9.10",
    "0.0.0.0",
    "10.1.2.3",
    "100.64.0.1",
    "100.100.100.200",
    "168.63.129.16",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.192",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.1.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::8.8.8.8",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::ffff:0:127.0.0.1",
    "64:ff9b::127.0.0.1",
    "64:ff9b::10.0.0.1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::10.0.0.1",
    "100::1",
    "2001::1",
    "2001:0:4136:e378:8000:63bf:3fff:fdd2",
    "2001:10::1",
    "2001:db8::1",
    "2002:7f00:1::1",
    "2002:a00:1::1",
    "2002:808:808::1",
    "3fff::1",
    "5f00::1",
    "2606:4700::5efe:127.0.0.1",
    "2606:4700::200:5efe:10.0.0.1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "ff02::1",
    "no address at all",
]
PUBLIC = [
    "8.8.8.8",
    "100.63.255.255",
    "172.32.0.1",
    "192.0.1.1",
    "2606:4700::1111",
    "64:ff9b::8.8.8.8",
    "::ffff:8.8.8.8",
]


class Answers:
    """A resolver that says what it was told to, and counts how often it was asked."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self.answers = list(answers)
        self.asked = 0

    async def __call__(self, _host: str, _port: int) -> Sequence[str]:
        self.asked += 1
        return self.answers[min(self.asked, len(self.answers)) - 1]


@pytest.mark.parametrize("address", PRIVATE)
async def test_a_name_that_resolves_to_an_address_that_is_not_public_is_refused(address: str) -> None:
    async with sending(allow_insecure=False, resolve=Answers([address])) as sender:
        attempt = await sender.send(message("https://hooks.example.com/"), now(), 2)
    assert attempt.error == "the host has an address that is not public"


async def test_one_bad_address_among_good_ones_refuses_all() -> None:
    """Whoever answers so waits for the good ones to fail."""
    async with sending(allow_insecure=False, resolve=Answers(["8.8.8.8", "10.0.0.1"])) as sender:
        attempt = await sender.send(message("https://hooks.example.com/"), now(), 2)
    assert attempt.error == "the host has an address that is not public"


async def test_a_name_is_asked_for_once_and_the_checked_address_is_connected_to() -> None:
    """DNS rebinding: the second answer, which a client that resolves again would get, is never asked for."""
    async with receiving() as receiver:
        answers = Answers(["127.0.0.1"], ["10.255.255.1"])
        async with sending(resolve=answers) as sender:
            attempt = await sender.send(message(f"http://rebinding.example.com:{receiver.port}/"), now(), 5)
    assert (attempt.is_delivered, answers.asked) == (True, 1)
    assert receiver.received[0].headers["host"] == f"rebinding.example.com:{receiver.port}"


async def test_a_name_that_turns_private_is_refused_at_the_next_connection() -> None:
    """Each new connection judges the answer of its own moment."""
    answers = Answers(["2001:db8::1"], ["127.0.0.1"])
    async with sending(allow_insecure=False, resolve=answers) as sender:
        for _ in range(2):
            attempt = await sender.send(message("https://rebinding.example.com/"), now(), 2)
            assert attempt.error == "the host has an address that is not public"
    assert answers.asked == 2


async def test_the_next_address_is_tried_where_one_does_not_answer() -> None:
    async with receiving() as receiver, sending(resolve=Answers(["::1", "127.0.0.1"])) as sender:
        attempt = await sender.send(message(f"http://example.com:{receiver.port}/"), now(), 5)
    assert attempt.is_delivered


@pytest.mark.parametrize(
    "uri",
    [
        "https://127.0.0.1/",
        "https://127.1/",
        "https://0x7f000001/",
        "https://0x7f.1/",
        "https://2130706433/",
        "https://0177.0.0.1/",
        "https://[::1]/",
        "https://[::ffff:127.0.0.1]/",
        "https://[64:ff9b::127.0.0.1]/",
        "https://localhost/",
        "https://localhost./",
        "https://metadata/",
        "http://example.com/",
        "ftp://example.com/",
        "file:///etc/passwd",
        "gopher://example.com/",
        "https://user@example.com/",
        "https://user:password@example.com/",
        "https://example.com@127.0.0.1/",
        "https://example.com:22/",
        "https://example.com:25/",
        "https://example.com:0/",
        "https://example.com:99999/",
        "https://example.com\\@127.0.0.1/",
        "https://example.com/#@127.0.0.1",
        "https://ex ample.com/",
        "https://example.com/\r\nHost: other",
        "https://b\u00fccher.example/",
        "https://\uff11\uff12\uff17.0.0.1/",
        "https:///hooks",
        "https://",
        "//example.com/",
        "example.com",
        "",
        "https://example.com/" + "x" * 2_048,
    ],
)
async def test_a_hostile_uri_is_refused_before_anything_is_looked_up(uri: str) -> None:
    """Also where it came into the database before the rules were what they are now."""
    answers = Answers(["8.8.8.8"])
    async with sending(allow_insecure=False, resolve=answers) as sender:
        attempt = await sender.send(message(uri), now(), 2)
    assert attempt.error.startswith("the URI must ")
    assert answers.asked == 0


async def test_what_is_insecure_is_allowed_where_the_server_was_set_up_so() -> None:
    """The development switch: plain http to loopback, by name and by address."""
    async with receiving() as receiver, sending(allow_insecure=True) as sender:
        for host in ("127.0.0.1", "localhost"):
            assert (await sender.send(message(f"http://{host}:{receiver.port}/"), now())).is_delivered
