"""Audit, keys and webhooks of an organization."""

import json
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from google.protobuf.json_format import MessageToDict
from starlette.responses import Response

from outlay.v1 import admin_service_pb2 as pb
from outlay.v1.api_key_pb2 import ApiKey
from outlay.v1.audit_event_pb2 import AuditEvent
from outlay.v1.delivery_pb2 import DeliveryState
from outlay.v1.webhook_endpoint_pb2 import WebhookDisableReason
from outlay_rest.calls import CallFailed
from outlay_rest.console import figures
from outlay_rest.console.visit import ADMIN, Visit, refusal, see_other
from outlay_rest.problems import from_status

PAGE_SIZE: Final = 50

_MICROS: Final = "_micros"
_INTEGER: Final = re.compile(r"-?[0-9]{1,19}", re.ASCII)

SCOPES: Final = {
    "spend:check": "Check, extend and release spend",
    "spend:record": "Record and refund spend",
    "budgets:read": "Read budgets, reservations and the ledger",
    "budgets:write": "Create, change and delete budgets",
    "control:read": "Read and change this organization's budgets",
    "control:webhooks": "Manage webhooks",
}


async def show_audit(visit: Visit) -> Response:
    """A page of changes, the newest first."""
    query = visit.request.query_params
    request = pb.ListAuditEventsRequest(
        parent=visit.organization(),
        page_size=PAGE_SIZE,
        page_token=query.get("page", ""),
        action=query.get("action", ""),
    )
    found = await visit.ask(f"{ADMIN}ListAuditEvents", request)
    events = [(event, differences(event)) for event in found.audit_events]
    return await visit.page("audit.html", events=events, next_page=found.next_page_token, action=request.action)


def differences(event: AuditEvent) -> list[tuple[str, str, str]]:
    """(field, before, after) of what a change changed; empty text for what was not there.

    Of a setting with parts, such as a temporary cap, each part is a field of its own.
    """
    before = dict(_leaves(MessageToDict(event.before))) if event.HasField("before") else {}
    after = dict(_leaves(MessageToDict(event.after))) if event.HasField("after") else {}
    return [
        (name.removesuffix(_MICROS), _shown(name, before.get(name)), _shown(name, after.get(name)))
        for name in sorted({*before, *after})
        if (before.get(name) or None) != (after.get(name) or None)
    ]


def _leaves(settings: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in settings.items():
        if isinstance(value, dict) and value:
            yield from _leaves(value, f"{above}{name}.")
        else:
            yield f"{above}{name}", value


def _shown(name: str, value: object) -> str:
    if value is None or value == "":
        return ""
    # The audit keeps integers as text, because JSON's numbers do not hold all of them.
    if name.endswith(_MICROS) and isinstance(value, str) and _INTEGER.fullmatch(value):
        return figures.amount(int(value))
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


# Keys


async def show_keys(visit: Visit) -> Response:
    """The keys, without their secrets."""
    return await _keys_page(visit)


async def create_key(visit: Visit) -> Response:
    """Make a key and show its secret, this once."""
    form = await visit.form()
    key = ApiKey(
        display_name=form.get("display_name", ""), scopes=[scope for scope in SCOPES if f"scope:{scope}" in form]
    )
    days = form.get("days", "")
    if days.isascii() and days.isdigit() and 0 < len(days) <= 4 and int(days) > 0:
        key.expire_time.FromDatetime(datetime.now(UTC) + timedelta(days=int(days)))
    elif days:
        return await _keys_page(visit, failure="Days must be a whole number above 0, or nothing for a key that stays.")
    try:
        made = await visit.ask(f"{ADMIN}CreateApiKey", pb.CreateApiKeyRequest(parent=visit.organization(), api_key=key))
    except CallFailed as failed:
        return await _keys_page(visit, failure=refusal(from_status(failed.status)))
    return await _keys_page(visit, made=made)


async def revoke_key(visit: Visit) -> Response:
    """Make a key useless, everywhere within a second."""
    name = f"{visit.organization()}/apiKeys/{visit.request.path_params['key']}"
    await visit.ask(f"{ADMIN}RevokeApiKey", pb.RevokeApiKeyRequest(name=name))
    return see_other(f"/console/{visit.organization()}/keys?revoked=1")


async def _keys_page(visit: Visit, *, failure: str = "", made: ApiKey | None = None) -> Response:
    request = pb.ListApiKeysRequest(
        parent=visit.organization(), page_size=PAGE_SIZE, page_token=visit.request.query_params.get("page", "")
    )
    found = await visit.ask(f"{ADMIN}ListApiKeys", request)
    return await visit.page(
        "keys.html",
        status=422 if failure else 200,
        keys=found.api_keys,
        next_page=found.next_page_token,
        scopes=SCOPES,
        failure=failure,
        made=made,
        revoked="revoked" in visit.request.query_params,
        now=datetime.now(UTC).timestamp(),
    )


# Webhooks


async def show_webhooks(visit: Visit) -> Response:
    """The endpoints, and whether they answer."""
    request = pb.ListWebhookEndpointsRequest(parent=visit.organization(), page_size=PAGE_SIZE)
    found = await visit.ask(f"{ADMIN}ListWebhookEndpoints", request)
    return await visit.page("webhooks.html", endpoints=found.webhook_endpoints, disabled_because=_disabled_because)


async def show_deliveries(visit: Visit) -> Response:
    """One endpoint, and what was sent to it, the newest first."""
    return await _webhook_page(visit)


async def test_webhook(visit: Visit) -> Response:
    """Send a message now and say what came back."""
    answer = await visit.ask(f"{ADMIN}TestWebhookEndpoint", pb.TestWebhookEndpointRequest(name=_webhook_name(visit)))
    return await _webhook_page(visit, tested=answer)


async def replay(visit: Visit) -> Response:
    """Send one delivery again."""
    name = f"{_webhook_name(visit)}/deliveries/{visit.request.path_params['delivery']}"
    await visit.ask(f"{ADMIN}ReplayDelivery", pb.ReplayDeliveryRequest(name=name))
    return see_other(f"/console/{visit.organization()}/webhooks/{visit.request.path_params['webhook']}")


async def _webhook_page(visit: Visit, *, tested: "pb.TestWebhookEndpointResponse | None" = None) -> Response:
    name = _webhook_name(visit)
    endpoint = await visit.ask(f"{ADMIN}GetWebhookEndpoint", pb.GetWebhookEndpointRequest(name=name))
    request = pb.ListDeliveriesRequest(
        parent=name, page_size=PAGE_SIZE, page_token=visit.request.query_params.get("page", "")
    )
    found = await visit.ask(f"{ADMIN}ListDeliveries", request)
    return await visit.page(
        "webhook.html",
        endpoint=endpoint,
        deliveries=found.deliveries,
        next_page=found.next_page_token,
        tested=tested,
        disabled_because=_disabled_because,
        state_of=lambda delivery: DeliveryState.Name(delivery.state).removeprefix("DELIVERY_STATE_").lower(),
    )


def _webhook_name(visit: Visit) -> str:
    return f"{visit.organization()}/webhookEndpoints/{visit.request.path_params['webhook']}"


def _disabled_because(reason: "WebhookDisableReason.ValueType") -> str:
    return {
        WebhookDisableReason.WEBHOOK_DISABLE_REASON_GONE: "disabled: it answered 410 Gone",
        WebhookDisableReason.WEBHOOK_DISABLE_REASON_FAILING: "disabled: every attempt failed for five days",
    }.get(reason, "disabled")
