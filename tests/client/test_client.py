"""The client for threads against a real server."""

from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from client.books import USD, records, reservations, spent_and_held
from outlay.v1 import budget_pb2, budget_service_pb2
from outlay_client import (
    AllowUpTo,
    Client,
    Denied,
    ExpiryAction,
    Mode,
    OutlayRpcError,
    SettingsError,
    Unavailable,
    current_spend,
    rpcs,
)
from support.tenants import Tenant

NOWHERE = "127.0.0.1:1"


def test_a_check_holds_and_a_record_settles(client: Client, tenant: Tenant) -> None:
    check = client.check(5 * USD, labels={"team": "core"}, ttl_seconds=60)
    assert (check.allowed, check.granted_micros, check.unit) == (True, 5 * USD, "USD")
    assert spent_and_held(tenant) == (0, 5 * USD)
    record = client.record(2 * USD, reservation=check.reservation)
    assert (record.delivered, record.amount_micros, record.overrun_micros) == (True, 2 * USD, 0)
    assert spent_and_held(tenant) == (2 * USD, 0)
    refund = client.refund(record.spend_record, USD)
    assert refund.amount_micros == USD
    assert spent_and_held(tenant) == (USD, 0)


def test_a_reservation_is_extended_and_released(client: Client, tenant: Tenant) -> None:
    check = client.check(USD)
    more = client.extend(check.reservation, ttl_seconds=600, additional_micros=2 * USD)
    assert (more.allowed, more.granted_micros) == (True, 2 * USD)
    assert more.expire_time is not None
    assert check.expire_time is not None
    assert more.expire_time > check.expire_time
    assert spent_and_held(tenant) == (0, 3 * USD)
    client.release(check.reservation)
    assert spent_and_held(tenant) == (0, 0)


def test_a_request_id_makes_a_call_safe_to_repeat(client: Client, tenant: Tenant) -> None:
    first, second = (client.check(USD, request_id="same") for _ in range(2))
    assert first == second
    assert reservations(tenant) == 1


def test_a_denial_says_why_and_when(client: Client, tenant: Tenant) -> None:
    tenant.cap(USD)
    denied = client.check(2 * USD)
    assert not denied.allowed
    assert (denied.reason, denied.code, denied.http_status) == ("HARD_CAP_REACHED", "SPENDING_CAP_REACHED", 402)
    assert (denied.affordable_micros, denied.shortfall_micros, denied.retryable) == (USD, USD, False)
    assert denied.retry_time is not None
    assert client.check(2 * USD, min_amount_micros=1).granted_micros == USD
    held = client.check(1)
    assert (held.code, held.retryable) == ("HELD_BY_RESERVATIONS", True)


def test_a_gate_that_is_off_is_a_403(client: Client) -> None:
    denied = client.check(1, unit="CREDITS", labels={"model": "claude-opus-4"})
    assert (denied.reason, denied.code, denied.http_status) == ("GATE_DISABLED", "OPUS_NOT_ENABLED", 403)


def test_credits_that_are_used_up_have_their_own_code(client: Client, tenant: Tenant) -> None:
    tenant.cap(0, "credits")
    assert client.check(1, unit="CREDITS").code == "AI_CREDITS_EXHAUSTED"


def test_a_frozen_budget_denies(client: Client, tenant: Tenant) -> None:
    budget = budget_pb2.Budget(name=tenant.child("budgets", "spending"), enforcement=budget_pb2.ENFORCEMENT_FREEZE)
    mask = FieldMask(paths=["enforcement"])
    tenant.admin.call("UpdateBudget", budget_service_pb2.UpdateBudgetRequest(budget=budget, update_mask=mask))
    assert client.check(1).code == "BUDGET_FROZEN"


def test_known_cost_is_checked_and_recorded_at_once(client: Client, tenant: Tenant) -> None:
    assert client.check(USD, mode=Mode.RECORD).spend_record.startswith(tenant.name)
    assert client.check(USD, mode=Mode.CHECK_ONLY).reservation == ""
    assert spent_and_held(tenant) == (USD, 0)


def test_a_refused_call_names_its_fields(client: Client) -> None:
    with pytest.raises(OutlayRpcError) as refused:
        client.check(-1, unit="usd")
    assert (refused.value.code, refused.value.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "VALIDATION_FAILED")
    assert {violation.field for violation in refused.value.violations} == {"amount_micros", "unit"}


@pytest.mark.parametrize("amount", [1.5, True, "1"])
def test_an_amount_is_a_whole_number(client: Client, amount: Any) -> None:
    with pytest.raises(TypeError):
        client.check(amount)


def test_a_service_that_is_away_denies_by_an_error(make_client: Any) -> None:
    with pytest.raises(Unavailable) as away, make_client(NOWHERE, "sk_x").spend(1):
        raise AssertionError("the work must not be done")
    assert away.value.request_id


# --- spend ------------------------------------------------------------------------------------------------------------


def test_work_costs_what_it_recorded(client: Client, tenant: Tenant) -> None:
    with client.spend(5 * USD, labels={"team": "core"}) as spend:
        assert current_spend() is spend
        spend.record(3 * USD)
    assert current_spend() is None
    assert (spent_and_held(tenant), records(tenant)) == ((3 * USD, 0), [3 * USD])


def test_work_that_says_nothing_costs_what_was_granted(client: Client, tenant: Tenant) -> None:
    with client.spend(5 * USD):
        pass
    assert spent_and_held(tenant) == (5 * USD, 0)


@pytest.mark.parametrize(
    ("error", "books"),
    [
        (ValueError("failed"), (0, 0)),
        (TimeoutError("who knows"), (0, USD)),
        (KeyboardInterrupt(), (0, USD)),
    ],
)
def test_work_that_fails_costs_nothing_and_of_an_interruption_nobody_knows(
    client: Client, tenant: Tenant, error: BaseException, books: tuple[int, int]
) -> None:
    with pytest.raises(type(error)), client.spend(USD):
        raise error
    assert spent_and_held(tenant) == books


def test_what_was_recorded_counts_although_the_work_failed(client: Client, tenant: Tenant) -> None:
    def work() -> None:
        with client.spend(2 * USD) as spend:
            spend.record(USD)
            raise ValueError("failed")

    with pytest.raises(ValueError, match="failed"):
        work()
    assert spent_and_held(tenant) == (USD, 0)


def test_work_may_cost_nothing_more_than_was_held_or_nobody_knows_what(client: Client, tenant: Tenant) -> None:
    with client.spend(USD) as nothing:
        nothing.record(0)
    assert spent_and_held(tenant) == (0, 0)
    with client.spend(USD) as more:
        more.record(2 * USD)
    assert spent_and_held(tenant) == (2 * USD, 0)
    with client.spend(USD) as unknown:
        unknown.keep()
    assert spent_and_held(tenant) == (2 * USD, USD)


def test_what_would_expire_as_spent_is_released_after_a_failure(
    make_client: Any, tenant: Tenant, tmp_path: Path
) -> None:
    client = make_client(journal=tmp_path / "journal")
    with pytest.raises(ValueError), client.spend(USD, expiry_action=ExpiryAction.RECORD):
        raise ValueError
    assert (spent_and_held(tenant), client.undelivered) == ((0, 0), 0)


def test_denied_work_is_not_done(client: Client, tenant: Tenant) -> None:
    tenant.cap(0)
    with pytest.raises(Denied) as denied, client.spend(USD):
        raise AssertionError("the work must not be done")
    assert (denied.value.code, denied.value.reason) == ("SPENDING_CAP_REACHED", "HARD_CAP_REACHED")


# --- settings ---------------------------------------------------------------------------------------------------------


def test_settings_come_from_the_environment(
    monkeypatch: pytest.MonkeyPatch, shared_server: Any, key: str, tenant: Tenant, tmp_path: Path
) -> None:
    file = tmp_path / "key"
    file.write_text(f"{key}\n")
    file.chmod(0o600)
    monkeypatch.setenv("OUTLAY_ENDPOINT", f"http://{shared_server.grpc_address}")
    monkeypatch.setenv("OUTLAY_API_KEY_FILE", str(file))
    with Client() as client:
        assert client.check(1).allowed


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"endpoint": "outlay.example.com:50051"}, "allow_plaintext"),
        ({"endpoint": "127.example.com:50051"}, "allow_plaintext"),
        ({"endpoint": "ftp://x"}, "https://host:port"),
        ({"endpoint": "http://127.0.0.1:1", "ca_file": "ca.pem"}, "http://"),
        ({"endpoint": "https://a:1,127.0.0.1:2"}, "all endpoints"),
        ({"endpoint": "https://a:1,https://b:2"}, "IP addresses"),
        ({"api_key": ""}, "no API key"),
        ({"api_key": "sk_\u00e9"}, "characters"),
    ],
)
def test_settings_that_cannot_be_right_are_refused(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(SettingsError, match=says):
        Client(**{"api_key": "sk_x", **settings})


def test_several_addresses_are_used_in_turn(make_client: Any, shared_server: Any) -> None:
    """The first of them is dead: nobody notices."""
    client = make_client(f"{NOWHERE},{shared_server.grpc_address}")
    assert all(client.check(0).allowed for _ in range(5))


def test_a_channel_repeats_unavailable_only_and_checks_no_health() -> None:
    """With health checks by the channel, grpcio 1.76 crashes when connections break under load."""
    (method,) = rpcs.SERVICE_CONFIG["methodConfig"]
    assert method["retryPolicy"]["retryableStatusCodes"] == ["UNAVAILABLE"]
    assert method["waitForReady"] is False
    assert "healthCheckConfig" not in rpcs.SERVICE_CONFIG


def test_an_allowance_for_outages_needs_a_journal(make_client: Any) -> None:
    with pytest.raises(ValueError, match="journal"):
        make_client(on_unavailable=AllowUpTo(USD))
