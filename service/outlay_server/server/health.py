"""Health over gRPC (grpc.health.v1): what balancers and probes ask before they send calls.

The library's own servicer forgets all who watch a service when one of them leaves, and a stream that watches keeps a
stopping server waiting until its grace is over. Here every watcher is told, and all are let go when the server drains.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Final, Literal

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from outlay.v1 import admin_service_pb2, budget_service_pb2

_Response = health_pb2.HealthCheckResponse
_SERVICE_UNKNOWN: Final = 3  # its type stubs do not know this one

SERVICES: Final = (
    "",  # the server as a whole
    *(
        file.DESCRIPTOR.services_by_name[name].full_name
        for file, name in ((budget_service_pb2, "BudgetService"), (admin_service_pb2, "AdminService"))
    ),
)
"""What can be asked about. All of them stand and fall with the storage."""

SERVICE_NAME: Final = health.SERVICE_NAME


class Health(health_pb2_grpc.HealthServicer):
    """NOT_SERVING until told otherwise, and again for good once draining."""

    def __init__(self) -> None:
        self._serving = False
        self._draining = False
        self._closed = False
        self._changed = asyncio.Event()

    @property
    def is_serving(self) -> bool:
        return self._serving and not self._draining

    def set_serving(self, serving: bool) -> None:
        """Say whether calls would be answered."""
        if serving != self._serving:
            self._serving = serving
            self._tell()

    def drain(self) -> None:
        """Say NOT_SERVING from now on, whatever the storage does."""
        self._draining = True
        self._tell()

    def close(self) -> None:
        """End all streams that watch."""
        self._closed = True
        self._tell()

    async def Check(self, request: health_pb2.HealthCheckRequest, context: Any) -> _Response:  # noqa: N802
        if request.service not in SERVICES:
            await context.abort(grpc.StatusCode.NOT_FOUND, "unknown service")
        return _Response(status=self._status(request.service))

    async def Watch(  # noqa: N802
        self, request: health_pb2.HealthCheckRequest, _context: Any
    ) -> AsyncIterator[_Response]:
        last = None
        while not self._closed:
            # Taken before the status is read: a change in between ends the wait at once.
            changed = self._changed
            status = self._status(request.service)
            if status != last:
                last = status
                yield _Response(status=status)
            else:
                await changed.wait()

    def _status(self, service: str) -> Literal[1, 2, 3]:
        if service not in SERVICES:
            return _SERVICE_UNKNOWN
        return _Response.SERVING if self.is_serving else _Response.NOT_SERVING

    def _tell(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
