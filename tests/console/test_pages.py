"""What the console answers over HTTP: who gets in, what is sent, and what is refused."""

import html
import re

import httpx2
import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from outlay.v1 import admin_service_pb2 as admin_pb
from outlay.v1 import budget_pb2
from outlay.v1 import budget_service_pb2 as pb
from support.server import ServerProcess
from support.tenants import Tenant, new_key
from support.wire import Caller

SAME_ORIGIN = {"sec-fetch-site": "same-origin"}
PAGES = ("", "/alerts", "/audit", "/keys", "/webhooks", "/budgets/spending")


def sign_in(visitor: httpx2.Client, key: str) -> httpx2.Response:
    answer = visitor.post("/sign-in", data={"api_key": key}, headers=SAME_ORIGIN)
    assert answer.status_code == 303, answer.text
    return answer


def home(tenant: Tenant) -> str:
    return f"/organizations/{tenant.organization_id}"


def test_a_key_leads_to_its_organization_and_the_platform_key_to_all(
    visitor: httpx2.Client, tenant: Tenant, key: str, shared_server: ServerProcess
) -> None:
    assert sign_in(visitor, key).headers["location"] == f"/console{home(tenant)}"
    assert sign_in(visitor, shared_server.admin_key).headers["location"] == "/console/organizations"
    listed = visitor.get("/organizations").text
    while tenant.organization_id not in listed:
        # The server is shared: there may be more than a page of them.
        listed = visitor.get("/organizations" + listed.split('rel="next" href="')[1].split('"')[0]).text


def test_the_cookie_is_out_of_reach_for_scripts_and_other_sites(visitor: httpx2.Client, key: str) -> None:
    cookie = sign_in(visitor, key).headers["set-cookie"].lower()
    for attribute in ("httponly", "samesite=lax", "path=/console", "max-age=43200"):
        assert attribute in cookie


@pytest.mark.parametrize("key", ["", "sk_wrong", new_key(), "x" * 300, "sk_\x7f", "schlüssel"])
def test_a_key_that_opens_nothing_stays_outside(visitor: httpx2.Client, key: str) -> None:
    answer = visitor.post("/sign-in", data={"api_key": key}, headers=SAME_ORIGIN)
    assert (answer.status_code, "set-cookie" in answer.headers, 'role="alert"' in answer.text) == (403, False, True)


@pytest.mark.parametrize("path", PAGES)
def test_every_page_asks_who_is_there_and_comes_back(
    visitor: httpx2.Client, tenant: Tenant, key: str, path: str
) -> None:
    wanted = f"/console{home(tenant)}{path}"
    asked = visitor.get(home(tenant) + path)
    assert (asked.status_code, asked.headers["location"]) == (303, f"/console/sign-in?next={wanted}")
    answer = visitor.post("/sign-in", data={"api_key": key, "next": wanted}, headers=SAME_ORIGIN)
    assert answer.headers["location"] == wanted
    assert visitor.get(home(tenant) + path).status_code == 200


@pytest.mark.parametrize(
    "path", ["//evil.example", "/\\evil.example", "https://evil.example", "/docs", "/console/..//x"]
)
def test_signing_in_leads_nowhere_else(visitor: httpx2.Client, tenant: Tenant, key: str, path: str) -> None:
    answer = visitor.post("/sign-in", data={"api_key": key, "next": path}, headers=SAME_ORIGIN)
    assert answer.headers["location"] == f"/console{home(tenant)}"


@pytest.mark.parametrize(
    "headers",
    [{}, {"sec-fetch-site": "cross-site"}, {"sec-fetch-site": "same-site"}, {"origin": "https://evil.example"}],
    ids=["nothing said", "another site", "a sibling", "another origin"],
)
def test_a_form_of_another_site_changes_nothing(
    visitor: httpx2.Client, tenant: Tenant, key: str, headers: dict[str, str]
) -> None:
    sign_in(visitor, key)
    answer = visitor.post(f"{home(tenant)}/budgets/spending", data={"hard_cap": "1"}, headers=headers)
    assert (answer.status_code, tenant.budget().HasField("hard_cap_micros")) == (403, False)


def test_an_old_browser_is_known_by_its_origin(visitor: httpx2.Client, tenant: Tenant, key: str) -> None:
    sign_in(visitor, key)
    origin = str(visitor.base_url).removesuffix("/console/")
    answer = visitor.post(f"{home(tenant)}/keys", data={"display_name": "x"}, headers={"origin": origin})
    assert answer.status_code == 422


def test_a_revoked_key_is_signed_out(visitor: httpx2.Client, tenant: Tenant) -> None:
    made = tenant.key(["control:read"])
    sign_in(visitor, made.secret)
    tenant.admin.call("RevokeApiKey", admin_pb.RevokeApiKeyRequest(name=made.name))
    answer = visitor.get(home(tenant))
    assert (answer.status_code, 'outlay_key=""' in answer.headers["set-cookie"]) == (403, True)


@pytest.mark.parametrize(
    ("origin", "is_secure"), [("https://outlay.example", True), ("http://outlay.example", False), ("null", False)]
)
def test_the_cookie_of_a_browser_that_came_by_https_goes_no_other_way(
    visitor: httpx2.Client, key: str, origin: str, is_secure: bool
) -> None:
    """Behind a proxy that ends TLS, whose word for it is not taken: the browser itself names the origin it sees."""
    answer = visitor.post("/sign-in", data={"api_key": key}, headers=SAME_ORIGIN | {"origin": origin})
    assert (answer.status_code, "secure" in answer.headers["set-cookie"].lower()) == (303, is_secure)


def test_signing_out_forgets_the_key(visitor: httpx2.Client, tenant: Tenant, key: str) -> None:
    sign_in(visitor, key)
    visitor.post("/sign-out", headers=SAME_ORIGIN)
    assert visitor.get(home(tenant)).status_code == 303


@pytest.mark.parametrize("path", PAGES)
def test_anothers_organization_is_answered_as_a_missing_one(
    visitor: httpx2.Client, tenant: Tenant, key: str, path: str, shared_server: ServerProcess
) -> None:
    from support.tenants import new_tenant

    other = new_tenant(tenant.admin)
    sign_in(visitor, key)
    theirs, missing = visitor.get(home(other) + path), visitor.get(f"/organizations/nobody{path}")
    assert (theirs.status_code, missing.status_code) == (404, 404)
    assert theirs.text.replace(other.organization_id, "nobody") == missing.text


@pytest.mark.parametrize("scope", ["spend:check", "spend:record", "control:webhooks", "budgets:write"])
def test_a_key_that_reads_nothing_is_told_what_it_takes(visitor: httpx2.Client, tenant: Tenant, scope: str) -> None:
    answer = visitor.post("/sign-in", data={"api_key": tenant.key([scope]).secret}, headers=SAME_ORIGIN)
    assert (answer.status_code, "set-cookie" in answer.headers) == (403, False)
    assert "one of the scopes control:read or budgets:read" in answer.text


def test_a_key_that_only_reads_sees_the_budget_and_is_refused_with_the_reason(
    visitor: httpx2.Client, tenant: Tenant
) -> None:
    sign_in(visitor, tenant.key(["budgets:read"]).secret)
    form = {"etag": tenant.budget().etag, "budget": "5", "thresholds_default": "on", "enforcement": "1"}
    answer = visitor.post(f"{home(tenant)}/budgets/spending", data=form, headers=SAME_ORIGIN)
    assert (answer.status_code, tenant.budget().HasField("budget_micros")) == (403, False)
    assert "It takes one of the scopes control:read or budgets:write." in answer.text
    assert 'value="5"' in answer.text
    refused = visitor.post(f"{home(tenant)}/keys", data={"display_name": "x"}, headers=SAME_ORIGIN)
    assert refused.status_code == 403


def test_the_platform_key_reads_everywhere(
    visitor: httpx2.Client, tenant: Tenant, shared_server: ServerProcess
) -> None:
    sign_in(visitor, shared_server.admin_key)
    assert {path: visitor.get(home(tenant) + path).status_code for path in PAGES} == dict.fromkeys(PAGES, 200)


def test_a_key_that_may_not_is_told_which_scope_it_lacks(visitor: httpx2.Client, tenant: Tenant) -> None:
    sign_in(visitor, tenant.key(["budgets:read"]).secret)
    answer = visitor.get(f"{home(tenant)}/audit")
    assert (answer.status_code, "control:read" in answer.text) == (403, True)
    assert visitor.get(f"{home(tenant)}/budgets/spending").status_code == 200


def test_what_callers_wrote_is_text(visitor: httpx2.Client, tenant: Tenant, key: str) -> None:
    """Names and labels come from anybody who holds a key."""
    hostile = "<script>alert(1)</script>\"'&"
    tenant.create_budget("odd", unit="USD", display_name=hostile)
    tenant.admin.call("RecordSpend", tenant.record(5, labels={hostile: hostile}))
    sign_in(visitor, key)
    for path in ("", "/budgets/odd", "/audit", f"?q={hostile}"):
        text = visitor.get(home(tenant) + path).text
        assert "<script>alert" not in text, path
    assert "&lt;script&gt;alert(1)" in visitor.get(f"{home(tenant)}/budgets/odd").text


@pytest.mark.parametrize(
    "path", ["/nothing", "/organizations/acme/nothing", "/static/routes.py", "/static/../routes.py"]
)
def test_there_is_nothing_else(visitor: httpx2.Client, path: str) -> None:
    assert visitor.get(path).status_code == 404


def test_nothing_runs_that_is_not_ours(visitor: httpx2.Client) -> None:
    answer = visitor.get("/sign-in")
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'")
    assert "unsafe" not in policy
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ({"hard_cap": "1e3"}, "Hard cap is no amount"),
        ({"hard_cap": "-1"}, "Hard cap is no amount"),
        ({"budget": "1.0000001"}, "Soft budget is no amount"),
        ({"hard_cap": "999999999999999999"}, "Hard cap is too large"),
        ({"thresholds": "50, many"}, "Alert thresholds must be whole percents"),
        ({"enforcement": "99"}, "must be one of these"),
        ({"thresholds": "90, 50"}, "Alert thresholds"),
        ({"display_name": "x" * 200}, "Name"),
    ],
)
def test_what_is_wrong_is_said_at_its_field_and_nothing_is_changed(
    visitor: httpx2.Client, tenant: Tenant, key: str, typed: dict[str, str], said: str
) -> None:
    before = tenant.budget()
    sign_in(visitor, key)
    form = {"etag": before.etag, "display_name": "Spending", "alerts_enabled": "on", "enforcement": "1", **typed}
    answer = visitor.post(f"{home(tenant)}/budgets/spending", data=form, headers=SAME_ORIGIN)
    assert answer.status_code in (409, 422)
    assert said in answer.text
    assert tenant.budget() == before


def test_a_form_that_is_none_is_refused(visitor: httpx2.Client, tenant: Tenant, key: str) -> None:
    sign_in(visitor, key)
    path = f"{home(tenant)}/budgets/spending"
    for body in (b"\xff\xfe=1", b"&".join(b"a=1" for _ in range(500)), b"x" * 70_000):
        assert visitor.post(path, content=body, headers=SAME_ORIGIN).status_code in (400, 413)


def test_changes_are_told_to_who_is_signed_in_only(visitor: httpx2.Client, tenant: Tenant, key: str) -> None:
    path = f"{home(tenant)}/changes"
    assert visitor.get(path).status_code == 401
    sign_in(visitor, key)
    with visitor.stream("GET", path) as answer:
        lines = (line for line in answer.iter_lines() if line)
        assert (answer.status_code, [next(lines), next(lines)]) == (200, ["event: state", "data:"])
        tenant.admin.call("RecordSpend", tenant.record(5))
        assert [next(lines), next(lines)] == ["event: change", "data: spending"]


def test_only_the_fields_that_were_changed_are_sent(visitor: httpx2.Client, tenant: Tenant, key: str) -> None:
    """A temporary cap, a selector, a cycle: what the form does not show stays as it is, and so does the audit."""
    tenant.create_budget(
        "team",
        unit="USD",
        selector={"team": "x"},
        cycle=budget_pb2.Cycle(period=budget_pb2.PERIOD_WEEK),
        budget_micros=7,
    )
    before = tenant.budget("team")
    sign_in(visitor, key)
    form = {
        "etag": before.etag,
        "display_name": "Team",
        "budget": "0.000007",
        "thresholds_default": "on",
        "alerts_enabled": "on",
        "enforcement": "1",
    }
    answer = visitor.post(f"{home(tenant)}/budgets/team", data=form, headers=SAME_ORIGIN)
    assert answer.headers["location"].endswith("?saved=1")
    after = tenant.budget("team")
    assert after.display_name == "Team"
    for field in ("display_name", "etag", "update_time"):
        before.ClearField(field)  # type: ignore[arg-type]
        after.ClearField(field)  # type: ignore[arg-type]
    assert after == before
    again = visitor.post(
        f"{home(tenant)}/budgets/team", data=form | {"etag": tenant.budget("team").etag}, headers=SAME_ORIGIN
    )
    events = tenant.admin.call(
        "ListAuditEvents", admin_pb.ListAuditEventsRequest(parent=tenant.name, resource=after.name)
    ).audit_events
    assert (again.status_code, len(events)) == (303, 2)


def test_a_webhook_is_tested_and_its_deliveries_are_listed(visitor: httpx2.Client, tenant: Tenant, key: str) -> None:
    """An address where nobody is: the reason is shown, and nothing breaks."""
    endpoint = admin_pb.CreateWebhookEndpointRequest(parent=tenant.name, webhook_endpoint_id="ops")
    endpoint.webhook_endpoint.uri = "https://outlay.invalid/hook"
    tenant.admin.call("CreateWebhookEndpoint", endpoint)
    sign_in(visitor, key)
    assert "outlay.invalid" in visitor.get(f"{home(tenant)}/webhooks").text
    tested = visitor.post(f"{home(tenant)}/webhooks/ops", headers=SAME_ORIGIN)
    assert (tested.status_code, "No answer:" in tested.text) == (200, True)


def test_the_address_is_right_with_and_without_a_slash(visitor: httpx2.Client, key: str, tenant: Tenant) -> None:
    sign_in(visitor, key)
    without = visitor.get(str(visitor.base_url).rstrip("/"))
    assert (without.status_code, without.headers["location"]) == (303, "/console/")
    assert visitor.get("/").headers["location"] == f"/console{home(tenant)}"


def test_a_link_with_a_filter_survives_signing_in(visitor: httpx2.Client, tenant: Tenant, key: str) -> None:
    wanted = f"/console{home(tenant)}/budgets/spending?by=model"
    asked = visitor.get(f"{home(tenant)}/budgets/spending?by=model")
    then = httpx2.QueryParams(asked.headers["location"].partition("?")[2])["next"]
    answer = visitor.post("/sign-in", data={"api_key": key, "next": then}, headers=SAME_ORIGIN)
    assert answer.headers["location"] == wanted


def test_older_pages_keep_the_filter(visitor: httpx2.Client, tenant: Tenant, key: str) -> None:
    for cap in range(1, 52):
        tenant.cap(cap * 10_000)
    sign_in(visitor, key)
    first = visitor.get(f"{home(tenant)}/audit?action=budget.updated").text
    older = html.unescape(re.findall(r'rel="next" href="([^"]+)"', first)[0])
    assert older.startswith("?action=budget.updated&page=")
    second = visitor.get(f"{home(tenant)}/audit{older}").text
    assert (first.count("<tr>"), second.count("<tr>")) == (1 + 50, 1 + 1)
    assert "organization.created" not in second


def test_a_temporary_cap_in_the_audit_is_an_amount_like_any_other(
    visitor: httpx2.Client, tenant: Tenant, key: str
) -> None:
    override = budget_pb2.CapOverride(hard_cap_micros=12_340_000, reason="<launch>")
    override.expire_time.GetCurrentTime()
    override.expire_time.seconds += 3_600
    budget = budget_pb2.Budget(name=tenant.child("budgets", "spending"), cap_override=override)
    tenant.admin.call(
        "UpdateBudget", pb.UpdateBudgetRequest(budget=budget, update_mask=FieldMask(paths=["cap_override"]))
    )
    sign_in(visitor, key)
    text = visitor.get(f"{home(tenant)}/budgets/spending").text
    assert "<ins>12.34</ins>" in text
    assert "<ins>&lt;launch&gt;</ins>" in text
    assert "temporary cap" in text.lower()


def test_pages_are_compressed_for_who_asks_and_answers_to_forms_never(
    visitor: httpx2.Client, tenant: Tenant, key: str
) -> None:
    sign_in(visitor, key)
    for path in (f"{home(tenant)}/budgets/spending", "/static/console.css"):
        plain = visitor.get(path, headers={"accept-encoding": "identity"})
        packed = visitor.get(path, headers={"accept-encoding": "gzip, br"})
        assert (plain.headers.get("content-encoding"), packed.headers["content-encoding"]) == (None, "gzip")
        assert int(packed.headers["content-length"]) < int(plain.headers["content-length"]) / 2
        assert packed.headers["vary"] == "accept-encoding"
    made = visitor.post(f"{home(tenant)}/keys", data={"display_name": "x"}, headers=SAME_ORIGIN)
    assert "content-encoding" not in made.headers


def test_changes_end_with_the_key(visitor: httpx2.Client, tenant: Tenant) -> None:
    """A page left open holds no stream, and no figures, beyond the key that opened it."""
    made = tenant.key(["control:read"])
    sign_in(visitor, made.secret)
    with visitor.stream("GET", f"{home(tenant)}/changes") as answer:
        lines = (line for line in answer.iter_lines() if line)
        assert next(lines) == "event: state"
        tenant.admin.call("RevokeApiKey", admin_pb.RevokeApiKeyRequest(name=made.name))
        assert list(lines) == ["data:"]
    assert visitor.get(f"{home(tenant)}/changes").status_code == 401


def test_a_look_at_the_head_of_the_changes_holds_nothing_open(visitor: httpx2.Client, tenant: Tenant, key: str) -> None:
    sign_in(visitor, key)
    answer = visitor.head(f"{home(tenant)}/changes")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/event-stream; charset=utf-8")


def test_a_caller_without_a_browser_can_still_be_frozen_out(
    visitor: httpx2.Client, tenant: Tenant, key: str, shared_server: ServerProcess
) -> None:
    """The incident switch: it asks whether that is meant, and then binds the next check."""
    sign_in(visitor, key)
    path = f"{home(tenant)}/budgets/spending"
    form = {"display_name": "Spending", "thresholds_default": "on", "alerts_enabled": "on", "enforcement": "3"}
    asked = visitor.post(path, data=form | {"etag": tenant.budget().etag}, headers=SAME_ORIGIN)
    assert (asked.status_code, "Yes, that is meant" in asked.text) == (422, True)
    visitor.post(path, data=form | {"etag": tenant.budget().etag, "confirmed": "on"}, headers=SAME_ORIGIN)
    with Caller(shared_server.grpc_address, tenant.key(["spend:check"]).secret) as caller:
        assert caller.call("CheckSpend", tenant.check(1)).reason == pb.DENIAL_REASON_FROZEN
