"""Organizations for the tests to spend in: made over the wire by the platform key, each with keys of its own."""

import itertools
import os
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from google.protobuf.field_mask_pb2 import FieldMask

from outlay.v1 import admin_service_pb2, api_key_pb2, budget_pb2, budget_service_pb2, organization_pb2
from outlay_server.domain.api_key import SECRET_BYTES, assemble
from support.wire import Caller

MICROS_PER_CENT: Final = 10_000

SCOPES: Final = (
    "budgets:read",
    "budgets:write",
    "control:read",
    "control:webhooks",
    "spend:check",
    "spend:record",
)
"""Every scope that a key of an organization can hold."""

_numbers = itertools.count(1)
_run = uuid.uuid4().hex[:8]


def new_id(prefix: str = "t") -> str:
    """An id that no other test uses, in this run or in another one on the same database."""
    return f"{prefix}-{_run}-{next(_numbers)}"


def new_key() -> str:
    """A well-formed key that nobody made, to be the platform key of a server or to open nothing."""
    return assemble(os.urandom(SECRET_BYTES))


@dataclass(frozen=True)
class Tenant:
    """One organization, seen by the platform key."""

    admin: Caller
    organization_id: str

    @property
    def name(self) -> str:
        return f"organizations/{self.organization_id}"

    def child(self, collection: str, resource_id: str) -> str:
        return f"{self.name}/{collection}/{resource_id}"

    def key(self, scopes: Iterable[str] = SCOPES, **settings: Any) -> api_key_pb2.ApiKey:
        """A new key with its secret."""
        made: api_key_pb2.ApiKey = self.admin.call(
            "CreateApiKey",
            admin_service_pb2.CreateApiKeyRequest(
                parent=self.name, api_key=api_key_pb2.ApiKey(display_name="tests", scopes=scopes, **settings)
            ),
        )
        return made

    def caller(self, scopes: Iterable[str] = SCOPES) -> Caller:
        """A caller with a new key."""
        return self.admin.with_key(self.key(scopes).secret)

    def budget(self, budget_id: str = "spending") -> budget_pb2.Budget:
        """A budget as it is now."""
        found: budget_pb2.Budget = self.admin.call(
            "GetBudget", budget_service_pb2.GetBudgetRequest(name=self.child("budgets", budget_id))
        )
        return found

    def create_budget(self, budget_id: str, **settings: Any) -> budget_pb2.Budget:
        created: budget_pb2.Budget = self.admin.call(
            "CreateBudget",
            budget_service_pb2.CreateBudgetRequest(
                parent=self.name, budget_id=budget_id, budget=budget_pb2.Budget(**settings)
            ),
        )
        return created

    def cap(self, hard_cap_micros: int, budget_id: str = "spending") -> None:
        """Set and enable the hard cap of a budget."""
        self.admin.call("UpdateBudget", self.cap_request(hard_cap_micros, budget_id))

    def cap_request(self, hard_cap_micros: int, budget_id: str = "spending") -> Any:
        """What `cap` asks."""
        return budget_service_pb2.UpdateBudgetRequest(
            budget=budget_pb2.Budget(
                name=self.child("budgets", budget_id), hard_cap_micros=hard_cap_micros, hard_cap_enabled=True
            ),
            update_mask=FieldMask(paths=["hard_cap_micros", "hard_cap_enabled"]),
        )

    def check(self, amount_micros: int, **settings: Any) -> Any:
        """A CheckSpendRequest for this organization, in USD unless it says otherwise."""
        return budget_service_pb2.CheckSpendRequest(
            **{"organization": self.name, "unit": "USD", "amount_micros": amount_micros, **settings}
        )

    def record(self, amount_micros: int, **settings: Any) -> Any:
        """A RecordSpendRequest likewise, with a request_id of its own unless it brings one."""
        return budget_service_pb2.RecordSpendRequest(
            **{
                "organization": self.name,
                "unit": "USD",
                "amount_micros": amount_micros,
                "request_id": new_id("record"),
                **settings,
            }
        )


def new_tenant(admin: Caller, prefix: str = "t", **settings: Any) -> Tenant:
    """Make an organization with an id that nothing else uses."""
    tenant = Tenant(admin, new_id(prefix))
    admin.call(
        "CreateOrganization",
        admin_service_pb2.CreateOrganizationRequest(
            organization_id=tenant.organization_id, organization=organization_pb2.Organization(**settings)
        ),
    )
    return tenant
