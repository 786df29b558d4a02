"""The calls that one request of a face makes, all with its credential and under its correlation id."""

from dataclasses import dataclass

from google.protobuf.message import Message
from starlette.requests import Request

from outlay.v1 import admin_service_pb2, budget_pb2, budget_service_pb2, organization_pb2
from outlay_rest.calls import Call
from outlay_rest.metadata import call_headers, deadline_seconds_of


@dataclass(frozen=True, slots=True)
class Session:
    """Raises `CallFailed` from each of its calls."""

    request: Request
    call: Call
    correlation_id: str

    async def get_budget(self, name: str) -> budget_pb2.Budget:
        answer, _ = await self._call("BudgetService/GetBudget", budget_service_pb2.GetBudgetRequest(name=name))
        assert isinstance(answer, budget_pb2.Budget)
        return answer

    async def update_budget(self, update: budget_service_pb2.UpdateBudgetRequest) -> budget_pb2.Budget:
        answer, _ = await self._call("BudgetService/UpdateBudget", update)
        assert isinstance(answer, budget_pb2.Budget)
        return answer

    async def get_organization(self, name: str) -> organization_pb2.Organization:
        answer, _ = await self._call(
            "AdminService/GetOrganization", admin_service_pb2.GetOrganizationRequest(name=name)
        )
        assert isinstance(answer, organization_pb2.Organization)
        return answer

    async def list_alerts(self, organization: str) -> None:
        """Ask for one alert, which only `control:read` and the platform may; the answer does not matter."""
        await self._call(
            "AdminService/ListAlerts", admin_service_pb2.ListAlertsRequest(parent=organization, page_size=1)
        )

    async def _call(self, method: str, message: Message) -> tuple[Message, str]:
        headers = call_headers(self.request, self.correlation_id)
        return await self.call(f"/outlay.v1.{method}", message, headers, deadline_seconds_of(self.request))
