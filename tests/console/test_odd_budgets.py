"""Budgets that are unlike the usual one: every cycle, odd clocks, the largest amounts, nothing, and very many."""

import time

import httpx2
import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from console.test_pages import home, sign_in
from outlay.v1 import budget_pb2
from support.tenants import Tenant

CAP_MICROS = 10**17
RECORD_MICROS = 10**15

CYCLES = {
    "life": budget_pb2.Cycle(period=budget_pb2.PERIOD_LIFETIME),
    "day": budget_pb2.Cycle(period=budget_pb2.PERIOD_DAY),
    "week": budget_pb2.Cycle(period=budget_pb2.PERIOD_WEEK),
    "year": budget_pb2.Cycle(period=budget_pb2.PERIOD_YEAR),
    "kolkata": budget_pb2.Cycle(period=budget_pb2.PERIOD_DAY, time_zone="Asia/Kolkata"),
    "kathmandu": budget_pb2.Cycle(period=budget_pb2.PERIOD_MONTH, time_zone="Asia/Kathmandu"),
    "chatham": budget_pb2.Cycle(period=budget_pb2.PERIOD_MONTH, time_zone="Pacific/Chatham"),
    "apia": budget_pb2.Cycle(period=budget_pb2.PERIOD_DAY, time_zone="Pacific/Apia"),
}


def test_every_cycle_and_clock_has_its_page_with_and_without_spend(
    visitor: httpx2.Client, tenant: Tenant, key: str
) -> None:
    """With the largest cap and the largest records there are, in a unit that is no money."""
    sign_in(visitor, key)
    pages = [f"{home(tenant)}/budgets/{name}" for name in CYCLES]
    for name, cycle in CYCLES.items():
        tenant.create_budget(
            name,
            unit="TOKENS",
            cycle=cycle,
            hard_cap_micros=CAP_MICROS,
            hard_cap_enabled=True,
            alert_thresholds=budget_pb2.AlertThresholds(percents=range(100, 1_001, 100)),
        )
    assert {page: visitor.get(page).status_code for page in pages} == dict.fromkeys(pages, 200)
    now = int(time.time())
    for hours in range(0, 240, 6):
        moment = Timestamp(seconds=now - hours * 3_600)
        labels = {"k" * 63: "v" * 255}
        tenant.admin.call("RecordSpend", tenant.record(RECORD_MICROS, unit="TOKENS", usage_time=moment, labels=labels))
    assert {page: visitor.get(page).status_code for page in pages} == dict.fromkeys(pages, 200)
    assert "<dd>40,000,000,000.00</dd>" in visitor.get(pages[3]).text


def test_an_organization_without_spend_or_limits_has_all_its_pages(
    visitor: httpx2.Client, tenant: Tenant, key: str
) -> None:
    sign_in(visitor, key)
    assert "no limit" in visitor.get(home(tenant)).text
    assert "Nothing with a label was recorded" in visitor.get(f"{home(tenant)}/budgets/spending").text
    assert "No threshold was crossed yet" in visitor.get(f"{home(tenant)}/alerts").text


@pytest.mark.parametrize("query", ["by=%00%ff", "by=" + "x" * 500, "page=zzz", "by=<b>&by=2", "saved=1&saved=2"])
def test_no_query_breaks_a_page(visitor: httpx2.Client, tenant: Tenant, key: str, query: str) -> None:
    tenant.admin.call("RecordSpend", tenant.record(5, labels={"model": "small"}))
    sign_in(visitor, key)
    assert visitor.get(f"{home(tenant)}/budgets/spending?{query}").status_code == 200
    for path in ("/audit", "/alerts", "/keys"):
        assert visitor.get(f"{home(tenant)}{path}?{query}").status_code in (200, 400)


def test_what_anybody_wrote_into_settings_is_text(visitor: httpx2.Client, tenant: Tenant, key: str) -> None:
    """Managers, selectors, the words that a filter is made of, and the audit of all that."""
    hostile = "<img src=x onerror=alert(1)>"
    settings = {"display_name": hostile, "managed_by": hostile, "selector": {hostile: hostile + "*"}}
    tenant.create_budget("odd", unit="USD", **settings)
    sign_in(visitor, key)
    for path in ("", "/budgets/odd", "/audit", "/keys", f"/audit?action={hostile}"):
        assert "<img" not in visitor.get(home(tenant) + path).text, path
    assert "&lt;img src=x onerror=alert(1)&gt;*" in visitor.get(f"{home(tenant)}/budgets/odd").text


def test_many_budgets_are_one_page(visitor: httpx2.Client, tenant: Tenant, key: str) -> None:
    """Sorted, searched, and small on the wire."""
    for number in range(200):
        tenant.create_budget(f"team-{number}", unit="USD", selector={"team": str(number)})
    tenant.cap(100_000_000)
    tenant.admin.call("RecordSpend", tenant.record(99_000_000, labels={"team": "7"}))
    sign_in(visitor, key)
    page = visitor.get(home(tenant), headers={"accept-encoding": "gzip"})
    assert page.text.count("<tr>") == 203
    places = [page.text.index(f"/budgets/{name}") for name in ("spending", "team-7", "team-8")]
    assert places == sorted(places)
    assert int(page.headers["content-length"]) < 12_000
    assert visitor.get(f"{home(tenant)}?q=team-19").text.count("<tr>") == 1 + 11
