"""Plans as one JSON document for programs."""

from collections.abc import Sequence
from typing import Any

from google.protobuf import json_format

from outlay.v1.caps_pb2 import CapsChange
from outlay_cli import output
from outlay_cli.caps.outcome import Outcome, Title
from outlay_cli.caps.problems_view import problems_json
from outlay_sync import describe
from outlay_sync.planning import Failure, OrganizationPlan, Plan, tally, type_name


def show_json(plan: Plan, title: Title, outcome: Outcome, failures: Sequence[Failure]) -> None:
    document: dict[str, Any] = {
        "manager": plan.manager,
        "has_changes": plan.has_changes,
        "summary": tally(plan.changes),
        "organizations": [_organization_json(organization) for organization in plan.organizations],
        "errors": [{"organization": failure.name, "problems": problems_json(failure.problems)} for failure in failures],
    }
    if title == "apply":
        document["outcome"] = dict(outcome.statuses)
    output.print_json(document)


def _organization_json(plan: OrganizationPlan) -> dict[str, Any]:
    return {
        "organization": plan.name,
        "plan_etag": plan.answer.plan_etag,
        "required_scopes": list(plan.answer.required_scopes),
        "changes": [_change_json(plan, change) for change in plan.changes],
        "orphans": list(plan.answer.orphans),
    }


def _change_json(plan: OrganizationPlan, change: CapsChange) -> dict[str, Any]:
    place = plan.places.of(change.resource)
    document: dict[str, Any] = {
        "resource": change.resource,
        "type": type_name(change),
        "file": place.file,
        "line": place.line,
        "fields": [],
        "warnings": [
            {
                "reason": describe.warning_reason(warning),
                "refused": warning.refused,
                "message": warning.message,
                "metadata": dict(warning.metadata),
            }
            for warning in change.warnings
        ],
    }
    for one in change.fields:
        shown: dict[str, Any] = {
            "path": one.path,
            "before": describe.value_of(one.before),
            "after": describe.value_of(one.after),
        }
        if one.HasField("outside_change"):
            shown["last_applied"] = describe.value_of(one.last_applied)
            shown["outside_change"] = _message_json(one.outside_change)
        document["fields"].append(shown)
    if change.HasField("outside_change"):
        document["outside_change"] = _message_json(change.outside_change)
    return document


def _message_json(message: Any) -> dict[str, Any]:
    return json_format.MessageToDict(message, preserving_proto_field_name=True)
