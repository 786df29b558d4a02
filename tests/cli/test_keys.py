"""`outlay keys` against a service."""

import stat
from pathlib import Path

from support.command_line import Cli


def test_a_key_is_made_shown_once_used_and_revoked(cli: Cli, organization: str) -> None:
    scopes = ("--scope", "spend:check", "--scope", "budgets:read")
    made = cli("keys", "create", "--org", organization, *scopes, "--display-name", "worker").ok().details
    assert made["scopes"] == "budgets:read spend:check"
    cli("budgets", "get", "spending", API_KEY=made["secret"]).ok()

    listed = cli("keys", "list", "--org", organization).ok()
    assert made["secret"] not in listed.out
    assert made["secret"][-4:] in listed.out

    revoked = cli("keys", "revoke", made["name"], "--output", "json").ok().json["api_key"]
    assert revoked["revoke_time"]
    assert " revoked " in cli("keys", "list", "--org", organization).ok().out
    refused = cli("budgets", "get", "spending", API_KEY=made["secret"])
    assert (refused.code, refused.err.split(":")[1]) == (1, " INVALID_API_KEY")


def test_a_key_can_be_kept_in_a_file_instead_of_shown(cli: Cli, organization: str, tmp_path: Path) -> None:
    file = tmp_path / "worker.key"
    arguments = ("--org", organization, "--scope", "control:read", "--secret-file", str(file))
    made = cli("keys", "create", *arguments).ok()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert file.read_text().strip() not in made.out
    cli("budgets", "list", API_KEY="", API_KEY_FILE=str(file)).ok()


def test_a_file_that_is_there_keeps_a_key_from_being_made(cli: Cli, organization: str, tmp_path: Path) -> None:
    file = tmp_path / "worker.key"
    file.write_text("kept")
    ran = cli("keys", "create", "--org", organization, "--scope", "control:read", "--secret-file", str(file))
    assert (ran.code, file.read_text()) == (1, "kept")
    assert cli("keys", "list", "--org", organization, "--output", "json").ok().json["api_keys"] == []


def test_a_key_that_was_not_made_leaves_no_file(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "worker.key"
    ran = cli("keys", "create", "--org", "org-missing", "--scope", "control:read", "--secret-file", str(file))
    assert (ran.code, file.exists()) == (1, False)


def test_a_repeated_request_does_not_show_the_secret_again(cli: Cli, organization: str) -> None:
    arguments = ("--org", organization, "--scope", "control:read", "--request-id", "once")
    first, second = cli("keys", "create", *arguments).ok(), cli("keys", "create", *arguments)
    assert (second.code, second.details["name"]) == (0, first.details["name"])
    assert "secret" not in second.details
    assert "not shown again" in second.err


def test_a_key_can_end_by_itself(cli: Cli, organization: str) -> None:
    made = cli("keys", "create", "--org", organization, "--scope", "control:read", "--expires-in", "90d").ok()
    assert made.details["expires"] > made.details["created"]


def test_a_key_that_may_not_says_which_scope_would(cli: Cli, organization: str) -> None:
    made = cli("keys", "create", "--org", organization, "--scope", "budgets:read").ok().details
    ran = cli("spend", "check", "1", "--unit", "USD", API_KEY=made["secret"])
    assert (ran.code, ran.err) == (1, "Error: MISSING_SCOPE: This API key lacks the scope spend:check.\n")
