"""The life of `outlay serve`: open, bind, say where, serve, drain, close."""

import asyncio
import gc
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

import uvloop
from starlette.applications import Starlette

from outlay_server.domain.errors import StorageUnavailable
from outlay_server.server.address import Address, listen
from outlay_server.server.admin_key import FILE_NAME, AdminKeyUnusable, resolve_admin_key
from outlay_server.server.background import Background
from outlay_server.server.build import VERSION, Service, build, create_store
from outlay_server.server.grpc_server import CannotListen, listen_grpc
from outlay_server.server.http_server import HttpServer
from outlay_server.server.logs import configure_logs
from outlay_server.server.settings import Settings, SettingsInvalid, SqliteDatabase, unknown_variables
from outlay_server.server.tracing import TracingUnavailable, start_tracing
from outlay_server.store import migrations
from outlay_server.store.contract import Store, StoreUnusable

logger = logging.getLogger(__name__)

_EXPECTED: Final = (SettingsInvalid, AdminKeyUnusable, StoreUnusable, CannotListen, TracingUnavailable)
"""Reasons not to start that are told in words and not in a traceback."""

_QUIET_WAIT_SECONDS: Final = 1.0
"""How long a stop waits for a moment without calls."""

_REFUSING_SECONDS: Final = 0.3
"""And then for the same while it refuses them."""

_LOOK_SECONDS: Final = 0.01
_QUIET_LOOKS: Final = 3
"""So many looks in a row that see no call: the loop has had time to take up whatever gRPC held."""

Say = Callable[[str], None]


def serve(settings: Settings) -> int:
    """Serve until SIGTERM or SIGINT and return the exit status: 0 after a full drain, 1 where the start was refused.

    Listening lines go to standard output, `ready` last; logs and the reason of a refusal to standard error.
    """
    configure_logs(settings.log_level)
    for sentence in unknown_variables(os.environ):
        logger.warning(sentence)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve(settings, _say))
    except _EXPECTED as error:
        _refuse(error)
        return 1
    return 0


def serve_from_environment() -> int:
    """`serve` with the settings of the environment."""
    try:
        settings = Settings.load()
    except SettingsInvalid as error:
        _refuse(error)
        return 1
    return serve(settings)


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _refuse(error: Exception) -> None:
    sys.stderr.write(f"outlay serve: {error}\n")
    sys.stderr.flush()


async def _serve(settings: Settings, say: Say) -> None:
    stop = _stop_requests()
    configured = settings.admin_key.get_secret_value() if settings.admin_key is not None else None
    admin_key = resolve_admin_key(configured, settings.data_dir)
    if admin_key.made is not None:
        say(f"admin key {admin_key.made} (shown this once; kept in {settings.data_dir / FILE_NAME})")
    async with AsyncExitStack() as ending:
        store = await ending.enter_async_context(_opened_store(settings))
        tracing = start_tracing(settings.otel_endpoint, version=VERSION)
        if tracing is not None:
            ending.push_async_callback(asyncio.to_thread, tracing.stop)
        service = build(settings, store, admin_key.key_hash, tracing)
        for line in await _start(service, settings, ending):
            say(line)
        # What stands now stands for good: the collector need not look at it again.
        gc.collect()
        gc.freeze()
        logger.info("serving", extra={"version": VERSION, "pid": os.getpid()})
        say("ready")
        await stop.wait()
        logger.info("draining", extra={"seconds": settings.shutdown_delay_seconds + settings.drain_seconds})
        service.health.drain()
        await asyncio.sleep(settings.shutdown_delay_seconds)
        service.health.close()
    logger.info("stopped")


def _stop_requests() -> asyncio.Event:
    """An event that the first SIGTERM or SIGINT sets. The second of them ends the process at once."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def request() -> None:
        stop.set()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_DFL)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, request)
    return stop


@asynccontextmanager
async def _opened_store(settings: Settings) -> AsyncIterator[Store]:
    """The store, open and at this version's schema."""
    store = create_store(settings)
    try:
        await _open(store, settings)
        yield store
    finally:
        await store.close()


async def _open(store: Store, settings: Settings) -> None:
    try:
        settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        await store.open()
        if isinstance(settings.database, SqliteDatabase) or settings.migrate:
            await store.migrate()
        else:
            await store.read(migrations.require_head)
    except StorageUnavailable as error:
        raise StoreUnusable("The database went away while it was being opened.") from error
    except OSError as error:
        raise StoreUnusable(f"The ledger cannot be opened: {error}.") from error


async def _start(service: Service, settings: Settings, ending: AsyncExitStack) -> list[str]:
    """Start everything, arrange for its end in the reverse order, and return the lines that say where it listens."""
    await service.ledger.start()
    ending.push_async_callback(service.ledger.stop)
    await service.authenticator.start()
    ending.push_async_callback(service.authenticator.stop)
    background = Background()
    ending.push_async_callback(background.stop)
    # All addresses are bound before any of them is served: a start that is refused has answered nobody.
    grpc_address = listen_grpc(service.grpc_server, settings)
    rest, rest_address = _http_server("HTTP", service.rest_app, settings.http_address, settings, ending)
    metrics, metrics_address = _http_server("METRICS", service.metrics_app, settings.metrics_address, settings, ending)
    await metrics.start()
    ending.push_async_callback(metrics.stop)
    await service.storage_watch.ask()
    background.start("storage-watch", service.storage_watch.run())
    background.start("sweep", service.sweep.run())
    ending.push_async_callback(_drain, service, rest, settings.drain_seconds)
    await service.grpc_server.start()
    await rest.start()
    scheme = "https" if settings.tls else "http"
    return [f"gRPC {grpc_address}", f"HTTP {scheme}://{rest_address}", f"metrics http://{metrics_address}"]


def _http_server(
    name: str, app: Starlette, address: Address, settings: Settings, ending: AsyncExitStack
) -> tuple[HttpServer, Address]:
    try:
        listener, actual = listen(address)
    except OSError as error:
        raise CannotListen(
            f"OUTLAY_{name}_ADDRESS: {address} cannot be listened at: {error.strerror or error}."
        ) from error
    ending.callback(listener.close)
    tls = settings.tls and name == "HTTP"
    return HttpServer(name.lower(), app, listener, settings=settings, tls=tls), actual


async def _drain(service: Service, rest: HttpServer, grace_seconds: float) -> None:
    """Accept nothing more, and let what is in flight end. Whatever takes longer is cut off.

    gRPC throws away calls that it has received and not yet handed over when it stops, and their callers see CANCELLED,
    which nobody repeats. So it stops in a moment without calls; where there is none, because callers do not ask for
    health, further ones are refused as UNAVAILABLE first, which clients repeat elsewhere.
    """
    if not await _quiet(service, min(_QUIET_WAIT_SECONDS, grace_seconds)):
        await service.ledger.stop()
        await _quiet(service, _REFUSING_SECONDS)
    await asyncio.gather(service.grpc_server.stop(grace_seconds), rest.stop())


async def _quiet(service: Service, within_seconds: float) -> bool:
    """Wait for a moment in which no call is being answered and none arrives. False where there is none in time."""
    quiet_looks, arrived = 0, -1
    loop = asyncio.get_running_loop()
    deadline = loop.time() + within_seconds
    while loop.time() < deadline:
        is_quiet = not service.dispatcher.in_flight and service.telemetry.calls_started == arrived
        quiet_looks, arrived = quiet_looks + 1 if is_quiet else 0, service.telemetry.calls_started
        if quiet_looks == _QUIET_LOOKS:
            return True
        await asyncio.sleep(_LOOK_SECONDS)
    return False
