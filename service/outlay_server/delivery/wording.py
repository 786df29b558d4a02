"""Events in words, for Slack and mail."""

import json
from collections.abc import Mapping
from typing import Any, Final

_BASES: Final = {"BUDGET": "budget", "LIMIT": "limit"}


def subject_of(event_type: str, payload: str) -> str:
    """One line, without markup."""
    return _subject(event_type, json.loads(payload)["data"])


def text_of(event_type: str, payload: str) -> str:
    """The line, and below it every fact of the event as it stands in the JSON."""
    told = json.loads(payload)
    facts = "\n".join(f"{name}: {_shown(value)}" for name, value in told["data"].items() if not _is_exact_twin(name))
    return f"{_subject(event_type, told['data'])}\n\n{facts}\n\ntime: {told['timestamp']}\n"


def slack_body(event_type: str, payload: str) -> bytes:
    """What Slack's incoming webhooks take, and those that imitate them. No text is read as markup or a mention."""
    told = json.loads(payload)
    lines = [f"*{_escaped(_subject(event_type, told['data']))}*"]
    organization = told["data"].get("organization")
    if organization is not None:
        lines.append(_escaped(f"{organization} · {event_type} · {told['timestamp']}"))
    return json.dumps({"text": "\n".join(lines)}, ensure_ascii=False).encode()


def _subject(event_type: str, data: Mapping[str, Any]) -> str:
    match event_type:
        case "alert.crossed":
            percent = data["thresholds_percent"][-1]
            of = data["basis_amount"]
            return f"{_budget(data)} has reached {percent} % of its {_BASES[data['basis']]} of {of}: {_spent(data)}"
        case "cap.reached":
            return f"{_budget(data)} has reached its limit of {data['limit']} {data['unit']}: {_spent(data)}"
        case "spend.overrun":
            return f"{_budget(data)} is {data['overrun']} {data['unit']} above its limit of {data['limit']}"
        case "reservation.expired":
            return f"A reservation expired with {data['expired']} {data['unit']} unsettled"
        case "forecast.breached":
            of = data["limit"] if data["basis"] == "LIMIT" else data["soft_budget"]
            return f"{_budget(data)} is heading past its {_BASES[data['basis']]} of {of}: {_spent(data)} so far"
        case "budget.updated":
            return f"{_budget(data)} was changed: {', '.join(data['changed_fields'])}"
        case _:
            return f"Outlay: {event_type}"


def _budget(data: Mapping[str, Any]) -> str:
    budget_id = data["budget"].rpartition("/")[2]
    return f"{data['display_name'] or budget_id} of {data['organization'].rpartition('/')[2]}"


def _spent(data: Mapping[str, Any]) -> str:
    return f"{data['spent']} {data['unit']} spent"


def _is_exact_twin(name: str) -> bool:
    """Micros stand beside the decimal amount that people read."""
    return name.endswith("_micros")


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _escaped(text: str) -> str:
    """Slack's own rule: these three, and nothing else, are control characters."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
