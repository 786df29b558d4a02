"""What was spent in a cycle, step by step and by label, from QuerySpend."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from google.protobuf.timestamp_pb2 import Timestamp

from outlay.v1 import budget_service_pb2 as pb
from outlay.v1.budget_pb2 import PERIOD_LIFETIME, Budget
from outlay_rest.console.chart import Chart, Outlook, cycle_chart
from outlay_rest.console.figures import instant_of
from outlay_rest.console.visit import BUDGETS, Visit

LIFETIME_DAYS: Final = 90
"""Of a cycle without an end so many days are shown, and as many ahead as a third of them."""

SHARES_MAX: Final = 10
"""Values of a label shown by themselves; the rest is one line."""

_PAGES_MAX: Final = 5
_PAGE_SIZE: Final = 10_000
_HOURS_UP_TO: Final = timedelta(days=2)
_RECORDS_LOOKED_AT: Final = 200
"""Newest records in which the keys of labels are looked for."""


@dataclass(frozen=True, slots=True)
class Share:
    """What one value of a label spent."""

    value: str
    spent_micros: int
    percent: float


@dataclass(frozen=True, slots=True)
class Breakdown:
    """Who spends, by one label."""

    keys: Sequence[str]
    """Labels to choose from."""
    key: str
    shares: Sequence[Share]
    is_whole: bool
    """False where there was more than could be read for one page."""


def window_of(budget: Budget, now: datetime) -> tuple[datetime, datetime]:
    """The stretch that is drawn: the cycle, or the last days of one without an end."""
    start = instant_of(budget.spend.cycle_start)
    if budget.cycle.period != PERIOD_LIFETIME:
        return start, instant_of(budget.spend.cycle_end)
    first = max(start, now - timedelta(days=LIFETIME_DAYS)).replace(minute=0, second=0, microsecond=0)
    return first, now + timedelta(days=LIFETIME_DAYS // 3)


async def chart_of(
    visit: Visit, budget: Budget, limit_micros: int | None, now: datetime
) -> tuple[Chart, list[tuple[str, int]]]:
    """The chart, and its steps as (local time, micros spent) for those who would rather read them."""
    zone = ZoneInfo(budget.cycle.time_zone)
    start, end = window_of(budget, now)
    is_short = end - start <= _HOURS_UP_TO
    rows, _ = await _rows(visit, budget, start, now, pb.GRANULARITY_HOUR if is_short else pb.GRANULARITY_DAY, ())
    steps = [(instant_of(row.start_time), row.spent_micros) for row in rows]
    in_window = sum(micros for _, micros in steps)
    forecast = budget.spend.forecast
    outlook = (
        Outlook(forecast.projected_spend_micros, forecast.low_micros, forecast.high_micros)
        if budget.spend.HasField("forecast") and forecast.HasField("projected_spend_micros")
        else None
    )
    chart = cycle_chart(
        start,
        end,
        min(max(now, start), end),
        steps,
        base_micros=max(0, budget.spend.spent_micros - in_window),
        cap_micros=limit_micros,
        budget_micros=budget.budget_micros if budget.HasField("budget_micros") else None,
        outlook=outlook,
        zone=zone,
    )
    form = "%Y-%m-%d %H:%M" if is_short else "%Y-%m-%d"
    return chart, [(instant.astimezone(zone).strftime(form), micros) for instant, micros in steps]


async def breakdown_of(visit: Visit, budget: Budget, wanted: str, now: datetime) -> Breakdown:
    """Who spends, by the label `wanted`, or by the one that most records carry."""
    start, _ = window_of(budget, now)
    keys = await _label_keys(visit, budget, start)
    key = wanted if wanted in keys else next(iter(keys), "")
    if not key:
        return Breakdown([], "", [], is_whole=True)
    rows, is_whole = await _rows(visit, budget, start, now, pb.GRANULARITY_DAY, (key,))
    spent: Counter[str] = Counter()
    for row in rows:
        spent[row.labels.get(key, "")] += row.spent_micros
    total = sum(micros for micros in spent.values() if micros > 0) or 1
    top = spent.most_common(SHARES_MAX)
    shares = [Share(value or "(none)", micros, 100 * micros / total) for value, micros in top]
    rest = sum(spent.values()) - sum(micros for _, micros in top)
    if len(spent) > len(top):
        shares.append(Share(f"{len(spent) - len(top)} more", rest, 100 * rest / total))
    return Breakdown(keys, key, shares, is_whole)


async def _rows(
    visit: Visit,
    budget: Budget,
    start: datetime,
    end: datetime,
    granularity: "pb.Granularity.ValueType",
    group_by: Sequence[str],
) -> tuple[list[pb.SpendRow], bool]:
    """The rows of what the budget counts, and whether they are all."""
    request = pb.QuerySpendRequest(
        organization=visit.organization(),
        unit=budget.unit,
        start_time=_timestamp(start),
        end_time=_timestamp(max(end, start + timedelta(seconds=1))),
        granularity=granularity,
        group_by=group_by,
        time_zone=budget.cycle.time_zone,
        label_filters=_filters(budget),
        page_size=_PAGE_SIZE,
    )
    rows: list[pb.SpendRow] = []
    for _ in range(_PAGES_MAX):
        answer = await visit.ask(f"{BUDGETS}QuerySpend", request)
        rows += answer.rows
        request.page_token = answer.next_page_token
        if not answer.next_page_token:
            return rows, True
    return rows, False


async def _label_keys(visit: Visit, budget: Budget, start: datetime) -> list[str]:
    """Keys of labels that the newest records carry, the commonest first."""
    request = pb.ListSpendRecordsRequest(
        parent=visit.organization(),
        unit=budget.unit,
        start_time=_timestamp(start),
        label_filters=_filters(budget),
        page_size=_RECORDS_LOOKED_AT,
    )
    found = await visit.ask(f"{BUDGETS}ListSpendRecords", request)
    counted = Counter(key for record in found.spend_records for key in record.labels)
    return [key for key, _ in sorted(counted.items(), key=lambda item: (-item[1], item[0]))]


def _filters(budget: Budget) -> list[str]:
    return [f"{key}={pattern}" for key, pattern in sorted(budget.selector.items())]


def _timestamp(instant: datetime) -> Timestamp:
    timestamp = Timestamp()
    timestamp.FromDatetime(instant.astimezone(UTC))
    return timestamp
