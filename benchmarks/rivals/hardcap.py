"""hardcap: a gateway that reserves tokens in Redis before a completion and settles them after it.

Its own mock answers for the provider, and is not counted: what is measured is the gateway with two scripts in Redis.
"""

import contextlib
import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.postgres import free_port
from benchmarks.processes import running
from benchmarks.rivals.environments import Environment
from benchmarks.rivals.http import answers, get_json
from benchmarks.rivals.redis import RedisServer
from benchmarks.trial import UNBOUNDED, Tenant

TENANTS = 64
"""They stand in its configuration, so there are so many from the start."""

_WINDOW_SECONDS = 10**7
_UNLIMITED_TOKENS = 10**12


@dataclass(slots=True)
class Hardcap:
    """A running gateway."""

    address: str
    pid: int
    cap_tokens: int
    _numbers: Iterator[int]

    def new_tenant(self) -> Tenant:
        return _tenant(f"open-{next(self._numbers):03d}", _UNLIMITED_TOKENS)

    def limited_tenant(self) -> Tenant:
        return _tenant("limited-001", self.cap_tokens)

    def counted_micros(self, organization_id: str) -> int:
        used = get_json(f"http://{self.address}/v1/hardcap/usage", _key_of(organization_id))["used"]
        return int(used["input"]) + int(used["output"])


def _tenant(name: str, cap_tokens: int) -> Tenant:
    return Tenant(name, _key_of(name), UNBOUNDED, cap_tokens)


def _key_of(name: str) -> str:
    return f"sk-{name}"


@contextlib.contextmanager
def hardcap(folder: Path, environment: Environment, redis: RedisServer, cap_tokens: int) -> Iterator[Hardcap]:
    """Run the gateway and its mock until the end of the block. `cap_tokens` is what its limited tenant has."""
    folder.mkdir(exist_ok=True)
    port, mock_port = free_port(), free_port()
    configuration = folder / "hardcap.yaml"
    # JSON is YAML.
    configuration.write_text(json.dumps(_configuration(port, mock_port, redis, cap_tokens)))
    program = environment.program("hardcap")
    mock_address, address = f"127.0.0.1:{mock_port}", f"127.0.0.1:{port}"
    with (
        running(
            [program, "mock", "--port", str(mock_port), "--ttft-ms", "0", "--tpot-ms", "0"],
            folder / "mock.log",
            is_ready=lambda _: answers(f"http://{mock_address}/healthz"),
        ),
        running(
            [program, "serve", "-c", configuration, "--host", "127.0.0.1"],
            folder / "gateway.log",
            is_ready=lambda _: answers(f"http://{address}/healthz"),
        ) as (pid, _),
    ):
        yield Hardcap(address, pid, cap_tokens, itertools.count(1))


def _configuration(port: int, mock_port: int, redis: RedisServer, cap_tokens: int) -> dict[str, object]:
    def tenant(name: str, total: int) -> dict[str, object]:
        return {"api_keys": [_key_of(name)], "budget": {"window_s": _WINDOW_SECONDS, "total": total}}

    names = [f"open-{number:03d}" for number in range(1, TENANTS + 1)]
    return {
        "listen": {"host": "127.0.0.1", "port": port},
        "redis_url": f"redis://{redis.address}/0",
        "upstreams": {"mock": {"base_url": f"http://127.0.0.1:{mock_port}"}},
        "routes": {"demo": {"targets": [{"upstream": "mock", "model": "mock"}]}},
        "tenants": {
            **{name: tenant(name, _UNLIMITED_TOKENS) for name in names},
            "limited-001": tenant("limited-001", cap_tokens),
        },
    }
