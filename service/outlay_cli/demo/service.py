"""What the demo asks its server: an organization and its key at first, and later how the books stand."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import grpc

from outlay.v1 import admin_service_pb2, budget_service_pb2
from outlay.v1.admin_service_pb2_grpc import AdminServiceStub
from outlay.v1.alert_pb2 import Alert
from outlay.v1.api_key_pb2 import ApiKey
from outlay.v1.budget_pb2 import Budget
from outlay.v1.budget_service_pb2_grpc import BudgetServiceStub
from outlay.v1.organization_pb2 import Organization
from outlay.v1.spend_record_pb2 import SpendRecord
from outlay.v1.webhook_endpoint_pb2 import WebhookEndpoint
from outlay_cli.demo.callers import UNIT, Metadata

if TYPE_CHECKING:
    from outlay.v1.admin_service_pb2_grpc import AdminServiceAsyncStub
    from outlay.v1.budget_service_pb2_grpc import BudgetServiceAsyncStub

SCOPES: Final = ("budgets:read", "control:read", "spend:check", "spend:record")

_OWN: Final = "organizations/-"
"""The organization of the key that calls."""
_PAGE_SIZE: Final = 1000
_RECONNECT_MILLISECONDS: Final = 100
"""A server that was killed is back within a second; gRPC would wait that long before it even looks."""


def open_channel(address: str) -> grpc.aio.Channel:
    """A channel that finds a restarted server soon."""
    names = ("grpc.initial_reconnect_backoff_ms", "grpc.min_reconnect_backoff_ms", "grpc.max_reconnect_backoff_ms")
    return grpc.aio.insecure_channel(address, options=[(name, _RECONNECT_MILLISECONDS) for name in names])


def bearer(key: str) -> Metadata:
    """The metadata of a call with this key."""
    return (("authorization", f"Bearer {key}"),)


class Service:
    """The calls of the story; those of the callers are their own."""

    def __init__(self, channel: grpc.aio.Channel, admin_key: str) -> None:
        self.budgets: BudgetServiceAsyncStub = BudgetServiceStub(channel)
        self.admin: AdminServiceAsyncStub = AdminServiceStub(channel)
        self.admin_metadata = bearer(admin_key)
        self.metadata: Metadata = ()
        """Of the organization's own key, once `create_organization` made it."""

    async def create_organization(self, id: str) -> str:
        """Create the organization and a key of its own, and return the key."""
        await self.admin.CreateOrganization(
            admin_service_pb2.CreateOrganizationRequest(
                organization_id=id, organization=Organization(display_name="Outlay demo")
            ),
            metadata=self.admin_metadata,
        )
        key = await self.admin.CreateApiKey(
            admin_service_pb2.CreateApiKeyRequest(
                parent=f"organizations/{id}", api_key=ApiKey(display_name="demo", scopes=SCOPES)
            ),
            metadata=self.admin_metadata,
        )
        self.metadata = bearer(key.secret)
        return key.secret

    async def create_webhook(self, organization: str, uri: str) -> str:
        """Have alerts of the organization sent to `uri`, and return the secret that they are signed with."""
        endpoint = await self.admin.CreateWebhookEndpoint(
            admin_service_pb2.CreateWebhookEndpointRequest(
                parent=f"organizations/{organization}",
                webhook_endpoint_id="demo",
                webhook_endpoint=WebhookEndpoint(
                    display_name="The demo's receiver", uri=uri, event_types=["alert.crossed"]
                ),
            ),
            metadata=self.admin_metadata,
        )
        return endpoint.secret

    async def budget(self) -> Budget:
        request = budget_service_pb2.GetBudgetRequest(name=f"{_OWN}/budgets/spending")
        return await self.budgets.GetBudget(request, metadata=self.metadata, wait_for_ready=True)

    async def alerts(self) -> Sequence[Alert]:
        """Oldest first."""
        request = admin_service_pb2.ListAlertsRequest(parent=_OWN, page_size=_PAGE_SIZE)
        answer = await self.admin.ListAlerts(request, metadata=self.metadata)
        return list(reversed(answer.alerts))

    async def records(self) -> list[SpendRecord]:
        """The whole ledger of the organization."""
        records: list[SpendRecord] = []
        token = ""
        while True:
            request = budget_service_pb2.ListSpendRecordsRequest(parent=_OWN, page_size=_PAGE_SIZE, page_token=token)
            page = await self.budgets.ListSpendRecords(request, metadata=self.metadata)
            records += page.spend_records
            token = page.next_page_token
            if not token:
                return records

    async def ask(self, amount_micros: int) -> budget_service_pb2.CheckSpendResponse:
        """Ask whether an amount may be spent, and hold nothing."""
        request = budget_service_pb2.CheckSpendRequest(
            unit=UNIT, amount_micros=amount_micros, mode=budget_service_pb2.CheckMode.CHECK_MODE_CHECK_ONLY
        )
        return await self.budgets.CheckSpend(request, metadata=self.metadata)
