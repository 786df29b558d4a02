"""The tasks of people who look at spend, each done in a real browser."""

import time
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.timestamp_pb2 import Timestamp
from playwright.sync_api import Browser, expect

from console.conftest import BY_NAME, Open
from outlay.v1 import admin_service_pb2 as admin_pb
from outlay.v1 import budget_pb2
from outlay.v1 import budget_service_pb2 as pb
from support.tenants import Tenant
from support.wire import Caller

CENT = 10_000
PHONE = {"width": 390, "height": 800}
PAGES = ("", "/budgets/spending", "/alerts", "/audit", "/keys", "/webhooks")


@pytest.fixture
def spender(tenant: Tenant) -> Tenant:
    """An organization in the middle of its month, with a cap, spend of two models, and something denied."""
    tenant.cap(100 * 100 * CENT)
    now = int(time.time())
    for day in range(12):
        for model in ("large", "small"):
            tenant.admin.call(
                "RecordSpend",
                tenant.record(
                    (150 + day) * CENT,
                    labels={"model": model},
                    usage_time=Timestamp(seconds=now - day * 86_400 - 60),
                ),
            )
    tenant.admin.call("CheckSpend", tenant.check(10**12))
    return tenant


def test_sign_in_and_look_at_a_budget(signed_in: Open, spender: Tenant) -> None:
    """From the list to the page: the figures are those of the service."""
    page = signed_in()
    page.get_by_role("link", name="Spending").click()
    spent = spender.budget().spend.spent_micros // CENT / 100
    expect(page.locator(".tiles")).to_contain_text(f"{spent:.2f}")
    expect(page.locator(".tiles")).to_contain_text("100.00")
    expect(page.get_by_role("heading", name="Who spends")).to_be_visible()
    expect(page.locator(".shares")).to_contain_text("large")


def test_see_the_chart_of_the_cycle(signed_in: Open, spender: Tenant) -> None:
    """A line that never falls, the cap above it, and the same figures as a table for who cannot see it."""
    page = signed_in("/budgets/spending")
    points = page.locator(".chart .spent").get_attribute("points") or ""
    heights = [float(point.split(",")[1]) for point in points.split()]
    assert len(heights) > 3
    assert heights == sorted(heights, reverse=True)
    assert heights[-1] < heights[0]
    expect(page.locator(".chart .rule.cap")).to_have_count(1)
    page.get_by_text("The figures").click()
    cells = page.locator("details td.number").all_inner_texts()
    in_cycle = spender.budget().spend.spent_micros
    assert sum(round(float(cell.replace(",", "")) * 100) for cell in cells) == in_cycle // CENT


def test_edit_a_cap_without_a_mouse(signed_in: Open, tenant: Tenant) -> None:
    """By keyboard alone, and it binds the next check."""
    page = signed_in("/budgets/spending")
    page.get_by_label("Hard cap", exact=True).focus()
    page.keyboard.type("0.05")
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_contain_text("Saved")
    assert tenant.budget().hard_cap_micros == 5 * CENT
    assert tenant.admin.call("CheckSpend", tenant.check(6 * CENT)).decision == pb.DECISION_DENIED


def test_be_refused_because_somebody_else_was_faster(signed_in: Open, tenant: Tenant) -> None:
    """What was typed is kept, the reason is said, and a second save is meant."""
    page = signed_in("/budgets/spending")
    tenant.cap(7 * CENT)
    page.get_by_label("Soft budget").fill("3.00")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("alert")).to_contain_text("Somebody changed this budget")
    expect(page.get_by_label("Soft budget")).to_have_value("3.00")
    assert not tenant.budget().HasField("budget_micros")


def test_be_refused_because_it_is_kept_as_code(signed_in: Open, tenant: Tenant) -> None:
    """Read-only, unless the override is ticked."""
    budget = budget_pb2.Budget(name=tenant.child("budgets", "spending"), managed_by="yaml:caps")
    tenant.admin.call(
        "UpdateBudget", pb.UpdateBudgetRequest(budget=budget, update_mask=FieldMask(paths=["managed_by"]))
    )
    page = signed_in("/budgets/spending")
    page.get_by_label("Soft budget").fill("3.00")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("alert")).to_contain_text("kept as code by yaml:caps")
    page.get_by_label("Override until the next apply").check()
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("status")).to_contain_text("Saved")
    assert tenant.budget().budget_micros == 300 * CENT


def test_a_cap_below_what_is_spent_is_asked_about(signed_in: Open, spender: Tenant) -> None:
    page = signed_in("/budgets/spending")
    page.get_by_label("Hard cap", exact=True).fill("1.00")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("alert")).to_contain_text("every further check is denied at once")
    assert spender.budget().hard_cap_micros == 100 * 100 * CENT
    page.get_by_label("Yes, that is meant").check()
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("status")).to_contain_text("Saved")
    expect(page.locator("#figures")).to_contain_text("nothing more is admitted")


def test_make_a_key_and_revoke_it(signed_in: Open, tenant: Tenant) -> None:
    """By the platform key, which alone may. The secret is shown once and works; revoked, it does not."""
    page = signed_in("/keys", by=tenant.admin.key)
    page.get_by_label("Name").fill("Batch jobs")
    page.get_by_label("spend:check").check()
    page.get_by_role("button", name="Create the key").click()
    secret = page.locator("#secret").inner_text()
    with Caller(tenant.admin.address, secret) as caller:
        assert caller.call("CheckSpend", tenant.check(1)).decision == pb.DECISION_ALLOWED
        page.goto(page.url)
        row = page.get_by_role("row").filter(has_text="Batch jobs")
        row.get_by_text("Revoke", exact=True).click()
        row.get_by_role("button").click()
        expect(page.get_by_role("status")).to_contain_text("revoked")
        expect(page.locator("body")).not_to_contain_text(secret)
        assert caller.fails("CheckSpend", tenant.check(1)).reason == "INVALID_API_KEY"


def test_spend_is_shown_as_it_happens(signed_in: Open, tenant: Tenant) -> None:
    """Without a reload, in the list and on the page; what is being typed stays."""
    page = signed_in("/budgets/spending")
    page.get_by_label("Soft budget").fill("77")
    tenant.admin.call("RecordSpend", tenant.record(123 * CENT))
    expect(page.locator(".tiles")).to_contain_text("1.23")
    expect(page.get_by_label("Soft budget")).to_have_value("77")


def test_a_page_says_when_it_stands_still(browser: Browser, console: str, tenant: Tenant) -> None:
    """After its key was revoked: nobody takes the last figures for new ones."""
    made = tenant.key(["control:read"])
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"{console}/sign-in?next=/console/{tenant.name}/budgets/spending")
    page.get_by_label("API key").fill(made.secret)
    with page.expect_request("**/changes"):
        page.get_by_role("button", name="Sign in").click()
    expect(page.locator("#standing-still")).to_be_hidden()
    tenant.admin.call("RevokeApiKey", admin_pb.RevokeApiKeyRequest(name=made.name))
    expect(page.locator("#standing-still")).to_contain_text("signed out", timeout=15_000)
    context.close()


def test_what_was_opened_stays_open_when_figures_change(signed_in: Open, spender: Tenant) -> None:
    page = signed_in("/budgets/spending")
    page.get_by_text("The figures").click()
    page.evaluate("document.activeElement.blur()")
    spender.admin.call("RecordSpend", spender.record(99 * CENT))
    expect(page.locator(".tiles")).to_contain_text(f"{spender.budget().spend.spent_micros // CENT / 100:.2f}")
    expect(page.locator("details table")).to_be_visible()


def test_a_tab_that_nobody_looks_at_holds_no_connection(signed_in: Open, spender: Tenant) -> None:
    """A browser has six for a server; somebody with ten budgets open is still served."""
    page = signed_in("/budgets/spending")
    address = page.url
    for one in [page, *(page.context.new_page() for _ in range(8))]:
        one.goto(address)
        expect(one.get_by_role("heading", name="Who spends")).to_be_visible()
        one.evaluate(
            """Object.defineProperty(document, "hidden", { value: true });
               document.dispatchEvent(new Event("visibilitychange"))"""
        )


def test_forms_work_over_plain_http_on_another_machine(
    browser: Browser, console: str, tenant: Tenant, key: str
) -> None:
    """There browsers keep `Sec-Fetch-Site` to themselves, and the origin alone tells where a form came from."""
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"{console.replace('127.0.0.1', BY_NAME)}/sign-in")
    page.get_by_label("API key").fill(key)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("link", name="Spending")).to_be_visible()
    context.close()


def test_find_a_budget_among_many(signed_in: Open, tenant: Tenant) -> None:
    for number in range(5):
        tenant.create_budget(f"team-{number}", unit="USD", display_name=f"Team {number}")
    page = signed_in()
    page.get_by_role("searchbox").fill("team 3")
    page.keyboard.press("Enter")
    expect(page.locator("tbody tr")).to_have_count(1)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_page_keeps_anybody_out(signed_in: Open, spender: Tenant, scheme: Any) -> None:
    """Axe finds nothing on any page, in light and dark, on a desk and on a phone."""
    found = {}
    for viewport in (PHONE, {"width": 1_200, "height": 900}):
        page = signed_in(color_scheme=scheme, viewport=viewport)
        root = page.url
        for path in PAGES:
            page.goto(root + path)
            violations = Axe().run(page).response["violations"]
            found.update({(path, rule["id"]): [node["html"] for node in rule["nodes"]][:3] for rule in violations})
    assert found == {}


def test_a_phone_shows_it_all_without_sideways_scrolling(signed_in: Open, spender: Tenant) -> None:
    page = signed_in(viewport=PHONE)
    root = page.url
    for path in PAGES:
        page.goto(root + path)
        wide = page.evaluate(
            """[...document.querySelectorAll("main *")].filter(e => e.getBoundingClientRect().right > innerWidth
               && !e.closest(".scroll")).map(e => e.outerHTML.slice(0, 120))"""
        )
        assert wide == [], path


def test_it_works_without_scripts(signed_in: Open, tenant: Tenant) -> None:
    page = signed_in("/budgets/spending", java_script_enabled=False)
    page.get_by_label("Soft budget").fill("12.50")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("status")).to_contain_text("Saved")
    assert tenant.budget().budget_micros == 1_250 * CENT


def test_nothing_is_asked_of_anybody_else(signed_in: Open, spender: Tenant, console: str) -> None:
    page = signed_in()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    root = page.url
    for path in PAGES:
        page.goto(root + path, wait_until="load")
    assert asked
    assert [url for url in asked if not url.startswith(console)] == []
