"""The life of a parent of several workers: hold the addresses, start them, show them as one, pass on the end."""

import asyncio
import logging
import os
from contextlib import AsyncExitStack

from outlay_server.server.address import Address, hold
from outlay_server.server.grpc_server import CannotListen
from outlay_server.server.http_server import HttpServer, listen_http
from outlay_server.server.settings import Settings
from outlay_server.server.start import Say, introduce_admin_key, listening_lines
from outlay_server.server.stopping import stop_requests
from outlay_server.server.worker_metrics import WorkerMetrics, create_workers_app
from outlay_server.server.workers import WorkerPool

logger = logging.getLogger(__name__)


async def supervise(settings: Settings, say: Say) -> int:
    """Keep the workers alive until SIGTERM or SIGINT, then until they have drained; 0 where all have.

    Raises `CannotListen`, and `WorkersFailed` where they cannot be started.
    """
    stop = stop_requests()
    introduce_admin_key(settings, say)  # before any worker, or each would try to make it
    async with AsyncExitStack() as ending:
        grpc_address = _held_grpc_address(settings, ending)
        http_listener, http_address = listen_http("HTTP", settings.http_address)
        ending.callback(http_listener.close)
        metrics_listener, metrics_address = listen_http("METRICS", settings.metrics_address)
        ending.callback(metrics_listener.close)
        pool = WorkerPool(settings, grpc_address, http_listener, http_address)
        starting = asyncio.create_task(pool.start())
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait([starting, stopping], return_when=asyncio.FIRST_COMPLETED)
        if not starting.done():
            starting.cancel()
            await pool.stop()
            return 0
        starting.result()
        metrics = WorkerMetrics(pool)
        ending.push_async_callback(metrics.close)
        server = HttpServer("metrics", create_workers_app(metrics), metrics_listener, settings=settings, tls=False)
        await server.start()
        ending.push_async_callback(server.stop)
        for line in listening_lines(settings, grpc_address, http_address, metrics_address):
            say(line)
        logger.info("supervising", extra={"workers": settings.workers, "pid": os.getpid()})
        say("ready")
        await stopping
        # What waits in the shared socket is for the workers; once the last of them has closed it, it is refused.
        http_listener.close()
        await pool.stop()
    logger.info("stopped")
    return 0 if pool.ended_well else 1


def _held_grpc_address(settings: Settings, ending: AsyncExitStack) -> Address:
    try:
        holder, address = hold(settings.grpc_address)
    except OSError as error:
        raise CannotListen(
            f"OUTLAY_GRPC_ADDRESS: {settings.grpc_address} cannot be listened at: {error.strerror or error}."
        ) from error
    ending.callback(holder.close)
    return address
