"""`outlay spend`: check and record spend, and read the ledger."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

import click

from outlay.v1 import budget_service_pb2 as pb
from outlay.v1.reservation_pb2 import ExpiryAction, Reservation
from outlay.v1.spend_record_pb2 import SpendRecord
from outlay_cli import options, remote, spend_view
from outlay_cli.exits import ExitCode

_MODES: Final = ("reserve", "check-only", "record")
_QUERY_DEFAULT_DAYS: Final = 30

labels_option = click.option(
    "--label",
    "labels",
    type=options.label,
    metavar="KEY=VALUE",
    multiple=True,
    help="By which budgets and gates choose; may be repeated.",
)
unit_option = click.option("--unit", required=True, help="What is counted, such as USD.")
label_filter_option = click.option(
    "--label",
    "labels",
    type=options.label,
    metavar="KEY=VALUE",
    multiple=True,
    help="Only with this label; a trailing * is a prefix.",
)


@click.group()
def spend() -> None:
    """Check and record spend; read the ledger.

    AMOUNT is a decimal number of the unit with at most 6 places, such as 0.25.
    """


@spend.command()
@click.argument("amount", type=options.amount)
@unit_option
@options.organization_option
@labels_option
@click.option("--mode", type=click.Choice(_MODES), default="reserve", show_default=True, help="Hold, ask, or record.")
@click.option("--min-amount", type=options.amount, help="Take less where the amount does not fit, but at least this.")
@click.option("--ttl", type=options.duration, help="How long to hold, such as 30s; default 5m.")
@click.option("--record-at-expiry", is_flag=True, help="Record what is still held when it expires, not release it.")
@options.request_id_option
@options.output_option
def check(
    amount: int,
    unit: str,
    organization: str,
    labels: Sequence[tuple[str, str]],
    mode: str,
    min_amount: int | None,
    ttl: timedelta | None,
    record_at_expiry: bool,
    request_id: str,
    output: str,
) -> int:
    """Ask whether AMOUNT may be spent, and hold it.

    Exits 0 when allowed and 3 when denied; any other code is no answer, and no reason to go ahead.
    """
    request = pb.CheckSpendRequest(
        organization=_organization(organization),
        unit=unit,
        amount_micros=amount,
        min_amount_micros=min_amount,
        labels=dict(labels),
        mode=pb.CheckMode.Value(f"CHECK_MODE_{mode.upper().replace('-', '_')}"),
        request_id=request_id or remote.new_request_id(),
    )
    if ttl is not None:
        request.reservation_ttl.FromTimedelta(ttl)
    if record_at_expiry:
        request.expiry_action = ExpiryAction.EXPIRY_ACTION_RECORD
    with remote.connect() as service:
        answer = service.call(service.budgets.CheckSpend, request)
    spend_view.show_decision(answer, unit, output)
    return ExitCode.DONE if answer.decision == pb.Decision.DECISION_ALLOWED else ExitCode.PARTIAL


@spend.command()
@click.argument("amount", type=options.amount)
@click.option("--unit", default="", help="What is counted; needed without --reservation.")
@click.option("--reservation", help="The reservation to draw from and settle: its id or name.")
@options.organization_option
@labels_option
@click.option("--usage-time", type=options.instant, help="When the work was done; at most 35 days back.")
@click.option("--keep-open", is_flag=True, help="Keep what the reservation still holds.")
@options.request_id_option
@options.output_option
def record(
    amount: int,
    unit: str,
    reservation: str | None,
    organization: str,
    labels: Sequence[tuple[str, str]],
    usage_time: datetime | None,
    keep_open: bool,
    request_id: str,
    output: str,
) -> None:
    """Record what was really spent. It is never refused for want of budget."""
    if not unit and not reservation:
        raise click.UsageError("Give --reservation, or --unit for spend that was not checked before.")
    request = pb.RecordSpendRequest(
        organization=_organization(organization),
        unit=unit,
        amount_micros=amount,
        labels=dict(labels),
        keep_open=keep_open,
        request_id=request_id or remote.new_request_id(),
    )
    if reservation:
        request.reservation = options.child_name(organization, "reservations", reservation)
    if usage_time is not None:
        request.usage_time.FromDatetime(usage_time)
    with remote.connect() as service:
        answer = service.call(service.budgets.RecordSpend, request)
    spend_view.show_record(answer.spend_record, output)


@spend.command()
@click.argument("reservation")
@options.organization_option
@options.request_id_option
@options.output_option
def release(reservation: str, organization: str, request_id: str, output: str) -> None:
    """Give back what a reservation still holds, because the work was not done."""
    with remote.connect() as service:
        request = pb.ReleaseReservationRequest(
            name=options.child_name(organization, "reservations", reservation),
            request_id=request_id or remote.new_request_id(),
        )
        released = service.call(service.budgets.ReleaseReservation, request)
    spend_view.show_reservation(released, output)


@spend.command()
@click.argument("record")
@click.option("--amount", type=options.amount, help="How much; default: all that is left of the record.")
@options.organization_option
@options.request_id_option
@options.output_option
def refund(record: str, amount: int | None, organization: str, request_id: str, output: str) -> None:
    """Credit back part or all of one record, into its cycle. RECORD is its id or name."""
    with remote.connect() as service:
        request = pb.RefundSpendRequest(
            organization=_organization(organization),
            spend_record=options.child_name(organization, "spendRecords", record),
            amount_micros=amount,
            request_id=request_id or remote.new_request_id(),
        )
        answer = service.call(service.budgets.RefundSpend, request)
    spend_view.show_record(answer.spend_record, output)


@spend.command("list")
@options.organization_option
@click.option("--unit", default="", help="Only of this unit.")
@label_filter_option
@options.period_options
@options.limit_option
@options.output_option
def list_records(
    organization: str,
    unit: str,
    labels: Sequence[tuple[str, str]],
    since: datetime | None,
    until: datetime | None,
    limit: int,
    output: str,
) -> None:
    """List the ledger, newest first."""
    with remote.connect() as service:

        def fetch(page_size: int, page_token: str) -> tuple[list[SpendRecord], str]:
            request = pb.ListSpendRecordsRequest(
                parent=f"organizations/{organization}",
                page_size=page_size,
                page_token=page_token,
                unit=unit,
                label_filters=_filters(labels),
            )
            if since is not None:
                request.start_time.FromDatetime(since)
            if until is not None:
                request.end_time.FromDatetime(until)
            page = service.call(service.budgets.ListSpendRecords, request)
            return list(page.spend_records), page.next_page_token

        found, has_more = remote.collect(fetch, limit)
    spend_view.show_records(found, output, has_more=has_more)


@spend.command()
@options.organization_option
@click.option("--unit", default="", help="Only of this unit.")
@click.option("--all", "every_state", is_flag=True, help="Closed ones too.")
@options.limit_option
@options.output_option
def held(organization: str, unit: str, every_state: bool, limit: int, output: str) -> None:
    """List what is held by open reservations, newest first."""
    with remote.connect() as service:

        def fetch(page_size: int, page_token: str) -> tuple[list[Reservation], str]:
            request = pb.ListReservationsRequest(
                parent=f"organizations/{organization}", page_size=page_size, page_token=page_token, unit=unit
            )
            if not every_state:
                request.state = spend_view.OPEN
            page = service.call(service.budgets.ListReservations, request)
            return list(page.reservations), page.next_page_token

        found, has_more = remote.collect(fetch, limit)
    spend_view.show_reservations(found, output, has_more=has_more)


@spend.command()
@unit_option
@options.organization_option
@label_filter_option
@options.period_options
@click.option("--by", "granularity", type=click.Choice(["hour", "day"]), default="day", show_default=True)
@click.option("--group-by", multiple=True, metavar="LABEL", help="Break down by this label; may be repeated.")
@click.option("--time-zone", default="", metavar="ZONE", help="Whose hours and days; default UTC.")
@options.limit_option
@options.output_option
def query(
    unit: str,
    organization: str,
    labels: Sequence[tuple[str, str]],
    since: datetime | None,
    until: datetime | None,
    granularity: str,
    group_by: Sequence[str],
    time_zone: str,
    limit: int,
    output: str,
) -> None:
    """Sum the ledger by hour or day and by label; without --since the last 30 days."""
    end = until or datetime.now(UTC)
    start = since or end - timedelta(days=_QUERY_DEFAULT_DAYS)
    with remote.connect() as service:

        def fetch(page_size: int, page_token: str) -> tuple[list[pb.SpendRow], str]:
            request = pb.QuerySpendRequest(
                organization=_organization(organization),
                unit=unit,
                granularity=pb.Granularity.Value(f"GRANULARITY_{granularity.upper()}"),
                group_by=group_by,
                time_zone=time_zone,
                label_filters=_filters(labels),
                page_size=page_size,
                page_token=page_token,
            )
            request.start_time.FromDatetime(start)
            request.end_time.FromDatetime(end)
            page = service.call(service.budgets.QuerySpend, request)
            return list(page.rows), page.next_page_token

        found, has_more = remote.collect(fetch, limit)
    spend_view.show_sums(found, group_by, output, has_more=has_more)


def _organization(id: str) -> str:
    """The field may be left empty by an organization's own key, which is what `-` stands for."""
    return "" if id == "-" else f"organizations/{id}"


def _filters(labels: Sequence[tuple[str, str]]) -> list[str]:
    return [f"{key}={value}" for key, value in labels]
