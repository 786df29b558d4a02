"""An organization worth looking at in the console: eighteen days of a cycle, with everything that happens in one."""

import asyncio
import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.timestamp_pb2 import Timestamp

from outlay.v1 import admin_service_pb2, budget_service_pb2
from outlay.v1.api_key_pb2 import ApiKey
from outlay.v1.budget_pb2 import (
    ENFORCEMENT_SHADOW,
    PERIOD_DAY,
    PERIOD_LIFETIME,
    PERIOD_MONTH,
    AlertThresholds,
    Budget,
    Cycle,
)
from outlay.v1.organization_pb2 import Organization
from outlay.v1.webhook_endpoint_pb2 import WebhookEndpoint
from outlay_cli.demo.callers import Metadata

if TYPE_CHECKING:
    from outlay_cli.demo.service import Service

DAYS: Final = 18
"""How much of the cycle lies behind: enough for a forecast, and below the age up to which usage may be recorded."""

SCOPES: Final = ("budgets:write", "control:read", "control:webhooks")
"""Of the key that the console is opened with."""

_UNIT: Final = 1_000_000
_CENT: Final = 10_000
_TEAMS: Final = {"research": 78, "support": 31, "billing": 14}
"""What each team spends on a usual day."""
_MODELS: Final = (("large-3", 0.65), ("small-3", 0.25), ("embedding-2", 0.1))
_WEEKEND: Final = (5, 6)
_CALLS_AT_ONCE: Final = 16
_HELD_SECONDS: Final = 3_600


@dataclass(frozen=True, slots=True)
class Showcase:
    """Where to look, and with which key."""

    organization: str
    key: str


async def build(service: "Service", organization: str, *, webhook_uri: str, secret: str, now: datetime) -> Showcase:
    """Make it: budgets, keys, spend by the day, an alert, a cap that was raised, a denial, and something held."""
    parent = f"organizations/{organization}"
    call = _Calls(service, service.admin_metadata)
    await call.admin(
        "CreateOrganization",
        admin_service_pb2.CreateOrganizationRequest(
            organization_id=organization, organization=Organization(display_name="Example Studio")
        ),
    )
    keys = [
        await call.admin("CreateApiKey", admin_service_pb2.CreateApiKeyRequest(parent=parent, api_key=key))
        for key in (
            ApiKey(display_name="console", scopes=SCOPES),
            ApiKey(display_name="gateway", scopes=("spend:check", "spend:record")),
        )
    ]
    endpoint = WebhookEndpoint(display_name="On call", uri=webhook_uri, secret=secret)
    await call.admin(
        "CreateWebhookEndpoint",
        admin_service_pb2.CreateWebhookEndpointRequest(
            parent=parent, webhook_endpoint_id="on-call", webhook_endpoint=endpoint
        ),
    )
    anchor = (now.date() - timedelta(days=DAYS)).isoformat()
    await _make_budgets(call, parent, anchor)
    await _spend(call, parent, now)
    await _reach_the_cap(call, parent, now)
    return Showcase(organization, keys[0].secret)


async def _make_budgets(call: "_Calls", parent: str, anchor: str) -> None:
    month = Cycle(period=PERIOD_MONTH, anchor=anchor)
    whole = Budget(
        name=f"{parent}/budgets/spending",
        display_name="All spend",
        budget_micros=3_500 * _UNIT,
        hard_cap_micros=4_500 * _UNIT,
        hard_cap_enabled=True,
        cycle=month,
    )
    paths = ["display_name", "budget_micros", "hard_cap_micros", "hard_cap_enabled", "cycle"]
    await call.budgets(
        "UpdateBudget", budget_service_pb2.UpdateBudgetRequest(budget=whole, update_mask=FieldMask(paths=paths))
    )
    capped: dict[str, Any] = {"unit": "USD", "hard_cap_enabled": True, "cycle": month}
    for budget_id, budget in {
        "research": Budget(
            display_name="Research",
            selector={"team": "research"},
            budget_micros=1_200 * _UNIT,
            hard_cap_micros=1_300 * _UNIT,
            **capped,
        ),
        "support": Budget(
            display_name="Support", selector={"team": "support"}, hard_cap_micros=1_000 * _UNIT, **capped
        ),
        "billing": Budget(display_name="Billing", selector={"team": "billing"}, hard_cap_micros=900 * _UNIT, **capped),
        "large-models": Budget(
            display_name="Large models, tried in the shadow",
            selector={"model": "large-*"},
            hard_cap_micros=60 * _UNIT,
            enforcement=ENFORCEMENT_SHADOW,
            unit="USD",
            hard_cap_enabled=True,
            cycle=Cycle(period=PERIOD_DAY),
        ),
        "tokens": Budget(
            display_name="Tokens of the contract",
            unit="TOKENS",
            hard_cap_micros=50_000_000 * _UNIT,
            hard_cap_enabled=True,
            cycle=Cycle(period=PERIOD_LIFETIME, anchor=anchor),
            alert_thresholds=AlertThresholds(percents=[25, 50, 75, 100]),
        ),
    }.items():
        await call.budgets(
            "CreateBudget", budget_service_pb2.CreateBudgetRequest(parent=parent, budget_id=budget_id, budget=budget)
        )


async def _spend(call: "_Calls", parent: str, now: datetime) -> None:
    """A day after the other, so that thresholds are crossed in their order; weekends are quiet."""
    chance = random.Random(18)  # noqa: S311  # the same picture in every run
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    at_once = asyncio.Semaphore(_CALLS_AT_ONCE)
    for day in range(DAYS, -1, -1):
        records = []
        noon = midnight - timedelta(days=day) + timedelta(hours=12)
        # Of today so much as has passed; nothing may be recorded for later.
        moment, share = (noon, 1.0) if day else (now - timedelta(seconds=1), (now - midnight) / timedelta(days=1))
        for team, usual in _TEAMS.items():
            quiet = 0.35 if noon.weekday() in _WEEKEND else 1.0
            spent = usual * quiet * chance.uniform(0.7, 1.3) * share
            for model, part in _MODELS:
                labels = {"team": team, "model": model}
                # Just after midnight hardly anything of today has passed, and nothing is no spend.
                micros = max(1, round(spent * part * 100)) * _CENT
                for unit, amount_micros in (("USD", micros), ("TOKENS", micros * 9_000)):
                    records.append(
                        budget_service_pb2.RecordSpendRequest(
                            organization=parent,
                            unit=unit,
                            amount_micros=amount_micros,
                            labels=labels,
                            usage_time=_timestamp(moment),
                            request_id=f"{day:02}-{team}-{model}-{unit}",
                        )
                    )
        async with asyncio.TaskGroup() as group:
            for record in records:
                group.create_task(call.limited(at_once, "RecordSpend", record))


async def _reach_the_cap(call: "_Calls", parent: str, now: datetime) -> None:
    """Somebody raised a cap, something is held, and one call asks for more than is left."""
    name = f"{parent}/budgets/research"
    raised = Budget(name=name, hard_cap_micros=1_400 * _UNIT)
    await call.budgets(
        "UpdateBudget",
        budget_service_pb2.UpdateBudgetRequest(budget=raised, update_mask=FieldMask(paths=["hard_cap_micros"])),
    )
    labels = {"team": "research", "model": "large-3"}
    left = (await call.budgets("GetBudget", budget_service_pb2.GetBudgetRequest(name=name))).spend.available_micros
    cents = left // _CENT
    for amount_micros, number in ((cents // 3 * _CENT, 1), (left, 2)):
        await call.budgets(
            "CheckSpend",
            budget_service_pb2.CheckSpendRequest(
                organization=parent,
                unit="USD",
                amount_micros=max(1, amount_micros),
                labels=labels,
                reservation_ttl=Duration(seconds=_HELD_SECONDS),
                request_id=f"check-{number}",
            ),
        )


class _Calls:
    """Calls by the platform key."""

    def __init__(self, service: "Service", metadata: Metadata) -> None:
        self._service = service
        self._metadata = metadata

    async def admin(self, method: str, request: Any) -> Any:
        return await getattr(self._service.admin, method)(request, metadata=self._metadata)

    async def budgets(self, method: str, request: Any) -> Any:
        return await getattr(self._service.budgets, method)(request, metadata=self._metadata)

    async def limited(self, at_once: asyncio.Semaphore, method: str, request: Any) -> None:
        async with at_once:
            await self.budgets(method, request)


def _timestamp(instant: datetime) -> Timestamp:
    timestamp = Timestamp()
    timestamp.FromDatetime(instant)
    return timestamp


def utc_now() -> datetime:
    """The time, for `build`."""
    return datetime.now(UTC)
