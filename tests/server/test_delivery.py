"""Delivery by the real server: its settings, its metrics, and a stop while attempts are under way."""

import asyncio
import re
import urllib.request
from collections.abc import Callable
from typing import Any

import pytest

from delivery.receiver import receiving
from outlay.v1 import admin_service_pb2 as admin
from outlay.v1 import budget_pb2
from outlay.v1 import budget_service_pb2 as pb
from outlay.v1.webhook_endpoint_pb2 import WebhookEndpoint
from outlay_server.server.settings import Settings, SettingsInvalid
from support.server import ServerProcess
from support.tenants import Tenant, new_tenant
from support.wire import Caller

INSECURE = {"OUTLAY_WEBHOOK_ALLOW_INSECURE": "true"}
SEALED = {"OUTLAY_WEBHOOK_SECRET_KEYS": "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="}

StartServer = Callable[..., ServerProcess]


def hooked(server: ServerProcess, uri: str) -> tuple[Tenant, str]:
    """A tenant with an endpoint, and its secret."""
    tenant = new_tenant(Caller(server.grpc_address, server.admin_key), "hooked")
    request = admin.CreateWebhookEndpointRequest(
        parent=tenant.name, webhook_endpoint_id="hook", webhook_endpoint=WebhookEndpoint(uri=uri)
    )
    return tenant, tenant.admin.call("CreateWebhookEndpoint", request).secret


def rename(tenant: Tenant, name: str) -> None:
    budget = budget_pb2.Budget(name=tenant.child("budgets", "spending"), display_name=name)
    tenant.admin.call("UpdateBudget", pb.UpdateBudgetRequest(budget=budget))


def metric(server: ServerProcess, series: str) -> float:
    with urllib.request.urlopen(server.metrics_url) as page:
        found = re.search(rf"^{re.escape(series)} (\S+)$", page.read().decode(), re.MULTILINE)
    assert found is not None, series
    return float(found[1])


async def test_a_server_delivers_with_sealed_secrets_and_counts_it(start_server: StartServer) -> None:
    async with receiving(lambda number, _: "500" if number == 0 else "200") as receiver:
        server = await asyncio.to_thread(start_server, environment=INSECURE | SEALED)
        tenant, secret = await asyncio.to_thread(hooked, server, receiver.url())
        await asyncio.to_thread(rename, tenant, "First")
        (first,) = await receiver.has(1)
        await asyncio.to_thread(rename, tenant, "Second")
        await receiver.has(2)
        assert first.is_genuine(secret)
        async with asyncio.timeout(20):
            while metric(server, 'outlay_delivery_attempts_total{result="delivered"}') < 1:  # noqa: ASYNC110  # nobody tells
                await asyncio.sleep(0.1)
        assert metric(server, 'outlay_delivery_attempts_total{result="failed"}') == 1
        tenant.admin.close()
        server.terminate()
    assert secret.removeprefix("whsec_") not in server.log_text()


async def test_a_server_stops_in_time_while_a_receiver_hangs(start_server: StartServer) -> None:
    """The attempt is let go of, and the exit status is 0."""
    async with receiving(lambda *_: "hang") as receiver:
        server = await asyncio.to_thread(start_server, environment=INSECURE)
        tenant, _ = await asyncio.to_thread(hooked, server, receiver.url())
        await asyncio.to_thread(rename, tenant, "First")
        await receiver.has(1)
        tenant.admin.close()
        assert await asyncio.to_thread(server.terminate) == 0


@pytest.mark.parametrize(
    ("variables", "error"),
    [
        ({"WEBHOOK_SECRET_KEYS": "opens-it"}, "OUTLAY_WEBHOOK_SECRET_KEYS: must be 32 bytes in URL-safe base64"),
        ({"SMTP_HOST": "mail.example.com"}, "OUTLAY_SMTP_FROM: must be set where OUTLAY_SMTP_HOST is"),
        ({"SMTP_PASSWORD": "opens-it"}, "OUTLAY_SMTP_USERNAME and OUTLAY_SMTP_PASSWORD are set together"),
        (
            {"SMTP_USERNAME": "outlay", "SMTP_PASSWORD": "opens-it", "SMTP_TLS": "none"},
            "OUTLAY_SMTP_PASSWORD: would be sent in the clear",
        ),
        ({"SMTP_HOST": "mail.example.com", "SMTP_FROM": "nobody"}, "OUTLAY_SMTP_FROM: String should match"),
    ],
)
def test_settings_that_do_not_fit_together_are_refused(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], error: str
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(f"OUTLAY_{name}", value)
    with pytest.raises(SettingsInvalid) as caught:
        Settings.load()
    assert error in str(caught.value)
    assert "opens-it" not in str(caught.value)


def test_settings_for_mail_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    settings: dict[str, Any] = {
        "SMTP_HOST": "mail.example.com",
        "SMTP_FROM": "outlay@example.com",
        "SMTP_ALLOWED_DOMAINS": "Example.com, example.org",
    }
    for name, value in settings.items():
        monkeypatch.setenv(f"OUTLAY_{name}", value)
    loaded = Settings.load()
    assert (loaded.smtp_port, loaded.smtp_tls) == (587, "starttls")
    assert loaded.smtp_allowed_domains == ("example.com", "example.org")
