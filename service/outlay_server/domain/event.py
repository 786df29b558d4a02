"""Events: what happened and who wants to hear of it, as receivers of webhooks read it.

An event is made in the transaction that it tells of, and its payload is written once: every attempt at every endpoint
sends the same bytes. `docs/webhooks.md` lists the fields of each type.
"""

import enum
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from outlay_server.domain.alert import Alert
from outlay_server.domain.amounts import format_micros
from outlay_server.domain.audit import JsonValue
from outlay_server.domain.budget import AlertBasis, Budget, BudgetCounter, Limits
from outlay_server.domain.cycle import Window
from outlay_server.domain.forecast import Forecast
from outlay_server.domain.instant import END_OF_TIME, Instant, to_datetime
from outlay_server.domain.names import AlertName, BudgetName, OrganizationName, ReservationName
from outlay_server.domain.reservation import Reservation

Data = dict[str, JsonValue]

_TIME_SUFFIX: Final = "_time_micros"
_AMOUNT_SUFFIX: Final = "_micros"


class EventType(enum.StrEnum):
    """What an endpoint can ask for."""

    ALERT_CROSSED = "alert.crossed"
    """Spend of a budget jumped over one or more alert thresholds."""
    CAP_REACHED = "cap.reached"
    """A limit denied a check, the first time in a cycle, and again when it has become another limit."""
    SPEND_OVERRUN = "spend.overrun"
    """A record took the spend of a budget above its limit."""
    RESERVATION_EXPIRED = "reservation.expired"
    """A reservation expired that still held something."""
    FORECAST_BREACHED = "forecast.breached"
    """Spend is heading past the limit or the soft budget before its cycle ends."""
    BUDGET_UPDATED = "budget.updated"
    """Somebody changed the settings of a budget."""


TEST_EVENT_TYPE: Final = "webhook.test"
"""Sent by `TestWebhookEndpoint` alone, to every endpoint whatever it asks for."""


@dataclass(frozen=True, slots=True)
class Event:
    """One entry of the outbox."""

    event_id: str
    """UUIDv7. The message id that receivers know it by."""
    organization_id: str
    event_type: str
    """An `EventType`."""
    budget_id: str
    """"" where it is about no budget alone."""
    payload: str
    """JSON as it is sent."""
    create_time: Instant


def alert_crossed(
    event_id: str, budget: Budget, counter: BudgetCounter, limits: Limits, alerts: Sequence[Alert]
) -> Event:
    """One jump over the thresholds of `alerts`, which are all of one budget, cycle and basis."""
    first = alerts[0]
    data: Data = {
        **_standing(budget, counter, limits),
        "basis": first.basis.value,
        "basis_amount_micros": first.basis_micros,
        "thresholds_percent": [*sorted(alert.threshold_percent for alert in alerts)],
        "alerts": [str(AlertName(alert.organization_id, alert.alert_id)) for alert in alerts],
    }
    return _event(event_id, budget, EventType.ALERT_CROSSED, data, first.create_time)


def cap_reached(
    event_id: str, budget: Budget, counter: BudgetCounter, limits: Limits, reason: str, now: Instant
) -> Event:
    """The first denial by this limit; `reason` is the denial's."""
    data: Data = {**_standing(budget, counter, limits), "reason": reason}
    return _event(event_id, budget, EventType.CAP_REACHED, data, now)


def spend_overrun(event_id: str, budget: Budget, counter: BudgetCounter, limits: Limits, now: Instant) -> Event:
    """Spend stands above the limit now, and did not before."""
    data: Data = {**_standing(budget, counter, limits), "overrun_micros": counter.overrun_micros(limits)}
    return _event(event_id, budget, EventType.SPEND_OVERRUN, data, now)


def reservation_expired(
    event_id: str,
    organization_id: str,
    reservation: Reservation,
    expired_micros: int,
    budget_ids: Sequence[str],
    now: Instant,
) -> Event:
    """`expired_micros` of a reservation were never settled; they were held against the budgets named."""
    data: Data = {
        "organization": str(OrganizationName(organization_id)),
        "reservation": str(ReservationName(organization_id, reservation.reservation_id)),
        "budgets": [str(BudgetName(organization_id, budget_id)) for budget_id in budget_ids],
        "unit": reservation.unit,
        "labels": dict(reservation.labels),
        "granted_micros": reservation.granted_micros,
        "recorded_micros": reservation.recorded_micros,
        "expired_micros": expired_micros,
        "expiry_action": reservation.expiry_action.value,
        "create_time_micros": reservation.create_time,
        "expire_time_micros": reservation.expire_time,
    }
    kind = EventType.RESERVATION_EXPIRED.value
    return Event(event_id, organization_id, kind, "", payload_of(kind, data, now), now)


def budget_updated(
    event_id: str,
    budget: Budget,
    before: Mapping[str, JsonValue],
    after: Mapping[str, JsonValue],
    actor: str,
    source: str,
    now: Instant,
) -> Event:
    """`before` and `after` are the settings as the audit keeps them."""
    changed = sorted(name for name in {*before, *after} if before.get(name) != after.get(name))
    data: Data = {
        **_budget(budget),
        "changed_fields": list(changed),
        "before": dict(before),
        "after": dict(after),
        "actor": actor,
        "source": source,
    }
    return _event(event_id, budget, EventType.BUDGET_UPDATED, data, now)


def forecast_breached(
    event_id: str, budget: Budget, counter: BudgetCounter, limits: Limits, forecast: Forecast, now: Instant
) -> Event:
    """By its days so far the budget will pass its limit in this cycle or, where it will not, its soft budget."""
    basis = AlertBasis.BUDGET if forecast.exhaustion is None else AlertBasis.LIMIT
    data: Data = {
        **_standing(budget, counter, limits),
        "basis": basis.value,
        "projected_micros": forecast.projected_micros,
        "low_micros": forecast.low_micros,
        "high_micros": forecast.high_micros,
        "exhaustion_time_micros": forecast.exhaustion,
        "days": forecast.days,
    }
    return _event(event_id, budget, EventType.FORECAST_BREACHED, data, now)


def payload_of(event_type: str, data: Mapping[str, JsonValue], now: Instant) -> str:
    """The JSON that is sent: `type`, `timestamp` and `data`, as Standard Webhooks recommends.

    Every `…_micros` amount gets a sibling without the suffix, the same amount as a decimal string, because not every
    reader of JSON can hold 64 bits; instants, kept as microseconds, become RFC 3339.
    """
    return _dump({"type": event_type, "timestamp": rfc3339(now), "data": _told(data)})


def rfc3339(instant: Instant) -> str:
    """An instant as text, in UTC."""
    return to_datetime(instant).isoformat().replace("+00:00", "Z")


_dump = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode


def _event(event_id: str, budget: Budget, kind: EventType, data: Data, now: Instant) -> Event:
    return Event(event_id, budget.organization_id, kind.value, budget.budget_id, payload_of(kind.value, data, now), now)


def _budget(budget: Budget) -> Data:
    return {
        "organization": str(OrganizationName(budget.organization_id)),
        "budget": str(BudgetName(budget.organization_id, budget.budget_id)),
        "display_name": budget.display_name,
        "unit": budget.unit,
    }


def _standing(budget: Budget, counter: BudgetCounter, limits: Limits) -> Data:
    """Which budget, in which cycle, and where it stands right after what happened."""
    return {
        **_budget(budget),
        "enforcement": budget.enforcement.value,
        "cycle": _cycle(counter.window),
        "spent_micros": counter.spent_micros,
        "reserved_micros": counter.reserved_micros,
        "budget_micros": budget.budget_micros,
        "limit_micros": limits.limit_micros,
    }


def _cycle(window: Window) -> Data:
    end = None if window.end >= END_OF_TIME else window.end
    return {"start_time_micros": window.start, "end_time_micros": end}


def _told(data: Mapping[str, JsonValue]) -> Data:
    told: Data = {}
    for name, value in data.items():
        if name.endswith(_TIME_SUFFIX):
            assert value is None or isinstance(value, int)
            told[name.removesuffix(_AMOUNT_SUFFIX)] = None if value is None else rfc3339(Instant(value))
        elif name.endswith(_AMOUNT_SUFFIX):
            assert value is None or isinstance(value, int)
            told[name] = value
            told[_decimal_name(name)] = None if value is None else format_micros(value)
        else:
            told[name] = _told(value) if isinstance(value, dict) else value
    return told


def _decimal_name(name: str) -> str:
    """`budget_micros` has `soft_budget` beside it: `budget` is the name of the budget itself."""
    plain = name.removesuffix(_AMOUNT_SUFFIX)
    return "soft_budget" if plain == "budget" else plain
