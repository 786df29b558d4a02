"""The service, called through the SDK's connection: retried within a bound, and never changed twice by a retry."""

import threading
import time
import uuid
from collections.abc import Iterator
from typing import Any, Final, TypeVar

import grpc
from google.protobuf.message import Message

from outlay.v1 import admin_service_pb2, budget_pb2, organization_pb2
from outlay.v1 import budget_service_pb2 as pb
from outlay.v1.admin_service_pb2_grpc import AdminServiceStub
from outlay.v1.budget_service_pb2_grpc import BudgetServiceStub
from outlay_client import rpcs
from outlay_client.connection import Connection
from outlay_client.core import pause_seconds
from outlay_client.errors import Unavailable, from_grpc
from outlay_terraform.reader import BudgetReader

Request = TypeVar("Request", bound=Message)
Answer = TypeVar("Answer", bound=Message)

MANAGER: Final = "terraform"
"""What `managed_by` says of a resource that this provider keeps."""

CALL_TIMEOUT_SECONDS: Final = 10.0
"""Longer than the service's own 5 s, so that its answer wins."""

PATIENCE_SECONDS: Final = 30.0
"""How long a service that is away is waited for: a restart or a failover, not an outage."""

PAGE_SIZE: Final = 1_000


class Service:
    """Both services of the API, for many threads."""

    def __init__(
        self, where: Connection, *, hurried: threading.Event, patience_seconds: float = PATIENCE_SECONDS
    ) -> None:
        self._channel = rpcs.sync_channel(where)
        self._metadata = (*rpcs.metadata_of(where), ("outlay-source", MANAGER))
        self._hurried = hurried
        self._patience_seconds = patience_seconds
        self._locks: dict[str, threading.Lock] = {}
        self._locks_lock = threading.Lock()
        self.reader = BudgetReader(self.budget, self.budgets_of)
        self.unborn: set[str] = set()
        """Organizations that were not there when somebody looked; until they are, nothing of them need be looked at."""
        self.budgets: BudgetServiceStub = BudgetServiceStub(self._channel)
        self.admin: AdminServiceStub = AdminServiceStub(self._channel)

    def call(self, method: "grpc.UnaryUnaryMultiCallable[Request, Answer]", request: Request) -> Answer:
        """Call, and call again while the service is away, with the same request_id.

        Raises `OutlayRpcError`, or `Unavailable` when patience is at its end or somebody wants the run to end.
        """
        deadline, failures = time.monotonic() + self._patience_seconds, 0
        while True:
            try:
                return self.call_once(method, request)
            except Unavailable:
                failures += 1
                pause = pause_seconds(failures)
                if time.monotonic() + pause > deadline or self._hurried.wait(pause):
                    raise

    def call_once(self, method: "grpc.UnaryUnaryMultiCallable[Request, Answer]", request: Request) -> Answer:
        """Call without patience. Raises as `call`."""
        try:
            return method(request, timeout=CALL_TIMEOUT_SECONDS, metadata=self._metadata)
        except grpc.RpcError as error:
            raise from_grpc(error, getattr(request, "request_id", "")) from None

    def budget(self, name: str) -> budget_pb2.Budget:
        """A budget as it is now. Raises as `call`."""
        return self.call(self.budgets.GetBudget, pb.GetBudgetRequest(name=name))

    def budgets_of(self, organization: str) -> Iterator[budget_pb2.Budget]:
        """Every budget of an organization, ordered by id. Raises as `call`."""
        request = pb.ListBudgetsRequest(parent=organization, page_size=PAGE_SIZE)
        while True:
            page: Any = self.call(self.budgets.ListBudgets, request)
            yield from page.budgets
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    def organization(self, name: str) -> organization_pb2.Organization:
        """An organization as it is now. Raises as `call`."""
        return self.call(self.admin.GetOrganization, admin_service_pb2.GetOrganizationRequest(name=name))

    def lock(self, name: str) -> threading.Lock:
        """One lock for each name: what reads, changes and writes the same thing takes turns within this process."""
        with self._locks_lock:
            return self._locks.setdefault(name, threading.Lock())

    def pause(self, seconds: float) -> None:
        """Wait, unless somebody wants the run to end."""
        self._hurried.wait(seconds)


def new_request_id() -> str:
    """What makes one change safe to send again."""
    return f"terraform-{uuid.uuid4()}"
