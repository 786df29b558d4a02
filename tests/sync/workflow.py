"""Runs the steps of a workflow of GitHub Actions here: what a runner does with `run`, `uses` of our action, and files.

As much of it as these workflows use: expressions of one value, `if` of a few forms, composite actions, the files behind
GITHUB_OUTPUT, GITHUB_PATH and GITHUB_STEP_SUMMARY, and bash as the runner starts it.
"""

import os
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

_EXPRESSION = re.compile(r"\$\{\{\s*(.+?)\s*\}\}")
SHELL = ("bash", "--noprofile", "--norc", "-e", "-o", "pipefail")


@dataclass
class Runner:
    """One job on one runner."""

    workspace: Path
    temp: Path
    action: Path
    """The folder of the composite action that `uses` means."""
    context: dict[str, str]
    """What expressions name, such as `secrets.KEY`; unknown ones are empty, as on GitHub."""
    path: list[str] = field(default_factory=list)
    log: str = ""
    failed: bool = False

    @property
    def summary(self) -> str:
        file = self.temp / "summary.md"
        return file.read_text() if file.exists() else ""

    def run_job(self, job: Mapping[str, Any]) -> None:
        """Run a job's steps; after a failure only those that say `always()`."""
        for number, step in enumerate(job["steps"]):
            condition = step.get("if", "success()")
            if (self.failed and "always()" not in condition) or not self._holds(condition):
                continue
            if step.get("uses", "").startswith("actions/checkout"):
                continue
            self._run_step(step, f"step-{number}")

    def _run_step(self, step: Mapping[str, Any], name: str) -> None:
        if "uses" not in step:
            self._run_shell(step, {}, name)
            return
        action = yaml.safe_load((self.action / "action.yml").read_text())
        given = {key: self.value(text) for key, text in step.get("with", {}).items()}
        assert given.keys() <= action["inputs"].keys()
        inputs = {key: given.get(key, described["default"]) for key, described in action["inputs"].items()}
        inner = Runner(
            self.workspace,
            self.temp,
            self.action,
            {**self.context, **{f"inputs.{key}": value for key, value in inputs.items()}},
            self.path,
        )
        for number, part in enumerate(action["runs"]["steps"]):
            if not inner.failed:
                inner._run_shell(part, {"GITHUB_ACTION_PATH": str(self.action)}, f"{name}-{number}")
        self.log += inner.log
        self.failed |= inner.failed
        for output, described in action["outputs"].items():
            self.context[f"steps.{step['id']}.outputs.{output}"] = inner.value(described["value"])

    def _run_shell(self, step: Mapping[str, Any], more: Mapping[str, str], name: str) -> None:
        files = {variable: self.temp / f"{name}-{variable.lower()}" for variable in ("GITHUB_OUTPUT", "GITHUB_PATH")}
        for file in files.values():
            file.touch()
        own = {key: self.value(text) for key, text in step.get("env", {}).items()}
        inherited = {key: value for key, value in os.environ.items() if not key.startswith(("OUTLAY_", "GITHUB_"))}
        script = self.temp / f"{name}.sh"
        script.write_text(step["run"])
        done = subprocess.run(
            [*SHELL, str(script)],
            cwd=self.workspace,
            env={
                **inherited,
                **{variable: str(file) for variable, file in files.items()},
                "GITHUB_STEP_SUMMARY": str(self.temp / "summary.md"),
                "RUNNER_TEMP": str(self.temp),
                "PATH": os.pathsep.join([*self.path, os.environ["PATH"]]),
                **more,
                **own,
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=120,
        )
        self.log += done.stdout
        self.failed |= done.returncode != 0
        self.path[:0] = files["GITHUB_PATH"].read_text().split()
        for line in files["GITHUB_OUTPUT"].read_text().splitlines():
            key, _, value = line.partition("=")
            self.context[f"steps.{step.get('id', name)}.outputs.{key}"] = value

    def value(self, text: object) -> str:
        """Text with its expressions in place."""
        return _EXPRESSION.sub(lambda found: self.context.get(found[1], ""), str(text))

    def _holds(self, condition: str) -> bool:
        """`a == 'x' && b != ''`, of which this is all that is used."""
        parts = [part.strip() for part in condition.split("&&") if "()" not in part]
        for part in parts:
            name, operator, literal = re.fullmatch(r"(\S+) (==|!=) '(.*)'", part).groups()  # type: ignore[union-attr]
            if (self.context.get(name, "") == literal) != (operator == "=="):
                return False
        return True


def jobs_for(workflow: Path, runner: Runner) -> dict[str, Any]:
    """The jobs that an event starts, by name; the workflow's own `env` is put into the runner's context."""
    document = yaml.safe_load(workflow.read_text())
    runner.context |= {f"env.{key}": runner.context.get(f"env.{key}", value) for key, value in document["env"].items()}
    return {name: job for name, job in document["jobs"].items() if runner._holds(job.get("if", "success()"))}
