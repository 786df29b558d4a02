"""Reading the ledger, what is held, alerts and the audit: which rows are asked for."""

from dataclasses import dataclass
from typing import Final

from outlay.v1 import admin_service_pb2 as admin_pb
from outlay.v1 import budget_service_pb2 as pb
from outlay.v1 import reservation_pb2
from outlay_server.api.caller import Caller
from outlay_server.api.from_wire.fields import Fields, Page
from outlay_server.domain.cycle import DEFAULT_TIME_ZONE, time_zone_violation
from outlay_server.domain.instant import MICROS_PER_SECOND, Instant
from outlay_server.domain.limits import (
    PAGE_SIZE_MAX,
    QUERY_GROUP_LABELS_MAX,
    QUERY_RANGE_MAX_SECONDS,
    QUERY_ROWS_MAX,
)
from outlay_server.domain.names import BudgetName, ReservationName
from outlay_server.domain.reservation import ReservationState
from outlay_server.domain.selector import Selector, label_key_violation
from outlay_server.domain.text import text_violation

ACTION_MAX_LENGTH: Final = 64
"""Characters of an audit action in a filter; the longest there is has twenty."""

_ANY_STATE: Final[ReservationState | None] = None

_STATES: Final = {
    reservation_pb2.RESERVATION_STATE_OPEN: ReservationState.OPEN,
    reservation_pb2.RESERVATION_STATE_SETTLED: ReservationState.SETTLED,
    reservation_pb2.RESERVATION_STATE_RELEASED: ReservationState.RELEASED,
    reservation_pb2.RESERVATION_STATE_EXPIRED: ReservationState.EXPIRED,
}
_BY_HOUR: Final = {pb.GRANULARITY_UNSPECIFIED: False, pb.GRANULARITY_HOUR: True, pb.GRANULARITY_DAY: False}


@dataclass(frozen=True, slots=True)
class ReservationQuery:
    """ListReservations, read."""

    organization_id: str
    page: Page
    state: ReservationState | None
    unit: str


@dataclass(frozen=True, slots=True)
class RecordQuery:
    """ListSpendRecords, read."""

    organization_id: str
    page: Page
    """Its position is the `charge_time` and the id of a record."""
    unit: str
    start: Instant | None
    end: Instant | None
    labels: Selector


@dataclass(frozen=True, slots=True)
class SpendQuery:
    """QuerySpend, read."""

    organization_id: str
    page: Page
    """Its position is the start of a row and, in the order of `group_by`, its label values."""
    unit: str
    start: Instant
    end: Instant
    by_hour: bool
    time_zone: str
    group_by: tuple[str, ...]
    labels: Selector


@dataclass(frozen=True, slots=True)
class AlertQuery:
    """ListAlerts, read."""

    organization_id: str
    page: Page
    budget_id: str
    """"" for all."""


@dataclass(frozen=True, slots=True)
class AuditQuery:
    """ListAuditEvents, read."""

    organization_id: str
    page: Page
    """Its position is a sequence number."""
    resource: str
    action: str
    start: Instant | None
    end: Instant | None

    @property
    def after_sequence(self) -> int | None:
        """The sequence number that the page before ended with; None for the first page."""
        return None if self.page.after is None else int(self.page.after[0])


def reservation(request: pb.GetReservationRequest, caller: Caller) -> ReservationName:
    fields = Fields(caller)
    name = fields.child("name", request.name, ReservationName)
    fields.finish()
    assert name is not None
    return name


def reservations(request: pb.ListReservationsRequest, caller: Caller) -> ReservationQuery:
    fields = Fields(caller)
    query = ReservationQuery(
        organization_id=fields.required_organization("parent", request.parent),
        page=fields.page(request),
        state=fields.choice("state", request.state, _STATES) if request.state else _ANY_STATE,
        unit=fields.optional_unit("unit", request.unit),
    )
    fields.finish()
    return query


def records(request: pb.ListSpendRecordsRequest, caller: Caller) -> RecordQuery:
    fields = Fields(caller)
    query = RecordQuery(
        organization_id=fields.required_organization("parent", request.parent),
        page=fields.page(request, (int, str)),
        unit=fields.optional_unit("unit", request.unit),
        start=fields.optional_instant("start_time", request),
        end=fields.optional_instant("end_time", request),
        labels=fields.label_filters("label_filters", request.label_filters),
    )
    _ensure_ascending(fields, query.start, query.end)
    fields.finish()
    return query


def spend(request: pb.QuerySpendRequest, caller: Caller) -> SpendQuery:
    fields = Fields(caller)
    for name in ("start_time", "end_time"):
        if not request.HasField(name):
            fields.violations.add(name, "must be set")
    time_zone = request.time_zone or DEFAULT_TIME_ZONE
    fields.violations.add("time_zone", time_zone_violation(time_zone))
    group_by = _group_by(fields, request)
    query = SpendQuery(
        organization_id=fields.organization("organization", request.organization),
        page=fields.page(request, (int, *(str for _ in group_by)), default=PAGE_SIZE_MAX, maximum=QUERY_ROWS_MAX),
        unit=fields.unit("unit", request.unit),
        start=fields.instant("start_time", request.start_time),
        end=fields.instant("end_time", request.end_time),
        by_hour=fields.choice("granularity", request.granularity, _BY_HOUR),
        time_zone=time_zone,
        group_by=group_by,
        labels=fields.label_filters("label_filters", request.label_filters),
    )
    _ensure_ascending(fields, query.start, query.end)
    if query.end - query.start > QUERY_RANGE_MAX_SECONDS * MICROS_PER_SECOND:
        fields.violations.add("end_time", f"must be at most {QUERY_RANGE_MAX_SECONDS // 86_400} days after start_time")
    fields.finish()
    return query


def alerts(request: admin_pb.ListAlertsRequest, caller: Caller) -> AlertQuery:
    fields = Fields(caller)
    organization_id = fields.required_organization("parent", request.parent)
    budget: BudgetName | None = None
    if request.budget:
        budget = fields.child("budget", request.budget, BudgetName, organization_id=organization_id)
    page = fields.page(request)
    fields.finish()
    return AlertQuery(organization_id, page, budget.resource_id if budget else "")


def audit_events(request: admin_pb.ListAuditEventsRequest, caller: Caller) -> AuditQuery:
    fields = Fields(caller)
    organization_id = fields.required_organization("parent", request.parent)
    query = AuditQuery(
        organization_id=organization_id,
        page=fields.page(request, (int,)),
        resource=fields.reaches_name("resource", request.resource, organization_id) if request.resource else "",
        action=request.action,
        start=fields.optional_instant("start_time", request),
        end=fields.optional_instant("end_time", request),
    )
    fields.violations.add("action", text_violation(request.action, ACTION_MAX_LENGTH))
    _ensure_ascending(fields, query.start, query.end)
    fields.finish()
    return query


def _ensure_ascending(fields: Fields, start: Instant | None, end: Instant | None) -> None:
    if start is not None and end is not None and end <= start and not fields.violations:
        fields.violations.add("end_time", "must be after start_time")


def _group_by(fields: Fields, request: pb.QuerySpendRequest) -> tuple[str, ...]:
    keys = tuple(request.group_by[: QUERY_GROUP_LABELS_MAX + 1])
    if len(keys) > QUERY_GROUP_LABELS_MAX:
        fields.violations.add("group_by", f"must have at most {QUERY_GROUP_LABELS_MAX} entries")
    for index, key in enumerate(keys):
        fields.violations.add(f"group_by[{index}]", label_key_violation(key))
        if key in keys[:index]:
            fields.violations.add(f"group_by[{index}]", "must not name a label again")
    return keys


def watching(request: pb.WatchBudgetsRequest, caller: Caller) -> tuple[str, int | None]:
    """The organization, and the sequence to go on from where there is one."""
    fields = Fields(caller)
    organization_id = fields.required_organization("parent", request.parent)
    after = request.after_sequence if request.HasField("after_sequence") else None
    fields.violations.add("after_sequence", "must be 0 or more" if after is not None and after < 0 else None)
    fields.finish()
    return organization_id, after
