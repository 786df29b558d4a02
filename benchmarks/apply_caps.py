"""How long caps in code take: `python -m benchmarks.apply_caps [--budgets N] [--rounds N] [--database-url URL]`.

A real server, one organization, N budgets, one request each time: the plan that creates them, the apply, the plan that
is empty, an apply that changes every budget, the plan of that where every change has been moved from outside, and the
apply that prunes them. The organization has spend, in as many sets of labels as there are budgets.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import grpc
from google.protobuf.field_mask_pb2 import FieldMask

from benchmarks.messages import metadata_of
from benchmarks.outlay import Deployment, deployment
from outlay.v1 import admin_service_pb2 as admin_pb
from outlay.v1 import admin_service_pb2_grpc as admin_grpc
from outlay.v1 import budget_pb2, caps_pb2
from outlay.v1 import budget_service_pb2 as pb
from outlay.v1 import budget_service_pb2_grpc as budget_grpc

UNIT_MICROS = 1_000_000
MANAGED = ("unit", "display_name", "selector", "budget_micros", "hard_cap_micros", "hard_cap_enabled", "cycle")


class Organization:
    """One organization of a server, and its caps in code."""

    def __init__(self, server: Deployment, channel: grpc.Channel, organization_id: str, budgets: int) -> None:
        self.name = f"organizations/{organization_id}"
        self._metadata = metadata_of(server.admin_key)
        self._admin = admin_grpc.AdminServiceStub(channel)
        self._budgets = budget_grpc.BudgetServiceStub(channel)
        self._count = budgets
        self._admin.CreateOrganization(
            admin_pb.CreateOrganizationRequest(organization_id=organization_id), metadata=self._metadata
        )
        records = [
            pb.RecordSpendRequest(
                unit="USD", amount_micros=UNIT_MICROS, labels={"team": f"team-{i:04d}"}, request_id=f"spend-{i}"
            )
            for i in range(budgets)
        ]
        self._budgets.BatchRecordSpend(
            pb.BatchRecordSpendRequest(organization=self.name, requests=records), metadata=self._metadata
        )

    def caps(self, hard_cap: int, count: int | None = None) -> caps_pb2.ApplyCapsRequest:
        """A request for all budgets with the same hard cap."""
        return caps_pb2.ApplyCapsRequest(
            organization=self.name,
            manager="yaml:benchmark",
            budgets=[
                caps_pb2.DesiredBudget(
                    budget=budget_pb2.Budget(
                        name=f"{self.name}/budgets/team-{i:04d}",
                        unit="USD",
                        display_name=f"Team {i}",
                        selector={"team": f"team-{i:04d}"},
                        budget_micros=hard_cap * UNIT_MICROS // 2,
                        hard_cap_micros=hard_cap * UNIT_MICROS,
                        hard_cap_enabled=True,
                        cycle=budget_pb2.Cycle(period=budget_pb2.PERIOD_MONTH, time_zone="Europe/Berlin"),
                    ),
                    update_mask=FieldMask(paths=MANAGED),
                )
                for i in range(self._count if count is None else count)
            ],
            prune=True,
            max_delete_count=1_000,
            allow_deleting_in_use=True,
        )

    def move_all(self) -> None:
        """Change every budget from outside."""
        for i in range(self._count):
            budget = budget_pb2.Budget(name=f"{self.name}/budgets/team-{i:04d}", hard_cap_micros=77 * UNIT_MICROS)
            self._budgets.UpdateBudget(
                pb.UpdateBudgetRequest(budget=budget, override_manager=True), metadata=self._metadata
            )

    def seconds(self, request: caps_pb2.ApplyCapsRequest, changes: int, *, validate_only: bool = False) -> float:
        """How long one request takes; it must change that many budgets."""
        request.validate_only = validate_only
        started = time.perf_counter()
        answer = self._admin.ApplyCaps(request, metadata=self._metadata, timeout=30)
        taken = time.perf_counter() - started
        assert len(answer.changes) == changes, f"{len(answer.changes)} changes, not {changes}"
        return taken


def measure(organization: Organization, budgets: int) -> dict[str, float]:
    """Seconds of each step, in their order."""
    first, second, third = (organization.caps(amount) for amount in (100, 200, 300))
    taken = {
        "plan, all are created": organization.seconds(first, budgets, validate_only=True),
        "apply, all are created": organization.seconds(first, budgets),
        "plan, nothing to do": organization.seconds(first, 0, validate_only=True),
        "apply, all are changed": organization.seconds(second, budgets),
    }
    organization.move_all()
    taken["plan, all have drifted"] = organization.seconds(third, budgets, validate_only=True)
    taken["apply, all are pruned"] = organization.seconds(organization.caps(100, 0), budgets)
    return taken


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure ApplyCaps on a real server.")
    parser.add_argument("--budgets", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--database-url", help="of an empty PostgreSQL database; without it SQLite")
    options = parser.parse_args()
    rounds = []
    with (
        tempfile.TemporaryDirectory(prefix="outlay-apply-") as folder,
        deployment(Path(folder) / "server", database_url=options.database_url) as server,
        grpc.insecure_channel(server.replicas[0].grpc_address) as channel,
    ):
        for number in range(options.rounds):
            organization = Organization(server, channel, f"apply-{number}", options.budgets)
            rounds.append(measure(organization, options.budgets))
    print(f"{options.budgets} budgets, {options.rounds} rounds, milliseconds (median, longest)")
    for step in rounds[0]:
        figures = [1_000 * taken[step] for taken in rounds]
        print(f"  {step:24} {statistics.median(figures):7.0f} {max(figures):7.0f}")


if __name__ == "__main__":
    main()
