"""LiteLLM's proxy with a mocked model.

A budget on a virtual key needs its database, whose client (Prisma) fetches a program at the first start. So the caps
are those that it keeps without one: a budget on a model (`max_budget`), in the memory of the process.
"""

import contextlib
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.postgres import free_port
from benchmarks.processes import clean_environment, running
from benchmarks.rivals.environments import Environment
from benchmarks.rivals.http import answers, get_json
from benchmarks.trial import UNBOUNDED, Tenant

KEY = "sk-benchmark"
PROVIDER = "openai"
_PRICE_PER_TOKEN = 1e-6
_PERIOD = "30d"
_UNLIMITED_MICROS = 10**12


@dataclass(slots=True)
class Litellm:
    """A running proxy."""

    address: str
    pid: int
    cap_micros: int
    _counted_micros: int = 0

    def new_tenant(self) -> Tenant:
        return Tenant("model-open", KEY, UNBOUNDED, _UNLIMITED_MICROS)

    def limited_tenant(self) -> Tenant:
        return Tenant("model-limited", KEY, UNBOUNDED, self.cap_micros)

    def added_micros(self) -> int:
        """What all models of the provider have cost since this was asked last; there is no figure for each.

        It adds after the answer, so this waits until the figure rests.
        """
        last, found = -1, self.counted_micros("")
        while found != last:
            time.sleep(0.3)
            last, found = found, self.counted_micros("")
        before, self._counted_micros = self._counted_micros, found
        return found - before

    def counted_micros(self, _: str) -> int:
        providers = get_json(f"http://{self.address}/provider/budgets", KEY)["providers"]
        return round(float(providers[PROVIDER]["spend"] or 0) * 1e6)


@contextlib.contextmanager
def litellm(folder: Path, environment: Environment, cap_micros: int) -> Iterator[Litellm]:
    """Run the proxy until the end of the block. `cap_micros` is what its limited model may cost."""
    folder.mkdir(exist_ok=True)
    configuration = folder / "litellm.yaml"
    configuration.write_text(json.dumps(_configuration(cap_micros)))
    address = f"127.0.0.1:{free_port()}"
    with running(
        [environment.program("litellm"), "--config", configuration, "--host", "127.0.0.1", "--port", address[10:]],
        folder / "log",
        is_ready=lambda _: answers(f"http://{address}/health/liveliness"),
        # Its prices and its version check come from the network otherwise.
        env=clean_environment({"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR"}),
        cwd=folder,
    ) as (pid, _):
        yield Litellm(address, pid, cap_micros)


def _configuration(cap_micros: int) -> dict[str, object]:
    def model(name: str, **budget: object) -> dict[str, object]:
        parameters = {
            "model": f"{PROVIDER}/{name}",
            "api_key": "none",
            "mock_response": "ok ok ok ok",
            "input_cost_per_token": _PRICE_PER_TOKEN,
            "output_cost_per_token": _PRICE_PER_TOKEN,
        }
        return {"model_name": name, "litellm_params": {**parameters, **budget}}

    return {
        "model_list": [
            model("model-open"),
            model("model-limited", max_budget=cap_micros / 1e6, budget_duration=_PERIOD),
        ],
        "router_settings": {
            "num_retries": 0,
            # A deployment that refused would be left out for a while, whatever its budget.
            "disable_cooldowns": True,
            "provider_budget_config": {
                PROVIDER: {"budget_limit": _UNLIMITED_MICROS / 1e6, "time_period": _PERIOD},
            },
        },
        "general_settings": {"master_key": KEY},
    }
