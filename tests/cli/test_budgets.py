"""`outlay budgets`."""

import pytest

from support.command_line import Cli


def test_settings_that_are_given_are_set_and_the_others_stay(cli: Cli, organization: str) -> None:
    org = ("--org", organization)
    cli("budgets", "set", "spending", *org, "--budget", "100.00", "--alert-thresholds", "75,100").ok()
    shown = cli("budgets", "set", "spending", *org, "--hard-cap", "500.00", "--unit", "USD").ok().details
    assert (shown["soft budget"], shown["hard cap"], shown["alerts"]) == ("100.00 USD", "500.00 USD", "at 75 %, 100 %")
    assert (shown["spent"], shown["available"]) == ("0.00 USD", "500.00 USD")


def test_every_setting_can_be_given(cli: Cli, organization: str) -> None:
    created = cli(
        *("budgets", "create", "tokens", "--org", organization, "--unit", "TOKENS", "--display-name", "All tokens"),
        *("--selector", "model=large-*", "--selector", "team=search", "--budget", "5", "--hard-cap", "7.000001"),
        *("--allotment", "9", "--alert-thresholds", "10,20", "--no-alerts", "--period", "week"),
        *("--anchor", "2026-01-05", "--time-zone", "Europe/Berlin", "--enforcement", "shadow"),
        *("--managed-by", "yaml:here", "--output", "json"),
    )
    budget = created.ok().json["budget"]
    expected = {
        "name": f"organizations/{organization}/budgets/tokens",
        "display_name": "All tokens",
        "unit": "TOKENS",
        "selector": {"model": "large-*", "team": "search"},
        "budget_micros": "5000000",
        "hard_cap_micros": "7000001",
        "hard_cap_enabled": True,
        "allotment_micros": "9000000",
        "alert_thresholds": {"percents": [10, 20]},
        "alerts_enabled": False,
        "cycle": {"period": "PERIOD_WEEK", "anchor": "2026-01-05", "time_zone": "Europe/Berlin"},
        "enforcement": "ENFORCEMENT_SHADOW",
        "managed_by": "yaml:here",
    }
    assert {key: budget[key] for key in expected} == expected


def test_a_cap_can_be_stored_without_being_enforced(cli: Cli, organization: str) -> None:
    shown = cli("budgets", "set", "spending", "--org", organization, "--hard-cap", "5", "--hard-cap-disabled").ok()
    assert (shown.details["hard cap"], shown.details["available"]) == ("5.00 USD (not enabled)", "unlimited")


def test_none_and_default_are_not_the_same_thresholds(cli: Cli, organization: str) -> None:
    set_thresholds = ("budgets", "set", "spending", "--org", organization, "--alert-thresholds")
    assert cli(*set_thresholds, "none").ok().details["alerts"] == "no thresholds"
    assert cli(*set_thresholds, "default").ok().details["alerts"] == "at 50 %, 75 %, 90 %, 100 % (the default)"


def test_clear_ends_all_limits_or_those_that_are_named(cli: Cli, organization: str) -> None:
    org = ("--org", organization)
    cli("budgets", "set", "spending", *org, "--budget", "100", "--hard-cap", "500").ok()
    assert cli("budgets", "clear", "spending", "budget", *org).ok().details["soft budget"] == "none"
    shown = cli("budgets", "clear", "spending", *org).ok().details
    assert (shown["hard cap"], shown["available"]) == ("none", "unlimited")


def test_a_hard_cap_of_none_is_cleared_by_set(cli: Cli, organization: str) -> None:
    org = ("--org", organization)
    cli("budgets", "set", "spending", *org, "--hard-cap", "500").ok()
    assert cli("budgets", "set", "spending", *org, "--hard-cap", "none").ok().details["hard cap"] == "none"


@pytest.mark.parametrize(("verb", "enforcement"), [("freeze", "freeze"), ("shadow", "shadow"), ("unfreeze", "enforce")])
def test_how_a_budget_enforces_is_one_word(cli: Cli, organization: str, verb: str, enforcement: str) -> None:
    assert cli("budgets", verb, "spending", "--org", organization).ok().details["enforcement"] == enforcement


def test_a_frozen_budget_denies_and_an_unfrozen_one_allows(cli: Cli, organization: str) -> None:
    check = ("spend", "check", "1", "--unit", "USD", "--org", organization)
    cli("budgets", "freeze", "spending", "--org", organization).ok()
    assert cli(*check).details["reason"] == "FROZEN"
    cli("budgets", "unfreeze", "spending", "--org", organization).ok()
    assert cli(*check).code == 0


def test_an_override_stands_for_the_cap_until_it_is_removed(cli: Cli, organization: str) -> None:
    org = ("--org", organization)
    cli("budgets", "set", "spending", *org, "--hard-cap", "500").ok()
    raised = cli("budgets", "override", "spending", *org, "--hard-cap", "800", "--for", "2h", "--reason", "launch").ok()
    assert raised.details["cap override"].startswith("800.00 USD until ")
    assert raised.details["cap override"].endswith("(launch)")
    assert raised.details["available"] == "800.00 USD"
    removed = cli("budgets", "override", "spending", *org, "--remove").ok().details
    assert ("cap override" in removed, removed["available"]) == (False, "500.00 USD")


def test_a_cap_below_what_is_spent_is_refused_where_nobody_can_be_asked(cli: Cli, organization: str) -> None:
    org = ("--org", organization)
    cli("spend", "record", "7.50", "--unit", "USD", *org).ok()
    refused = cli("budgets", "set", "spending", *org, "--hard-cap", "5")
    assert (refused.code, refused.out) == (1, "")
    assert refused.err == (
        "Error: The limit of 5.00 USD is below the 7.50 USD that this cycle has spent already: every check will be"
        " denied. Nothing was changed; pass --yes to do it all the same.\n"
    )
    assert cli("budgets", "get", "spending", *org).ok().details["hard cap"] == "none"
    assert cli("budgets", "override", "spending", *org, "--hard-cap", "5").code == 1
    assert cli("budgets", "create", "second", *org, "--unit", "USD", "--hard-cap", "5").code == 1
    forced = cli("budgets", "set", "spending", *org, "--hard-cap", "5", "--yes").ok().details
    assert (forced["hard cap"], forced["overrun"]) == ("5.00 USD", "2.50 USD")


def test_a_cap_that_rises_is_not_asked_about_though_it_is_still_too_low(cli: Cli, organization: str) -> None:
    org = ("--org", organization)
    cli("spend", "record", "7.50", "--unit", "USD", *org).ok()
    cli("budgets", "set", "spending", *org, "--hard-cap", "5", "--yes").ok()
    cli("budgets", "set", "spending", *org, "--hard-cap", "6").ok()


def test_a_budget_of_another_unit_is_not_changed_by_a_slip(cli: Cli, organization: str) -> None:
    ran = cli("budgets", "set", "spending", "--org", organization, "--unit", "CREDITS", "--hard-cap", "5")
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.startswith("Error: VALIDATION_FAILED: budget.unit: ")


def test_every_field_that_is_wrong_is_named_in_one_line(cli: Cli, organization: str) -> None:
    ran = cli("budgets", "set", "spending", "--org", organization, "--alert-thresholds", "9999", "--anchor", "x")
    assert (ran.code, ran.err.count("\n")) == (1, 1)
    assert "alert_thresholds" in ran.err
    assert "cycle.anchor" in ran.err


def test_deleting_a_budget_asks_first(cli: Cli, organization: str) -> None:
    org = ("--org", organization)
    assert cli("budgets", "delete", "credits", *org).code == 1
    cli("budgets", "delete", "credits", *org, "--yes").ok()
    missing = cli("budgets", "get", "credits", *org)
    assert (missing.code, missing.err.split(":")[1]) == (1, " NOT_FOUND")


def test_the_organization_can_come_from_the_environment(cli: Cli, organization: str) -> None:
    assert cli("budgets", "get", "spending", ORGANIZATION=organization).ok().details["unit"] == "USD"


def test_a_platform_key_has_to_name_the_organization(cli: Cli) -> None:
    ran = cli("budgets", "get", "spending")
    assert (ran.code, ran.out, ran.err.count("\n")) == (1, "", 1)


def test_a_list_has_a_row_for_each_budget(cli: Cli, organization: str) -> None:
    cli("budgets", "set", "spending", "--org", organization, "--budget", "10", "--hard-cap", "20").ok()
    cli("spend", "record", "5", "--unit", "USD", "--org", organization).ok()
    rows = [line.split() for line in cli("budgets", "list", "--org", organization).ok().out.splitlines()]
    assert rows[0][0] == "BUDGET"
    assert rows[2] == ["spending", "USD", "5.00", "0.00", "10.00", "20.00", "15.00", "50.0", "%", "enforce"]
