"""The way of an engineer from an organization that exists to caps in a repository, by the real command line."""

import uuid

import pytest

from sync.conftest import CommandLine


@pytest.fixture
def acme(outlay: CommandLine) -> str:
    """An organization that people set up by hand, with a cap."""
    id = f"org-{uuid.uuid4().hex[:12]}"
    outlay("orgs", "create", id, "--display-name", 'Acme "& Sons": 2024').ok()
    outlay("budgets", "set", "spending", "--org", id, "--hard-cap", "500", "--alert-thresholds", "75,100").ok()
    outlay(
        *("budgets", "create", "tokens", "--org", id, "--unit", "TOKENS", "--selector", "model=claude-*"),
        *("--budget", "0.000001", "--period", "week", "--anchor", "2026-01-05", "--time-zone", "Europe/Berlin"),
        *("--alert-thresholds", "none", "--no-alerts", "--enforcement", "shadow"),
    ).ok()
    return id


def test_what_exists_is_exported_kept_changed_and_applied(command_line: CommandLine, acme: str) -> None:
    """Export, an empty plan, a cap raised in a file, the plan as a comment, the apply, and an empty plan again."""
    command_line("export", acme, "-o", "caps").ok()
    assert command_line("validate", "caps").ok().out.startswith("Valid.")
    assert command_line("plan", "-f", "caps").ok().out == "No changes.\n"
    adopted = command_line("apply", "-f", "caps", "--adopt").ok().out
    assert adopted.endswith(f"Plan: 4 to adopt.\norganizations/{acme}: applied.\n")
    assert command_line("plan", "-f", "caps").ok().out == "No changes.\n"

    file = command_line.folder / "caps" / f"{acme}.yaml"
    file.write_text(file.read_text().replace("hard_cap: 500.00", "hard_cap: 800.00"))
    planned = command_line("plan", "-f", "caps", "--output", "markdown")
    assert (planned.code, planned.err) == (2, "")
    assert planned.out == (
        "### Outlay: Plan: 1 to update.\n"
        f"\n#### `organizations/{acme}`\n"
        "\n| | resource | field | now | planned |\n|-|-|-|-|-|\n"
        "| update | `budgets/spending` | hard_cap | `500.00 USD` | `800.00 USD` |\n"
    )
    assert command_line("apply", "-f", "caps").ok().out.endswith(f"organizations/{acme}: applied.\n")
    assert command_line("plan", "-f", "caps").ok().out == "No changes.\n"

    budget = command_line.budget(acme, "spending")
    assert (budget["hard_cap_micros"], budget["managed_by"]) == ("800000000", "yaml:caps")
    newest = command_line.audit(acme)[0]
    assert (newest["action"], newest["source"], newest["resource"]) == ("budget.updated", "yaml", budget["name"])


def test_drift_names_who_moved_what(outlay: CommandLine, acme: str) -> None:
    """A change from outside is drift, a change of the files is not, and finding it changes nothing."""
    outlay("export", acme, "-o", "caps").ok()
    outlay("apply", "-f", "caps", "--adopt").ok()
    file = outlay.folder / "caps" / f"{acme}.yaml"
    file.write_text(file.read_text().replace("budget: 0.000001", "budget: 5.00"))
    assert outlay("drift", "-f", "caps").ok().out == "No drift.\n"

    outlay("budgets", "set", "spending", "--org", acme, "--hard-cap", "900", "--override-manager").ok()
    outlay("budgets", "delete", "credits", "--org", acme, "--override-manager", "--yes").ok()
    before = outlay.audit(acme)
    found = outlay("drift", "-f", "caps", "--output", "json")
    assert found.code == 2
    changes = {change["resource"].rpartition("/")[2]: change for change in found.json["organizations"][0]["changes"]}
    assert set(changes) == {"spending", "credits"}
    assert changes["credits"]["outside_change"]["actor"] == "platform"
    (field,) = changes["spending"]["fields"]
    assert (field["path"], field["before"], field["last_applied"]) == ("hard_cap_micros", "900000000", "500000000")
    assert (field["outside_change"]["actor"], field["outside_change"]["source"]) == ("platform", "cli")
    told = outlay("drift", "-f", "caps")
    assert (told.code, "changed outside from 500.00 USD by platform (cli) at " in told.out) == (2, True)
    assert outlay.audit(acme) == before


def test_what_another_keeps_is_refused_and_taken_over_by_force(outlay: CommandLine, acme: str) -> None:
    outlay("budgets", "set", "spending", "--org", acme, "--managed-by", "terraform").ok()
    exported = outlay("export", acme, "-o", "caps")
    assert (exported.code, exported.err) == (
        0,
        f"organizations/{acme}/budgets/spending is kept by terraform and was left out.\n",
    )
    outlay.write("caps/spending.yaml", f"organization: {acme}\nbudget_id: spending\nunit: USD\nhard_cap: 600.00\n")
    refused = outlay("apply", "-f", "caps", "--adopt")
    assert (refused.code, "--force" in refused.err) == (1, True)
    assert outlay.budget(acme, "spending")["managed_by"] == "terraform"
    outlay("apply", "-f", "caps", "--adopt", "--force").ok()
    taken = outlay.budget(acme, "spending")
    assert (taken["managed_by"], taken["hard_cap_micros"]) == ("yaml:caps", "600000000")


def test_a_saved_plan_is_applied_as_it_was_shown_or_not_at_all(outlay: CommandLine, acme: str) -> None:
    outlay.write("spending.yaml", f"organization: {acme}\nbudget_id: spending\nunit: USD\nhard_cap: 700\n")
    planned = outlay("plan", "-f", "spending.yaml", "--adopt", "--out", "plan.json")
    assert planned.code == 2
    outlay("budgets", "set", "spending", "--org", acme, "--hard-cap", "650").ok()
    refused = outlay("apply", "plan.json")
    assert refused.code == 1
    assert f"organizations/{acme}/budgets/spending was changed by platform (cli) at" in refused.err
    assert outlay.budget(acme, "spending")["hard_cap_micros"] == "650000000"

    outlay("plan", "-f", "spending.yaml", "--adopt", "--out", "plan.json")
    (outlay.folder / "spending.yaml").unlink()
    outlay("apply", "plan.json").ok()
    assert outlay.budget(acme, "spending")["hard_cap_micros"] == "700000000"
    assert outlay("apply", "plan.json").code == 1
