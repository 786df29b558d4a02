"""The metrics and probes of several workers at one address.

Every series has the label `worker`, and is not summed here: a sum would fall when a worker is started again, which
Prometheus reads as a reset of the whole. `sum without (worker) (rate(…))` is right across restarts.
"""

import asyncio
from collections.abc import Iterable, Mapping
from typing import Final

import httpx2
from prometheus_client import CollectorRegistry, Counter, Gauge, Metric, disable_created_metrics
from prometheus_client.exposition import choose_encoder
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from outlay_server.server.workers import Worker, WorkerPool

_ANSWER_TIMEOUT_SECONDS: Final = 2.0
"""A worker that takes longer is left out of this page; the gaps show it."""


class WorkerMetrics:
    """Asks the workers of a pool."""

    def __init__(self, pool: WorkerPool) -> None:
        self._pool = pool
        self._client = httpx2.AsyncClient(timeout=_ANSWER_TIMEOUT_SECONDS, trust_env=False)

    async def registry(self) -> CollectorRegistry:
        """Everything that all workers count, and what the parent counts of them."""
        answers = await asyncio.gather(*(self._get(worker, "/metrics") for worker in self._pool.workers))
        pages = {
            str(worker.number): answer.text
            for worker, answer in zip(self._pool.workers, answers, strict=True)
            if answer is not None
        }
        registry = CollectorRegistry()
        registry.register(_Merged(merged(pages)))
        disable_created_metrics()  # type: ignore[no-untyped-call]
        Gauge("outlay_workers", "Workers that are ready.", registry=registry).set(
            sum(worker.metrics_url is not None for worker in self._pool.workers)
        )
        Counter("outlay_worker_restarts", "Workers that ended unasked and were started again.", registry=registry).inc(
            self._pool.restarts
        )
        return registry

    async def any_is_ready(self) -> bool:
        """Whether there is a worker that would answer calls."""
        answers = await asyncio.gather(*(self._get(worker, "/readyz") for worker in self._pool.workers))
        return any(answer is not None and answer.status_code == httpx2.codes.OK for answer in answers)

    async def close(self) -> None:
        await self._client.aclose()

    async def _get(self, worker: Worker, path: str) -> httpx2.Response | None:
        if worker.metrics_url is None:
            return None
        try:
            return await self._client.get(f"{worker.metrics_url}{path}")
        except httpx2.HTTPError:
            return None


class _Merged(Collector):
    def __init__(self, families: Iterable[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families


def merged(pages: Mapping[str, str]) -> list[Metric]:
    """The families of several pages in Prometheus' text format, each sample with the label `worker` of its page."""
    families: dict[str, Metric] = {}
    for worker, page in pages.items():
        for family in text_string_to_metric_families(page):
            kept = families.setdefault(family.name, Metric(family.name, family.documentation, family.type))
            kept.samples += [sample._replace(labels={**sample.labels, "worker": worker}) for sample in family.samples]
    return list(families.values())


def create_workers_app(metrics: WorkerMetrics) -> Starlette:
    """Return the application with `/metrics`, `/healthz` (the parent lives) and `/readyz` (a worker would answer)."""

    async def exposition(request: Request) -> Response:
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(await metrics.registry()), headers={"content-type": content_type})

    async def healthz(_request: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def readyz(_request: Request) -> Response:
        if await metrics.any_is_ready():
            return PlainTextResponse("ready\n")
        return PlainTextResponse("not ready\n", status_code=503)

    return Starlette(routes=[Route("/metrics", exposition), Route("/healthz", healthz), Route("/readyz", readyz)])
