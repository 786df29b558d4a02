"""The rules of the service, as files are checked by them offline: the functions that check a request."""

from typing import Final

from outlay_server.domain import limits
from outlay_server.domain.amounts import format_micros, parse_decimal, unit_violation
from outlay_server.domain.cycle import parse_anchor, time_zone_violation
from outlay_server.domain.destination import DestinationRules, uri_violation
from outlay_server.domain.event import EventType
from outlay_server.domain.names import id_violation
from outlay_server.domain.selector import label_key_violation, pattern_violation
from outlay_server.domain.text import text_violation
from outlay_server.domain.webhook import WebhookFormat
from outlay_sync.rules import Rules


def _anchor_violation(text: str) -> str | None:
    try:
        parse_anchor(text)
    except ValueError as error:
        return str(error)
    return None


def _webhook_uri_violation(uri: str, kind: str) -> str | None:
    return uri_violation(uri, WebhookFormat(kind), _ANY_SERVER)


_ANY_SERVER: Final = DestinationRules(allow_insecure=True, mail=True)
"""What no server would take is wrong everywhere; the rest each server decides."""

RULES: Final = Rules(
    id=id_violation,
    unit=unit_violation,
    label_key=label_key_violation,
    label_pattern=pattern_violation,
    date=_anchor_violation,
    time_zone=time_zone_violation,
    webhook_uri=_webhook_uri_violation,
    amount=parse_decimal,
    format_amount=format_micros,
    text=text_violation,
    display_name_max_length=limits.DISPLAY_NAME_MAX_LENGTH,
    managed_by_max_length=limits.MANAGED_BY_MAX_LENGTH,
    labels_max=limits.LABELS_MAX,
    thresholds_max=limits.ALERT_THRESHOLDS_MAX,
    threshold_percent_min=limits.ALERT_THRESHOLD_PERCENT_MIN,
    threshold_percent_max=limits.ALERT_THRESHOLD_PERCENT_MAX,
    budgets_max=limits.BUDGETS_PER_ORGANIZATION_MAX,
    gates_max=limits.GATES_PER_ORGANIZATION_MAX,
    webhook_endpoints_max=limits.WEBHOOK_ENDPOINTS_PER_ORGANIZATION_MAX,
    webhook_event_types=tuple(kind.value for kind in EventType),
)
