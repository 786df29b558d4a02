"""`outlay webhooks` against a service, with a receiver on loopback."""

import asyncio
import threading
import time
from collections.abc import Iterator

import pytest

from delivery.receiver import Receiver, receiving
from support.command_line import Cli, Ran
from support.server import ServerProcess


@pytest.fixture(scope="session")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """One that may send to loopback."""
    folder = tmp_path_factory.mktemp("webhooks")
    with ServerProcess(folder, environment={"OUTLAY_WEBHOOK_ALLOW_INSECURE": "true"}) as process:
        yield process


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """One that answers 200, in a thread of its own."""
    started, stop = threading.Event(), asyncio.Event()
    made: list[Receiver] = []
    loop = asyncio.new_event_loop()

    async def serve() -> None:
        async with receiving() as one:
            made.append(one)
            started.set()
            await stop.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    started.wait()
    yield made[0]
    loop.call_soon_threadsafe(stop.set)
    thread.join()
    loop.close()


def until(run: Ran, cli: Cli, *arguments: str, state: str) -> Ran:
    """The list of deliveries, once its newest is in a state."""
    deadline = time.monotonic() + 30
    while not (found := run.json["deliveries"]) or found[0]["state"] != f"DELIVERY_STATE_{state}":
        assert time.monotonic() < deadline, run.out
        time.sleep(0.2)
        run = cli(*arguments).ok()
    return run


def test_an_endpoint_is_made_tested_told_and_deleted(cli: Cli, organization: str, receiver: Receiver) -> None:
    of = ("--org", organization)
    made = cli("webhooks", "create", "oncall", receiver.url(), *of, "--event", "budget.updated").ok().details
    secret = made["secret"]
    assert (made["events"], made["state"]) == ("budget.updated", "enabled")
    assert secret not in cli("webhooks", "list", *of).ok().out

    assert cli("webhooks", "test", "oncall", *of).ok().out == "Delivered.\n"
    cli("budgets", "set", "spending", *of, "--budget", "5").ok()
    listing = ("webhooks", "deliveries", "oncall", *of, "--output", "json")
    delivery = until(cli(*listing).ok(), cli, *listing, state="DELIVERED").json["deliveries"][0]
    assert [one.verified(secret)["type"] for one in receiver.received] == ["webhook.test", "budget.updated"]

    cli("webhooks", "replay", "oncall", delivery["name"].rpartition("/")[2], *of).ok()
    until(cli(*listing).ok(), cli, *listing, state="DELIVERED")
    cli("webhooks", "delete", "oncall", *of, "--yes").ok()
    assert cli("webhooks", "list", *of, "--output", "json").ok().json["webhook_endpoints"] == []


def test_a_rotated_secret_is_shown_once(cli: Cli, organization: str, receiver: Receiver) -> None:
    of = ("--org", organization)
    first = cli("webhooks", "create", "oncall", receiver.url(), *of).ok().details["secret"]
    rotate = ("webhooks", "rotate", "oncall", *of, "--overlap", "1h", "--request-id", "once")
    rotated, again = cli(*rotate).ok(), cli(*rotate)
    assert rotated.details["secret"] not in ("", first)
    assert rotated.details["old secret signs until"]
    assert "secret" not in again.details
    assert "not shown again" in again.err


def test_a_disabled_endpoint_is_shown_as_such_and_enabled_again(
    cli: Cli, organization: str, receiver: Receiver
) -> None:
    of = ("--org", organization)
    cli("webhooks", "create", "oncall", receiver.url(), *of, "--format", "slack").ok()
    assert cli("webhooks", "disable", "oncall", *of).ok().details["state"] == "disabled (requested)"
    refused = cli("webhooks", "replay", "oncall", "--dead", *of)
    assert (refused.code, "ENDPOINT_DISABLED" in refused.err) == (1, True)
    assert cli("webhooks", "enable", "oncall", *of).ok().details["state"] == "enabled"
    assert cli("webhooks", "replay", "oncall", "--dead", *of).ok().out == "0 sent again.\n"


def test_a_test_that_does_not_arrive_is_an_error(cli: Cli, organization: str) -> None:
    of = ("--org", organization)
    cli("webhooks", "create", "oncall", "http://nowhere.invalid/hooks", *of).ok()
    ran = cli("webhooks", "test", "oncall", *of)
    assert (ran.code, ran.out) == (1, "Not delivered: the host was not found.\n")


@pytest.mark.parametrize("arguments", [("replay", "oncall"), ("replay", "oncall", "x", "--dead")])
def test_what_to_replay_is_said_exactly(cli: Cli, arguments: tuple[str, ...]) -> None:
    assert cli("webhooks", *arguments).code == 64
