"""`outlay alerts`: thresholds that were crossed."""

import click

from outlay.v1 import admin_service_pb2 as pb
from outlay.v1.alert_pb2 import Alert, AlertBasis
from outlay_cli import options, output, remote, text


@click.group()
def alerts() -> None:
    """Thresholds that were crossed."""


@alerts.command("list")
@options.organization_option
@click.option("--budget", default="", help="Only those of this budget.")
@options.limit_option
@options.output_option
def list_alerts(organization: str, budget: str, limit: int, output: str) -> None:
    """List alerts, newest first."""
    with remote.connect() as service:

        def fetch(page_size: int, page_token: str) -> tuple[list[Alert], str]:
            request = pb.ListAlertsRequest(
                parent=f"organizations/{organization}", page_size=page_size, page_token=page_token
            )
            if budget:
                request.budget = options.child_name(organization, "budgets", budget)
            page = service.call(service.admin.ListAlerts, request)
            return list(page.alerts), page.next_page_token

        found, has_more = remote.collect(fetch, limit)
    show_list(found, output, has_more=has_more)


def show_list(found: list[Alert], form: str, *, has_more: bool) -> None:
    """Print alerts."""
    if form == "json":
        output.print_list(found, key="alerts", has_more=has_more)
        return
    rows = [
        (
            text.instant(one.create_time),
            text.last_segment(one.budget),
            f"{one.threshold_percent} %",
            text.enum_name(AlertBasis.Name(one.basis), "ALERT_BASIS_").lower(),
            text.amount(one.spent_micros),
            text.amount(one.basis_micros),
        )
        for one in found
    ]
    output.print_table(("TIME", "BUDGET", "THRESHOLD>", "OF", "SPENT>", "OF AMOUNT>"), rows, has_more=has_more)
