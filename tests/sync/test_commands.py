"""What the commands refuse, allow, print and exit with."""

import asyncio
import json
import os
import pty
import re
import select
import signal
import subprocess
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import httpx2
import pytest

from support.command_line import Ran
from support.reply_eater import Lost, ReplyEater
from support.server import OUTLAY, ServerProcess
from sync.conftest import CommandLine


@pytest.fixture(scope="session")
def backend() -> str:
    """The command line does not see what the service stores in: once is enough."""
    return "sqlite"


@pytest.fixture
def acme(outlay: CommandLine) -> str:
    id = f"org-{uuid.uuid4().hex[:12]}"
    outlay("orgs", "create", id).ok()
    return id


def caps(organization: str, *budgets: str) -> str:
    """A file of an organization; each budget is `id: fields`, in USD."""
    lines = [f"  - {{budget_id: {budget.replace(':', ', unit: USD, ', 1)}}}\n" for budget in budgets]
    return f"organization: {organization}\nbudgets:\n{''.join(lines)}"


# Exit codes


def test_usage_errors_exit_64(outlay: CommandLine, acme: str) -> None:
    outlay.write("a.yaml", caps(acme))
    wrong = [
        ("validate",),
        ("plan", "--output", "xml"),
        ("plan", "--max-deletes", "-1"),
        ("plan", "-f", "a.yaml", "--source", "a b"),
        ("apply", "plan.json", "-f", "a.yaml"),
        ("apply", "."),
        ("apply", "plan.json", "--adopt"),
        ("drift", "--prune"),
        ("export",),
        ("export", "-o", "x", "--source", "a b"),
        ("schema", "x"),
    ]
    assert [outlay(*arguments).code for arguments in wrong] == [64] * len(wrong)


def test_files_that_are_not_valid_exit_1_without_a_call(outlay: CommandLine, acme: str) -> None:
    outlay.write("a.yaml", caps(acme, "x: hard_cap: 1_000"))
    for command in (("validate", "a.yaml"), ("plan",), ("apply",), ("drift",)):
        assert outlay(*command, ENDPOINT="127.0.0.1:1").code == 1
    complaint = (
        'a.yaml:3:42: budgets[0].hard_cap: "1_000" is no amount: write digits with at most 6 places, as 500.00\n'
    )
    ran = outlay("plan")
    assert (ran.out, ran.err) == ("", complaint)
    # To find complaints is what validate is for: there they are the data.
    ran = outlay("validate", "a.yaml")
    assert (ran.out, ran.err) == (complaint, "")


def test_an_empty_folder_is_an_error(outlay: CommandLine) -> None:
    (outlay.folder / "caps").mkdir()
    for command in (("validate", "caps"), ("plan", "-f", "caps"), ("apply", "-f", "caps", "--prune"), ("drift",)):
        ran = outlay(*command)
        assert (ran.code, "there is no .yaml or .yml file in this folder" in ran.out + ran.err) == (1, True)


def test_files_without_an_organization_are_an_error(outlay: CommandLine) -> None:
    """What is left of a repository that was emptied must not read as the wish to have no caps."""
    outlay.write("source.yaml", "source: platform/caps\n")
    outlay("validate", "source.yaml").ok()
    for command in ("plan", "apply", "drift"):
        ran = outlay(command)
        assert (ran.code, ran.out, "The files name no organization" in ran.err) == (1, "", True)


def test_plan_exits_2_with_changes_unless_told_otherwise(outlay: CommandLine, acme: str) -> None:
    outlay.write("a.yaml", caps(acme, "x: hard_cap: 5"))
    assert outlay("plan").code == 2
    assert outlay("plan", "--detailed-exitcode").code == 2
    assert outlay("plan", "--no-detailed-exitcode").code == 0
    outlay("apply").ok()
    assert outlay("plan").code == 0


def test_a_service_that_does_not_answer_is_an_error(outlay: CommandLine, acme: str) -> None:
    outlay.write("a.yaml", caps(acme, "x: hard_cap: 5"))
    ran = outlay("plan", ENDPOINT="127.0.0.1:1")
    assert (ran.code, "nothing answers at 127.0.0.1:1" in ran.err) == (1, True)


# Refusals


def test_a_cap_below_spend_and_a_removed_cap_need_an_option(outlay: CommandLine, acme: str) -> None:
    outlay.write("a.yaml", caps(acme, "a: hard_cap: 100", "b: hard_cap: 100"))
    outlay("apply").ok()
    outlay("spend", "record", "70", "--unit", "USD", "--org", acme).ok()
    outlay.write("a.yaml", caps(acme, "a: hard_cap: 50", "b: hard_cap: null"))
    refused = outlay("apply", "--yes")
    assert refused.code == 1
    assert refused.err == (
        "Error: Refused; nothing was changed. It would take --allow-cap-below-spend"
        f" (organizations/{acme}/budgets/a); --allow-removing-hard-cap (organizations/{acme}/budgets/b).\n"
    )
    assert outlay.budget(acme, "a")["hard_cap_micros"] == "100000000"
    assert outlay("apply", "--allow-cap-below-spend").code == 1
    outlay("apply", "--allow-cap-below-spend", "--allow-removing-hard-cap").ok()
    assert outlay.budget(acme, "a")["hard_cap_micros"] == "50000000"
    assert "hard_cap_micros" not in outlay.budget(acme, "b")


def test_an_option_at_apply_lets_a_saved_plan_through(outlay: CommandLine, acme: str) -> None:
    outlay("spend", "record", "70", "--unit", "USD", "--org", acme).ok()
    outlay.write("a.yaml", caps(acme, "x: hard_cap: 50"))
    outlay("plan", "--out", "plan.json")
    assert outlay("apply", "plan.json").code == 1
    outlay("apply", "plan.json", "--allow-cap-below-spend").ok()


def test_prune_deletes_only_what_these_files_kept_and_only_so_many(outlay: CommandLine, acme: str) -> None:
    outlay.write("a.yaml", caps(acme, "a: hard_cap: 1", "b: hard_cap: 1", "c: hard_cap: 1"))
    outlay("apply").ok()
    outlay("budgets", "create", "by-hand", "--org", acme, "--unit", "USD").ok()
    outlay.write("other.yaml", f"organization: {acme}\nbudget_id: other\nunit: USD\n")
    outlay("apply", "-f", "other.yaml", "--source", "other").ok()
    outlay.write("a.yaml", caps(acme, "a: hard_cap: 1"))
    kept = outlay("plan", "-f", "a.yaml")
    assert kept.code == 0, "prune is off unless asked for"
    assert f"deleted with --prune: organizations/{acme}/budgets/b, organizations/{acme}/budgets/c." in kept.out

    too_many = outlay("apply", "-f", "a.yaml", "--prune", "--max-deletes", "1")
    assert (too_many.code, "--max-deletes" in too_many.err) == (1, True)
    outlay("apply", "-f", "a.yaml", "--prune").ok()
    listed = outlay("budgets", "list", "--org", acme, "--output", "json").ok().json["budgets"]
    assert {budget["name"].rpartition("/")[2] for budget in listed} == {"a", "by-hand", "credits", "other", "spending"}


def test_a_budget_in_use_is_deleted_only_with_an_option(outlay: CommandLine, acme: str) -> None:
    outlay.write("a.yaml", caps(acme, "a: hard_cap: 10", "b: hard_cap: 10"))
    outlay("apply").ok()
    outlay("spend", "record", "1", "--unit", "USD", "--org", acme).ok()
    outlay.write("a.yaml", caps(acme, "a: hard_cap: 10"))
    refused = outlay("apply", "--prune")
    assert (refused.code, "--allow-deleting-in-use" in refused.err) == (1, True)
    outlay("apply", "--prune", "--allow-deleting-in-use").ok()


def test_an_organization_is_made_where_a_document_is_about_it(outlay: CommandLine) -> None:
    id = f"new{uuid.uuid4().hex[:12]}"
    alone = outlay.write("a.yaml", f"organization: {id}\nbudget_id: spending\nunit: USD\nhard_cap: 5\n")
    ran = outlay("plan")
    assert (ran.code, f"NOT_FOUND: organizations/{id} was not found." in ran.err) == (1, True)
    alone.unlink()
    outlay.write("a.yaml", f"display_name: New\n{caps(id, 'spending: hard_cap: 5')}")
    assert outlay("apply").ok().out.startswith(f"organizations/{id}\n  + organization  a.yaml:1:1\n")
    assert outlay("plan").ok().out == "No changes.\n"
    assert outlay.budget(id, "spending")["hard_cap_micros"] == "5000000"


def test_gates_are_kept_as_a_list(outlay: CommandLine, acme: str) -> None:
    gates = "gates:\n  - {gate_id: opus, label: model, pattern: claude-opus-*, enabled: true}\n"
    outlay.write("a.yaml", f"organization: {acme}\n{gates}")
    planned = outlay("plan", "--adopt")
    assert "gates       opus off (model=claude-opus-*) -> opus on (model=claude-opus-*)" in planned.out
    outlay("apply", "--adopt").ok()
    assert outlay("plan").code == 0
    outlay.write("a.yaml", f"organization: {acme}\ngates: []\n")
    outlay("apply").ok()
    assert outlay("orgs", "get", acme, "--output", "json").json["organization"]["gates"] == []


def test_what_the_service_refuses_is_told_at_its_line(outlay: CommandLine, acme: str) -> None:
    """A unit is checked by the grammar offline, and against the budget that exists by the service."""
    outlay.write("a.yaml", f"organization: {acme}\nbudgets:\n  - budget_id: spending\n    unit: EUR\n")
    ran = outlay("plan", "--adopt")
    assert (ran.code, ran.out) == (1, "No plan.\n")
    assert ran.err == f"a.yaml:4:11: organizations/{acme}/budgets/spending: unit: cannot be changed; it is USD\n"


def test_a_key_of_the_organization_keeps_its_budgets(outlay: CommandLine, acme: str) -> None:
    """Without a platform key: budgets can be kept, the organization itself cannot."""
    outlay(
        *("keys", "create", "--org", acme, "--secret-file", str(outlay.folder / "key")),
        *("--scope", "control:read", "--scope", "budgets:write"),
    ).ok()
    key = (outlay.folder / "key").read_text().strip()
    outlay("export", "-o", "caps", API_KEY=key).ok()
    assert "gates" not in (outlay.folder / "caps" / f"{acme}.yaml").read_text()
    assert outlay("plan", "-f", "caps", API_KEY=key).ok().out == "No changes.\n"
    outlay("apply", "-f", "caps", "--adopt", API_KEY=key).ok()
    outlay.write(f"caps/{acme}-gates.yaml", f"organization: {acme}\ngates: []\n")
    refused = outlay("apply", "-f", "caps", "--adopt", API_KEY=key)
    assert (refused.code, "MISSING_SCOPE" in refused.err) == (1, True)


# Forms of output


def test_json_says_everything(outlay: CommandLine, acme: str) -> None:
    outlay.write("a.yaml", caps(acme, "x: hard_cap: 5"))
    document = outlay("plan", "--output", "json").json
    assert (document["format_version"], document["manager"], document["has_changes"]) == (1, "yaml:caps", True)
    assert document["summary"] == {"create": 1, "update": 0, "adopt": 0, "delete": 0}
    (change,) = document["organizations"][0]["changes"]
    assert (change["type"], change["file"], change["line"]) == ("create", "a.yaml", 3)
    fields = {field["path"]: field["after"] for field in change["fields"]}
    assert fields == {
        "unit": "USD",
        "hard_cap_micros": "5000000",
        "hard_cap_enabled": True,
        "managed_by": "yaml:caps",
    }
    applied = outlay("apply", "--output", "json").json
    assert applied["outcome"] == {f"organizations/{acme}": "applied"}
    outlay.write("a.yaml", "foo: 1\n")
    problems = outlay("plan", "--output", "json")
    assert (problems.code, problems.err) == (1, "")
    assert problems.json["problems"][0] | {"message": ""} == {
        "file": "a.yaml",
        "line": 1,
        "column": 1,
        "path": "foo",
        "message": "",
    }


def test_github_shows_complaints_and_warnings_beside_the_lines(outlay: CommandLine, acme: str) -> None:
    outlay.write("a.yaml", "organization: acme\nbudgets:\n  - {budget_id: x, unit: U,\n")
    assert re.fullmatch(
        r"::error file=a\.yaml,line=\d,col=\d+::not YAML: .*\n", outlay("plan", "--output", "github").out
    )
    outlay("spend", "record", "70", "--unit", "USD", "--org", acme).ok()
    outlay.write("a.yaml", caps(acme, "x: hard_cap: 50"))
    shown = outlay("plan", "--output", "github").out.splitlines()
    where = f"::error file=a.yaml,line=3,col=5::organizations/{acme}/budgets/x: The limit of 50.00 USD is below"
    assert [line for line in shown if line.startswith(where)]


def test_markdown_shows_what_was_written_by_others_as_it_is(outlay: CommandLine, acme: str) -> None:
    """A display name cannot break out of the table, and cannot mention anybody."""
    outlay.write("a.yaml", caps(acme, 'x: display_name: "a | `b` @c <img>"'))
    assert "| display_name |  | ``  a \\| `b` @c <img>  `` |" in outlay("plan", "--output", "markdown").out.replace(
        "`` a", "``  a"
    ).replace("<img> ``", "<img>  ``")


def test_a_long_plan_fits_into_a_comment(outlay: CommandLine, acme: str) -> None:
    name = "n" * 120
    outlay.write("a.yaml", caps(acme, *(f"b{number}: display_name: {name}" for number in range(400))))
    shown = outlay("plan", "--output", "markdown").out
    assert len(shown) < 65_536
    assert shown.endswith("The rest does not fit into a comment; `outlay plan` shows all of it.\n")


def test_schema_is_printed_as_it_is_served(outlay: CommandLine) -> None:
    document = json.loads(outlay("schema").ok().out)
    assert document["$schema"] == "http://json-schema.org/draft-07/schema#"


# Export


def test_export_writes_over_nothing_unasked(outlay: CommandLine, acme: str) -> None:
    outlay("export", acme, "-o", "caps").ok()
    again = outlay("export", acme, "-o", "caps")
    assert (again.code, "--overwrite" in again.err) == (1, True)
    outlay("export", acme, "-o", "caps", "--overwrite").ok()
    assert outlay("export", "no-such-org", "-o", "caps2").code == 1
    assert not (outlay.folder / "caps2").exists()


def test_a_source_of_its_own_is_in_the_files(outlay: CommandLine, acme: str) -> None:
    outlay("export", acme, "-o", "caps", "--source", "platform/caps").ok()
    outlay("apply", "-f", "caps", "--adopt").ok()
    assert outlay.budget(acme, "spending")["managed_by"] == "yaml:platform/caps"


def test_a_file_that_is_no_plan_is_refused(outlay: CommandLine, acme: str) -> None:
    for content in ("", "{}", "[]", '{"format": "outlay-plan", "format_version": 9}', "[" * 100_000):
        outlay.write("plan.json", content)
        assert outlay("apply", "plan.json").code == 1
    assert outlay("apply", "no-such.json").code == 1


# On a terminal


def on_terminal(
    outlay: CommandLine, *arguments: str, answer: str, meanwhile: Callable[[], object] = lambda: None, **more: str
) -> Ran:
    """Run a command with a terminal on its three ends; when it asks, do `meanwhile` and type `answer`."""
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [OUTLAY, *arguments],
        cwd=outlay.folder,
        env={
            **{name: value for name, value in os.environ.items() if name != "NO_COLOR"},
            "OUTLAY_ENDPOINT": outlay.server.grpc_address,
            "OUTLAY_API_KEY": outlay.server.admin_key,
            **more,
        },
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
    )
    os.close(slave)
    shown, asked, deadline = "", False, time.monotonic() + 60
    while time.monotonic() < deadline:
        ready, _, _ = select.select([master], [], [], 1)
        try:
            part = os.read(master, 65536).decode() if ready else ""
        except OSError:
            break
        shown += part
        if not part and process.poll() is not None:
            break
        if not asked and "[y/N]" in shown:
            asked = True
            meanwhile()
            if answer == "ctrl-c":
                process.send_signal(signal.SIGINT)
            else:
                os.write(master, f"{answer}\n".encode())
    os.close(master)
    return Ran(process.wait(10), shown, "")


def test_a_terminal_is_asked_with_the_plan_in_sight(outlay: CommandLine, acme: str) -> None:
    outlay("spend", "record", "70", "--unit", "USD", "--org", acme).ok()
    outlay.write("a.yaml", caps(acme, "x: hard_cap: 50"))
    refused = on_terminal(outlay, "apply", answer="n")
    assert (refused.code, "The limit of 50.00 USD is below" in refused.out) == (1, True)
    assert outlay("budgets", "get", "x", "--org", acme).code == 1
    assert on_terminal(outlay, "apply", answer="ctrl-c").code == 130
    assert outlay("budgets", "get", "x", "--org", acme).code == 1
    applied = on_terminal(outlay, "apply", answer="y")
    assert (applied.code, applied.out.count("Plan: 1 to create.")) == (0, 1)
    assert outlay.budget(acme, "x")["hard_cap_micros"] == "50000000"


def test_colours_are_for_terminals_that_want_them(outlay: CommandLine, acme: str) -> None:
    outlay.write("a.yaml", caps(acme, "x: hard_cap: 5"))
    assert "\x1b[" not in outlay("plan").out
    assert "\x1b[32m+\x1b[0m" in on_terminal(outlay, "plan", answer="").out
    assert "\x1b[" not in on_terminal(outlay, "plan", answer="", NO_COLOR="1").out


def test_a_service_that_ends_between_plan_and_apply_applies_nothing(
    tmp_path: Path, start_server: Callable[[], ServerProcess]
) -> None:
    """The plan was shown and agreed to; that nothing came of it is said, and the exit code says it too."""
    server = start_server()
    own = CommandLine(tmp_path, server)
    own("orgs", "create", "acme").ok()
    own.write("a.yaml", caps("acme", "x: hard_cap: 5"))
    ran = on_terminal(own, "apply", answer="y", meanwhile=server.kill9)
    assert ran.code == 1
    assert "organizations/acme: not applied." in ran.out
    assert "nothing answers at" in ran.out


async def test_a_lost_answer_is_told_as_such_and_the_command_can_be_run_again(outlay: CommandLine, acme: str) -> None:
    """The service has applied it, and the command cannot know: run again, it finds nothing left to do."""
    outlay.write("a.yaml", caps(acme, "x: hard_cap: 5"))
    answers = 0

    def loses_the_second_answer(kind: Lost) -> bool:
        nonlocal answers
        answers += kind == "reply"
        return kind == "reply" and answers == 2

    async with ReplyEater(outlay.server.grpc_address, loses_the_second_answer) as proxy:
        ran = await asyncio.to_thread(CommandLine(outlay.folder, outlay.server), "apply", ENDPOINT=proxy.address)
    assert (ran.code, answers) == (1, 2)
    assert f"organizations/{acme}: whether it was applied is unknown; run the command again" in ran.out
    assert "--request-id" not in ran.err
    assert outlay("apply").ok().out == "No changes.\n"
    assert outlay.budget(acme, "x")["hard_cap_micros"] == "5000000"


def test_some_applied_and_some_not_exits_3(outlay: CommandLine, acme: str) -> None:
    """An organization stands for itself: one that moved since it was shown does not hold up the others."""
    other = f"z{uuid.uuid4().hex[:12]}"
    outlay("orgs", "create", other).ok()
    for name in (acme, other):
        outlay.write(f"{name}.yaml", f"organization: {name}\nbudget_id: spending\nunit: USD\nhard_cap: 5\n")

    def change_the_other() -> None:
        outlay("budgets", "set", "spending", "--org", other, "--budget", "1").ok()

    ran = on_terminal(outlay, "apply", "--adopt", answer="y", meanwhile=change_the_other)
    assert ran.code == 3
    assert f"organizations/{acme}: applied." in ran.out
    assert f"organizations/{other}: not applied." in ran.out
    assert f"organizations/{other}/budgets/spending was changed by platform (cli)" in ran.out
    assert outlay.budget(acme, "spending")["hard_cap_micros"] == "5000000"
    assert "hard_cap_micros" not in outlay.budget(other, "spending")


def test_the_schema_is_served_without_a_key(outlay: CommandLine) -> None:
    """Editors fetch it by URL, and have no key."""
    answer = httpx2.get(f"{outlay.server.http_url}/schema/caps.json")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    assert answer.text == outlay("schema").out
