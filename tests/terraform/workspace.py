"""A working directory of the real `terraform`, with the provider in this process, and what it says as data."""

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

TERRAFORM: Final = shutil.which("terraform")

TIMEOUT_SECONDS: Final = 100.0
SOURCE: Final = "outlay/outlay"

Body = dict[str, Any]


@dataclass(frozen=True)
class Diagnosed:
    """One diagnostic: how bad, what, and the snippet of the configuration that it points at."""

    severity: str
    summary: str
    detail: str
    snippet: str


@dataclass(frozen=True)
class Workspace:
    """One configuration and its state."""

    folder: Path
    environment: Mapping[str, str]

    # --- configuration ------------------------------------------------------------------------------------------------

    def write(self, **blocks: Body) -> None:
        """Make the configuration these blocks: `resource={"outlay_budget": {"x": {…}}}`, as JSON syntax has them.

        Each attribute is on a line of its own, at which diagnostics can point.
        """
        required = {"required_providers": {"outlay": {"source": SOURCE}}}
        (self.folder / "main.tf.json").write_text(json.dumps({"terraform": required, **blocks}, indent=1))

    def budgets(self, budgets: Mapping[str, Body], **blocks: Body) -> None:
        """Make the configuration these budgets, and what else there is."""
        resource = blocks.pop("resource", {})
        declared = {**resource, "outlay_budget": dict(budgets)} if budgets else resource
        self.write(**({"resource": declared} if declared else {}), **blocks)

    # --- runs ---------------------------------------------------------------------------------------------------------

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        assert TERRAFORM is not None
        return subprocess.run(
            [TERRAFORM, *arguments],
            cwd=self.folder,
            env={**self.environment, **environment},
            capture_output=True,
            text=True,
            timeout=TIMEOUT_SECONDS,
            check=False,
        )

    def ok(self, *arguments: str, **environment: str) -> str:
        """Run what must succeed; its output."""
        done = self.run(*arguments, **environment)
        assert done.returncode == 0, f"terraform {' '.join(arguments)}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout

    def apply(self, *arguments: str) -> None:
        """Apply, after which there is nothing left to do."""
        self.ok("apply", "-auto-approve", "-no-color", *arguments)
        self.settled()

    def settled(self) -> None:
        """Assert that the plan is empty: nothing to do, and nothing that is seen to have changed by itself."""
        assert self.changes() == {}
        assert self.drifted == []

    def changes(self, *arguments: str) -> dict[str, list[str]]:
        """What a plan would do, by address; what stays as it is is left out."""
        return {
            each["address"]: each["change"]["actions"]
            for each in self.plan(*arguments).get("resource_changes", [])
            if each["change"]["actions"] not in (["no-op"], ["read"])
        }

    def plan(self, *arguments: str) -> Any:
        """A plan as JSON; it stays in the file `plan`."""
        self.ok("plan", "-out=plan", "-no-color", *arguments)
        return self.shown

    @property
    def shown(self) -> Any:
        return json.loads(self.ok("show", "-json", "plan"))

    @property
    def drifted(self) -> list[str]:
        """What the last plan saw to have changed by itself."""
        return [each["address"] for each in self.shown.get("resource_drift", [])]

    def state(self) -> dict[str, Body]:
        """The values of the state, by address."""
        shown = json.loads(self.ok("show", "-json"))
        resources = shown.get("values", {}).get("root_module", {}).get("resources", [])
        return {each["address"]: each["values"] for each in resources}

    def validate(self) -> list[Diagnosed]:
        return _diagnosed(json.loads(self.run("validate", "-json").stdout)["diagnostics"])

    def diagnose(self, command: str, *arguments: str) -> list[Diagnosed]:
        """The diagnostics of a run with `-json`, in the order they came."""
        lines = self.run(command, "-json", *arguments).stdout.splitlines()
        messages = [json.loads(line) for line in lines if line.startswith("{")]
        return _diagnosed([each["diagnostic"] for each in messages if each.get("type") == "diagnostic"])


def _diagnosed(found: list[Any]) -> list[Diagnosed]:
    return [
        Diagnosed(
            each["severity"],
            each["summary"],
            each.get("detail", ""),
            (each.get("snippet") or {}).get("code", "").strip().rstrip(","),
        )
        for each in found
    ]


def bare_environment(**own: str) -> dict[str, str]:
    """An environment in which nothing of this machine's configuration of Terraform or Outlay is left."""
    foreign = ("TF_", "OUTLAY_")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    # No checkpoint: nothing here may ask the network.
    return {**inherited, "CHECKPOINT_DISABLE": "1", "TF_IN_AUTOMATION": "1", "TF_CLI_CONFIG_FILE": os.devnull, **own}
