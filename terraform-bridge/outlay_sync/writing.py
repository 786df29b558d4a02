"""Writing the files of what exists: everything of it is in them, so that they plan nothing."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

from outlay.v1.budget_pb2 import Budget, Enforcement, Period
from outlay.v1.organization_pb2 import Organization
from outlay.v1.webhook_endpoint_pb2 import WebhookEndpoint, WebhookFormat
from outlay_sync import scalars
from outlay_sync.nodes import Scalar
from outlay_sync.problems import Place
from outlay_sync.schema import FILE_NAME

FormatAmount = Callable[[int], str]

_PLAIN: Final = re.compile(r"[A-Za-z](?:[A-Za-z0-9 ._/*+()@-]*[A-Za-z0-9._/*+)@-])?", re.ASCII)
_NOWHERE: Final = Place("", 0, 0)
_ESCAPES: Final = {"\\": "\\\\", '"': '\\"'}

SCHEMA_LINE: Final = f"# yaml-language-server: $schema={FILE_NAME}\n"


def source_file(source: str) -> str:
    """The file that says what all of them are called."""
    return (
        SCHEMA_LINE
        + "# What these files keep is managed by yaml:SOURCE. Give each repository a source of its own.\n"
        + f"source: {quoted(source)}\n"
    )


def organization_file(
    organization: Organization,
    budgets: Sequence[Budget],
    endpoints: Sequence[WebhookEndpoint],
    format_amount: FormatAmount,
    *,
    with_settings: bool,
) -> str:
    """The file of an organization. Without its settings, only its budgets and webhook endpoints are kept."""
    lines = [
        *_organization_lines(organization, with_settings=with_settings),
        *_list_lines("budgets", [list(_budget_lines(budget, format_amount)) for budget in budgets]),
        *_list_lines("webhook_endpoints", [list(_endpoint_lines(endpoint)) for endpoint in endpoints]),
    ]
    return "".join(lines)


def uri_variable(endpoint: WebhookEndpoint) -> str | None:
    """The environment variable that stands for a URI which may open its receiver, as Slack's do; else None."""
    if endpoint.format != WebhookFormat.WEBHOOK_FORMAT_SLACK:
        return None
    return f"OUTLAY_{endpoint.name.rpartition('/')[2].upper().replace('-', '_')}_URI"


def _organization_lines(organization: Organization, *, with_settings: bool) -> Iterator[str]:
    yield SCHEMA_LINE
    yield f"organization: {_id(organization.name)}\n"
    if with_settings:
        yield f"display_name: {quoted(organization.display_name)}\n"
        yield "\ngates:\n" if organization.gates else "\ngates: []\n"
        for gate in organization.gates:
            yield f"  - gate_id: {quoted(gate.gate_id)}\n"
            yield f"    label: {quoted(gate.label)}\n"
            yield f"    pattern: {quoted(gate.pattern)}\n"
            yield f"    enabled: {_boolean(gate.enabled)}\n"


def _list_lines(name: str, items: Sequence[Sequence[str]]) -> Iterator[str]:
    """A list of mappings, with a line between them; nothing for none."""
    if items:
        yield f"\n{name}:\n"
    for number, (first, *rest) in enumerate(items):
        if number:
            yield "\n"
        yield f"  - {first}\n"
        yield from (f"    {line}\n" for line in rest)


def _endpoint_lines(endpoint: WebhookEndpoint) -> Iterator[str]:
    variable = uri_variable(endpoint)
    yield f"webhook_endpoint_id: {_id(endpoint.name)}"
    yield f"display_name: {quoted(endpoint.display_name)}"
    yield f"uri: {quoted(endpoint.uri)}" if variable is None else f"uriFrom: {{env: {variable}}}"
    yield f"format: {WebhookFormat.Name(endpoint.format).removeprefix('WEBHOOK_FORMAT_')}"
    yield f"event_types: [{', '.join(endpoint.event_types)}]"
    yield f"disabled: {_boolean(endpoint.disabled)}"


def _budget_lines(budget: Budget, format_amount: FormatAmount) -> Iterator[str]:
    def amount(name: str) -> str:
        return format_amount(getattr(budget, name)) if budget.HasField(name) else "null"  # type: ignore[arg-type]

    yield f"budget_id: {_id(budget.name)}"
    yield f"unit: {quoted(budget.unit)}"
    yield f"display_name: {quoted(budget.display_name)}"
    yield f"selector: {_selector(budget)}"
    yield f"budget: {amount('budget_micros')}"
    yield f"hard_cap: {amount('hard_cap_micros')}"
    yield f"hard_cap_enabled: {_boolean(budget.hard_cap_enabled)}"
    yield f"allotment: {amount('allotment_micros')}"
    yield f"alert_thresholds: {_thresholds(budget)}"
    yield f"alerts_enabled: {_boolean(budget.alerts_enabled)}"
    yield f"cycle: {_cycle(budget)}"
    yield f"enforcement: {Enforcement.Name(budget.enforcement).removeprefix('ENFORCEMENT_')}"


def _id(name: str) -> str:
    """The id at the end of a name; `no` and `null` are ids too."""
    return quoted(name.rpartition("/")[2])


def quoted(text: str) -> str:
    """Text as YAML: plain where every reader takes it for that text, else in double quotation marks."""
    if _PLAIN.fullmatch(text) and scalars.other_reading(Scalar(text, is_plain=True, place=_NOWHERE)) is None:
        return text
    return f'"{"".join(map(_character, text))}"'


def _character(character: str) -> str:
    if character in _ESCAPES:
        return _ESCAPES[character]
    if character.isprintable():
        return character
    return f"\\U{ord(character):08X}" if ord(character) > 0xFFFF else f"\\u{ord(character):04X}"


def _boolean(value: bool) -> str:
    return "true" if value else "false"


def _selector(budget: Budget) -> str:
    return _flow(f"{quoted(key)}: {quoted(budget.selector[key])}" for key in sorted(budget.selector))


def _thresholds(budget: Budget) -> str:
    if not budget.HasField("alert_thresholds"):
        return "null # 50, 75, 90, 100"
    return f"[{', '.join(map(str, budget.alert_thresholds.percents))}]"


def _cycle(budget: Budget) -> str:
    cycle = budget.cycle
    members = [f"period: {Period.Name(cycle.period).removeprefix('PERIOD_')}"]
    if cycle.anchor:
        members.append(f"anchor: {cycle.anchor}")
    return _flow([*members, f"time_zone: {cycle.time_zone or 'UTC'}"])


def _flow(members: Iterable[str]) -> str:
    return f"{{{', '.join(members)}}}"
