"""Calls of caps as code, over gRPC, by the environment of this process."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, TypeVar

import grpc
from google.protobuf.message import Message

from outlay.v1 import admin_service_pb2, budget_service_pb2
from outlay.v1.budget_pb2 import Budget
from outlay.v1.caps_pb2 import ApplyCapsRequest, ApplyCapsResponse
from outlay.v1.organization_pb2 import Organization
from outlay.v1.webhook_endpoint_pb2 import WebhookEndpoint
from outlay_cli import remote
from outlay_cli.errors import CallFailed
from outlay_cli.remote import Remote
from outlay_sync.service import CallFailedError, FieldViolation, Refusal

Request = TypeVar("Request", bound=Message)
Answer = TypeVar("Answer", bound=Message)

TIMEOUT_SECONDS: Final = 30.0
"""The longest that the service takes for a call: an organization of a thousand budgets is one."""

_ALL: Final = 1_000_000
"""More than there are of anything."""


class GrpcService:
    """`outlay_sync.service.Service` over one channel."""

    def __init__(self, remote: Remote) -> None:
        self._remote = remote

    def apply_caps(self, request: ApplyCapsRequest) -> ApplyCapsResponse:
        return self._call(self._remote.admin.ApplyCaps, request)

    def get_organization(self, name: str) -> Organization:
        return self._call(self._remote.admin.GetOrganization, admin_service_pb2.GetOrganizationRequest(name=name))

    def list_organizations(self) -> list[Organization]:
        def fetch(page_size: int, page_token: str) -> tuple[list[Organization], str]:
            request = admin_service_pb2.ListOrganizationsRequest(page_size=page_size, page_token=page_token)
            page = self._call(self._remote.admin.ListOrganizations, request)
            return list(page.organizations), page.next_page_token

        return remote.collect(fetch, _ALL)[0]

    def list_budgets(self, organization_name: str) -> list[Budget]:
        def fetch(page_size: int, page_token: str) -> tuple[list[Budget], str]:
            request = budget_service_pb2.ListBudgetsRequest(
                parent=organization_name, page_size=page_size, page_token=page_token
            )
            page = self._call(self._remote.budgets.ListBudgets, request)
            return list(page.budgets), page.next_page_token

        return remote.collect(fetch, _ALL)[0]

    def list_webhook_endpoints(self, organization_name: str) -> list[WebhookEndpoint]:
        def fetch(page_size: int, page_token: str) -> tuple[list[WebhookEndpoint], str]:
            request = admin_service_pb2.ListWebhookEndpointsRequest(
                parent=organization_name, page_size=page_size, page_token=page_token
            )
            page = self._call(self._remote.admin.ListWebhookEndpoints, request)
            return list(page.webhook_endpoints), page.next_page_token

        return remote.collect(fetch, _ALL)[0]

    def _call(self, method: "grpc.UnaryUnaryMultiCallable[Request, Answer]", request: Request) -> Answer:
        try:
            return self._remote.call(method, request)
        except CallFailed as error:
            raise CallFailedError(
                error.message,
                reason=error.reason,
                violations=[FieldViolation(field, description) for field, description in error.violations],
                refusals=[Refusal(*precondition) for precondition in error.preconditions],
                is_effect_unknown=error.is_effect_unknown,
            ) from error


@contextmanager
def connect() -> Iterator[GrpcService]:
    """The service; connects at the first call. The audit shows `yaml` as the source of its changes."""
    with remote.connect(source="yaml", timeout_seconds=TIMEOUT_SECONDS, takes_request_id=False) as connected:
        yield GrpcService(connected)


def new_request_id() -> str:
    return remote.new_request_id().replace("cli-", "yaml-", 1)
