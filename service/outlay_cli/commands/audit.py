"""`outlay audit`: who changed what."""

from datetime import datetime
from typing import Any

import click
from google.protobuf import json_format

from outlay.v1 import admin_service_pb2 as pb
from outlay.v1.audit_event_pb2 import AuditEvent
from outlay_cli import options, output, remote, text


@click.group()
def audit() -> None:
    """Who changed what."""


@audit.command("list")
@options.organization_option
@click.option("--resource", default="", metavar="NAME", help="Only those about this resource, by its full name.")
@click.option("--action", default="", help="Only those with this action, such as budget.updated.")
@options.period_options
@options.limit_option
@options.output_option
def list_events(
    organization: str,
    resource: str,
    action: str,
    since: datetime | None,
    until: datetime | None,
    limit: int,
    output: str,
) -> None:
    """List audit events, newest first."""
    with remote.connect() as service:

        def fetch(page_size: int, page_token: str) -> tuple[list[AuditEvent], str]:
            request = pb.ListAuditEventsRequest(
                parent=f"organizations/{organization}",
                page_size=page_size,
                page_token=page_token,
                resource=resource,
                action=action,
            )
            if since is not None:
                request.start_time.FromDatetime(since)
            if until is not None:
                request.end_time.FromDatetime(until)
            page = service.call(service.admin.ListAuditEvents, request)
            return list(page.audit_events), page.next_page_token

        found, has_more = remote.collect(fetch, limit)
    show_list(found, output, has_more=has_more)


def show_list(found: list[AuditEvent], form: str, *, has_more: bool) -> None:
    """Print audit events."""
    if form == "json":
        output.print_list(found, key="audit_events", has_more=has_more)
        return
    rows = [
        (
            str(one.sequence),
            text.instant(one.create_time),
            one.action,
            one.resource.partition("/")[2].partition("/")[2] or text.last_segment(one.resource),
            text.last_segment(one.actor),
            one.source,
            ", ".join(_changed_fields(one)),
        )
        for one in found
    ]
    headers = ("SEQ>", "TIME", "ACTION", "RESOURCE", "ACTOR", "SOURCE", "CHANGED")
    output.print_table(headers, rows, has_more=has_more)


_ALWAYS_CHANGED = frozenset({"etag", "update_time", "updateTime"})


def _changed_fields(event: AuditEvent) -> list[str]:
    """The settings that differ between before and after; none for a creation or deletion."""
    if not (event.HasField("before") and event.HasField("after")):
        return []
    before: dict[str, Any] = json_format.MessageToDict(event.before)
    after: dict[str, Any] = json_format.MessageToDict(event.after)
    differing = {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)}
    return sorted(differing - _ALWAYS_CHANGED)
