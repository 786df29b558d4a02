"""The life of `outlay serve`: open, bind, say where, serve, drain, close."""

import asyncio
import gc
import logging
import os
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

import uvloop

from outlay_server.domain.errors import StorageUnavailable
from outlay_server.server.address import Address
from outlay_server.server.admin_key import AdminKeyUnusable
from outlay_server.server.background import Background
from outlay_server.server.build import VERSION, Service, build, create_store
from outlay_server.server.connections import end_connections
from outlay_server.server.grpc_server import CannotListen, listen_grpc
from outlay_server.server.http_server import HttpServer, listen_http
from outlay_server.server.inherited import Inherited
from outlay_server.server.logs import configure_logs
from outlay_server.server.settings import Settings, SettingsInvalid, SqliteDatabase, unknown_variables
from outlay_server.server.start import introduce_admin_key, listening_lines
from outlay_server.server.stopping import stop_requests
from outlay_server.server.supervise import supervise
from outlay_server.server.tracing import TracingUnavailable, start_tracing
from outlay_server.server.workers import WorkersFailed
from outlay_server.store import migrations
from outlay_server.store.contract import Store, StoreUnusable

logger = logging.getLogger(__name__)

_EXPECTED: Final = (SettingsInvalid, AdminKeyUnusable, StoreUnusable, CannotListen, TracingUnavailable, WorkersFailed)
"""Reasons not to start that are told in words and not in a traceback."""

_QUIET_WAIT_SECONDS: Final = 1.0
"""How long a stop waits for a moment without calls."""

_REFUSING_SECONDS: Final = 0.3
"""How long further calls are refused where there is none, so that the last answers have left."""

_PARTING_SECONDS: Final = 0.05
"""Between the end of the connections and that of the server: clients close their side."""

_LOOK_SECONDS: Final = 0.01
_QUIET_LOOKS: Final = 3
"""So many looks in a row that see no call: the loop has had time to take up whatever gRPC held."""


def serve(settings: Settings, inherited: Inherited | None = None) -> int:
    """Serve until SIGTERM or SIGINT and return the exit status: 0 after a full drain, 1 where the start was refused.

    Listening lines go to standard output, `ready` last; logs and the reason of a refusal to standard error. With
    several workers this process keeps them alive instead; a worker has `inherited`.
    """
    configure_logs(settings.log_level)
    if inherited is None:
        for sentence in unknown_variables(os.environ):
            logger.warning(sentence)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            if settings.workers > 1:
                return runner.run(supervise(settings, _say))
            runner.run(_serve(settings, inherited))
    except _EXPECTED as error:
        _refuse(error)
        return 1
    return 0


def serve_from_environment(*, workers: int | None = None, inherited: Inherited | None = None) -> int:
    """`serve` with the settings of the environment; `workers` wins over its variable."""
    try:
        settings = Settings.load(workers=workers)
    except SettingsInvalid as error:
        _refuse(error)
        return 1
    return serve(settings, inherited)


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _refuse(error: Exception) -> None:
    sys.stderr.write(f"outlay serve: {error}\n")
    sys.stderr.flush()


async def _serve(settings: Settings, inherited: Inherited | None) -> None:
    stop = stop_requests()
    admin_key = introduce_admin_key(settings, _say)
    async with AsyncExitStack() as ending:
        store = await ending.enter_async_context(_opened_store(settings))
        tracing = start_tracing(settings.otel_endpoint, version=VERSION)
        if tracing is not None:
            ending.push_async_callback(asyncio.to_thread, tracing.stop)
        service = build(settings, store, admin_key.key_hash, tracing, shares_port=inherited is not None)
        for line in await _start(service, settings, inherited, ending):
            _say(line)
        # What stands now stands for good: the collector need not look at it again.
        gc.collect()
        gc.freeze()
        logger.info("serving", extra={"version": VERSION, "pid": os.getpid()})
        _say("ready")
        await stop.wait()
        logger.info("draining", extra={"seconds": settings.shutdown_delay_seconds + settings.drain_seconds})
        service.health.drain()
        await asyncio.sleep(settings.shutdown_delay_seconds)
        service.health.close()
    logger.info("stopped")


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


async def _start(
    service: Service, settings: Settings, inherited: Inherited | None, ending: AsyncExitStack
) -> list[str]:
    """Start everything, arrange for its end in the reverse order, and return the lines that say where it listens."""
    await service.ledger.start()
    ending.push_async_callback(service.ledger.stop)
    await service.authenticator.start()
    ending.push_async_callback(service.authenticator.stop)
    background = Background()
    ending.push_async_callback(service.delivery.close)
    ending.push_async_callback(background.stop)
    # All addresses are bound before any of them is served: a start that is refused has answered nobody.
    grpc_address = listen_grpc(service.grpc_server, settings)
    listener, rest_address = _rest_listener(settings, inherited)
    ending.callback(listener.close)
    rest = HttpServer("http", service.rest_app, listener, settings=settings, tls=settings.tls)
    metrics_listener, metrics_address = listen_http("METRICS", settings.metrics_address)
    ending.callback(metrics_listener.close)
    metrics = HttpServer("metrics", service.metrics_app, metrics_listener, settings=settings, tls=False)
    await metrics.start()
    ending.push_async_callback(metrics.stop)
    await service.storage_watch.ask()
    background.start("storage-watch", service.storage_watch.run())
    background.start("sweep", service.sweep.run())
    background.start("pruning", service.pruning.run())
    background.start("watch", service.watch_hub.run())
    background.start("retention", service.retention.run())
    background.start("delivery", service.delivery.worker.run())
    background.start("delivery-metrics", service.delivery.metrics.run())
    background.start("event-pruning", service.delivery.worker.prune())
    background.start("forecasts", service.delivery.forecasts.run())
    ending.push_async_callback(_drain, service, rest, grpc_address.port, settings.drain_seconds)
    await service.grpc_server.start()
    await rest.start()
    return listening_lines(settings, grpc_address, rest_address, metrics_address)


def _rest_listener(settings: Settings, inherited: Inherited | None) -> tuple[socket.socket, Address]:
    if inherited is not None:
        return inherited.http_listener, settings.http_address
    return listen_http("HTTP", settings.http_address)


async def _drain(service: Service, rest: HttpServer, grpc_port: int, grace_seconds: float) -> None:
    """Accept nothing more, and let what is in flight end. Whatever takes longer is cut off.

    gRPC throws away calls that it has received and not yet handed over when it stops, and their callers see CANCELLED,
    which nobody repeats. So it is stopped when its connections have ended, in a moment without calls; where there is
    none, because callers do not ask for health, further ones are refused as UNAVAILABLE first.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + grace_seconds
    service.watch_hub.stop()
    quiet = await _quiet(service, min(_QUIET_WAIT_SECONDS, grace_seconds))
    service.dispatcher.refuse()
    while service.dispatcher.in_flight and loop.time() < deadline:  # noqa: ASYNC110  # calls end in their own tasks
        await asyncio.sleep(_LOOK_SECONDS)
    if not quiet:
        await asyncio.sleep(_REFUSING_SECONDS)
    end_connections(grpc_port)
    await asyncio.sleep(_PARTING_SECONDS)
    await asyncio.gather(service.grpc_server.stop(0), rest.stop())


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
