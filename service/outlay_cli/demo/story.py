"""The demo, from an empty server to books that agree, one part after the other."""

import asyncio
import json
import os
import signal
import sys
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import grpc

from outlay.v1.alert_pb2 import AlertBasis
from outlay.v1.budget_service_pb2 import Decision
from outlay_cli import spend_view, text
from outlay_cli.demo import by_hand, showcase
from outlay_cli.demo.billing_face import HARD_CAP, NO_LIMITS, PATH, SOFT_BUDGET, BillingFace
from outlay_cli.demo.books import Books
from outlay_cli.demo.callers import CALLERS, UNIT, Shared, run_caller, spend_the_rest
from outlay_cli.demo.receiver import Receiver
from outlay_cli.demo.screen import Screen
from outlay_cli.demo.server import DemoServer
from outlay_cli.demo.service import Service, open_channel
from outlay_cli.errors import CommandFailed
from outlay_cli.exits import ExitCode

CAP_MICROS: Final = 500_000_000
CRASH_AT_MICROS: Final = 300_000_000
POLL_SECONDS: Final = 0.1
DELIVERY_TIMEOUT_SECONDS: Final = 30.0
A_CENT_MICROS: Final = 10_000


async def run_demo(*, keep: bool, environment: Mapping[str, str]) -> int:
    """Tell the whole story and return the exit code: `ERROR` where the books differ."""
    screen = Screen(UNIT)
    with tempfile.TemporaryDirectory(prefix="outlay-demo-") as folder:
        server = DemoServer(Path(folder), environment)
        try:
            async with _scene(server, screen) as scene:
                agree = await scene.play()
                if keep:
                    await _serve_until_interrupted(server, screen)
        except grpc.aio.AioRpcError as error:
            raise CommandFailed(f"{error.code().name}: {error.details()}") from error
        finally:
            await server.stop()
    return ExitCode.DONE if agree else ExitCode.ERROR


@asynccontextmanager
async def _scene(server: DemoServer, screen: Screen) -> "AsyncIterator[Scene]":
    screen.heading("A server of its own, on a database without a row")
    await server.start()
    screen.pairs([("gRPC", server.grpc_address), ("HTTP", server.http_url), ("database", _database(server))])
    async with open_channel(server.grpc_address) as channel:
        service = Service(channel, server.admin_key)
        # A shared database may hold the organization of an earlier demo, and ids are never given again.
        organization = f"demo-{uuid.uuid4().hex[:8]}" if server.uses_postgres else "acme"
        key = await service.create_organization(organization)
        face = BillingFace(server.http_url, key)
        try:
            with Receiver() as receiver:
                yield Scene(server, screen, service, face, receiver, organization, key)
        finally:
            await face.close()


def _database(server: DemoServer) -> str:
    return "PostgreSQL, by OUTLAY_DATABASE_URL" if server.uses_postgres else "SQLite, in a temporary folder"


@dataclass(slots=True)
class Scene:
    """The parts of the story and what they share."""

    server: DemoServer
    screen: Screen
    service: Service
    face: BillingFace
    receiver: Receiver
    organization: str
    key: str
    crashed: bool = False
    alerts_shown: set[str] = field(default_factory=set)

    async def play(self) -> bool:
        """Play every part and say whether the books agree."""
        await self.set_limits()
        secret = await self.be_told()
        shared = await self.work()
        await self.show_deliveries()
        await self.show_denial(shared)
        agree = await self.show_books(shared)
        await self.lift_limits()
        await self.show_console(secret)
        self.show_commands()
        return agree

    async def set_limits(self) -> None:
        """The two documented bodies that set limits."""
        self.screen.heading(f"Organization {self.organization}: a 100 USD budget with alerts, and a 500 USD hard cap")
        for body in (SOFT_BUDGET, HARD_CAP):
            self.screen.say(f"POST {PATH}  {json.dumps(body)}")
            answer = await self.face.post(body)
        shown = (
            "monthly_spending_budget_usd",
            "spending_alert_thresholds",
            "hard_spending_cap_usd",
            "hard_cap_enabled",
        )
        self.screen.say(f"200  {json.dumps({name: answer[name] for name in shown})}")

    async def be_told(self) -> str:
        """Register the receiver for alerts, and return the secret that they are signed with."""
        secret = await self.service.create_webhook(self.organization, self.receiver.url)
        self.receiver.trust(secret)
        self.screen.say(f"alerts are sent to {self.receiver.url}, signed")
        return secret

    async def work(self) -> Shared:
        """Callers spend until the cap denies, and the server dies under them on the way."""
        self.screen.heading(f"{CALLERS} callers: hold, work, record what it cost")
        shared = Shared(self.service.budgets, self.service.metadata, asyncio.Event())
        shared.server_is_up.set()
        started = time.monotonic()
        with self.screen.spend_bar(CAP_MICROS):
            await self._work_and_watch(shared)
            rest = await spend_the_rest(shared)
        if rest:
            self.screen.say(f"one more caller takes less than it asked for: the last {text.amount(rest, UNIT)}")
        seconds = time.monotonic() - started
        self.screen.say(f"{len(shared.acknowledged)} records acknowledged in {seconds:.1f} s, the crash included")
        return shared

    async def _work_and_watch(self, shared: Shared) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                working = [group.create_task(run_caller(number, shared)) for number in range(CALLERS)]
                group.create_task(self._watch(working, shared))
        except ExceptionGroup as failures:
            # One that failed has cancelled the others; the first is what went wrong.
            raise failures.exceptions[0] from failures

    async def _watch(self, working: list[asyncio.Task[None]], shared: Shared) -> None:
        """Show spend and alerts while the callers work, and kill the server once."""
        while not all(task.done() for task in working):
            spend = (await self.service.budget()).spend
            self.screen.show_spend(spend.spent_micros, spend.reserved_micros, CAP_MICROS)
            await self._show_alerts()
            if spend.spent_micros >= CRASH_AT_MICROS and not self.crashed:
                await self._crash(shared)
            await asyncio.sleep(POLL_SECONDS)
        if not self.crashed:
            await self._crash(shared)
        await self._show_alerts()

    async def _show_alerts(self) -> None:
        for alert in await self.service.alerts():
            if alert.name not in self.alerts_shown:
                self.alerts_shown.add(alert.name)
                basis = "budget" if alert.basis == AlertBasis.ALERT_BASIS_BUDGET else "limit"
                spent, of = text.amount(alert.spent_micros), text.amount(alert.basis_micros, UNIT)
                self.screen.say(f"ALERT {alert.threshold_percent} %: {spent} spent of the {basis} of {of}")

    async def _crash(self, shared: Shared) -> None:
        """Kill the server, start it again, and look for everything that it had acknowledged."""
        self.crashed = True
        shared.server_is_up.clear()
        in_flight = shared.in_flight
        await self.server.kill()
        self.screen.say(f"kill -9, with {in_flight} calls in flight")
        started = time.monotonic()
        await self.server.start()
        # The callers wait, so the journal stands still: nothing is acknowledged before the event is set.
        budget = await self.service.budget()
        books = Books(dict(shared.acknowledged), budget, await self.service.records(), billed_cents=0)
        if missing := books.missing():
            raise CommandFailed(f"{len(missing)} acknowledged records are gone, such as {missing[0]}.")
        self.screen.say(
            f"up again in {time.monotonic() - started:.1f} s: all {len(shared.acknowledged)} acknowledged records,"
            f" {text.amount(sum(shared.acknowledged.values()), UNIT)}, are there"
        )
        shared.server_is_up.set()

    async def show_deliveries(self) -> None:
        """What the receiver was sent, and verified. Raises `CommandFailed` where an alert does not come."""
        self.screen.heading("At the receiver, whose messages outlive a kill -9")
        missing = set(SOFT_BUDGET["spending_alert_thresholds"])
        deadline = time.monotonic() + DELIVERY_TIMEOUT_SECONDS
        while missing := missing - self.receiver.thresholds(self.organization):
            if time.monotonic() > deadline:
                raise CommandFailed(f"The alert of {min(missing)} % did not reach the receiver.")
            await asyncio.sleep(POLL_SECONDS)
        for message_id, message in self.receiver.verified.items():
            data = message["data"]
            percents = ", ".join(str(percent) for percent in data["thresholds_percent"])
            self.screen.say(
                f"VERIFIED {message['type']} {percents} %, {data['spent']} {data['unit']} spent, {message_id}"
            )

    async def show_console(self, secret: str) -> None:
        """Somewhere to look around: a second organization in the middle of its month."""
        # A name of its own on a shared database, as the first one has.
        organization = f"studio{self.organization.removeprefix('demo').removeprefix('acme')}"
        shown = await showcase.build(
            self.service, organization, webhook_uri=self.receiver.url, secret=secret, now=showcase.utc_now()
        )
        self.screen.heading("The console, while `outlay demo --keep` runs")
        address = f"{self.server.http_url}/console/organizations/{shown.organization}"
        self.screen.pairs([("open", address), ("sign in with", shown.key)])

    async def show_denial(self, shared: Shared) -> None:
        """What the callers met at the cap, and what one cent meets now."""
        self.screen.heading("At the cap")
        self.screen.say(f"{shared.denied_callers} callers were denied and stopped. One more cent:")
        self.screen.pairs(spend_view.decision_details(await self.service.ask(A_CENT_MICROS), UNIT))
        if shared.repeated:
            self.screen.say(f"{shared.repeated} calls were sent again after the crash, with the same request_id")

    async def show_books(self, shared: Shared) -> bool:
        """The callers' journal against everything that the service says."""
        self.screen.heading("The books")
        caps = await self.face.get()
        books = Books(
            acknowledged=shared.acknowledged,
            budget=await self.service.budget(),
            records=await self.service.records(),
            billed_cents=caps["current_spending_cents"],
        )
        self.screen.pairs(books.lines(UNIT))
        agree = books.agree()
        self.screen.say("The books agree to the micro." if agree else "THE BOOKS DIFFER.")
        return agree

    async def lift_limits(self) -> None:
        """The third documented body, and back."""
        self.screen.heading("Limits can be lifted, and set again")
        self.screen.say(f"POST {PATH}  {json.dumps(NO_LIMITS)}")
        await self.face.post(NO_LIMITS)
        lifted = await self.service.ask(A_CENT_MICROS)
        for body in (SOFT_BUDGET, HARD_CAP):
            await self.face.post(body)
        capped = await self.service.ask(A_CENT_MICROS)
        self.screen.say(f"one cent without limits: {_word(lifted.decision)}; with them again: {_word(capped.decision)}")

    def show_commands(self) -> None:
        """The same by hand."""
        self.screen.heading("By hand, while `outlay demo --keep` runs")
        for line in by_hand.lines(
            grpc_address=self.server.grpc_address, http_url=self.server.http_url, api_key=self.key
        ):
            # At the margin and unwrapped, so that what is marked and copied is what was meant.
            print(line)


def _word(decision: "Decision.ValueType") -> str:
    return text.enum_name(Decision.Name(decision), "DECISION_")


async def _serve_until_interrupted(server: DemoServer, screen: Screen) -> None:
    """Return at SIGINT or SIGTERM. Raises `CommandFailed` if the server ends before."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    screen.heading("Serving until Ctrl-C")
    sys.stdout.flush()
    stopped, ended = asyncio.create_task(stop.wait()), asyncio.create_task(server.wait())
    await asyncio.wait((stopped, ended), return_when=asyncio.FIRST_COMPLETED)
    if not stopped.done():
        stopped.cancel()
        raise CommandFailed("The server ended.")
    ended.cancel()


def run(*, keep: bool) -> int:
    """`run_demo` in a loop of its own, which SIGTERM ends as Ctrl-C does: the server goes with it."""

    async def interruptible() -> int:
        task = asyncio.current_task()
        assert task is not None, "it runs in a task"
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        return await run_demo(keep=keep, environment=os.environ)

    return asyncio.run(interruptible())
