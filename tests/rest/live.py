"""Organizations on a real server, spoken to over HTTP alone."""

import itertools
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import httpx2

from support.server import ServerProcess

_numbers = itertools.count(1)
_run = uuid.uuid4().hex[:8]

CALLER_SCOPES = ("control:read", "spend:check", "spend:record")


def connect(server: ServerProcess, key: str) -> httpx2.Client:
    return httpx2.Client(base_url=server.http_url, headers={"authorization": f"Bearer {key}"}, timeout=20)


@dataclass(frozen=True)
class Tenant:
    """One organization with its callers."""

    server: ServerProcess
    organization_id: str
    platform: httpx2.Client
    caller: httpx2.Client
    """With a key of the organization."""

    @property
    def path(self) -> str:
        return f"/v1/organizations/{self.organization_id}"

    def key(self, scopes: Iterable[str]) -> str:
        made = self.platform.post(f"{self.path}/apiKeys", json={"scopes": list(scopes)})
        assert made.status_code == 200, made.text
        secret: str = made.json()["secret"]
        return secret

    def with_scopes(self, *scopes: str) -> httpx2.Client:
        return connect(self.server, self.key(scopes))

    def state(self) -> tuple[Any, Any]:
        """Everything that a refused request must leave as it is: the budgets with their counters, and the audit log."""
        budgets = self.platform.get(f"{self.path}/budgets").json()["budgets"]
        for budget in budgets:
            budget["spend"].pop("projected_exhaustion_time", None)
        return budgets, self.platform.get(f"{self.path}/auditEvents").json()["audit_events"]

    def audit_actions(self) -> list[str]:
        """Oldest first."""
        return [event["action"] for event in reversed(self.state()[1])]


def new_tenant(server: ServerProcess) -> Tenant:
    organization_id = f"rest-{_run}-{next(_numbers)}"
    platform = connect(server, server.admin_key)
    made = platform.post("/v1/organizations", params={"organization_id": organization_id}, json={})
    assert made.status_code == 200, made.text
    tenant = Tenant(server, organization_id, platform, connect(server, ""))
    tenant.caller.headers["authorization"] = f"Bearer {tenant.key(CALLER_SCOPES)}"
    return tenant
