# ruff: noqa: N802  # the builders are called like their RPCs
"""A valid request for every RPC of the contract, against objects that exist.

`tests/wire` sends them with every scope, with names of other organizations in them, and with their bytes mutated; an
RPC that is new in the contract and has no example here fails those tests.
"""

import time
from collections.abc import Callable
from typing import Any, Final

from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.timestamp_pb2 import Timestamp

from outlay.v1 import admin_service_pb2 as admin
from outlay.v1 import api_key_pb2, budget_pb2, caps_pb2, organization_pb2, webhook_endpoint_pb2
from outlay.v1 import budget_service_pb2 as pb
from support.tenants import MICROS_PER_CENT, Tenant, new_id, new_tenant
from support.wire import METHODS

_HOUR: Final = Duration(seconds=3_600)
_NOWHERE: Final = "https://hooks.invalid/outlay"
_SIGNING_SECRET: Final = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
_SPARE_HOOK: Final = "spare-hook"
_FAN_OUT_SECONDS: Final = 60


class Examples:
    """Valid requests about one organization. Objects that a request uses up are made anew for each."""

    def __init__(self, tenant: Tenant) -> None:
        self.tenant = tenant
        self._made: set[str] = set()
        self._builders: dict[str, Callable[[], Any]] = {
            name: getattr(self, f"_{name}") for name in METHODS if hasattr(self, f"_{name}")
        }
        missing = METHODS.keys() - self._builders.keys()
        assert not missing, f"no example of {', '.join(sorted(missing))}"

    def request(self, name: str) -> Any:
        """A request that the platform key, and a key of the organization with the right scope, are answered OK."""
        return self._builders[name]()

    # Objects

    def reservation(self) -> str:
        """The name of a reservation that is open, of a cent, for an hour."""
        answer = self.tenant.admin.call("CheckSpend", self.tenant.check(MICROS_PER_CENT, reservation_ttl=_HOUR))
        name: str = answer.reservation
        return name

    def record(self) -> str:
        """The name of a record of a cent."""
        name: str = self.tenant.admin.call("RecordSpend", self.tenant.record(MICROS_PER_CENT)).spend_record.name
        return name

    def spare_budget(self) -> str:
        """The name of a budget that nothing else uses."""
        name: str = self.tenant.create_budget(new_id("spare"), unit="SPARE").name
        return name

    def hook(self) -> str:
        """The name of a webhook endpoint that nothing is ever delivered to."""
        name = self.tenant.child("webhookEndpoints", "hook")
        if name not in self._made:
            self.tenant.admin.call(
                "UpdateWebhookEndpoint",
                admin.UpdateWebhookEndpointRequest(
                    webhook_endpoint=webhook_endpoint_pb2.WebhookEndpoint(name=name, uri=_NOWHERE), allow_missing=True
                ),
            )
            self._made.add(name)
        return name

    def delivery(self) -> str:
        """The name of an event on its way to that endpoint."""
        asked = admin.ListDeliveriesRequest(parent=self.hook(), page_size=1)
        deadline = time.monotonic() + _FAN_OUT_SECONDS
        while not (found := self.tenant.admin.call("ListDeliveries", asked).deliveries):
            assert time.monotonic() < deadline, "no event was fanned out"
            budget = budget_pb2.Budget(name=self.tenant.child("budgets", "credits"), display_name=new_id("told"))
            self.tenant.admin.call("UpdateBudget", pb.UpdateBudgetRequest(budget=budget))
            time.sleep(0.1)
        name: str = found[0].name
        return name

    def _remove_spare_hooks(self) -> None:
        """There may be twenty endpoints."""
        asked = admin.ListWebhookEndpointsRequest(parent=self.tenant.name)
        for endpoint in self.tenant.admin.call("ListWebhookEndpoints", asked).webhook_endpoints:
            if endpoint.name.rpartition("/")[2].startswith(_SPARE_HOOK):
                self.tenant.admin.call("DeleteWebhookEndpoint", admin.DeleteWebhookEndpointRequest(name=endpoint.name))

    # Requests of BudgetService

    def _GetBudget(self) -> Any:
        return pb.GetBudgetRequest(name=self.tenant.child("budgets", "spending"))

    def _ListBudgets(self) -> Any:
        return pb.ListBudgetsRequest(parent=self.tenant.name, page_size=20)

    def _CreateBudget(self) -> Any:
        return pb.CreateBudgetRequest(
            parent=self.tenant.name,
            budget_id=new_id("made"),
            budget=budget_pb2.Budget(
                display_name="Made",
                unit="USD",
                selector={"team": "made-*"},
                hard_cap_micros=500 * MICROS_PER_CENT,
                hard_cap_enabled=True,
                alert_thresholds=budget_pb2.AlertThresholds(percents=[50, 100]),
                cycle=budget_pb2.Cycle(period=budget_pb2.PERIOD_WEEK, anchor="2024-01-01", time_zone="Europe/Berlin"),
            ),
            request_id=new_id("create"),
        )

    def _UpdateBudget(self) -> Any:
        return pb.UpdateBudgetRequest(
            budget=budget_pb2.Budget(
                name=self.tenant.child("budgets", "credits"),
                display_name="Credits",
                budget_micros=1_000_000_000,
                alert_thresholds=budget_pb2.AlertThresholds(percents=[10, 20]),
            ),
            update_mask=FieldMask(paths=["display_name", "budget_micros", "alert_thresholds"]),
            request_id=new_id("update"),
        )

    def _DeleteBudget(self) -> Any:
        return pb.DeleteBudgetRequest(name=self.spare_budget(), request_id=new_id("delete"))

    def _CheckSpend(self) -> Any:
        return self.tenant.check(
            3 * MICROS_PER_CENT,
            min_amount_micros=MICROS_PER_CENT,
            labels={"model": "claude-haiku", "team": "core"},
            reservation_ttl=_HOUR,
            request_id=new_id("check"),
            view=pb.CHECK_VIEW_FULL,
        )

    def _BatchCheckSpend(self) -> Any:
        items = [self._CheckSpend() for _ in range(3)]
        items[1].ClearField("organization")
        return pb.BatchCheckSpendRequest(organization=self.tenant.name, requests=items)

    def _RecordSpend(self) -> Any:
        return self.tenant.record(MICROS_PER_CENT, reservation=self.reservation(), labels={"team": "core"})

    def _BatchRecordSpend(self) -> Any:
        items = [self._RecordSpend(), self.tenant.record(7, labels={"model": "claude-haiku"})]
        return pb.BatchRecordSpendRequest(organization=self.tenant.name, requests=items)

    def _RefundSpend(self) -> Any:
        return pb.RefundSpendRequest(
            organization=self.tenant.name, spend_record=self.record(), amount_micros=300, request_id=new_id("refund")
        )

    def _ReleaseReservation(self) -> Any:
        return pb.ReleaseReservationRequest(name=self.reservation(), request_id=new_id("release"))

    def _ExtendReservation(self) -> Any:
        return pb.ExtendReservationRequest(
            name=self.reservation(), reservation_ttl=_HOUR, additional_micros=500, request_id=new_id("extend")
        )

    def _GetReservation(self) -> Any:
        return pb.GetReservationRequest(name=self.reservation())

    def _ListReservations(self) -> Any:
        return pb.ListReservationsRequest(parent=self.tenant.name, page_size=3, unit="USD")

    def _ListSpendRecords(self) -> Any:
        return pb.ListSpendRecordsRequest(parent=self.tenant.name, page_size=3, label_filters=["team=core"])

    def _QuerySpend(self) -> Any:
        return pb.QuerySpendRequest(
            organization=self.tenant.name,
            unit="USD",
            start_time=Timestamp(seconds=1_767_225_600),
            end_time=Timestamp(seconds=1_767_225_600 + 86_400 * 300),
            granularity=pb.GRANULARITY_DAY,
            group_by=["team"],
            time_zone="Europe/Berlin",
        )

    def _WatchBudgets(self) -> Any:
        return pb.WatchBudgetsRequest(parent=self.tenant.name)

    # Requests of AdminService

    def _GetOrganization(self) -> Any:
        return admin.GetOrganizationRequest(name=self.tenant.name)

    def _ListOrganizations(self) -> Any:
        return admin.ListOrganizationsRequest(page_size=3)

    def _CreateOrganization(self) -> Any:
        return admin.CreateOrganizationRequest(
            organization_id=new_id("made"),
            organization=organization_pb2.Organization(display_name="Made", gates=[_gate("beta")]),
            request_id=new_id("create"),
        )

    def _UpdateOrganization(self) -> Any:
        return admin.UpdateOrganizationRequest(
            organization=organization_pb2.Organization(name=self.tenant.name, display_name="Updated"),
            update_mask=FieldMask(paths=["display_name"]),
            request_id=new_id("update"),
        )

    def _DeleteOrganization(self) -> Any:
        return admin.DeleteOrganizationRequest(
            name=new_tenant(self.tenant.admin, "spare").name, request_id=new_id("delete")
        )

    def _ApplyCaps(self) -> Any:
        return caps_pb2.ApplyCapsRequest(
            organization=self.tenant.name,
            manager="yaml:examples",
            adopt=True,
            validate_only=True,
            budgets=[
                caps_pb2.DesiredBudget(
                    budget=budget_pb2.Budget(
                        name=self.tenant.child("budgets", "spending"), hard_cap_micros=10**12, hard_cap_enabled=True
                    ),
                    update_mask=FieldMask(paths=["hard_cap_micros", "hard_cap_enabled"]),
                )
            ],
            request_id=new_id("apply"),
        )

    def _CreateApiKey(self) -> Any:
        return admin.CreateApiKeyRequest(
            parent=self.tenant.name,
            api_key=api_key_pb2.ApiKey(display_name="made", scopes=["spend:check", "spend:record"]),
            request_id=new_id("create"),
        )

    def _ListApiKeys(self) -> Any:
        return admin.ListApiKeysRequest(parent=self.tenant.name, page_size=3)

    def _RevokeApiKey(self) -> Any:
        return admin.RevokeApiKeyRequest(name=self.tenant.key(["spend:check"]).name, request_id=new_id("revoke"))

    def _GetWebhookEndpoint(self) -> Any:
        return admin.GetWebhookEndpointRequest(name=self.hook())

    def _ListWebhookEndpoints(self) -> Any:
        self.hook()
        return admin.ListWebhookEndpointsRequest(parent=self.tenant.name, page_size=3)

    def _CreateWebhookEndpoint(self) -> Any:
        self._remove_spare_hooks()
        return admin.CreateWebhookEndpointRequest(
            parent=self.tenant.name,
            webhook_endpoint_id=new_id(_SPARE_HOOK),
            webhook_endpoint=webhook_endpoint_pb2.WebhookEndpoint(
                uri=_NOWHERE, secret=_SIGNING_SECRET, event_types=["cap.reached", "alert.crossed"]
            ),
            request_id=new_id("create"),
        )

    def _UpdateWebhookEndpoint(self) -> Any:
        return admin.UpdateWebhookEndpointRequest(
            webhook_endpoint=webhook_endpoint_pb2.WebhookEndpoint(name=self.hook(), display_name=new_id("updated")),
            update_mask=FieldMask(paths=["display_name"]),
            request_id=new_id("update"),
        )

    def _DeleteWebhookEndpoint(self) -> Any:
        name = self.tenant.admin.call("CreateWebhookEndpoint", self._CreateWebhookEndpoint()).name
        return admin.DeleteWebhookEndpointRequest(name=name, request_id=new_id("delete"))

    def _TestWebhookEndpoint(self) -> Any:
        return admin.TestWebhookEndpointRequest(name=self.hook())

    def _RotateWebhookSecret(self) -> Any:
        return admin.RotateWebhookSecretRequest(
            name=self.hook(), secret=_SIGNING_SECRET, overlap_duration=_HOUR, request_id=new_id("rotate")
        )

    def _ListDeliveries(self) -> Any:
        return admin.ListDeliveriesRequest(parent=self.hook(), page_size=3)

    def _ReplayDelivery(self) -> Any:
        return admin.ReplayDeliveryRequest(name=self.delivery(), request_id=new_id("replay"))

    def _ReplayDeadDeliveries(self) -> Any:
        return admin.ReplayDeadDeliveriesRequest(name=self.hook(), request_id=new_id("replay"))

    def _ListAlerts(self) -> Any:
        return admin.ListAlertsRequest(
            parent=self.tenant.name, page_size=3, budget=self.tenant.child("budgets", "spending")
        )

    def _ListAuditEvents(self) -> Any:
        return admin.ListAuditEventsRequest(
            parent=self.tenant.name, page_size=3, resource=self.tenant.child("budgets", "spending")
        )


def _gate(gate_id: str) -> organization_pb2.Gate:
    return organization_pb2.Gate(gate_id=gate_id, label="feature", pattern=f"{gate_id}-*", enabled=True)
