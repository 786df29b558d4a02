"""What the metrics address serves: metrics, and probes for orchestrators that speak no gRPC or have no certificate."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Final

from prometheus_client.exposition import choose_encoder
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from outlay_server.domain.errors import OutlayError
from outlay_server.server.metrics import Metrics

_REFRESH_TIMEOUT_SECONDS: Final = 1.0
"""Metrics are needed most while the storage is slow; what it would have to count stays as it was then."""


def create_metrics_app(
    metrics: Metrics, *, count_open_reservations: Callable[[], Awaitable[int]], ready: Callable[[], bool]
) -> Starlette:
    """Return the application with `/metrics`, `/healthz` (the process lives) and `/readyz` (it can answer calls)."""

    async def exposition(request: Request) -> Response:
        with contextlib.suppress(OutlayError, TimeoutError):
            async with asyncio.timeout(_REFRESH_TIMEOUT_SECONDS):
                await metrics.refresh(count_open_reservations)
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(metrics.registry), headers={"content-type": content_type})

    async def healthz(_request: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def readyz(_request: Request) -> Response:
        return PlainTextResponse("ready\n") if ready() else PlainTextResponse("not ready\n", status_code=503)

    return Starlette(routes=[Route("/metrics", exposition), Route("/healthz", healthz), Route("/readyz", readyz)])
