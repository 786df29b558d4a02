"""The service under test: its processes, and its administration over gRPC."""

import contextlib
import dataclasses
import itertools
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
from google.protobuf.field_mask_pb2 import FieldMask

from benchmarks.messages import BUDGET_ID, UNIT, metadata_of
from benchmarks.processes import OUTLAY, ROOT, address_after, clean_environment, running, says_ready
from benchmarks.trial import UNBOUNDED, Entry, Tenant
from outlay.v1 import admin_service_pb2 as admin_pb
from outlay.v1 import admin_service_pb2_grpc as admin_grpc
from outlay.v1 import api_key_pb2, budget_pb2
from outlay.v1 import budget_service_pb2 as pb
from outlay.v1 import budget_service_pb2_grpc as grpc_pb
from outlay_server.domain.api_key import assemble
from outlay_server.domain.limits import OPEN_RESERVATIONS_PER_BUDGET_MAX

HARD_CAP_MICROS = 10**15
"""High enough that every check of a trial is admitted, and enforced all the same."""

CHECKS_PER_TENANT = OPEN_RESERVATIONS_PER_BUDGET_MAX - 1_000
"""Below what one budget may hold open."""

SPENT_CAP_MICROS = 1_000
"""The cap of an organization that has spent it, and is denied everything."""

_SCOPES = ["spend:check", "spend:record"]
_SETUP_THREADS = 16

_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Replica:
    """One `outlay serve`."""

    pid: int
    grpc_address: str
    http_address: str


@dataclass(slots=True)
class Deployment:
    """The replicas over one database, and what its callers were granted in all trials so far."""

    replicas: list[Replica]
    environment: dict[str, str]
    admin_key: str
    granted: dict[str, Entry] = field(default_factory=dict)
    _crowd: tuple[Tenant, ...] = ()
    _channel: grpc.Channel = field(init=False)

    def __post_init__(self) -> None:
        self._channel = grpc.insecure_channel(self.replicas[0].grpc_address)

    def enter(self, journal: Mapping[str, Entry]) -> None:
        """Add what the callers of a trial were told."""
        for organization_id, entry in journal.items():
            self.granted.setdefault(organization_id, Entry()).add(entry)

    def new_tenants(self, count: int, *, cap_micros: int = HARD_CAP_MICROS) -> tuple[Tenant, ...]:
        """Organizations that nobody has used, each with an enforced hard cap and a key that may check and record."""
        with ThreadPoolExecutor(min(count, _SETUP_THREADS)) as threads:
            return tuple(threads.map(lambda _: self._new_tenant(cap_micros), range(count)))

    def spent_tenant(self) -> Tenant:
        """One that has spent its whole cap."""
        (tenant,) = self.new_tenants(1, cap_micros=SPENT_CAP_MICROS)
        self._budgets.CheckSpend(
            pb.CheckSpendRequest(unit=UNIT, amount_micros=SPENT_CAP_MICROS, mode=pb.CHECK_MODE_RECORD),
            metadata=metadata_of(tenant.key),
        )
        self.enter({tenant.organization_id: Entry(spent_micros=SPENT_CAP_MICROS)})
        return dataclasses.replace(tenant, most_checks=UNBOUNDED, cap_micros=SPENT_CAP_MICROS)

    def crowd(self, count: int) -> tuple[Tenant, ...]:
        """Many organizations, the same in every trial, for to make them takes longer than a trial."""
        if len(self._crowd) < count:
            self._crowd += self.new_tenants(count - len(self._crowd))
        return self._crowd[:count]

    @property
    def _budgets(self) -> grpc_pb.BudgetServiceStub:
        return grpc_pb.BudgetServiceStub(self._channel)

    def _new_tenant(self, cap_micros: int) -> Tenant:
        metadata = metadata_of(self.admin_key)
        organization_id = f"bench-{next(_numbers):06d}"
        name = f"organizations/{organization_id}"
        admin = admin_grpc.AdminServiceStub(self._channel)
        admin.CreateOrganization(admin_pb.CreateOrganizationRequest(organization_id=organization_id), metadata=metadata)
        budget = budget_pb2.Budget(
            name=f"{name}/budgets/{BUDGET_ID}", hard_cap_micros=cap_micros, hard_cap_enabled=True
        )
        self._budgets.UpdateBudget(
            pb.UpdateBudgetRequest(budget=budget, update_mask=FieldMask(paths=["hard_cap_micros", "hard_cap_enabled"])),
            metadata=metadata,
        )
        key = admin.CreateApiKey(
            admin_pb.CreateApiKeyRequest(parent=name, api_key=api_key_pb2.ApiKey(scopes=_SCOPES)), metadata=metadata
        )
        return Tenant(organization_id, key.secret, CHECKS_PER_TENANT, cap_micros)

    def counted_micros(self, organization_id: str) -> int:
        budget = self._budgets.GetBudget(
            pb.GetBudgetRequest(name=f"organizations/{organization_id}/budgets/{BUDGET_ID}"),
            metadata=metadata_of(self.admin_key),
        )
        return budget.spend.spent_micros + budget.spend.reserved_micros

    def verify(self) -> dict[str, Any]:
        """What `outlay verify` finds in the database."""
        done = subprocess.run(
            [OUTLAY, "verify", "--output", "json"],
            env=clean_environment(self.environment),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        if done.returncode not in (0, 1) or not done.stdout:
            raise RuntimeError(f"outlay verify ended with {done.returncode}:\n{done.stderr[-4000:]}")
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    def close(self) -> None:
        self._channel.close()


SERVE: Sequence[str | Path] = (OUTLAY, "serve")
UNGROUPED: Sequence[str | Path] = (sys.executable, "-m", "benchmarks.ungrouped", "serve")


@contextlib.contextmanager
def deployment(
    folder: Path,
    *,
    database_url: str | None = None,
    replicas: int = 1,
    command: Sequence[str | Path] = SERVE,
) -> Iterator[Deployment]:
    """Run replicas on free ports until the end of the block; without a URL, one on an embedded database in `folder`."""
    admin_key = assemble(os.urandom(20))
    environment = {
        "OUTLAY_ADMIN_KEY": admin_key,
        "OUTLAY_DATA_DIR": str(folder),
        "OUTLAY_MIGRATE": "true",
        "OUTLAY_LOG_LEVEL": "warning",
    }
    if database_url is not None:
        environment["OUTLAY_DATABASE_URL"] = database_url
    folder.mkdir(exist_ok=True)
    with contextlib.ExitStack() as stack:
        started = [stack.enter_context(_replica(folder / f"log-{i}", environment, command)) for i in range(replicas)]
        yield stack.enter_context(contextlib.closing(Deployment(started, environment, admin_key)))


@contextlib.contextmanager
def _replica(log: Path, environment: dict[str, str], command: Sequence[str | Path]) -> Iterator[Replica]:
    any_port = {f"OUTLAY_{face}_ADDRESS": "127.0.0.1:0" for face in ("GRPC", "HTTP", "METRICS")}
    with running(command, log, is_ready=says_ready, env=clean_environment(environment | any_port), cwd=ROOT) as (
        pid,
        said,
    ):
        yield Replica(pid, address_after("gRPC", said), address_after("HTTP", said))
