"""The faces on the real server, with its real ledger and audit log, on each database."""

import http.client
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import httpx2
import pytest

from rest.bad_bodies import NOT_AN_INTEGER, NOT_ONE_DOCUMENT, with_key
from rest.live import Tenant, connect, new_tenant
from support.server import ServerProcess

CAPS = "/v1/organizations/billing/spending-caps"
USAGE = "/v1/usage/budget"
JSON = {"content-type": "application/json"}


@pytest.fixture
def tenant(shared_server: ServerProcess) -> Iterator[Tenant]:
    made = new_tenant(shared_server)
    yield made
    made.platform.close()
    made.caller.close()


def test_the_published_examples(tenant: Tenant) -> None:
    """The three of the billing face and the one of the usage face, as they are printed there."""
    caller = tenant.caller
    one = caller.post(
        CAPS,
        json={
            "monthly_spending_budget": 10000,
            "spending_alert_thresholds": [75, 100],
            "spending_alerts_enabled": True,
        },
    )
    two = caller.post(CAPS, json={"hard_spending_cap": 50000, "hard_cap_enabled": True})
    assert (one.status_code, two.status_code, two.json()) == (
        200,
        200,
        {
            "current_spending_cents": 0,
            "current_spending_usd": 0,
            "monthly_spending_budget": 10000,
            "monthly_spending_budget_usd": 100,
            "spending_alert_thresholds": [75, 100],
            "spending_alerts_enabled": True,
            "spending_alerts_sent": [],
            "hard_spending_cap": 50000,
            "hard_spending_cap_usd": 500,
            "hard_cap_enabled": True,
            "budget_percentage_used": 0,
        },
    )
    three = caller.post(
        CAPS, json={"monthly_spending_budget": None, "hard_spending_cap": None, "hard_cap_enabled": False}
    ).json()
    assert (three["monthly_spending_budget"], three["hard_spending_cap"], three["hard_cap_enabled"]) == (
        None,
        None,
        False,
    )
    assert three["spending_alert_thresholds"] == [75, 100]

    put = caller.put(USAGE, json={"spend_cap": 50000, "alert_thresholds": [90, 75], "opus_enabled": False})
    expected = {"spend_cap": 50000, "alert_thresholds": [75, 90], "credits_allotment": None, "opus_enabled": False}
    assert (put.status_code, put.json()) == (200, {"success": True, "data": expected})
    assert caller.get(USAGE).json() == put.json()


def test_a_new_organization_reads_as_published_defaults(tenant: Tenant) -> None:
    caps = tenant.caller.get(CAPS).json()
    assert caps["spending_alert_thresholds"] == [50, 75, 90, 100]
    assert (caps["spending_alerts_enabled"], caps["hard_cap_enabled"]) == (True, False)
    assert (caps["monthly_spending_budget"], caps["hard_spending_cap"], caps["budget_percentage_used"]) == (None,) * 3
    assert tenant.caller.get(USAGE).json()["data"] == {
        "spend_cap": None,
        "alert_thresholds": [],
        "credits_allotment": None,
        "opus_enabled": False,
    }


def test_caps_set_here_block_over_the_same_api(tenant: Tenant) -> None:
    caller, check = tenant.caller, "/v1/organizations/-:checkSpend"
    caller.post(CAPS, json={"hard_spending_cap": 1000, "hard_cap_enabled": True, "monthly_spending_budget": 500})
    spent = caller.post(
        f"{tenant.path}:recordSpend", json={"unit": "USD", "amount_micros": "4500001", "request_id": "r1"}
    )
    assert (spent.status_code, spent.json()["spend_record"]["amount_micros"]) == (200, "4500001")
    caps = caller.get(CAPS).json()
    assert (caps["current_spending_cents"], caps["spending_alerts_sent"]) == (451, [50, 75, 90])
    assert caps["budget_percentage_used"] == 90
    denied = caller.post(check, json={"unit": "USD", "amount_micros": 5_500_000})
    assert (denied.status_code, denied.json()["error"]["code"]) == (402, "SPENDING_CAP_REACHED")
    assert "cycle_reset_at" in denied.json()["error"]["details"]
    assert caller.post(check, json={"unit": "USD", "amount_micros": 5_499_999}).status_code == 200
    held = caller.post(check, json={"unit": "USD", "amount_micros": 1})
    assert (held.status_code, held.json()["error"]["code"], held.json()["retryable"]) == (
        402,
        "HELD_BY_RESERVATIONS",
        True,
    )


def test_opus_and_credits(tenant: Tenant) -> None:
    caller = tenant.caller
    check = {"unit": "CREDITS", "amount_micros": "5000000", "labels": {"model": "claude-opus-4-7"}}
    off = caller.post(f"{tenant.path}:checkSpend", json=check)
    assert (off.status_code, off.json()["error"]["code"]) == (403, "OPUS_NOT_ENABLED")
    caller.put(USAGE, json={"opus_enabled": True, "spend_cap": 4})
    capped = caller.post(f"{tenant.path}:checkSpend", json=check)
    assert (capped.status_code, capped.json()["error"]["code"]) == (402, "AI_CREDITS_EXHAUSTED")
    caller.put(USAGE, json={"spend_cap": 5})
    assert caller.post(f"{tenant.path}:checkSpend", json=check).status_code == 200


def test_an_allotment_shows_and_cannot_be_set_here(tenant: Tenant) -> None:
    budget = f"{tenant.path}/budgets/credits"
    assert tenant.platform.patch(budget, json={"allotment_micros": 100_000_000_000}).status_code == 200
    assert tenant.caller.get(USAGE).json()["data"]["credits_allotment"] == 100_000
    refused = tenant.caller.put(USAGE, json={"credits_allotment": 5, "spend_cap": 7})
    assert (refused.status_code, refused.json()["error"]["param"]) == (422, "credits_allotment")
    assert tenant.caller.get(USAGE).json()["data"]["spend_cap"] is None


def test_every_update_that_changes_something_is_one_event(tenant: Tenant) -> None:
    before = len(tenant.audit_actions())
    tenant.caller.put(USAGE)
    tenant.caller.put(USAGE, json={})
    tenant.caller.post(CAPS, json={})
    assert len(tenant.audit_actions()) == before
    tenant.caller.put(USAGE, json={"spend_cap": 5, "alert_thresholds": [50], "opus_enabled": True})
    tenant.caller.put(USAGE, json={"opus_enabled": False})
    tenant.caller.post(CAPS, json={"hard_spending_cap": 5})
    assert tenant.audit_actions()[before:] == ["budget.updated"] * 3


def test_two_callers_who_set_different_keys_lose_nothing(tenant: Tenant) -> None:
    bodies = [{"monthly_spending_budget": 100}, {"hard_spending_cap": 200}, {"spending_alert_thresholds": [7]}]
    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda body: tenant.caller.post(CAPS, json=body).status_code, bodies * 4))
    caps = tenant.caller.get(CAPS).json()
    assert set(answers) == {200}
    assert (caps["monthly_spending_budget"], caps["hard_spending_cap"]) == (100, 200)
    assert caps["spending_alert_thresholds"] == [7]


def test_who_may_ask(tenant: Tenant) -> None:
    """The usage face asks for `control:read` and for nothing else; a platform key names the organization."""
    for scopes in (("spend:check",), ("budgets:read",), ("budgets:read", "budgets:write", "spend:record")):
        with tenant.with_scopes(*scopes) as other:
            for answer in (other.get(USAGE), other.put(USAGE), other.put(USAGE, json={"spend_cap": 1})):
                error = answer.json()["error"]
                assert (answer.status_code, error["code"]) == (403, "MISSING_SCOPE")
                assert error["details"] == {"required_scope": "control:read"}
    for path, verb in ((CAPS, "POST"), (USAGE, "PUT")):
        named = {"organization": tenant.organization_id}
        assert tenant.platform.get(path).status_code == 422
        assert tenant.platform.request(verb, path, json={}).status_code == 422
        assert tenant.platform.get(path, params=named).status_code == 200
        assert tenant.caller.get(path, params=named).status_code == 200
        assert tenant.caller.get(path, params={"organization": "somebody-else"}).status_code == 404
    for answer in (httpx2.get(f"{tenant.server.http_url}{path}") for path in (CAPS, USAGE)):
        assert (answer.status_code, answer.json()["success"]) == (401, False)
        assert "www-authenticate" in answer.headers


def test_a_revoked_key_is_401(tenant: Tenant) -> None:
    made = tenant.platform.post(f"{tenant.path}/apiKeys", json={"scopes": ["control:read"]}).json()
    with connect(tenant.server, made["secret"]) as caller:
        assert caller.get(CAPS).status_code == 200
        revoked = tenant.platform.post(f"/v1/{made['name']}:revoke")
        assert (revoked.status_code, caller.get(CAPS).status_code) == (200, 401)


# --- bad requests -----------------------------------------------------------------------------------------------------


def test_no_bad_body_changes_anything(tenant: Tenant) -> None:
    """Every one on every face that takes it: the documented status, counters and audit log as before."""
    faces = [
        ("POST", CAPS, "hard_spending_cap", 422),
        ("PUT", USAGE, "spend_cap", 422),
        ("PATCH", f"{tenant.path}/budgets/spending", "hard_cap_micros", 400),
        ("POST", f"{tenant.path}:checkSpend", "amount_micros", 400),
        ("POST", f"{tenant.path}:recordSpend", "amount_micros", 400),
    ]
    before = tenant.state()
    for verb, path, key, status in faces:
        bodies = {name: with_key(body, key) for name, body in NOT_ONE_DOCUMENT.items()}
        bodies |= {name: b'{"%s": %s}' % (key.encode(), value) for name, value in NOT_AN_INTEGER.items()}
        client = tenant.platform if verb == "PATCH" else tenant.caller
        found = {
            name: client.request(verb, path, content=body, headers=JSON).status_code for name, body in bodies.items()
        }
        assert found == dict.fromkeys(bodies, status), path
        undeclared = client.request(verb, path, content=b"{}", headers={"content-type": "text/plain"})
        assert undeclared.status_code == (422 if status == 422 else 415)
        assert client.request(verb, path, content=b" " * 300_000, headers=JSON).status_code == 413
        credential = httpx2.request(
            verb, f"{tenant.server.http_url}{path}", params={"api_key": tenant.server.admin_key}, json={}
        )
        assert credential.status_code in (401, 422)
    assert tenant.state() == before


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v1/organizations/{id}/budgets/spending/../credits", 404),
        ("/v1/organizations/{id}/budgets/%2e%2e/budgets/credits", 404),
        ("/v1/organizations/{id}%2Fbudgets%2Fspending", 404),
        ("/v1/organizations/..", 404),
        ("/v1/%75sage/budget", 200),
        ("/v1/usage/budget/", 404),
        ("/v1/usage//budget", 404),
        ("/docs/..%2fapp.py", 404),
        ("/docs/../app.py", 404),
    ],
)
def test_a_path_reaches_nothing_but_what_it_spells(tenant: Tenant, path: str, status: int) -> None:
    """Sent as it is, without a client that tidies it first."""
    address = urlsplit(tenant.server.http_url)
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=20)
    connection.putrequest("GET", path.replace("{id}", tenant.organization_id), skip_accept_encoding=True)
    connection.putheader("authorization", tenant.caller.headers["authorization"])
    connection.endheaders()
    answer = connection.getresponse()
    answer.read()
    connection.close()
    assert answer.status == status


def test_etags_guard_over_http(tenant: Tenant) -> None:
    budget = f"{tenant.path}/budgets/spending"
    etag = tenant.platform.get(budget).headers["etag"]
    first = tenant.platform.patch(budget, json={"hard_cap_micros": 5}, headers={"if-match": etag})
    second = tenant.platform.patch(budget, json={"hard_cap_micros": 6}, headers={"if-match": etag})
    assert (first.status_code, second.status_code) == (200, 409)
    assert second.json()["error"]["status"] == "ABORTED"
    assert tenant.platform.get(budget).json()["hard_cap_micros"] == "5"


def test_what_was_read_can_be_sent_back(tenant: Tenant) -> None:
    """An answer as the body of a PATCH changes nothing: output-only fields in it are ignored."""
    budget = f"{tenant.path}/budgets/spending"
    read = tenant.platform.get(budget).json()
    sent = tenant.platform.patch(budget, json=read)
    assert sent.status_code == 200, sent.text
    same = {key: value for key, value in sent.json().items() if key not in ("etag", "update_time")}
    assert same == {key: value for key, value in read.items() if key not in ("etag", "update_time")}


def test_null_in_a_patch_clears(tenant: Tenant) -> None:
    budget = f"{tenant.path}/budgets/spending"
    tenant.platform.patch(budget, json={"hard_cap_micros": 5, "cycle": {"period": "PERIOD_DAY"}})
    cleared = tenant.platform.patch(
        budget, json={"hard_cap_micros": None, "cycle": {"time_zone": "Europe/Berlin"}}
    ).json()
    assert "hard_cap_micros" not in cleared
    assert (cleared["cycle"]["period"], cleared["cycle"]["time_zone"]) == ("PERIOD_DAY", "Europe/Berlin")
