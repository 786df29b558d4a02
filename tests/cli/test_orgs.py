"""`outlay orgs`."""

import uuid

from support.command_line import Cli


def test_a_new_organization_has_its_gate_and_budgets(cli: Cli) -> None:
    id = f"org-{uuid.uuid4().hex[:12]}"
    created = cli("orgs", "create", id, "--display-name", "Acme [bold]Inc").ok().details
    assert (created["name"], created["display name"]) == (f"organizations/{id}", "Acme [bold]Inc")
    assert created["gate opus"] == "off, model=claude-opus-*"
    budgets = cli("budgets", "list", "--org", id, "--output", "json").ok().json["budgets"]
    assert [budget["name"].rpartition("/")[2] for budget in budgets] == ["credits", "spending"]


def test_an_organization_is_shown_as_json_with_a_version(cli: Cli, organization: str) -> None:
    shown = cli("orgs", "get", organization, "--output", "json").ok().json
    assert (shown["format_version"], shown["organization"]["name"]) == (1, f"organizations/{organization}")


def test_a_list_stops_at_its_limit_and_says_so(cli: Cli, organization: str) -> None:
    cli("orgs", "create", f"{organization}-2").ok()
    listed = cli("orgs", "list", "--limit", "1")
    assert (listed.code, len(listed.out.splitlines())) == (0, 2)
    assert listed.err == "These are the first 1; there are more: raise --limit.\n"
    assert cli("orgs", "list", "--limit", "1", "--output", "json").ok().json["has_more"] is True
    everything = cli("orgs", "list", "--limit", "5000", "--output", "json").ok().json
    names = {one["name"] for one in everything["organizations"]}
    assert everything["has_more"] is False
    assert {f"organizations/{organization}", f"organizations/{organization}-2"} <= names


def test_an_id_that_is_taken_is_one_line_with_its_reason(cli: Cli, organization: str) -> None:
    ran = cli("orgs", "create", organization)
    assert (ran.code, ran.out) == (1, "")
    assert ran.err == f"Error: ALREADY_EXISTS: organizations/{organization} already exists.\n"


def test_the_same_request_id_is_the_same_organization(cli: Cli) -> None:
    id = f"org-{uuid.uuid4().hex[:12]}"
    first, second = (cli("orgs", "create", id, "--request-id", "once", "--output", "json").ok() for _ in range(2))
    assert first.json == second.json


def test_a_gate_is_switched_added_and_removed(cli: Cli, organization: str) -> None:
    assert cli("orgs", "gate", organization, "opus", "--enable").ok().details["gate opus"].startswith("on,")
    added = cli("orgs", "gate", organization, "slow", "--label", "tier", "--pattern", "slow-*", "--disable")
    assert added.ok().details["gate slow"] == "off, tier=slow-*"
    assert added.details["gate opus"].startswith("on,")
    assert "gate slow" not in cli("orgs", "gate", organization, "slow", "--remove").ok().details


def test_a_gate_that_is_missing_is_not_made_by_a_slip(cli: Cli, organization: str) -> None:
    ran = cli("orgs", "gate", organization, "opuss", "--enable")
    assert ran.code == 1
    assert ran.err == "Error: NOT_FOUND: there is no gate opuss; a new one needs --label and --pattern.\n"


def test_settings_are_changed_one_by_one(cli: Cli, organization: str) -> None:
    cli("orgs", "update", organization, "--display-name", "New").ok()
    updated = cli("orgs", "update", organization, "--managed-by", "yaml:here").ok().details
    assert (updated["display name"], updated["managed by"]) == ("New", "yaml:here")


def test_what_is_kept_as_code_is_changed_only_when_told_so(cli: Cli, organization: str) -> None:
    cli("orgs", "update", organization, "--managed-by", "yaml:here").ok()
    refused = cli("orgs", "update", organization, "--display-name", "New")
    assert (refused.code, refused.err.split(":")[1]) == (1, " MANAGED_ELSEWHERE")
    cli("orgs", "update", organization, "--display-name", "New", "--override-manager").ok()


def test_deleting_needs_a_word_where_nobody_can_be_asked(cli: Cli, organization: str) -> None:
    refused = cli("orgs", "delete", organization)
    assert (refused.code, refused.out) == (1, "")
    assert "pass --yes" in refused.err
    cli("orgs", "get", organization).ok()
    cli("orgs", "delete", organization, "--yes").ok()
    assert cli("orgs", "get", organization).err == f"Error: NOT_FOUND: organizations/{organization} was not found.\n"
