"""The composite action, the example's workflow and the pre-commit hook, each by running its steps against a service."""

import shlex
import shutil
import subprocess
import uuid
from pathlib import Path

import pytest
import yaml

from docs.tables import ROOT
from support.server import OUTLAY
from sync.conftest import CommandLine
from sync.workflow import Runner, jobs_for

EXAMPLE = ROOT / "examples" / "caps-as-code"
ACTION = ROOT / "deploy" / "github-action"

GH = """\
#!/bin/sh
# Stands for GitHub's own command: keeps what it was asked to say.
printf '%s\\n' "$@" >"$RUNNER_TEMP/gh-arguments"
while [ $# -gt 0 ]; do [ "$1" = --body-file ] && cp "$2" "$RUNNER_TEMP/comment.md"; shift; done
"""


@pytest.fixture(scope="session")
def backend() -> str:
    """The steps do not see what the service stores in: once is enough."""
    return "sqlite"


@pytest.fixture
def acme() -> str:
    return f"acme{uuid.uuid4().hex[:12]}"


@pytest.fixture
def repository(tmp_path: Path, acme: str) -> Path:
    """The example as somebody's repository, about an organization of its own."""
    if shutil.which("bash") is None:
        pytest.skip("there is no bash on the PATH")
    shutil.copytree(EXAMPLE, tmp_path / "repository")
    for file in (tmp_path / "repository" / "caps").glob("*.yaml"):
        file.write_text(file.read_text().replace("organization: acme", f"organization: {acme}"))
    return tmp_path / "repository"


def on_event(outlay: CommandLine, repository: Path, event: str) -> tuple[Runner, list[str]]:
    """The runner after the jobs that an event starts, and their names."""
    temp = repository.parent / f"runner-{uuid.uuid4().hex[:8]}"
    tools = temp / "tools"
    tools.mkdir(parents=True)
    (tools / "gh").write_text(GH)
    (tools / "gh").chmod(0o755)
    runner = Runner(
        repository,
        temp,
        ACTION,
        {
            "github.event_name": event,
            "github.event.pull_request.number": "7",
            "env.ENDPOINT": outlay.server.grpc_address,
            "secrets.OUTLAY_PLAN_KEY": outlay.server.admin_key,
            "secrets.OUTLAY_APPLY_KEY": outlay.server.admin_key,
        },
        [str(tools), str(Path(OUTLAY).parent)],
    )
    jobs = jobs_for(repository / ".github" / "workflows" / "caps.yml", runner)
    for job in jobs.values():
        runner.run_job(job)
    return runner, list(jobs)


def test_a_pull_request_is_planned_and_a_merge_applied(outlay: CommandLine, repository: Path, acme: str) -> None:
    """The way of a change: the plan as a comment, nothing applied, then all of it on merge, then no drift."""
    runner, jobs = on_event(outlay, repository, "pull_request")
    assert (jobs, runner.failed) == (["plan"], False), runner.log
    comment = (runner.temp / "comment.md").read_text()
    assert comment.startswith("### Outlay: Plan: 5 to create.\n")
    assert "| create | `budgets/search` | display_name |  | `Search team` |" in comment
    assert runner.summary == comment
    assert (runner.temp / "gh-arguments").read_text().split()[:3] == ["pr", "comment", "7"]
    assert runner.context["steps.plan.outputs.exit-code"] == "2"
    assert runner.context["steps.plan.outputs.has-changes"] == "true"
    assert outlay("orgs", "get", acme).code == 1

    runner, jobs = on_event(outlay, repository, "push")
    assert (jobs, runner.failed) == (["apply"], False), runner.log
    assert runner.context["steps.apply.outputs.exit-code"] == "0"
    assert outlay.budget(acme, "batch")["enforcement"] == "ENFORCEMENT_SHADOW"

    runner, jobs = on_event(outlay, repository, "schedule")
    assert (jobs, runner.failed) == (["drift"], False), runner.log
    assert "### Outlay: No drift." in runner.summary


def test_drift_fails_the_job_and_names_who_moved(outlay: CommandLine, repository: Path, acme: str) -> None:
    on_event(outlay, repository, "push")
    outlay("budgets", "set", "spending", "--org", acme, "--hard-cap", "900", "--override-manager").ok()
    runner, _ = on_event(outlay, repository, "schedule")
    assert runner.failed
    assert runner.context["steps.drift.outputs.exit-code"] == "2"
    assert "hard_cap was changed outside from 500.00 USD by platform (cli) at" in runner.summary
    assert "::warning file=caps/acme.yaml,line=" in runner.log


def test_a_file_that_is_not_valid_fails_and_is_shown_at_its_line(outlay: CommandLine, repository: Path) -> None:
    """The step fails with outlay's own exit code, and the pull request is told why."""
    (repository / "caps" / "bad.yaml").write_text("organization: acme\nhard_cap: yes\n")
    runner, _ = on_event(outlay, repository, "pull_request")
    assert runner.failed
    assert runner.context["steps.plan.outputs.exit-code"] == "1"
    assert "::error file=caps/bad.yaml,line=2,col=1::hard_cap: is no field" in runner.log
    assert "caps/bad.yaml:2:1: hard_cap: is no field" in (runner.temp / "comment.md").read_text()


def test_a_refused_apply_fails_the_step(outlay: CommandLine, repository: Path, acme: str) -> None:
    on_event(outlay, repository, "push")
    outlay("spend", "record", "200", "--unit", "USD", "--org", acme).ok()
    file = repository / "caps" / "acme.yaml"
    file.write_text(file.read_text().replace("hard_cap: 500.00", "hard_cap: 150.00"))
    runner, _ = on_event(outlay, repository, "push")
    assert runner.failed
    assert runner.context["steps.apply.outputs.exit-code"] == "1"
    assert "--allow-cap-below-spend" in runner.summary
    assert outlay.budget(acme, "spending")["hard_cap_micros"] == "500000000"


@pytest.mark.parametrize(
    ("inputs", "exit_code", "failed"),
    [
        ({"command": "plan", "fail-on-changes": "true"}, "2", True),
        ({"command": "plan", "args": "--no-detailed-exitcode --source platform/caps"}, "0", False),
        ({"command": "validate"}, "0", False),
        ({"command": "plan", "args": "--no-such-option"}, "64", True),
        ({"command": "destroy"}, "", True),
    ],
)
def test_the_step_ends_as_outlay_did(
    outlay: CommandLine, repository: Path, inputs: dict[str, str], exit_code: str, failed: bool
) -> None:
    """Exit codes are not swallowed, and changes fail a plan only where that is asked for."""
    temp = repository.parent / "runner"
    temp.mkdir()
    runner = Runner(repository, temp, ACTION, {}, [str(Path(OUTLAY).parent)])
    given = {"endpoint": outlay.server.grpc_address, "api-key": outlay.server.admin_key, **inputs}
    runner.run_job({"steps": [{"id": "outlay", "uses": "./deploy/github-action", "with": given}]})
    assert (runner.context["steps.outlay.outputs.exit-code"], runner.failed) == (exit_code, failed), runner.log


def test_the_hook_of_pre_commit_checks_the_files_it_is_given(repository: Path) -> None:
    (hook,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
    command = [OUTLAY, *shlex.split(hook["entry"])[1:]]

    def run(*names: str) -> int:
        return subprocess.run([*command, *names], cwd=repository, check=False, capture_output=True).returncode

    assert run("caps/acme.yaml", "caps/source.yaml") == 0
    (repository / "caps" / "bad.yaml").write_text("organisation: acme\n")
    assert run("caps/acme.yaml", "caps/bad.yaml") == 1
    configured = yaml.safe_load((EXAMPLE / ".pre-commit-config.yaml").read_text())
    assert [each["id"] for each in configured["repos"][0]["hooks"]] == [hook["id"]]
